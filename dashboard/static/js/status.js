// The line at the top: is this live, how old is it, how many nodes are in which state; and what is wrong, below it.

import { urgently } from "./announce.js";
import { connection } from "./connection.js";
import { all, attribute, find, make, text } from "./dom.js";
import { clock, span } from "./format.js";
import { age, now, store } from "./store.js";

export const STALE_S = 3;

export const view = { paused: false };

/** Whether numbers are too old to act on. */
export const stale = () => age() > STALE_S;

/** Draw the line; called twice a second and whenever something changes. */
export function drawStatus() {
  const old = stale();
  document.body.dataset.stale = old && store.totals ? "yes" : "no";
  const [glyph, word, tone] = store.totals || store.layout ? mode(old) : ["○", "Starting", "unknown"];
  const live = find("#live-or-not");
  live.dataset.tone = tone;
  text(find(".glyph", live), glyph);
  text(find("[data-live]", live), word);
  text(find("#age"), ageText(old));
  if (store.layout) {
    drawCounts();
    drawAlerts(old);
  }
  for (const control of all(".operates")) {
    if (control.dataset.why === undefined) attribute(control, "aria-disabled", usable() ? null : "true");
    if (control.matches("select, input, fieldset")) control.disabled = !usable();
  }
}

/** Whether this session may steer, and on numbers that are fresh enough. */
export const usable = () => document.body.dataset.role === "operate" && !stale();

function mode(old) {
  if (view.paused) return ["▪", "Paused", "maintenance"];
  if (connection.lost && old) return ["▼", "Connection lost", "down"];
  if (old) return ["◐", "No data", "ejected"];
  if (connection.socket) return ["●", "Live", "up"];
  return connection.asking ? ["◐", "Every 2 s", "ejected"] : ["○", "Connecting", "unknown"];
}

function ageText(old) {
  const seconds = age();
  if (seconds === Infinity) return "no data yet";
  return old ? `Data is ${span(seconds)} old` : `tick ${seconds.toFixed(1)} s ago`;
}

function drawCounts() {
  const states = store.layout.nodes.map((node) => node.state);
  const of = (state) => states.filter((s) => s === state).length;
  const parts = [`${of("up")} up`, `${of("draining")} draining`, `${of("down")} down`];
  for (const state of ["unknown", "ejected", "maintenance"]) if (of(state)) parts.push(`${of(state)} ${state}`);
  text(find("#counts"), parts.join(" · "));
}

/** What is wrong now, each once, by key; elements stay as long as the fault does. */
function drawAlerts(old) {
  const { layout } = store;
  const alerts = new Map();
  if (connection.lost && old) {
    alerts.set("lost", ["bad", "Connection to the dashboard lost. Trying again; the balancers go on without it."]);
  }
  const gone = layout.balancers.filter((balancer) => !balancer.reachable);
  if (!connection.lost && (old || gone.length < layout.balancers.length)) {
    for (const balancer of gone) {
      const since = now() - balancer.since > 1 ? `, since ${clock(balancer.since)}` : "";
      const sentence = `Balancer control unreachable: ${balancer.name} at ${balancer.control}${since} (${balancer.cause}). Its workers go on serving.`;
      alerts.set(`gone ${balancer.name}`, ["bad", sentence]);
    }
  }
  if (!old && layout.nodes.length && !layout.nodes.some((node) => node.ready)) {
    const text = layout.ejection_bypassed
      ? "All nodes are ejected, so they are used after all: a doubtful node beats none."
      : "No node is ready: clients get 503. Enable a node, or see why the probes fail.";
    alerts.set("none ready", ["bad", text]);
  }
  const differ = layout.balancers.filter((b) => b.algorithm && b.algorithm !== layout.algorithm);
  for (const balancer of differ) {
    alerts.set(`differs ${balancer.name}`, ["note", `${balancer.name} still uses ${label(balancer.algorithm)}, not ${label(layout.algorithm)}.`]);
  }
  const faulty = Object.entries(layout.lab?.faults ?? {});
  if (faulty.length) alerts.set("faults", ["note", faultText(faulty), "#clear-template"]);
  const box = find("#alerts");
  for (const element of [...box.children]) if (!alerts.has(element.dataset.key)) element.remove();
  for (const [key, [tone, sentence, more]] of alerts) {
    let element = [...box.children].find((child) => child.dataset.key === key);
    if (!element) {
      element = make("p", `alert ${tone}`);
      element.dataset.key = key;
      element.append(make("span", "glyph", tone === "bad" ? "▼" : "◐"), " ", make("span", "sentence"));
      element.firstChild.setAttribute("aria-hidden", "true");
      if (more) element.append(find(more).content.cloneNode(true));
      box.append(element);
      if (tone === "bad") urgently(sentence);
    }
    text(find(".sentence", element), sentence);
  }
}

function faultText(faulty) {
  const shown = faulty.slice(0, 4).map(([name, faults]) => {
    const left = Math.max(...faults.map((fault) => fault.ends_at)) - now();
    return `${name} ${faults.map((fault) => fault.text).join("; ")} (${span(left)} left)`;
  });
  const more = faulty.length > shown.length ? ` and ${faulty.length - shown.length} more nodes` : "";
  return `Faults are on, by order: ${shown.join(" · ")}${more}`;
}

/** How an algorithm is called. */
export function label(key) {
  return store.layout?.algorithms.find((algorithm) => algorithm.key === key)?.label ?? key;
}

