// One sentence: which node hurts most and what can be pressed about it. Under the traffic picture's title.

import { attribute, find, text } from "./dom.js";
import { choose } from "./algorithms.js";
import { act } from "./controls.js";
import { uses } from "./fair.js";
import { pains } from "./pains.js";
import { label } from "./status.js";
import { store } from "./store.js";

let worst = null;
let better = null;

/** New numbers. */
export function drawAdvice() {
  const { layout, rows, totals } = store;
  const hurting = pains(layout.nodes, rows, layout.lab?.faults);
  const level = Math.max(0, ...hurting.map((pain) => pain.level));
  const slowness = (i) => (hurting[i].level === level ? (rows[i]?.p99_ms ?? Infinity) : -1);
  const index = level ? hurting.reduce((found, _, i) => (slowness(i) > slowness(found) ? i : found), 0) : -1;
  worst = index < 0 ? null : layout.nodes[index];
  const ready = layout.nodes.filter((node) => node.ready).length;
  const sees = uses("latency") || uses("report");
  better = worst?.ready && hurting[index].slow && !sees ? (layout.algorithms.find((one) => !one.disabled && ["latency", "report"].some((need) => one.needs.includes(need))) ?? null) : null;
  const more = hurting.filter((pain) => pain.level).length - 1;
  const bad = level === 2 || !ready;
  attribute(find("#advice"), "data-tone", bad ? "bad" : level ? "ejected" : "up");
  text(find("#advice .glyph"), bad ? "▼" : level ? "◐" : "●");
  text(find("#advice-text"), worst ? `${worst.name}: ${hurting[index].text}${more > 0 ? ` (and ${more} more)` : ""}` : wellText(ready, totals));
  const drain = find("#advice-drain");
  attribute(drain, "hidden", !(worst?.ready && ready > 1));
  text(drain, `Drain ${worst?.name ?? ""}`);
  const change = find("#advice-switch");
  attribute(change, "hidden", !better);
  text(change, better ? `Switch to ${label(better.key)}` : "");
}

function wellText(ready, totals) {
  if (!ready) return "no node is ready";
  return totals?.rps ? "no node hurts" : "waiting for requests";
}

/** Presses. */
export function wireAdvice() {
  find("#advice-drain").addEventListener("click", () => worst && act(worst.name, "draining"));
  find("#advice-switch").addEventListener("click", () => better && choose(better.key));
}
