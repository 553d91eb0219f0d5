// How news arrives: by socket; while there is none by asking /state every 2 s.
// A hidden tab leaves the live room, and gets everything anew when it is shown.

import { Socket } from "./socket.js";
import * as news from "./store.js";

const ASK_MS = 2000;
const PATIENCE = 1; // a socket that is only reconnecting gets one round's time first
const REPORT_TICKS = 4; // say after every fourth tick that it was drawn, so that the server need not queue for sleepers

export const connection = { socket: false, asking: false, lost: null };

const MESSAGES = {
  hello: news.hello,
  past: (entries) => news.events(entries, true),
  change: news.change,
  events: (entries) => news.events(entries),
  probes: news.probes,
  tick: news.tick,
};

let rounds = 0;

/** Connect, for as long as the page lives. `onChange` is called when `connection` has changed. */
export function connect(onChange) {
  const socket = new Socket({
    open() {
      Object.assign(connection, { socket: true, asking: false, lost: null });
      rounds = 0;
      watch();
      onChange();
    },
    close() {
      Object.assign(connection, { socket: false, lost: Date.now() });
      onChange();
    },
    refused: () => location.reload(), // signed out
    event(name, payload) {
      MESSAGES[name]?.(payload);
      if (name === "tick" && payload[0] % REPORT_TICKS === 0) socket.emit("drew", payload[0]);
    },
  });
  const watch = () => socket.emit(document.hidden ? "unwatch" : "watch");
  document.addEventListener("visibilitychange", watch);
  setInterval(() => {
    if (!connection.socket && !document.hidden && rounds++ >= PATIENCE) ask(onChange);
  }, ASK_MS);
}

async function ask(onChange) {
  try {
    const answer = await fetch("/state", { cache: "no-store", signal: AbortSignal.timeout(ASK_MS) });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const state = await answer.json();
    if (connection.socket) return;
    Object.assign(connection, { asking: true, lost: null });
    news.hello(state);
    news.events(state.events, true);
  } catch {
    Object.assign(connection, { asking: false, lost: connection.lost ?? Date.now() });
  }
  onChange();
}
