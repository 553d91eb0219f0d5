// The nodes. Rows are made once and then patched, text by text, so that focus and selection survive every tick.

import { nodeChanged } from "./announce.js";
import { all, attribute, copy, find, text } from "./dom.js";
import { clock, count, GLYPHS, number, percent, span } from "./format.js";
import { label } from "./status.js";
import { now, store } from "./store.js";

const MOST_SLOTS = 16; // more are drawn as one bar
const rows = new Map(); // name -> {row, fields, state}

/** New words. */
export function drawNodes() {
  const { layout } = store;
  const body = find("#rows");
  const names = new Set(layout.nodes.map((node) => node.name));
  for (const row of [...body.children]) if (!names.has(row.dataset.node)) row.remove();
  for (const name of rows.keys()) if (!names.has(name)) rows.delete(name);
  for (const node of layout.nodes) {
    if (!rows.has(node.name)) adopt(body, node.name);
    drawWords(rows.get(node.name), node);
  }
  const weighted = layout.algorithms.filter((algorithm) => algorithm.needs.includes("weight"));
  const used = uses("weight");
  const by = weighted.length ? `; used by ${weighted.map((algorithm) => algorithm.label).join(", ")}` : "";
  text(find("#weights-note"), used || !layout.algorithm ? "" : `${label(layout.algorithm)} takes no account of weights${by}`);
}

/** Whether the present algorithm takes something into account. */
export function uses(need) {
  const { layout } = store;
  return layout.algorithms.find((algorithm) => algorithm.key === layout.algorithm)?.needs.includes(need) ?? false;
}

/** The row that the server has written, or a new one. */
function adopt(body, name) {
  let row = [...body.children].find((child) => child.dataset.node === name);
  if (!row) {
    row = copy("node-template");
    row.dataset.node = name;
    for (const button of all("button", row)) button.setAttribute("aria-label", button.getAttribute("aria-label").trim() + ` ${name}`);
    body.append(row);
  }
  const fields = Object.fromEntries(all("[data-f]", row).map((element) => [element.dataset.f, element]));
  rows.set(name, { row, fields, state: null });
}

function drawWords(entry, node) {
  const { row, fields } = entry;
  if (entry.state !== null && entry.state !== node.state) nodeChanged(node.name, node.state);
  entry.state = node.state;
  row.dataset.state = node.state;
  find("[data-badge]", row).dataset.state = node.state;
  text(fields.name, node.name);
  text(fields.kind, node.kind);
  text(fields.address, node.address);
  text(fields.glyph, GLYPHS[node.state] ?? "○");
  text(fields.state, node.state);
  text(fields.axes, `${node.admin} · health ${node.health}`);
  const differs = node.differs?.length ? `${node.differs.join(", ")} see it otherwise` : "";
  text(fields.cause, [node.cause, differs].filter(Boolean).join("; "));
  drawProcess(fields, node.process, node.runs);
  text(fields.weight, node.weight);
  text(fields.weight_note, node.weight === node.weight_in_file ? "" : `file: ${node.weight_in_file}`);
  attribute(find(".weight", row), "data-unused", uses("weight") ? null : "yes");
  text(fields.slots, node.slots ? ` / ${node.slots}` : "");
  const shown = { draining: node.admin !== "draining", maintenance: node.admin !== "maintenance", enabled: node.admin !== "enabled" };
  const focused = document.activeElement;
  for (const [act, visible] of Object.entries(shown)) find(`[data-act="${act}"]`, row).hidden = !visible;
  if (focused?.hidden && row.contains(focused)) find(`.acts .${node.admin === "enabled" ? "operates" : "primary"}:not([hidden])`, row).focus();
}

function drawProcess(fields, process, runs) {
  const none = runs === "external" ? "not ours" : "not reported";
  text(fields.process, process ? (process.heard ? process.state : "UNKNOWN") : none);
  let detail = "";
  if (process && !process.heard) detail = `since ${clock(process.since)}`;
  else if (process) {
    detail = process.restarts ? count(process.restarts, "restart") : `pid ${process.pid}`; // both: in the list below
  }
  text(fields.process_detail, detail);
}

/** New numbers. */
export function drawNumbers() {
  const { layout, totals, rows: numbers } = store;
  const fair = fairShares();
  const share = (i) => (totals.rps ? (numbers[i]?.rps ?? 0) / totals.rps : 0);
  const widest = Math.max(0.02, ...layout.nodes.map((_, i) => Math.max(share(i), fair[i])));
  const full = Math.min(1, widest * 1.4); // with few nodes a whole bar is all traffic; with many it would show nothing
  layout.nodes.forEach((node, i) => {
    const entry = rows.get(node.name);
    const figures = numbers[i];
    if (!entry || !figures) return;
    const { row, fields } = entry;
    for (const key of ["in_flight", "rps", "p50_ms", "p95_ms", "p99_ms", "errors"]) text(fields[key], number(figures[key]));
    text(fields.errors_per_s, `${number(figures.errors_per_s)}/s`);
    attribute(fields.errors.parentElement, "data-tone", figures.errors_per_s > 0 ? "bad" : null);
    text(fields.share, totals.rps ? `${percent(figures.rps, totals.rps)} %` : "");
    text(fields.since, sinceText(node, figures));
    find("[data-fill]", row).style.width = `${(100 * share(i)) / full}%`;
    const tick = find("[data-fair]", row);
    tick.style.left = `${(100 * fair[i]) / full}%`;
    tick.hidden = !fair[i];
    drawSlots(find("[data-slots]", row), figures.in_flight ?? 0, node.slots);
  });
}

function sinceText(node, figures) {
  const starting = figures.slow_start !== null && figures.slow_start < 1 && node.ready;
  if (starting) return `slow start, ${Math.round(figures.slow_start * 100)} %`;
  return node.since ? span(now() - node.since) : "";
}

/** What each ready node should get: by weight where the algorithm uses weights, else alike. */
function fairShares() {
  const weighted = uses("weight");
  const parts = store.layout.nodes.map((node, i) => {
    const starting = store.rows[i]?.slow_start ?? 1;
    return node.ready ? (weighted ? node.weight : node.weight > 0 ? 1 : 0) * starting : 0;
  });
  const whole = parts.reduce((sum, part) => sum + part, 0);
  return parts.map((part) => (whole ? part / whole : 0));
}

function drawSlots(box, inFlight, slots) {
  const cells = slots && slots <= MOST_SLOTS ? slots : 1;
  if (box.children.length !== cells) {
    box.replaceChildren(...Array.from({ length: cells }, () => document.createElement("i")));
    box.classList.toggle("one", cells === 1);
  }
  const over = slots && inFlight > slots;
  attribute(box, "data-over", over ? "yes" : null);
  if (cells > 1) {
    [...box.children].forEach((cell, i) => attribute(cell, "class", i < inFlight ? "full" : null));
  } else {
    box.firstChild.style.setProperty("--part", Math.min(1, inFlight / (slots ?? Math.max(8, inFlight))));
  }
}
