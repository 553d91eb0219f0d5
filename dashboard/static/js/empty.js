// Before the first request: how to send one. After it: three things to try, until they are sent away.

import { attribute, find, remember, remembered, text } from "./dom.js";
import { store } from "./store.js";

/** New numbers. */
export function drawEmpty() {
  const { totals, layout } = store;
  const nothing = !totals.requests && !totals.rps;
  const running = layout.lab?.traffic?.state === "running";
  attribute(find("#empty"), "hidden", !nothing);
  attribute(find("#hints"), "hidden", nothing || remembered("hints", "show") !== "show");
  if (!nothing) return;
  text(find("#curl"), `curl -i ${address(layout.balancers[0].url)}`);
  attribute(find("#demo"), "hidden", !layout.lab || running);
  text(find("#empty-title"), running ? "Demo traffic starts…" : "No requests yet.");
}

/** The balancer as the person who reads this page reaches it. */
function address(url) {
  const there = new URL(url);
  const loopback = ["127.0.0.1", "localhost", "[::1]"];
  if (loopback.includes(there.hostname) && !loopback.includes(location.hostname)) there.hostname = location.hostname;
  return there.href;
}

/** Presses. */
export function wireEmpty() {
  const button = find("#copy");
  button.addEventListener("click", async () => {
    const line = find("#curl");
    try {
      await navigator.clipboard.writeText(line.textContent);
      text(button, "Copied");
    } catch {
      getSelection().selectAllChildren(line); // no clipboard on plain HTTP: select it, to be copied by hand
    }
  });
  find("#hints button").addEventListener("click", () => {
    remember("hints", "gone");
    find("#hints").hidden = true;
  });
}
