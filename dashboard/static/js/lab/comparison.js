// A comparison of algorithms under equal work, started and followed here; its report opens beside.

import { all, attribute, find, make, text } from "../dom.js";
import { store } from "../store.js";
import { lab } from "./lab.js";

/** The algorithms to choose from, how far it is, and its report. */
export function drawComparison() {
  const { algorithms } = store.layout;
  const run = store.layout.lab.comparison;
  const box = find("#comparison-algorithms");
  const keys = algorithms.map((algorithm) => algorithm.key).join();
  if (box.dataset.keys !== keys) build(box, keys, algorithms);
  const on = run?.state === "running";
  attribute(find("#comparison-start"), "hidden", on);
  attribute(find("#comparison-stop"), "hidden", !on);
  attribute(find("#comparison-run"), "hidden", !run);
  if (!run) return;
  const { progress } = run;
  text(find("#comparison-state"), on ? (progress.text ?? "starting…") : run.state);
  attribute(find("#comparison-state"), "data-tone", run.state === "failed" ? "bad" : null);
  attribute(find("#comparison-progress"), "hidden", !on);
  attribute(find("#comparison-progress"), "value", progress.part ?? null);
  const link = find("#comparison-report");
  attribute(link, "hidden", run.state !== "done");
  attribute(link, "href", `/lab/report/${run.about.report}`);
  text(find("#comparison-error"), run.error);
}

function build(box, keys, algorithms) {
  box.dataset.keys = keys;
  box.replaceChildren(
    ...algorithms.map((algorithm, i) => {
      const item = make("label", "tick");
      const tick = make("input");
      Object.assign(tick, { type: "checkbox", value: algorithm.key, checked: i < 2 });
      item.append(tick, algorithm.label);
      return item;
    }),
  );
}

/** Presses. */
export function wireComparison() {
  find("#comparison-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const algorithms = all("#comparison-algorithms input:checked").map((tick) => tick.value);
    lab("POST", "comparison", { algorithms }, "#comparison-note");
  });
  find("#comparison-stop").addEventListener("click", () => lab("DELETE", "comparison", {}, "#comparison-note"));
}
