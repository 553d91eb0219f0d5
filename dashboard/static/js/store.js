// What the page knows. Messages from the server go in here; views read it and are told what changed.
// The shapes are those of dashboard/picture.py: words in `layout`, numbers as arrays whose order `fields` names.

const SECONDS = 300;
const EVENTS = 500;

export const store = {
  boot: null,
  layout: null, // words: names, states, algorithms
  totals: null, // numbers of the whole, by field name; null before the first tick
  rows: [], // numbers of each node, in the order of layout.nodes
  balancers: [], // numbers of each balancer, in the order of layout.balancers; empty when there is only one
  strips: new Map(), // node name -> {results: [bool, oldest first], last_ms}
  tick: 0,
  tickedAt: 0, // performance.now() of the newest tick
  skew: 0, // the server's clock minus ours, in seconds
  history: { at: [], totals: {}, nodes: new Map() },
  events: [], // oldest first
};

const listeners = new Map();
let fields = { totals: [], node: [], balancer: [] };

/** Be told of "layout", "tick", "probes", "history" or "events" (with the new ones). */
export function on(what, listener) {
  if (!listeners.has(what)) listeners.set(what, []);
  listeners.get(what).push(listener);
}

function tell(what, detail) {
  for (const listener of listeners.get(what) ?? []) listener(detail);
}

/** The server's time now, in seconds since the epoch. */
export const now = () => Date.now() / 1000 + store.skew;

/** Seconds since the newest tick; Infinity before the first. */
export const age = () => (store.tickedAt ? (performance.now() - store.tickedAt) / 1000 : Infinity);

/** Everything anew. `state.history` is there when it comes over the socket, not when it was asked for. */
export function hello(state) {
  store.boot = state.boot;
  store.skew = state.now - Date.now() / 1000;
  fields = state.fields;
  store.layout = state.layout;
  if (state.history) splice(state.history);
  probes(state.probes);
  tell("layout");
  const reachable = state.layout.balancers.some((balancer) => balancer.reachable);
  if (state.tick && (reachable || !store.totals)) numbers(state.tick, reachable);
  tell("history");
}

/** New numbers. */
export function tick(message) {
  numbers(message, true);
}

/** Strips of probe results, in the order of the nodes: `[length, bits as hexadecimal digits, last_ms]`. */
export function probes(message) {
  store.layout.nodes.forEach((node, i) => {
    if (!message[i]) return store.strips.delete(node.name);
    const [length, bits, last_ms] = message[i];
    const digits = BigInt(`0x${bits}`).toString(2).padStart(length, "0");
    store.strips.set(node.name, { results: [...digits.slice(0, length)].map((bit) => bit === "1"), last_ms });
  });
  tell("probes");
}

/** Words that changed; `nodes` by index. */
export function change(message) {
  if (!store.layout) return;
  const { nodes, all_nodes: whole, ...rest } = message;
  Object.assign(store.layout, rest);
  if (whole) store.layout.nodes = whole;
  for (const [index, changed] of Object.entries(nodes ?? {})) Object.assign(store.layout.nodes[index], changed);
  tell("layout");
}

/** Lines of the log: `past` replaces what we have. */
export function events(entries, past = false) {
  let fresh = entries.map(([id, at, kind, node, who, text, source]) => ({ id, at, kind, node, who, text, source }));
  if (past) {
    fresh.sort((a, b) => a.at - b.at || a.id - b.id);
    store.events = fresh;
  } else {
    const known = Math.max(0, ...store.events.map((event) => event.id));
    fresh = fresh.filter((event) => event.id > known); // what `past` brought is not new
    store.events = [...store.events, ...fresh].slice(-EVENTS);
  }
  tell("events", past ? null : fresh);
}

function numbers([number, totals, rows, balancers = []], fresh) {
  const named = (names, row) => Object.fromEntries(names.map((name, i) => [name, row[i] === undefined ? 0 : row[i]]));
  if (fresh && (number !== store.tick || !store.tickedAt)) store.tickedAt = performance.now();
  store.tick = number;
  store.totals = named(fields.totals, totals);
  store.rows = rows.map((row) => named(fields.node, row));
  store.balancers = balancers.map((row) => named(fields.balancer, row));
  if (fresh) point();
  tell("tick");
}

/** Add the present numbers to the history, at most once a second. */
function point() {
  const { history, layout, rows, totals } = store;
  const at = now();
  if (history.at.length && at - history.at.at(-1) < 0.95) return;
  history.at.push(at);
  for (const [name, column] of Object.entries(history.totals)) column.push(totals[name] ?? null);
  const rates = new Map(layout.nodes.map((node, i) => [node.name, rows[i]?.rps ?? null]));
  for (const name of rates.keys()) {
    if (!history.nodes.has(name)) history.nodes.set(name, new Array(history.at.length - 1).fill(null));
  }
  for (const [name, column] of history.nodes) column.push(rates.get(name) ?? null);
  trim(history, at - SECONDS);
  tell("history");
}

/** The server's history, with what we remember from before it (the server may have been restarted). */
function splice(packed) {
  const at = packed.at.map((ms) => packed.t0 + ms / 1000);
  const old = store.history;
  let kept = old.at.findIndex((t) => t >= (at[0] ?? Infinity) - 0.5);
  if (kept < 0) kept = old.at.length;
  const joined = (before, after) => [...(before ?? new Array(old.at.length).fill(null)).slice(0, kept), ...after];
  const history = { at: [...old.at.slice(0, kept), ...at], totals: {}, nodes: new Map() };
  for (const [name, column] of Object.entries(packed.totals)) history.totals[name] = joined(old.totals[name], column);
  store.layout.nodes.forEach((node, i) => history.nodes.set(node.name, joined(old.nodes.get(node.name), packed.nodes[i])));
  trim(history, now() - SECONDS);
  store.history = history;
}

function trim(history, oldest) {
  let gone = history.at.findIndex((t) => t >= oldest);
  if (gone < 0) gone = history.at.length;
  if (!gone) return;
  history.at.splice(0, gone);
  for (const column of Object.values(history.totals)) column.splice(0, gone);
  for (const column of history.nodes.values()) column.splice(0, gone);
}
