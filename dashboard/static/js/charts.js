// Five minutes of rates and latency, drawn by uPlot, with a mark for whatever changed. Behind each canvas: a sentence
// and a table, for those who do not see it.

import { all, attribute, find, make, text, token } from "./dom.js";
import { clock, number } from "./format.js";
import { drawMarks } from "./marks.js";
import { now, store } from "./store.js";

const SECONDS = 300;
const GAP_S = 5; // a hole in the data stays a hole in the line
const COLOURS = 8;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [1, 4], [14, 4], [4, 2, 1, 2]];
const TABLE_ROWS = 15;

/** A chart in the article `data-chart=name`. `lines()` gives [{name, column}], `log` a logarithmic axis. */
class Chart {
  constructor(name, { lines, sentence, log = false }) {
    this.article = find(`[data-chart="${name}"]`);
    this.plot = find(".plot", this.article);
    this.legend = find(".legend", this.article);
    this.table = find(".data", this.article);
    this.lines = lines;
    this.sentence = sentence;
    this.log = log;
    this.uplot = null;
    this.names = null;
    new ResizeObserver(() => this.fit()).observe(this.plot);
    const button = find("[data-show]", this.article);
    attribute(button, "aria-expanded", "false");
    button.addEventListener("click", () => {
      this.table.hidden = !this.table.hidden;
      attribute(button, "aria-expanded", String(!this.table.hidden));
      const words = this.table.hidden ? "Show data" : "Hide data";
      text(button, words);
      attribute(button, "aria-label", `${words}${button.getAttribute("aria-label").slice(words.length)}`);
      this.draw();
    });
    for (const what of ["themechange", "sizechange"]) {
      addEventListener(what, () => {
        this.names = null;
        this.draw();
      });
    }
  }

  draw() {
    const lines = this.lines();
    const names = lines.map((line) => line.name).join("\n");
    if (window.uPlot && this.names !== names) this.build(lines, names);
    const [at, ...columns] = withGaps(store.history.at, lines.map((line) => line.column));
    if (this.log) for (const column of columns) column.forEach((value, i) => value === 0 && (column[i] = null));
    this.uplot?.setData([at, ...columns]);
    this.drawLegend(lines);
    attribute(this.plot, "aria-label", this.sentence(lines));
    if (!this.table.hidden) this.drawTable(lines);
  }

  fit() {
    if (this.uplot) this.uplot.setSize({ width: this.plot.clientWidth, height: this.plot.clientHeight });
  }

  build(lines, names) {
    this.uplot?.destroy();
    this.names = names;
    const axis = { stroke: token("--muted"), font: font(0.79), ticks: { show: false } };
    const grid = { stroke: token("--grid"), width: 1 };
    const ratio = devicePixelRatio || 1;
    this.uplot = new window.uPlot(
      {
        width: this.plot.clientWidth,
        height: this.plot.clientHeight,
        pxAlign: 1,
        legend: { show: false },
        cursor: { sync: { key: "time" }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
        scales: {
          x: { time: true, range: () => [now() - SECONDS, now()] },
          y: this.log ? { distr: 3, log: 10, range: logRange } : { range: (_, __, max) => [0, Math.max(1, (max ?? 0) * 1.12)] },
        },
        axes: [
          { ...axis, grid: { show: false }, size: rem(1.8), space: rem(5), values: (_, ticks) => ticks.map((t) => clock(t).slice(0, 5)), incrs: [60, 120] },
          { ...axis, grid, size: rem(2.9), space: rem(1.9), values: (_, ticks) => ticks.map(short), ...(this.log ? { splits: logSplits, filter: (_, splits) => splits } : {}) },
        ],
        series: [
          {},
          ...lines.map((line, i) => ({
            label: line.name,
            stroke: token(`--series-${(i % COLOURS) + 1}`),
            dash: DASHES[Math.floor(i) % DASHES.length].map((d) => d * ratio),
            width: 1.75,
            points: { show: false },
            spanGaps: false,
          })),
        ],
        hooks: { draw: [drawMarks], setCursor: [() => this.drawLegend(this.lines())] },
      },
      [[], ...lines.map(() => [])],
      this.plot,
    );
    this.legend.replaceChildren(...lines.map((line, i) => legendItem(line.name, i)));
  }

  /** Beside each name its value: the newest, or the one under the pointer. */
  drawLegend(lines) {
    const index = this.uplot?.cursor.idx;
    lines.forEach((line, i) => {
      const item = this.legend.children[i];
      if (!item) return;
      const pointed = index !== null && index !== undefined ? this.uplot.data[i + 1]?.[index] : undefined;
      text(item.lastChild, number(pointed !== undefined ? pointed : line.column.at(-1)));
    });
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

function logRange(_, min, max) {
  if (min === null || max === null || !(min > 0)) return [1, 1000];
  return [min / 1.4, max * 1.4];
}

/** 1, 2, 5, 10, 20 … inside the range: few enough to read, enough to see a doubling. */
function logSplits(_, __, min, max) {
  const out = [];
  for (let power = 10 ** Math.floor(Math.log10(min)); power <= max; power *= 10) {
    for (const factor of max / min > 300 ? [1] : [1, 2, 5]) {
      if (power * factor >= min && power * factor <= max) out.push(power * factor);
    }
  }
  return out;
}

/** Sizes follow the page's, which is larger on a projector. */
const rem = (n) => Math.round(n * parseFloat(getComputedStyle(document.documentElement).fontSize));
const font = (n) => `${rem(n)}px ${getComputedStyle(document.body).fontFamily}`;

const MOST_LINES = 12;

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

/** On an axis: "10k". */
const short = (value) => (value >= 10000 ? `${number(value / 1000)}k` : number(value));

const sum = (values) => (values.every((value) => value === null) ? null : values.reduce((a, b) => a + (b ?? 0), 0));

let charts = null;

/** One more point, or another theme. */
export function drawCharts() {
  if (!store.layout) return;
  charts ??= [
    new Chart("rates", {
      lines: rateLines,
      sentence: (lines) => `Requests per second by node, last five minutes. Now: ${lines.map((l) => `${l.name} ${number(l.column.at(-1))}`).join(", ")}.`,
    }),
    new Chart("latency", {
      lines: () => ["p50", "p95", "p99"].map((name) => ({ name, column: store.history.totals[`${name}_ms`] ?? [] })),
      sentence: (lines) => `Latency percentiles in milliseconds, last five minutes. Now: ${lines.map((l) => `${l.name} ${number(l.column.at(-1))}`).join(", ")}.`,
      log: true,
    }),
  ];
  for (const chart of charts) chart.draw();
}

/** Without the front-end files there are no charts, and their place says so. */
export function withoutCharts() {
  for (const plot of all(".plot")) {
    plot.classList.add("absent");
    text(plot, "Charts need the front-end files; the data is behind the button.");
  }
}
