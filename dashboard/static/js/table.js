// The nodes. Rows are made once and then patched, text by text, so that focus and selection survive every tick.

import { nodeChanged } from "./announce.js";
import { showOrders } from "./controls.js";
import { all, attribute, copy, find, text } from "./dom.js";
import { fairShares, fullShare, shares, uses } from "./fair.js";
import { GLYPHS, number, percent, span } from "./format.js";
import { pains } from "./pains.js";
import { processText } from "./processes.js";
import { sortRows } from "./sort.js";
import { drawStack } from "./stack.js";
import { now, store } from "./store.js";

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
  const [process, detail] = processText(node);
  text(fields.process, process);
  text(fields.process_detail, detail);
  text(fields.weight, node.weight);
  text(fields.weight_note, node.weight === node.weight_in_file ? "" : `file: ${node.weight_in_file}`);
  attribute(find(".weight", row), "data-unused", uses("weight") ? null : "yes");
  text(fields.slots, node.slots ? ` / ${node.slots}` : "");
  showOrders(row, node);
}

/** New numbers. */
export function drawNumbers() {
  const { layout, rows: numbers } = store;
  const [got, fair] = [shares(), fairShares()];
  const full = fullShare(got, fair);
  const hurting = pains(layout.nodes, numbers, layout.lab?.faults);
  layout.nodes.forEach((node, i) => {
    const entry = rows.get(node.name);
    const figures = numbers[i];
    if (!entry || !figures) return;
    const { row, fields } = entry;
    for (const key of ["in_flight", "rps", "p50_ms", "p95_ms", "p99_ms", "errors"]) text(fields[key], number(figures[key]));
    text(fields.errors_per_s, `${number(figures.errors_per_s)}/s`);
    attribute(fields.errors.parentElement, "data-tone", figures.errors_per_s > 0 ? "bad" : null);
    const pain = hurting[i];
    attribute(row, "data-pain", pain.level || null);
    text(fields.pain, pain.text === node.cause ? "" : pain.text);
    text(fields.share, `${percent(got[i], 1)} %`);
    text(fields.since, sinceText(node, figures));
    find("[data-fill]", row).style.width = `${(100 * got[i]) / full}%`;
    const tick = find("[data-fair]", row);
    tick.style.left = `${(100 * fair[i]) / full}%`;
    tick.hidden = !fair[i];
    drawStack(find("[data-stack]", row), figures.in_flight ?? 0, node.slots);
  });
  sortRows();
}

/** How long it has been in its state, or how far its slow start is. */
export function sinceText(node, figures) {
  const starting = figures.slow_start !== null && figures.slow_start < 1 && node.ready;
  if (starting) return `slow start, ${Math.round(figures.slow_start * 100)} %`;
  return node.since ? span(now() - node.since) : "";
}
