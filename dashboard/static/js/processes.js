// What Supervisor says of every program, host by host, and which balancers there are.

import { attribute, find, make, text } from "./dom.js";
import { clock, count, span } from "./format.js";
import { now, store } from "./store.js";

const GLYPHS = { RUNNING: "●", STARTING: "◐", BACKOFF: "◐", STOPPING: "◇", STOPPED: "▪", EXITED: "▼", FATAL: "▼", UNKNOWN: "○" };
const TONES = { RUNNING: "up", STARTING: "ejected", BACKOFF: "ejected", STOPPING: "draining", STOPPED: "maintenance", EXITED: "down", FATAL: "down" };

/** New words. */
export function drawProcesses() {
  const { processes, balancers } = store.layout;
  const list = find("#process-list");
  const keys = processes.map((process) => `${process.host} ${process.name}`);
  if (list.dataset.keys !== keys.join()) {
    list.dataset.keys = keys.join();
    list.replaceChildren(...processes.map(item));
  }
  processes.forEach((process, i) => drawItem(list.children[i], process));
  const silent = new Map(processes.filter((process) => !process.heard).map((process) => [process.host, process.since]));
  const notes = [...silent].map(([host, since]) => `${host}: unknown since ${clock(since)}, its listener is silent`);
  text(find("#processes-note"), processes.length ? notes.join("; ") : "no host has reported yet; its listener runs under Supervisor");
  text(
    find("#balancers"),
    balancers.map((b) => `${b.name} ${b.url} · ${count(b.workers, "worker")}${b.release ? ` · release ${b.release}` : ""}`).join("   "),
  );
}

/** What Supervisor says of a node's process: `[state, detail]`. */
export function processText({ process, runs }) {
  if (!process) return runs === "external" ? ["not ours", "external: nothing is started for it"] : ["not reported", ""];
  if (!process.heard) return ["UNKNOWN", `since ${clock(process.since)}`];
  const restarts = process.restarts ? ` · ${count(process.restarts, "restart")}` : "";
  return [process.state, `pid ${process.pid}${restarts}`];
}

/** The tone of a process state. */
export const processTone = (process) => (process?.heard ? (TONES[process.state] ?? "unknown") : "unknown");

function item() {
  const element = make("li");
  element.append(make("span", "glyph"), make("span", "program"), make("span", "word"), make("span", "sub"));
  element.firstChild.setAttribute("aria-hidden", "true");
  return element;
}

function drawItem(element, process) {
  const [glyph, program, word, detail] = element.children;
  attribute(element, "data-state", TONES[process.state] ?? "unknown");
  text(glyph, GLYPHS[process.state] ?? "○");
  text(program, process.name);
  text(word, process.state);
  const restarts = process.restarts ? ` · ${count(process.restarts, "restart")}` : "";
  text(detail, process.heard ? `${process.host}${process.pid ? ` · pid ${process.pid}` : ""} · ${span(now() - process.since)}${restarts}` : `${process.host} · since ${clock(process.since)}`);
}
