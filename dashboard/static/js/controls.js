// What can be pressed in a node's row: drain, maintenance, enable, weight.

import { all, find, text } from "./dom.js";
import { order, sure } from "./orders.js";
import { uses } from "./fair.js";
import { label, usable } from "./status.js";
import { store } from "./store.js";

const MOST = 256;
const DOING = { draining: "draining…", maintenance: "taking it out…", enabled: "enabling…" };
const busy = new Set();

/** Presses anywhere on the page: a node's controls stand in its lane, its card and its row. */
export function wireControls() {
  find("main").addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button) act(button.closest("[data-node]").dataset.node, button.dataset.act);
  });
  // A control that is not to be used now keeps its focus, but does nothing.
  document.addEventListener(
    "click",
    (event) => {
      if (!event.target.closest?.('.operates[aria-disabled="true"]')) return;
      event.preventDefault();
      event.stopImmediatePropagation();
    },
    true,
  );
}

/** Weights are of no effect under most algorithms: then the steppers are off, and the note above says why. */
export function drawControls() {
  const { layout } = store;
  if (!layout) return;
  const off = !uses("weight");
  const weighted = layout.algorithms.filter((algorithm) => algorithm.needs.includes("weight")).map((algorithm) => algorithm.label);
  const by = weighted.length ? `; used by ${weighted.join(", ")}` : "";
  text(find("#weights-note"), !off || !layout.algorithm ? "" : `${label(layout.algorithm)} takes no account of weights${by}`);
  for (const button of document.querySelectorAll('[data-act="lighter"], [data-act="heavier"]')) {
    if (off) button.dataset.why = "weights";
    else delete button.dataset.why;
    if (off || !usable()) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    if (off) button.setAttribute("aria-describedby", "weights-note");
    else button.removeAttribute("aria-describedby");
  }
}

/** A node's orders, in its lane, card or row: what it is already is not offered. The focus stays where one presses. */
export function showOrders(part, node) {
  const focused = document.activeElement;
  for (const button of all("[data-act]", part)) {
    if (button.dataset.act in DOING) button.hidden = button.dataset.act === node.admin;
  }
  if (focused?.hidden && part.contains(focused)) {
    find(`[data-act="${node.admin === "enabled" ? "draining" : "enabled"}"]`, part).focus();
  }
}

/** Order something of a node: draining, maintenance, enabled, lighter, heavier. */
export async function act(name, what) {
  const node = store.layout.nodes.find((one) => one.name === name);
  if (!node || busy.has(name) || !usable()) return;
  let body;
  if (what === "lighter" || what === "heavier") {
    const weight = Math.min(MOST, Math.max(0, node.weight + (what === "heavier" ? 1 : -1)));
    if (weight === node.weight) return;
    body = { weight };
  } else {
    if (what !== "enabled" && !(await mayLeave(node, what))) return;
    body = { admin: what };
  }
  busy.add(name);
  show(name, body.admin ? DOING[what] : "setting the weight…", "");
  const confirmed = (layout) => {
    const now = layout.nodes.find((one) => one.name === name);
    return Object.entries(body).every(([key, value]) => now?.[key] === value) && !now?.differs?.length;
  };
  const reason = await order("PATCH", `/actions/nodes/${encodeURIComponent(name)}`, body, confirmed);
  busy.delete(name);
  show(name, reason && `Not done: ${reason}`, reason ? "bad" : "");
}

/** Taking the last ready node out needs a second word. */
async function mayLeave(node, what) {
  const ready = store.layout.nodes.filter((one) => one.ready);
  if (!node.ready || ready.length > 1) return true;
  const verb = what === "draining" ? "Drain" : "Maintenance";
  return sure(
    `${node.name} is the last ready node`,
    `Without it nobody is left to answer: after a short wait every client gets 503. Requests in flight are finished.`,
    `${verb} anyway`,
  );
}

function show(name, sentence, tone) {
  for (const place of all(`[data-node="${CSS.escape(name)}"] [data-f="pending"]`)) {
    place.dataset.tone = tone;
    text(place, sentence);
  }
}
