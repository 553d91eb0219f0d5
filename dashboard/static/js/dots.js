// The two canvases behind the traffic picture. Edges are as wide as their share of the requests, and drawn when numbers
// come; dots are a sample of the requests, at most 60 at once, drawn with each frame. Without motion: edges only.

import { colour } from "./colours.js";
import { attribute, find, text } from "./dom.js";
import { number } from "./format.js";
import { Pace } from "./pace.js";
import { requestsADot, Sample } from "./sample.js";
import { stale, view } from "./status.js";
import { store } from "./store.js";

const MOST_DOTS = 60;
const MOST_FAILS = 3; // falling at one tick
const TO_HUB_MS = 420;
const TO_NODE_MS = 760;
const FALL_MS = 900;
const TURN_MS = 620;
const MARGIN = 6; // of the dots' canvas beyond the last place where a dot can be

const still = matchMedia("(prefers-reduced-motion: reduce)");
const pace = new Pace();
const sample = new Sample(Math.random);
let targets = [];
let places = null; // {source, hubs, ports, reach} in CSS pixels of the canvases; null: boxes may have moved
let dots = [];
let edges = null; // the two canvases' contexts
let moving = null;
let seen = true;
let running = false;
let asked = false; // for one frame that draws what does not move
let width = 0; // of the picture; asked for once, since each asking in the middle of a tick lays the whole page out
let height = 0;
let last = 0;
let tick = 0;

/** Where dots go: `{element, series, ready, state, rps, per_s, failed, retried}` each. */
export function setTargets(list) {
  targets = list;
  edges ?? prepare();
  if (store.tick !== tick) {
    tick = store.tick;
    fail();
  }
  const each = requestsADot(targets);
  const key = find("#dots-key");
  text(key, each > 1 ? `● ≈ ${number(each)} requests` : each ? "● 1 request" : "");
  attribute(key, "hidden", !each || still.matches);
  again();
}

function prepare() {
  edges = find("#edges").getContext("2d");
  moving = find("#dots").getContext("2d");
  new ResizeObserver(fit).observe(edges.canvas);
  new IntersectionObserver(([entry]) => {
    seen = entry.isIntersecting;
    again();
  }).observe(edges.canvas);
  for (const [what, name] of [[document, "visibilitychange"], [still, "change"], [window, "themechange"]]) what.addEventListener(name, again);
}

function fit() {
  [width, height] = [edges.canvas.clientWidth, edges.canvas.clientHeight];
  size(edges, width);
  again();
}

/** A canvas as wide as asked for: what it costs to show one grows with its size. */
function size(context, wide) {
  const ratio = devicePixelRatio || 1;
  const { canvas } = context;
  const [x, y] = [Math.round(wide * ratio), Math.round(height * ratio)];
  if (canvas.width === x && canvas.height === y) return;
  [canvas.width, canvas.height] = [x, y];
  if (context === moving) canvas.style.width = `${wide}px`; // the other one stays as wide as the picture
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
}

const moves = () => seen && !document.hidden && !still.matches && !view.paused && !stale() && width > 0;

/** Draw anew, with the next frame: only then is it known where boxes are without laying out the page once more. */
function again() {
  places = null;
  if (moves()) start();
  else if (!asked) {
    asked = true;
    requestAnimationFrame((now) => {
      asked = false;
      if (!running) draw(now);
    });
  }
}

function start() {
  if (running) return;
  running = true;
  last = performance.now();
  requestAnimationFrame(frame);
}

function frame(now) {
  if (!moves()) {
    running = false;
    dots = [];
    pace.rest();
    draw(now);
    return;
  }
  requestAnimationFrame(frame);
  if (!pace.due(now)) return;
  const passed = Math.min(100, Math.max(0, now - last)); // a tab that slept must not let go a swarm
  last = now;
  for (const target of sample.take(targets, passed / 1000)) if (dots.length < MOST_DOTS) dots.push(dot(target, now));
  draw(now);
}

function dot(target, at, kind = "good") {
  return { target, at, kind, hub: pickHub(), lift: (Math.random() - 0.5) * 8, other: null };
}

function pickHub() {
  const rates = store.balancers.map((balancer) => balancer.rps ?? 0);
  let left = Math.random() * rates.reduce((a, b) => a + b, 0);
  const found = rates.findIndex((rate) => (left -= rate) < 0);
  return Math.max(0, found);
}

/** What failed since the last tick: a falling cross; where another node took over, a turn to that node. */
function fail() {
  if (!moves()) return;
  const now = performance.now();
  for (const target of targets) {
    const turned = Math.min(MOST_FAILS, target.retried ?? 0);
    const fallen = Math.min(MOST_FAILS, Math.max(0, (target.failed ?? 0) - (target.retried ?? 0)));
    const others = targets.filter((other) => other !== target && other.ready);
    for (let i = 0; i < turned + fallen; i += 1) {
      const bad = dot(target, now + (i * 500) / (turned + fallen), i < turned && others.length ? "turned" : "fallen");
      bad.other = others[Math.floor(Math.random() * others.length)];
      dots.push(bad);
    }
  }
  dots = dots.slice(-MOST_DOTS); // what failed is worth more than what is about to arrive
}

function measure() {
  const frame = edges.canvas.getBoundingClientRect();
  const box = (element) => element.getBoundingClientRect();
  const middle = (rect) => rect.top + rect.height / 2 - frame.top;
  const source = box(find("#clients"));
  const hubs = [...find("#hubs").children].map((hub) => box(find(".box", hub)));
  const ports = targets.map((target) => {
    const rect = box(target.element);
    return { x: rect.left - frame.left, y: middle(rect) };
  });
  places = {
    source: { x: source.right - frame.left, y: middle(source) },
    hubs: hubs.map((rect) => ({ in: rect.left - frame.left, out: rect.right - frame.left, y: middle(rect) })),
    ports,
    reach: Math.min(width, Math.ceil(Math.max(0, ...ports.map((port) => port.x))) + MARGIN),
  };
}

/** A point on the curve between two places that leaves and arrives level; `part` 0 to 1. */
function along(from, to, part) {
  const bend = (to.x - from.x) * 0.55;
  const rest = 1 - part;
  const [a, b, c, d] = [rest ** 3, 3 * rest * rest * part, 3 * rest * part * part, part ** 3];
  return {
    x: a * from.x + b * (from.x + bend) + c * (to.x - bend) + d * to.x,
    y: a * from.y + b * from.y + c * to.y + d * to.y,
  };
}

function draw(now) {
  if (!edges || !width) return;
  if (!places) {
    measure();
    drawEdges();
    size(moving, places.reach);
  }
  moving.clearRect(0, 0, places.reach, height);
  dots = dots.filter((one) => drawDot(one, now));
}

function drawEdges() {
  find("#first-edges")?.remove(); // what the server drew until now
  edges.clearRect(0, 0, width, height);
  const whole = targets.reduce((sum, target) => sum + (target.ready ? (target.rps ?? 0) : 0), 0);
  edges.lineCap = "round";
  for (const hub of places.hubs) {
    edge(places.source, { x: hub.in, y: hub.y }, whole ? 3 : 1, "--edge", 0.3);
    targets.forEach((target, i) => {
      const share = whole && target.ready ? (target.rps ?? 0) / whole / places.hubs.length : 0;
      const cut = !target.ready;
      edges.setLineDash(cut ? [3, 5] : []);
      edge({ x: hub.out, y: hub.y }, places.ports[i], cut ? 1 : 1 + 9 * share, cut ? "--edge" : target.series, cut ? 0.8 : 0.3);
    });
  }
  edges.setLineDash([]);
}

function edge(from, to, wide, name, alpha) {
  const bend = (to.x - from.x) * 0.55;
  edges.globalAlpha = alpha;
  edges.strokeStyle = colour(name);
  edges.lineWidth = wide;
  edges.beginPath();
  edges.moveTo(from.x, from.y);
  edges.bezierCurveTo(from.x + bend, from.y, to.x - bend, to.y, to.x, to.y);
  edges.stroke();
  edges.globalAlpha = 1;
}

/** Draws one dot where it is now; false when it has arrived for good. */
function drawDot(one, now) {
  const index = targets.findIndex((target) => target.element === one.target.element);
  const hub = places.hubs[one.hub] ?? places.hubs[0];
  const port = places.ports[index];
  let age = now - one.at;
  if (age < 0) return true;
  if (!hub || !port) return false;
  const out = { x: hub.out, y: hub.y };
  if (age < TO_HUB_MS) {
    const place = along(places.source, { x: hub.in, y: hub.y }, age / TO_HUB_MS);
    return point({ x: place.x, y: place.y + one.lift * Math.sin((Math.PI * age) / TO_HUB_MS) }, "--edge");
  }
  age -= TO_HUB_MS;
  if (age < TO_NODE_MS) return point(along(out, port, ease(age / TO_NODE_MS)), one.target.series);
  age -= TO_NODE_MS;
  if (one.kind === "fallen" && age < FALL_MS) return cross(port.x - 10, port.y + 60 * (age / FALL_MS) ** 2, 1 - age / FALL_MS);
  if (one.kind === "turned" && age < TURN_MS) {
    const second = places.ports[targets.findIndex((target) => target.element === one.other?.element)];
    return second ? point(turn(port, second, age / TURN_MS), "--degraded", 4.5) : false;
  }
  return false;
}

/** From the first node's port back a little, and on to the second's. */
function turn(from, to, part) {
  return { x: from.x - 46 * Math.sin(Math.PI * part), y: from.y + (to.y - from.y) * ease(part) };
}

const ease = (part) => part * part * (3 - 2 * part);

function point({ x, y }, name, radius = 3.4) {
  moving.fillStyle = colour(name);
  moving.beginPath();
  moving.arc(x, y, radius, 0, 2 * Math.PI);
  moving.fill();
  return true;
}

function cross(x, y, alpha) {
  moving.globalAlpha = alpha;
  moving.strokeStyle = colour("--down");
  moving.lineWidth = 2.2;
  moving.beginPath();
  for (const [dx, dy] of [[4, 4], [4, -4]]) {
    moving.moveTo(x - dx, y - dy);
    moving.lineTo(x + dx, y + dy);
  }
  moving.stroke();
  moving.globalAlpha = 1;
  return true;
}

/** How many dots are under way; for tests. */
export const underWay = () => dots.length;
