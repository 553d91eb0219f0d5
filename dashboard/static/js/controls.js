// What can be pressed in a node's row: drain, maintenance, enable, weight.

import { find, text } from "./dom.js";
import { order, sure } from "./orders.js";
import { uses } from "./table.js";
import { store } from "./store.js";

const MOST = 256;
const DOING = { draining: "draining…", maintenance: "taking it out…", enabled: "enabling…" };
const busy = new Set();

/** Presses anywhere in the table. */
export function wireControls() {
  find("#rows").addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button) act(button.closest("tr").dataset.node, button.dataset.act);
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
  const off = !uses("weight");
  const usable = document.body.dataset.role === "operate" && document.body.dataset.stale !== "yes";
  for (const button of document.querySelectorAll('[data-act="lighter"], [data-act="heavier"]')) {
    if (off) button.dataset.why = "weights";
    else delete button.dataset.why;
    if (off || !usable) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
    if (off) button.setAttribute("aria-describedby", "weights-note");
    else button.removeAttribute("aria-describedby");
  }
}

async function act(name, what) {
  const node = store.layout.nodes.find((one) => one.name === name);
  if (!node || busy.has(name)) return;
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
  const row = [...find("#rows").children].find((one) => one.dataset.node === name);
  if (!row) return;
  const place = find('[data-f="pending"]', row);
  place.dataset.tone = tone;
  text(place, sentence);
}
