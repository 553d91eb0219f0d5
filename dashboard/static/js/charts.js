// Five minutes of rates and latency, with a mark for whatever changed. Behind each picture: a sentence and a table, for
// those who do not see it.

import { attribute, find, make, text } from "./dom.js";
import { clock, number } from "./format.js";
import { COLOURS, DASHES, Plot } from "./plot.js";
import { now, store } from "./store.js";

const SECONDS = 300;
const GAP_S = 5; // a hole in the data stays a hole in the line
const TABLE_ROWS = 15;
const MOST_LINES = 12;

/** A chart in the article `data-chart=name`. `lines()` gives [{name, column}], `log` a logarithmic axis. */
class Chart {
  constructor(name, { lines, sentence, log = false }) {
    const article = find(`[data-chart="${name}"]`);
    this.picture = find(".plot", article);
    this.legend = find(".legend", article);
    this.table = find(".data", article);
    this.lines = lines;
    this.sentence = sentence;
    this.plot = new Plot(this.picture, { log, onCursor: () => this.drawLegend(this.lines()) });
    addEventListener("themechange", () => this.plot.redraw());
    const button = find("[data-show]", article);
    attribute(button, "aria-expanded", "false");
    button.addEventListener("click", () => this.toggle(button));
  }

  toggle(button) {
    this.table.hidden = !this.table.hidden;
    const words = this.table.hidden ? "Show data" : "Hide data";
    attribute(button, "aria-expanded", String(!this.table.hidden));
    attribute(button, "aria-label", `${words}${button.getAttribute("aria-label").slice(words.length)}`);
    text(button, words);
    this.draw();
  }

  draw() {
    const lines = this.lines();
    const [at, ...columns] = withGaps(store.history.at, lines.map((line) => line.column));
    this.plot.draw(at, columns, [now() - SECONDS, now()]);
    this.drawLegend(lines);
    attribute(this.picture, "aria-label", this.sentence(lines));
    if (!this.table.hidden) this.drawTable(lines);
  }

  /** Beside each name its value: the newest, or the one under the pointer. */
  drawLegend(lines) {
    const names = lines.map((line) => line.name).join("\n");
    if (this.legend.dataset.names !== names) {
      this.legend.dataset.names = names;
      this.legend.replaceChildren(...lines.map((line, i) => legendItem(line.name, i)));
    }
    lines.forEach((line, i) => text(this.legend.children[i].lastChild, number(this.plot.valueAt(i) ?? line.column.at(-1))));
  }

  drawTable(lines) {
    const { at } = store.history;
    const table = make("table");
    const head = make("tr");
    head.append(make("th", "", "Time"), ...lines.map((line) => make("th", "number", line.name)));
    table.append(head);
    const step = Math.max(1, Math.floor(at.length / TABLE_ROWS));
    for (let i = at.length - 1; i >= 0; i -= step) {
      const row = make("tr");
      row.append(make("td", "", clock(at[i])), ...lines.map((line) => make("td", "number", number(line.column[i]))));
      table.append(row);
    }
    this.table.replaceChildren(table);
  }
}

function legendItem(name, i) {
  const item = make("span", "item");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [key, value] of [["width", 22], ["height", 8], ["aria-hidden", "true"]]) svg.setAttribute(key, value);
  path.setAttribute("d", "M1 4H21");
  path.setAttribute("class", `series-${(i % COLOURS) + 1}`);
  path.setAttribute("stroke-dasharray", DASHES[i % DASHES.length].join(" ") || "none");
  svg.append(path);
  item.append(svg, make("span", "", name), make("b", "number", "–"));
  return item;
}

function withGaps(at, columns) {
  const times = [];
  const out = columns.map(() => []);
  at.forEach((t, i) => {
    if (i && t - at[i - 1] > GAP_S) {
      times.push(at[i - 1] + 1);
      for (const column of out) column.push(null);
    }
    times.push(t);
    columns.forEach((column, c) => out[c].push(column[i] ?? null));
  });
  return [times, ...out];
}

/** A line a node; with many nodes a line a kind, which one can still tell apart. */
function rateLines() {
  const { nodes } = store.layout;
  const columns = store.history.nodes;
  if (nodes.length <= MOST_LINES) return nodes.map((node) => ({ name: node.name, column: columns.get(node.name) ?? [] }));
  const kinds = [...new Set(nodes.map((node) => node.kind))];
  return kinds.map((kind) => {
    const members = nodes.filter((node) => node.kind === kind).map((node) => columns.get(node.name) ?? []);
    const column = store.history.at.map((_, i) => sum(members.map((member) => member[i] ?? null)));
    return { name: `${kind} (${members.length})`, column };
  });
}

const sum = (values) => (values.every((value) => value === null) ? null : values.reduce((a, b) => a + (b ?? 0), 0));
const newest = (lines) => lines.map((line) => `${line.name} ${number(line.column.at(-1))}`).join(", ");

let charts = null;

/** One more point. */
export function drawCharts() {
  if (!store.layout) return;
  charts ??= [
    new Chart("rates", { lines: rateLines, sentence: (lines) => `Requests per second by node, last five minutes. Now: ${newest(lines)}.` }),
    new Chart("latency", {
      lines: () => ["p50", "p95", "p99"].map((name) => ({ name, column: store.history.totals[`${name}_ms`] ?? [] })),
      sentence: (lines) => `Latency percentiles in milliseconds, last five minutes. Now: ${newest(lines)}.`,
      log: true,
    }),
  ];
  for (const chart of charts) chart.draw();
}
