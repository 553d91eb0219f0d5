// What a screen reader says: at most one sentence in 5 s, changes of the same kind grouped; urgent ones at once.

import { find } from "./dom.js";
import { count } from "./format.js";

const EVERY_MS = 5000;
const changes = new Map(); // node -> state
const sentences = [];
let last = -EVERY_MS;
let timer = null;

/** A node is in another state now. */
export function nodeChanged(name, state) {
  changes.set(name, state);
  soon();
}

/** Something else that is worth a sentence. */
export function politely(sentence) {
  sentences.push(sentence);
  soon();
}

/** No ready nodes, connection lost: does not wait. */
export function urgently(sentence) {
  find("#assertive").textContent = sentence;
}

function soon() {
  timer ??= setTimeout(speak, Math.max(200, last + EVERY_MS - performance.now()));
}

function speak() {
  const byState = new Map();
  for (const [name, state] of changes) byState.set(state, [...(byState.get(state) ?? []), name]);
  const parts = [...sentences];
  for (const [state, nodes] of byState) {
    parts.push(nodes.length === 1 ? `${nodes[0]} is ${state}` : `${count(nodes.length, "node")} ${state}`);
  }
  changes.clear();
  sentences.length = 0;
  timer = null;
  last = performance.now();
  find("#polite").textContent = parts.join(". ");
}
