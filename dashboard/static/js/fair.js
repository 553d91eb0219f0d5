// Who gets how much, and how much would be fair. Reads the store, draws nothing.

import { store } from "./store.js";

/** Whether the present algorithm takes something into account: weight, latency, report, client_key. */
export function uses(need) {
  const { layout } = store;
  return layout.algorithms.find((algorithm) => algorithm.key === layout.algorithm)?.needs.includes(need) ?? false;
}

/** Each node's part of the requests, 0 to 1, in the order of the nodes. */
export function shares() {
  const whole = store.rows.reduce((sum, row) => sum + (row.rps ?? 0), 0);
  return store.layout.nodes.map((_, i) => (whole ? (store.rows[i]?.rps ?? 0) / whole : 0));
}

/** What each ready node should get: by weight where the algorithm uses weights, else alike. */
export function fairShares() {
  const weighted = uses("weight");
  const parts = store.layout.nodes.map((node, i) => {
    const starting = store.rows[i]?.slow_start ?? 1;
    return node.ready ? (weighted ? node.weight : node.weight > 0 ? 1 : 0) * starting : 0;
  });
  const whole = parts.reduce((sum, part) => sum + part, 0);
  return parts.map((part) => (whole ? part / whole : 0));
}

/** What a full bar stands for: with few nodes all traffic, with many less, else nothing would be seen. */
export function fullShare(parts, fair) {
  return Math.min(1, Math.max(0.02, ...parts, ...fair) * 1.25);
}
