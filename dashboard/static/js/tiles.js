// The figures of the whole, each with its last minute and a line where something changed.

import { all, find, text } from "./dom.js";
import { number, percent } from "./format.js";
import { marked } from "./marks.js";
import { now, store } from "./store.js";

const SPARK_S = 60;

/** New numbers. */
export function drawTiles() {
  const { totals } = store;
  for (const element of all("[data-total]")) {
    const key = element.dataset.total;
    text(element, key === "errors" ? percent(totals.errors_per_s, totals.rps) : number(totals[key]));
  }
  const failing = totals.errors_per_s > 0;
  find('[data-tile="errors"]').dataset.tone = failing ? "bad" : "";
}

/** One more point: lines of the last minute, each on its own scale from zero. */
export function drawSparks() {
  const { at, totals } = store.history;
  const start = now() - SPARK_S;
  const first = Math.max(0, at.findIndex((t) => t >= start));
  for (const svg of all("[data-spark]")) {
    const values = totals[svg.dataset.spark]?.slice(first) ?? [];
    const top = Math.max(...values.filter((v) => v !== null), 0) * 1.15 || 1;
    let line = "";
    let began = null;
    let x = 0;
    let area = "";
    values.forEach((value, i) => {
      if (value === null) {
        if (began !== null) area += `L${x} 24L${began} 24Z`;
        began = null;
        return;
      }
      x = (((at[first + i] - start) / SPARK_S) * 100).toFixed(2);
      const step = `${began === null ? "M" : "L"}${x} ${(23 - (value / top) * 21).toFixed(2)}`;
      began ??= x;
      line += step;
      area += step;
    });
    if (began !== null) area += `L${x} 24L${began} 24Z`;
    const marks = marked(start, now(), 20).map((event) => `M${(((event.at - start) / SPARK_S) * 100).toFixed(1)} 0V24`);
    find(".mark", svg).setAttribute("d", marks.join(""));
    find(".line", svg).setAttribute("d", line);
    find(".area", svg).setAttribute("d", area);
  }
}
