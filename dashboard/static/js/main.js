// Wires the page: messages into the store, the store into the views. Read store.js next.
// What stands below the live view's picture comes in `below.js`, after the first picture and the socket.

import { drawAdvice, wireAdvice } from "./advice.js";
import { drawAlgorithms, wireAlgorithms } from "./algorithms.js";
import { connect } from "./connection.js";
import { drawControls, wireControls } from "./controls.js";
import { attribute, find, text } from "./dom.js";
import { drawEmpty, wireEmpty } from "./empty.js";
import { drawStatus, view } from "./status.js";
import { hello, on, store } from "./store.js";
import { drawSparks, drawTiles } from "./tiles.js";
import { drawFlow, drawTopology } from "./topology.js";
import { landed, wireKeys, wireViews } from "./views.js";

let below = null;

function words() {
  if (view.paused || !store.layout) return;
  drawStatus();
  drawAlgorithms();
  drawTopology();
  drawControls();
  below?.words();
}

function numbers() {
  if (view.paused || !store.totals) return;
  drawTiles();
  drawFlow();
  drawAdvice();
  drawEmpty();
  below?.numbers();
  drawStatus();
}

function pictures() {
  if (view.paused || !store.layout) return;
  drawSparks();
  below?.pictures();
}

on("layout", words);
on("tick", numbers);
on("probes", words);
on("history", pictures);
on("events", (fresh) => {
  below?.log(fresh);
  if (fresh) pictures();
});
addEventListener("modechange", () => {
  words();
  numbers();
});

for (const wire of [wireControls, wireAlgorithms, wireAdvice, wireEmpty, wireViews, wireKeys]) wire();

const pause = find("#pause");
pause.addEventListener("click", () => {
  view.paused = !view.paused;
  attribute(pause, "aria-pressed", String(view.paused));
  text(pause, view.paused ? "Resume" : "Pause");
  words();
  numbers();
  pictures();
  drawStatus();
});

connect(drawStatus);
hello(JSON.parse(find("#state").textContent)); // what the server knew when it made the page: no need to wait for the socket
setInterval(() => {
  drawStatus();
  drawControls();
}, 500);

below = await import("./below.js");
await below.begin();
words();
numbers();
pictures();
below.log(null);
landed();
document.body.dataset.whole = "yes"; // whoever waits for the whole page can see it here
