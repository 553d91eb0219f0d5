// Events on the charts: whatever changed, where it changed. Those that would overlap share one mark.

import { colour, fontFamily } from "./colours.js";
import { store } from "./store.js";

/** Kinds that are marked on the charts, with the letter that stands for each there and here. */
export const MARKS = {
  algorithm: "A",
  admin: "D",
  weight: "W",
  health: "H",
  eject: "E",
  process: "P",
  worker: "P",
  connection: "C",
  start: "S",
  fault: "F",
  load: "L",
  deploy: "R",
};

/** Dashed lines with a letter, on a plot's frame. */
export function drawMarks(context, { x, first, last, top, bottom, right, rem }) {
  const size = rem;
  let before = -Infinity;
  context.font = `600 ${rem * 0.72}px ${fontFamily()}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const event of marked(first, last)) {
    const place = Math.round(x(event.at)) + 0.5;
    if (place - before < size + 1) continue;
    before = place;
    context.strokeStyle = colour("--edge");
    context.lineWidth = 1;
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(place, top + size);
    context.lineTo(place, bottom);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = colour("--muted");
    context.beginPath();
    const middle = Math.min(place, right - size / 2); // the newest one is not cut off
    context.roundRect(middle - size / 2, top, size, size, size / 5);
    context.fill();
    context.fillStyle = colour("--surface");
    context.fillText(MARKS[event.kind], middle, top + size * 0.54);
  }
}

/** Events between two times that are marked, oldest first; of those within one of so many parts of the span, one. */
export function marked(start, end, parts = 100) {
  let last = -Infinity;
  return store.events.filter((event) => {
    if (event.at < start || event.at > end || !MARKS[event.kind] || event.at - last < (end - start) / parts) return false;
    last = event.at;
    return true;
  });
}
