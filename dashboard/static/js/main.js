// Wires the page: messages into the store, the store into the views. Read store.js next.

import { drawAdvice, wireAdvice } from "./advice.js";
import { drawAlgorithms, wireAlgorithms } from "./algorithms.js";
import { drawCardNumbers, drawCards, wireCards } from "./cards.js";
import { drawCharts } from "./charts.js";
import { connect } from "./connection.js";
import { drawControls, wireControls } from "./controls.js";
import { attribute, find, text } from "./dom.js";
import { drawEmpty, wireEmpty } from "./empty.js";
import { drawEvents, wireEvents } from "./events.js";
import { drawProcesses } from "./processes.js";
import { drawShare } from "./share.js";
import { wireSort } from "./sort.js";
import { drawStatus, view } from "./status.js";
import { hello, on, store } from "./store.js";
import { drawNodes, drawNumbers } from "./table.js";
import { drawSparks, drawTiles } from "./tiles.js";
import { drawFlow, drawTopology } from "./topology.js";
import { wireKeys, wireViews } from "./views.js";

const lab = document.body.dataset.lab === "yes" ? await import("./lab/lab.js") : null;

function words() {
  if (view.paused || !store.layout) return;
  drawStatus();
  drawAlgorithms();
  drawTopology();
  drawNodes();
  drawCards();
  drawControls();
  drawProcesses();
  lab?.drawLab();
}

function numbers() {
  if (view.paused || !store.totals) return;
  drawTiles();
  drawFlow();
  drawAdvice();
  drawNumbers();
  drawCardNumbers();
  drawShare();
  drawEmpty();
  drawStatus();
}

function pictures() {
  if (view.paused || !store.layout) return;
  drawSparks();
  drawCharts();
}

on("layout", words);
on("tick", numbers);
on("probes", words);
on("history", pictures);
on("events", (fresh) => {
  drawEvents(fresh);
  if (fresh) pictures();
});
addEventListener("modechange", numbers);

for (const wire of [wireControls, wireAlgorithms, wireAdvice, wireCards, wireSort, wireEmpty, wireEvents, wireViews, wireKeys]) wire();
lab?.wireLab();

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

hello(JSON.parse(find("#state").textContent)); // what the server knew when it made the page: no need to wait for the socket
connect(drawStatus);
setInterval(() => {
  drawStatus();
  drawControls();
}, 500);
