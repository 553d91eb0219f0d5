// Demo traffic from the dashboard's host to the first balancer: what was asked for, and what came of it.

import { attribute, find, text } from "../dom.js";
import { number, span } from "../format.js";
import { now, store } from "../store.js";
import { lab } from "./lab.js";

const KINDS = ["general", "api", "image", "video"];

/** What runs, or what became of it. */
export function drawTraffic() {
  const run = store.layout.lab.traffic;
  const on = run?.state === "running";
  attribute(find("#traffic-start"), "hidden", on);
  attribute(find("#traffic-stop"), "hidden", !on);
  attribute(find("#traffic-run"), "hidden", !run);
  if (!run) return;
  const { progress, about } = run;
  const passed = Math.min(about.seconds, progress.elapsed_s ?? now() - run.began_at);
  text(find("#traffic-state"), on ? `running, ${span(about.seconds - passed)} left` : run.state);
  attribute(find("#traffic-state"), "data-tone", run.state === "failed" ? "bad" : null);
  attribute(find("#traffic-progress"), "value", on ? passed / about.seconds : null);
  attribute(find("#traffic-progress"), "hidden", !on);
  text(find("#traffic-offered"), number(progress.offered_rps ?? about.rps));
  text(find("#traffic-achieved"), number(progress.achieved_rps));
  text(find("#traffic-errors"), number(progress.errors));
  text(find("#traffic-p99"), number(progress.p99_ms));
  text(find("#traffic-error"), run.error);
}

/** Presses, also of "Send demo traffic" on the empty page. */
export function wireTraffic() {
  find("#traffic-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const mix = Object.fromEntries(KINDS.filter((kind) => find(`#mix-${kind}`).checked).map((kind) => [kind, 1]));
    lab("POST", "traffic", { rps: Number(find("#traffic-rps").value), seconds: Number(find("#traffic-seconds").value), mix }, "#traffic-note");
  });
  find("#traffic-stop").addEventListener("click", () => lab("DELETE", "traffic", {}, "#traffic-note"));
  find("#demo").addEventListener("click", () => lab("POST", "traffic", { rps: 20, seconds: 60 }, "#traffic-note"));
}
