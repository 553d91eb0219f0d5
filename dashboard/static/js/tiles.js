// The figures of the whole, each with its last minute; and the empty state before the first request.

import { all, find, text } from "./dom.js";
import { number, percent } from "./format.js";
import { now, store } from "./store.js";

const SPARK_S = 60;

/** New numbers. */
export function drawTiles() {
  const { totals, layout } = store;
  for (const element of all("[data-total]")) {
    const key = element.dataset.total;
    text(element, key === "errors" ? percent(totals.errors_per_s, totals.rps) : number(totals[key]));
  }
  const failing = totals.errors_per_s > 0;
  find('[data-tile="errors"]').dataset.tone = failing ? "bad" : "";
  const nothing = !totals.requests && !totals.rps;
  find("#empty").hidden = !nothing;
  if (nothing && layout.balancers.length) text(find("#curl"), `curl -i ${address(layout.balancers[0].url)}`);
}

/** The balancer as the person who reads this page reaches it. */
function address(url) {
  const there = new URL(url);
  const loopback = ["127.0.0.1", "localhost", "[::1]"];
  if (loopback.includes(there.hostname) && !loopback.includes(location.hostname)) there.hostname = location.hostname;
  return there.href;
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
    find(".line", svg).setAttribute("d", line);
    find(".area", svg).setAttribute("d", area);
  }
}

/** The button beside the curl line. */
export function wireEmpty() {
  const button = find("#copy");
  button.addEventListener("click", async () => {
    const line = find("#curl");
    try {
      await navigator.clipboard.writeText(line.textContent);
      text(button, "Copied");
    } catch {
      getSelection().selectAllChildren(line); // no clipboard on plain HTTP: select it, to be copied by hand
    }
  });
}
