// A card a node: one line, and behind it what the probes, Supervisor and the operator say of it, side by side, because
// `RUNNING` and `down` at once is precisely the interesting case. Cards are made once and then patched.

import { showOrders } from "./controls.js";
import { attribute, copy, find, make, remember, remembered, text } from "./dom.js";
import { shares, uses } from "./fair.js";
import { GLYPHS, number, percent, span } from "./format.js";
import { showLog } from "./loglines.js";
import { pains } from "./pains.js";
import { processText, processTone } from "./processes.js";
import { drawInFlight, drawStack } from "./stack.js";
import { drawProbe } from "./strip.js";
import { now, store } from "./store.js";
import { sinceText } from "./table.js";

const MOST_CARDS = 12; // with more nodes the table is what one wants to see first
const narrow = matchMedia("(max-width: 56.25rem)");
const cards = new Map();

/** Cards or the table: chosen by the person, else by the number of nodes. On a phone cards, one line each. */
export function mode() {
  if (narrow.matches) return "cards";
  return remembered("nodes", store.layout.nodes.length > MOST_CARDS ? "table" : "cards");
}

/** Show what is chosen. */
export function drawMode() {
  const chosen = mode();
  attribute(find("#node-cards"), "hidden", chosen !== "cards");
  attribute(find("#nodes-table"), "hidden", chosen !== "table");
  for (const button of find("#nodes-mode").children) attribute(button, "aria-pressed", String(button.value === chosen));
}

/** New words. */
export function drawCards() {
  drawMode();
  if (mode() !== "cards") return;
  const { nodes } = store.layout;
  const box = find("#node-cards");
  const names = nodes.map((node) => node.name);
  if ([...box.children].map((card) => card.dataset.node).join("\n") !== names.join("\n")) build(box, nodes);
  nodes.forEach((node) => drawWords(cards.get(node.name), node));
}

function build(box, nodes) {
  for (const [name, card] of cards) if (!nodes.some((node) => node.name === name)) cards.delete(name) && card.remove();
  nodes.forEach((node, i) => {
    if (!cards.has(node.name)) cards.set(node.name, made(node));
    const card = cards.get(node.name);
    if (box.children[i] !== card) box.insertBefore(card, box.children[i] ?? null);
  });
}

function made(node) {
  const card = copy("card-of-node-template");
  card.dataset.node = node.name;
  card.id = `node-${node.name}`;
  card.open = !narrow.matches;
  for (const button of card.querySelectorAll("[data-act]")) {
    button.setAttribute("aria-label", `${button.getAttribute("aria-label")} ${node.name}`);
  }
  find("[data-log]", card).addEventListener("click", () => showLog(card, node.name));
  return card;
}

function drawWords(card, node) {
  const f = (name) => find(`[data-f="${name}"]`, card);
  attribute(card, "data-state", node.state);
  text(f("name"), node.name);
  text(f("glyph"), GLYPHS[node.state] ?? "○");
  text(f("state"), node.state);
  text(f("where"), `${node.kind} · ${node.address}`);
  attribute(f("differs"), "hidden", !node.differs?.length);
  text(f("differs"), node.differs?.length ? `${node.differs.join(", ")} see it otherwise` : "");
  text(f("ordered"), node.admin);
  text(f("health"), node.health);
  const [process, detail] = processText(node);
  text(f("process"), process);
  text(f("process_detail"), `${detail}${node.process?.heard && node.process.since ? ` · for ${span(now() - node.process.since)}` : ""}`);
  attribute(f("process"), "data-tone", processTone(node.process));
  drawProbe(card, node);
  const faults = store.layout.lab?.faults[node.name] ?? [];
  const chips = f("faults");
  attribute(chips, "hidden", !faults.length);
  chips.replaceChildren(...faults.map((fault) => make("span", "chip", `${fault.text}, ${span(fault.ends_at - now())} left`)));
  text(f("weight"), node.weight);
  text(f("weight_note"), node.weight === node.weight_in_file ? "" : `file: ${node.weight_in_file}`);
  attribute(find(".weight", card), "data-unused", uses("weight") ? null : "yes");
  showOrders(card, node);
  attribute(find("[data-log]", card), "hidden", node.runs === "external" || null);
}

/** New numbers. */
export function drawCardNumbers() {
  if (mode() !== "cards") return;
  const { layout, rows } = store;
  const got = shares();
  const hurting = pains(layout.nodes, rows, layout.lab?.faults);
  layout.nodes.forEach((node, i) => {
    const card = cards.get(node.name);
    const figures = rows[i];
    if (!card || !figures) return;
    const f = (name) => find(`[data-f="${name}"]`, card);
    attribute(card, "data-pain", hurting[i].level || null);
    text(f("rps"), number(node.ready ? figures.rps : figures.per_s));
    text(f("p99"), number(figures.p99_ms));
    if (!card.open) return;
    const pain = hurting[i].text.startsWith("fault") ? "" : hurting[i].text || node.cause; // faults have chips
    text(f("pain"), pain);
    drawInFlight(find(".held", card), figures.in_flight, node.slots);
    drawStack(find(".stack", card), figures.in_flight ?? 0, node.slots);
    text(f("p50_ms"), number(figures.p50_ms));
    text(f("p95_ms"), number(figures.p95_ms));
    text(f("errors"), `${percent(figures.errors_per_s, figures.rps)} %`);
    attribute(f("errors"), "data-tone", figures.errors_per_s > 0 ? "bad" : null);
    text(f("share"), `${percent(got[i], 1)} %`);
    const since = sinceText(node, figures);
    text(f("since"), /^\d/.test(since) ? `for ${since}` : since);
  });
}

/** Presses: cards or table. */
export function wireCards() {
  find("#nodes-mode").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    remember("nodes", button.value);
    dispatchEvent(new Event("modechange"));
  });
  narrow.addEventListener("change", () => dispatchEvent(new Event("modechange")));
}
