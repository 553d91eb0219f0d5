// What stands below the picture: charts, nodes, events, processes, the Lab. Loaded when the picture is there.

import { drawCardNumbers, drawCards, wireCards } from "./cards.js";
import { drawCharts } from "./charts.js";
import { drawEvents, wireEvents } from "./events.js";
import { drawProcesses } from "./processes.js";
import { drawShare } from "./share.js";
import { wireSort } from "./sort.js";
import { drawNodes, drawNumbers } from "./table.js";
import { openTarget } from "./views.js";

let lab = null;

/** Wire the views, and fetch the Lab's where there is one. */
export async function begin() {
  if (document.body.dataset.lab === "yes") lab = await import("./lab/lab.js");
  for (const wire of [wireCards, wireSort, wireEvents]) wire();
  lab?.wireLab();
  drawNodes();
  drawCards();
  openTarget();
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
  drawNumbers();
  drawCardNumbers();
  drawShare();
}

/** One more point, or another event on the charts. */
export const pictures = drawCharts;

/** New lines of the log, or (null) all of it. */
export const log = drawEvents;
