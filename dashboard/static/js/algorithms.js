// The switch: one card an algorithm. The chosen card is the one that a tick has confirmed, never the one just pressed.

import { politely } from "./announce.js";
import { attribute, copy, find, make, text } from "./dom.js";
import { order } from "./orders.js";
import { label, usable } from "./status.js";
import { store } from "./store.js";

let wanted = null;
let failure = "";
let confirmed = null;

/** Draw the cards; they are made again only when the list of algorithms is another one. */
export function drawAlgorithms() {
  const { layout } = store;
  const box = find("#cards");
  const keys = layout.algorithms.map((algorithm) => algorithm.key).join(" ");
  if (box.dataset.keys !== keys) build(box, keys);
  if (confirmed !== layout.algorithm) {
    if (confirmed !== null) politely(`Algorithm is ${label(layout.algorithm)}`);
    confirmed = layout.algorithm;
    failure = "";
  }
  const focused = box.contains(document.activeElement);
  for (const card of box.children) {
    const chosen = card.dataset.key === layout.algorithm;
    attribute(card, "aria-checked", String(chosen));
    attribute(card, "data-pending", card.dataset.key === wanted ? "yes" : null);
    if (!focused) card.tabIndex = chosen ? 0 : -1;
    const reason = layout.algorithms.find((algorithm) => algorithm.key === card.dataset.key).disabled ?? "";
    text(find(".why", card), reason);
    if (reason) card.dataset.why = reason;
    else delete card.dataset.why;
    if (reason) card.setAttribute("aria-disabled", "true");
    if (chosen && box.dataset.shown !== layout.algorithm) reveal(box, card);
  }
  const select = find("#algorithm-select");
  if (document.activeElement !== select || wanted === null) select.value = wanted ?? layout.algorithm ?? "";
  const current = layout.algorithms.find((algorithm) => algorithm.key === layout.algorithm);
  text(find("#algorithm-sentence"), current?.sentence ?? "");
  const weighted = layout.algorithms.filter((algorithm) => algorithm.needs.includes("weight"));
  text(find("#weights-used"), weighted.length ? `Weights count under: ${weighted.map((algorithm) => algorithm.label).join(", ")}` : "");
  drawNote();
}

/** The chosen card is in sight, without moving the page. With the next frame, which has to lay out the page anyway. */
function reveal(box, card) {
  box.dataset.shown = card.dataset.key;
  requestAnimationFrame(() => {
    const above = card.offsetTop - box.offsetTop;
    if (above < box.scrollTop || above + card.offsetHeight > box.scrollTop + box.clientHeight) {
      box.scrollTop = above - (box.clientHeight - card.offsetHeight) / 2;
    }
  });
}

function drawNote() {
  const { layout } = store;
  const note = find("#algorithm-status");
  attribute(note, "data-tone", failure ? "bad" : null);
  if (wanted) text(note, `switching to ${label(wanted)}…`);
  else if (failure) text(note, failure);
  else if (layout.algorithm && layout.algorithm !== layout.algorithm_in_file) {
    text(note, `differs from config.json, which says ${label(layout.algorithm_in_file)}`);
  } else text(note, "");
}

function build(box, keys) {
  const select = find("#algorithm-select");
  box.dataset.keys = keys;
  select.replaceChildren();
  const drawn = [...box.children].map((card) => card.dataset.key).join(" ") === keys; // by the server
  if (!drawn) box.replaceChildren();
  for (const algorithm of store.layout.algorithms) {
    if (!drawn) box.append(made(algorithm));
    const option = make("option", "", algorithm.label);
    option.value = algorithm.key;
    option.disabled = Boolean(algorithm.disabled);
    select.append(option);
  }
}

function made(algorithm) {
  const card = copy("card-template");
  card.dataset.key = algorithm.key;
  text(find(".title", card), algorithm.label);
  text(find(".sentence", card), algorithm.sentence);
  return card;
}

/** Order the switch to an algorithm; what became of it stands in the panel. */
export async function choose(key) {
  if (wanted || key === store.layout.algorithm || !usable()) return;
  wanted = key;
  failure = "";
  drawAlgorithms();
  const everywhere = (layout) => layout.balancers.every((b) => b.algorithm === key || !b.reachable) && layout.algorithm === key;
  const reason = await order("POST", "/actions/algorithm", { algorithm: key }, everywhere);
  wanted = null;
  failure = reason && `Not switched to ${label(key)}: ${reason}`;
  drawAlgorithms();
}

/** Presses. Arrow keys move along the cards and change nothing; Enter or Space chooses. */
export function wireAlgorithms() {
  const box = find("#cards");
  box.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) choose(card.dataset.key);
  });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const cards = [...box.children];
    const here = cards.indexOf(document.activeElement);
    if (!step || here < 0) return;
    event.preventDefault();
    const next = cards[(here + step + cards.length) % cards.length];
    for (const card of cards) card.tabIndex = card === next ? 0 : -1;
    next.focus();
  });
  find("#algorithm-select").addEventListener("change", (event) => choose(event.target.value));
}
