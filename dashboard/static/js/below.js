// What stands below the picture: charts, nodes, events, processes, the Lab. Loaded when the picture is there.

import { drawCardNumbers, drawCards, wireCards } from "./cards.js";
import { drawCharts } from "./charts.js";
import { find } from "./dom.js";
import { drawEvents, wireEvents } from "./events.js";
import { drawProcesses } from "./processes.js";
import { drawShare } from "./share.js";
import { wireSort } from "./sort.js";
import { view } from "./status.js";
import { store } from "./store.js";
import { drawNodes, drawNumbers } from "./table.js";
import { openTarget } from "./views.js";

let lab = null;
let near = true; // whether the nodes are in sight, or nearly so: else their numbers need not change twice a second

/** Wire the views, and fetch the Lab's where there is one. */
export async function begin() {
  if (document.body.dataset.lab === "yes") lab = await import("./lab/lab.js");
  for (const wire of [wireCards, wireSort, wireEvents]) wire();
  lab?.wireLab();
  drawNodes();
  drawCards();
  openTarget();
  const watch = ([entry]) => {
    near = entry.isIntersecting;
    if (near && !view.paused && store.totals) drawNodeNumbers();
  };
  new IntersectionObserver(watch, { rootMargin: "200px" }).observe(find("#nodes"));
}

function drawNodeNumbers() {
  drawNumbers();
  drawCardNumbers();
}

/** New words. */
export function words() {
  drawNodes();
  drawCards();
  drawProcesses();
  lab?.drawLab();
}

/** New numbers. */
export function numbers() {
  if (near) drawNodeNumbers();
  drawShare();
}

/** One more point, or another event on the charts. */
export const pictures = drawCharts;

/** New lines of the log, or (null) all of it. */
export const log = drawEvents;
