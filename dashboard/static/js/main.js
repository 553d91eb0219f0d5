// Wires the page: messages into the store, the store into the views. Read store.js next.

import { drawAlgorithms, wireAlgorithms } from "./algorithms.js";
import { drawCharts, withoutCharts } from "./charts.js";
import { connect } from "./connection.js";
import { drawControls, wireControls } from "./controls.js";
import { attribute, find, text } from "./dom.js";
import { drawEvents } from "./events.js";
import { drawProcesses } from "./processes.js";
import { drawStatus, view } from "./status.js";
import { on, store } from "./store.js";
import { drawNodes, drawNumbers } from "./table.js";
import { drawSparks, drawTiles, wireEmpty } from "./tiles.js";

function words() {
  if (view.paused || !store.layout) return;
  drawStatus();
  drawAlgorithms();
  drawNodes();
  drawControls();
  drawProcesses();
}

function numbers() {
  if (view.paused || !store.totals) return;
  drawTiles();
  drawNumbers();
  drawStatus();
}

function pictures() {
  if (view.paused || !store.layout) return;
  drawSparks();
  drawCharts();
}

on("layout", words);
on("tick", numbers);
on("history", pictures);
on("events", (fresh) => {
  drawEvents(fresh);
  if (fresh) pictures();
});

wireControls();
wireAlgorithms();
wireEmpty();
if (!window.uPlot) withoutCharts();

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
setInterval(() => {
  drawStatus();
  drawControls();
}, 500);
