// Lines over time on a canvas: axes, grid, gaps, a logarithmic scale, marks of events, and one cursor for all plots.

import { colour, fontFamily } from "./colours.js";
import { clock, number } from "./format.js";
import { drawMarks } from "./marks.js";

export const COLOURS = 8;
export const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [1, 4], [14, 4], [4, 2, 1, 2]];

const plots = new Set();
let pointed = null; // the time under the pointer, in any plot; null: nowhere

/** Draws `columns` of numbers (null: nothing) over `at`, seconds since the epoch. `onCursor` when the cursor moved. */
export class Plot {
  #box;
  #context;
  #log;
  #onCursor;
  #data = { at: [], columns: [], span: [0, 1] };
  #size = { width: 0, height: 0, rem: 14 }; // of the box; asked for when it changes, not in the middle of a tick

  constructor(box, { log, onCursor }) {
    this.#box = box;
    this.#log = log;
    this.#onCursor = onCursor;
    const canvas = document.createElement("canvas");
    this.#context = canvas.getContext("2d");
    box.replaceChildren(canvas);
    plots.add(this);
    new ResizeObserver(() => this.#fit()).observe(box); // calls at once, too
    addEventListener("sizechange", () => this.#fit());
    box.addEventListener("pointermove", (event) => point(this.#timeAt(event.offsetX)));
    box.addEventListener("pointerleave", () => point(null));
  }

  /** New data; `span` is [first, last] of the time axis. */
  draw(at, columns, span) {
    this.#data = { at, columns, span };
    this.redraw();
  }

  /** The value of a column under the cursor; undefined when it is elsewhere. */
  valueAt(column) {
    return this.#data.columns[column]?.[this.#row];
  }

  get #row() {
    const { at } = this.#data;
    if (pointed === null || !at.length) return -1;
    const after = at.findIndex((t) => t >= pointed);
    if (after <= 0) return after === 0 ? 0 : at.length - 1;
    return pointed - at[after - 1] < at[after] - pointed ? after - 1 : after;
  }

  redraw() {
    const frame = this.#frame();
    if (frame.width <= 0) return;
    const { at, columns } = this.#data;
    const context = this.#context;
    context.clearRect(0, 0, this.#size.width, this.#size.height);
    const y = this.#log ? logScale(columns, frame) : linearScale(columns, frame);
    this.#axes(frame, y);
    context.save();
    context.beginPath();
    context.rect(frame.left, 0, frame.width, frame.bottom + 1);
    context.clip();
    context.lineWidth = 1.8;
    context.lineJoin = "round";
    columns.forEach((column, i) => {
      context.strokeStyle = colour(`--series-${(i % COLOURS) + 1}`);
      context.setLineDash(DASHES[i % DASHES.length]);
      line(context, at, column, frame.x, y.place);
    });
    context.setLineDash([]);
    drawMarks(context, frame);
    if (pointed !== null) rule(context, frame.x(pointed), frame.top, frame.bottom, colour("--edge"));
    context.restore();
    if (pointed !== null) this.#onCursor();
  }

  #axes(frame, y) {
    const context = this.#context;
    context.font = `${frame.rem * 0.79}px ${fontFamily()}`;
    context.fillStyle = colour("--muted");
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const value of y.ticks) {
      const place = Math.round(y.place(value)) + 0.5;
      level(context, frame.left, frame.right, place, colour("--grid"));
      context.fillText(value >= 10000 ? `${number(value / 1000)}k` : number(value), frame.left - 6, place);
    }
    context.textAlign = "center";
    const [first, last] = this.#data.span;
    const step = frame.width < frame.rem * 30 ? 120 : 60;
    for (let t = Math.ceil(first / step) * step; t < last; t += step) {
      const x = frame.x(t);
      if (x > frame.left + frame.rem && x < frame.right - frame.rem) context.fillText(clock(t).slice(0, 5), x, frame.bottom + frame.rem * 0.95);
    }
  }

  #frame() {
    const { rem } = this.#size;
    const [first, last] = this.#data.span;
    const left = rem * 2.7;
    const right = this.#size.width - 2;
    const width = right - left;
    const x = (t) => left + ((t - first) / (last - first)) * width;
    return { rem, left, right, width, top: rem * 0.3, bottom: this.#size.height - rem * 1.7, x, first, last };
  }

  #timeAt(offset) {
    const { left, width, first, last } = this.#frame();
    const part = (offset - left) / width;
    return part < 0 || part > 1 ? null : first + part * (last - first);
  }

  #fit() {
    const canvas = this.#context.canvas;
    const ratio = devicePixelRatio || 1;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.#size = { width: this.#box.clientWidth, height: this.#box.clientHeight, rem };
    canvas.width = Math.round(this.#size.width * ratio);
    canvas.height = Math.round(this.#size.height * ratio);
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.redraw();
  }
}

function point(time) {
  if (time === pointed) return;
  pointed = time;
  for (const plot of plots) plot.redraw();
}

function line(context, at, column, x, y) {
  let drawing = false;
  context.beginPath();
  column.forEach((value, i) => {
    if (value === null) drawing = false;
    else if (drawing) context.lineTo(x(at[i]), y(value));
    else context.moveTo(x(at[i]), y(value));
    drawing = value !== null;
  });
  context.stroke();
}

function level(context, from, to, y, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(from, y);
  context.lineTo(to, y);
  context.stroke();
}

function rule(context, x, from, to, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x, from);
  context.lineTo(x, to);
  context.stroke();
}

const known = (columns) => columns.flat().filter((value) => value !== null);

/** From zero to a little above the highest, with at most five ticks at 1, 2 or 5 times a power of ten. */
function linearScale(columns, { top, bottom }) {
  const most = Math.max(1, ...known(columns)) * 1.12;
  const power = 10 ** Math.floor(Math.log10(most / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => most / size <= 5);
  const ticks = Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
  return { ticks, place: (value) => bottom - (value / most) * (bottom - top) };
}

/** Just around the values; ticks at 1, 2, 5, 10, 20 … so that a doubling is seen, powers of ten alone when it is wide. */
function logScale(columns, { top, bottom }) {
  const values = known(columns).filter((value) => value > 0);
  const least = values.length ? Math.min(...values) / 1.4 : 1;
  const most = values.length ? Math.max(...values) * 1.4 : 1000;
  const ticks = [];
  for (let power = 10 ** Math.floor(Math.log10(least)); power <= most; power *= 10) {
    for (const factor of most / least > 100 ? [1] : [1, 2, 5]) {
      if (power * factor >= least && power * factor <= most) ticks.push(power * factor);
    }
  }
  const height = Math.log(most / least);
  return { ticks, place: (value) => bottom - (Math.log(Math.max(value, least) / least) / height) * (bottom - top) };
}
