// The Lab: faults, demo traffic, a comparison. Loaded only where config.json allows it.

import { order } from "../orders.js";
import { find, text } from "../dom.js";
import { store } from "../store.js";
import { drawComparison, wireComparison } from "./comparison.js";
import { drawFaults, wireFaults } from "./faults.js";
import { drawTraffic, wireTraffic } from "./traffic.js";

/** New words. */
export function drawLab() {
  if (!store.layout.lab) return;
  drawFaults();
  drawTraffic();
  drawComparison();
}

/** Presses. */
export function wireLab() {
  wireFaults();
  wireTraffic();
  wireComparison();
}

/** Send an order of the Lab; what came of it stands in the element `note`. Resolves to whether it was done. */
export async function lab(method, path, body, note) {
  const place = find(note);
  place.dataset.tone = "";
  text(place, "asking…");
  const reason = await order(method, `/lab/${path}`, body, () => true);
  place.dataset.tone = reason ? "bad" : "";
  text(place, reason ? `Not done: ${reason}` : "");
  return !reason;
}
