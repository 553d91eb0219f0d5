// The table's order, by any column, from the keyboard too. Rows never move under the pointer or the focus.

import { all, attribute, find } from "./dom.js";
import { store } from "./store.js";

const STATES = ["down", "ejected", "draining", "maintenance", "unknown", "up"]; // what hurts comes first
let by = null; // {key, down}

/** Presses on the heads of the columns. */
export function wireSort() {
  for (const button of all("#nodes-table [data-sort]")) {
    button.addEventListener("click", () => {
      const key = button.dataset.sort;
      const first = !["name", "state"].includes(key); // numbers: the highest first
      by = by?.key === key ? (by.down === first ? { key, down: !first } : null) : { key, down: first };
      for (const other of all("#nodes-table [data-sort]")) {
        const order = by?.key === other.dataset.sort ? (by.down ? "descending" : "ascending") : null;
        attribute(other.closest("th"), "aria-sort", order);
      }
      order(true);
    });
  }
}

/** Put the rows in order, unless somebody points at one. */
export function sortRows() {
  const body = find("#rows");
  if (by && !body.matches(":hover") && !body.contains(document.activeElement)) order(false);
}

function order(pressed) {
  const { nodes } = store.layout;
  const body = find("#rows");
  const value = (node, i) => {
    if (by.key === "name") return node.name;
    if (by.key === "state") return STATES.indexOf(node.state);
    return by.key === "weight" ? node.weight : (store.rows[i]?.[by.key] ?? -1);
  };
  const sorted = nodes.map((node, i) => ({ node, at: by ? value(node, i) : i }));
  sorted.sort((a, b) => (typeof a.at === "string" ? a.at.localeCompare(b.at, "en", { numeric: true }) : a.at - b.at) * (by?.down ? -1 : 1));
  const rows = new Map([...body.children].map((row) => [row.dataset.node, row]));
  const wanted = sorted.map(({ node }) => rows.get(node.name)).filter(Boolean);
  if (pressed || wanted.some((row, i) => body.children[i] !== row)) body.append(...wanted);
}
