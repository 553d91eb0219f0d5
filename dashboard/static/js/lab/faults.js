// Faults on simulated nodes. Each ends by itself; all can be ended at once, here and from the banner.

import { all, attribute, find, make, text } from "../dom.js";
import { span } from "../format.js";
import { now, store } from "../store.js";
import { lab } from "./lab.js";

/** The nodes to choose from, and what is on. */
export function drawFaults() {
  const { can_fault: names, faults } = store.layout.lab;
  const select = find("#fault-node");
  if (select.dataset.names !== names.join()) {
    select.dataset.names = names.join();
    select.replaceChildren(...names.map((name) => make("option", "", name)));
  }
  const list = find("#faults-on");
  const lines = Object.entries(faults).flatMap(([name, of]) => of.map((fault) => ({ name, fault })));
  list.replaceChildren(
    ...lines.map(({ name, fault }) => {
      const item = make("li");
      item.append(make("b", "", name), ` ${fault.text}`, make("span", "of", ` ${span(fault.ends_at - now())} left`));
      return item;
    }),
  );
  attribute(find("#faults-none"), "hidden", lines.length > 0);
  attribute(find("#faults-clear"), "hidden", lines.length === 0);
}

function showFields() {
  const kind = find("#fault-kind").value;
  for (const field of all("#fault-form [data-for]")) field.hidden = !field.dataset.for.split(" ").includes(kind);
  text(find("#fault-says"), find("#fault-kind").selectedOptions[0]?.title ?? "");
}

/** Presses; "Clear all" is also in the banner, which comes and goes. */
export function wireFaults() {
  find("#fault-kind").addEventListener("change", showFields);
  showFields();
  find("#fault-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const value = (id) => Number(find(id).value);
    const kind = find("#fault-kind").value;
    const own = { slow: { factor: value("#fault-factor"), add_ms: value("#fault-add"), jitter_ms: value("#fault-jitter") }, error: { status: value("#fault-status") } };
    const fault = { kind, probability: value("#fault-share") / 100, expires_s: value("#fault-lasts"), ...own[kind] };
    lab("POST", "faults", { node: find("#fault-node").value, fault }, "#fault-note");
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-clear-faults]")) lab("DELETE", "faults", {}, "#fault-note");
  });
}
