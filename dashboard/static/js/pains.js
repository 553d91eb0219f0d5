// Which node hurts, and why: one rule after the other, the first that fits counts. Pure.

import { percent } from "./format.js";

export const WELL = { level: 0, text: "", slow: false };

const FAILING = 0.05; // of its requests
const SLOW = 3; // times the others' p99
const VERY_SLOW = 10;
const YARDSTICK_RPS = 2; // fewer requests than that say nothing about what is usual
const LEAST_MS = 20; // below this difference nobody feels it

/** `{level, text, slow}` of a node: 0 well, 1 hurts, 2 hurts badly; `slow` where another algorithm may help. `others` are the p99 of the other ready nodes that have some traffic, in ms. */
export function painOf(node, figures, faults, others) {
  if (node.state === "down" || node.state === "ejected") return { level: 2, text: node.cause || node.state };
  if (!node.ready) return WELL;
  const share = figures.rps ? figures.errors_per_s / figures.rps : 0;
  if (share >= FAILING) return { level: 2, text: `${percent(figures.errors_per_s, figures.rps)} % of its requests fail` };
  const typical = median(others);
  const times = typical ? (figures.p99_ms ?? 0) / typical : 0;
  if (times >= SLOW && figures.p99_ms - typical > LEAST_MS) {
    return { slow: true, level: times >= VERY_SLOW ? 2 : 1, text: `p99 is ${times >= 10 ? Math.round(times) : times.toFixed(1)}× the others’` };
  }
  const waiting = node.slots ? figures.in_flight - node.slots : 0;
  if (waiting > Math.max(1, node.slots / 4)) return { slow: true, level: 1, text: `${waiting} wait for its ${node.slots} slots` };
  if (share > 0) return { level: 1, text: `${percent(figures.errors_per_s, figures.rps)} % of its requests fail` };
  if (faults?.length) return { level: 1, text: `fault: ${faults[0].text}` };
  const process = node.process;
  if (process?.heard && process.state !== "RUNNING") return { level: 1, text: `its process is ${process.state}` };
  return WELL;
}

/** Of all nodes, in their order. */
export function pains(nodes, rows, faults) {
  const p99 = nodes.map((node, i) => (node.ready && rows[i]?.rps >= YARDSTICK_RPS ? (rows[i].p99_ms ?? null) : null));
  return nodes.map((node, i) => {
    const others = p99.filter((value, at) => at !== i && value !== null);
    return rows[i] ? painOf(node, rows[i], faults?.[node.name], others) : WELL;
  });
}

function median(values) {
  if (!values.length) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}
