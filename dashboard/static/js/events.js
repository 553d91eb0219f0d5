// The log: newest first, filtered by kind. Text only: nothing that comes from a node is ever markup.

import { politely } from "./announce.js";
import { all, attribute, copy, find, make, text } from "./dom.js";
import { clock } from "./format.js";
import { MARKS } from "./marks.js";
import { store } from "./store.js";

const KEPT = 500;
let only = "all";
let words = "";

/** New lines, or (null) the whole log. */
export function drawEvents(fresh) {
  const list = find("#log");
  if (fresh === null) list.replaceChildren(...store.events.map(line).reverse());
  else for (const event of fresh) list.prepend(line(event));
  for (const event of fresh ?? []) if (event.kind === "deploy") politely(event.text);
  while (list.children.length > KEPT) list.lastElementChild.remove();
  drawFilters();
}

function line(event) {
  const element = copy("event-template");
  element.dataset.kind = event.kind;
  const time = find("time", element);
  time.dateTime = new Date(event.at * 1000).toISOString();
  text(time, clock(event.at));
  const kind = find(".kind", element);
  kind.append(make("b", "letter", MARKS[event.kind] ?? "·"), event.kind);
  text(find(".text", element), event.text);
  const where = event.source === "dashboard" || event.source === event.who ? "" : `, ${event.source}`;
  text(find(".by", element), `${event.who}${where}`);
  element.hidden = !wanted(element);
  return element;
}

const wanted = (element) => (only === "all" || element.dataset.kind === only) && element.textContent.toLowerCase().includes(words);

function drawFilters() {
  const counts = new Map([["all", store.events.length]]);
  for (const event of store.events) counts.set(event.kind, (counts.get(event.kind) ?? 0) + 1);
  const box = find("#filters");
  for (const [kind, n] of counts) {
    let button = [...box.children].find((child) => child.dataset.kind === kind);
    if (!button) {
      button = make("button", "filter");
      button.type = "button";
      button.dataset.kind = kind;
      button.addEventListener("click", () => filter(kind));
      box.append(button);
    }
    text(button, `${kind} ${n}`);
    attribute(button, "aria-pressed", String(kind === only));
  }
  find("#log-empty").hidden = store.events.length > 0;
  find("#log").hidden = store.events.length === 0;
}

function filter(kind) {
  only = kind;
  for (const element of all("#log > li")) element.hidden = !wanted(element);
  drawFilters();
}

/** The field that looks for words. */
export function wireEvents() {
  find("#find").addEventListener("input", (event) => {
    words = event.target.value.toLowerCase();
    filter(only);
  });
}
