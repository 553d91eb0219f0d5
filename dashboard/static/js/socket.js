// The part of Socket.IO that this page needs (Engine.IO protocol 4, Socket.IO protocol 5), over a WebSocket. Their own
// client does much more and is a fifth of the page's weight; see docs/decisions/. Reconnects for as long as the page lives.

const FIRST_MS = 1000;
const MOST_MS = 5000;

/** Keeps a connection. `on.event(name, payload)`, `on.open()`, `on.close()`, `on.refused(reason)`. */
export class Socket {
  #on;
  #socket = null;
  #pause = FIRST_MS;
  #patience = 20000; // without a ping in this time the connection is dead, whatever the system says
  #watchdog = null;
  open = false;

  constructor(on) {
    this.#on = on;
    this.#connect();
    addEventListener("online", () => this.#socket === null && this.#connect());
  }

  /** Send an event; nothing when there is no connection. */
  emit(name, ...payload) {
    if (this.open) this.#socket.send(`42${JSON.stringify([name, ...payload])}`);
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/socket.io/?EIO=4&transport=websocket`);
    this.#socket = socket;
    this.#listen();
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#packet(data);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#again();
    };
  }

  #packet(data) {
    this.#listen();
    if (data[0] === "0") {
      const { pingInterval, pingTimeout } = JSON.parse(data.slice(1));
      this.#patience = pingInterval + pingTimeout;
      this.#socket.send("40");
    } else if (data === "2") this.#socket.send("3");
    else if (data.startsWith("42")) this.#on.event(...JSON.parse(data.slice(2)));
    else if (data.startsWith("44")) this.#on.refused(JSON.parse(data.slice(2)).message);
    else if (data.startsWith("40")) {
      this.open = true;
      this.#pause = FIRST_MS;
      this.#on.open();
    } else if (data[0] === "1" || data.startsWith("41")) this.#socket.close();
  }

  #listen() {
    clearTimeout(this.#watchdog);
    const socket = this.#socket;
    this.#watchdog = setTimeout(() => {
      if (socket !== this.#socket) return;
      socket.onclose = null; // it may take minutes until a dead one says so
      socket.close();
      this.#again();
    }, this.#patience);
  }

  #again() {
    clearTimeout(this.#watchdog);
    const was = this.open;
    this.open = false;
    this.#socket = null;
    if (was) this.#on.close();
    setTimeout(() => this.#socket === null && this.#connect(), this.#pause * (0.5 + Math.random()));
    this.#pause = Math.min(MOST_MS, this.#pause * 2);
  }
}
