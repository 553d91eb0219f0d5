// Events on the charts: whatever changed, where it changed. Those that would overlap share one mark.

import { token } from "./dom.js";
import { MARKS } from "./events.js";
import { store } from "./store.js";

/** Dashed lines with a letter; a hook of uPlot. */
export function drawMarks(uplot) {
  const { ctx, bbox } = uplot;
  const ratio = devicePixelRatio || 1;
  const [start, end] = [uplot.scales.x.min, uplot.scales.x.max];
  let last = -Infinity;
  ctx.save();
  ctx.font = `600 ${10 * ratio}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (const event of marked(start, end)) {
    const x = Math.round(uplot.valToPos(event.at, "x", true));
    if (x - last < 15 * ratio) continue;
    last = x;
    ctx.strokeStyle = token("--edge");
    ctx.lineWidth = ratio;
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top + 14 * ratio);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = token("--muted");
    ctx.beginPath();
    ctx.roundRect(x - 7 * ratio, bbox.top, 14 * ratio, 14 * ratio, 3 * ratio);
    ctx.fill();
    ctx.fillStyle = token("--surface");
    ctx.fillText(MARKS[event.kind], x, bbox.top + 7.5 * ratio);
  }
  ctx.restore();
}

/** Events between two times that are marked, oldest first; of those within a hundredth of the span, one. */
export function marked(start, end) {
  let last = -Infinity;
  return store.events.filter((event) => {
    if (event.at < start || event.at > end || !MARKS[event.kind] || event.at - last < (end - start) / 100) return false;
    last = event.at;
    return true;
  });
}
