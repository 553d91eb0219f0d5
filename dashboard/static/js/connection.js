// How news arrives: by Socket.IO; without it (files missing, socket down) by asking /state every 2 s.
// A hidden tab leaves the live room, and gets everything anew when it is shown.

import * as news from "./store.js";

const ASK_MS = 2000;
const REPORT_TICKS = 4; // say after every fourth tick that it was drawn, so that the server need not queue for sleepers

export const connection = { socket: false, asking: false, lost: null };

let socket = null;
let asked = 0;

/** Connect, for as long as the page lives. `onChange` is called when `connection` has changed. */
export function connect(onChange) {
  if (window.io) {
    socket = window.io({ transports: ["websocket", "polling"], tryAllTransports: true });
    const watch = () => socket.emit(document.hidden ? "unwatch" : "watch");
    socket.on("connect", () => {
      connection.socket = true;
      connection.lost = null;
      watch();
      onChange();
    });
    socket.on("disconnect", (reason) => {
      connection.socket = false;
      connection.lost = Date.now();
      if (reason === "io server disconnect") socket.connect();
      onChange();
    });
    socket.on("connect_error", (error) => {
      if (error.message === "signed out") location.reload();
    });
    socket.on("hello", news.hello);
    socket.on("past", (entries) => news.events(entries, true));
    socket.on("change", news.change);
    socket.on("events", (entries) => news.events(entries));
    socket.on("tick", (message) => {
      news.tick(message);
      if (message[0] % REPORT_TICKS === 0) socket.emit("drew", message[0]);
    });
    document.addEventListener("visibilitychange", () => socket.connected && watch());
  }
  setInterval(() => {
    if (!connection.socket && !document.hidden) ask(onChange);
  }, ASK_MS);
  if (!window.io) ask(onChange);
}

/** One question. A socket that is only reconnecting gets one round's time first. */
async function ask(onChange) {
  if (asked++ === 0 && window.io) return;
  try {
    const answer = await fetch("/state", { cache: "no-store", signal: AbortSignal.timeout(ASK_MS) });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const state = await answer.json();
    if (connection.socket) return;
    connection.asking = true;
    connection.lost = null;
    news.hello(state);
    news.events(state.events, true);
  } catch {
    connection.asking = false;
    connection.lost ??= Date.now();
  }
  onChange();
}
