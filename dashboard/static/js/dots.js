// The canvas behind the traffic picture. Edges are as wide as their share of the requests; dots are a sample of the
// requests, at most 60 at once, drawn from rates: no message is ever sent for one. Without motion: edges only.

import { attribute, find, text, token } from "./dom.js";
import { number } from "./format.js";
import { stale, view } from "./status.js";
import { store } from "./store.js";

const MOST_PER_S = 42; // with 1.3 s on the way, at most about 55 dots
const MOST_FAILS = 3; // falling at one tick
const TO_HUB_MS = 420;
const TO_NODE_MS = 760;
const FALL_MS = 900;
const TURN_MS = 620;
const SLOW_MS = 25; // fewer than 40 frames a second
const MOST_PACE = 4;

const still = matchMedia("(prefers-reduced-motion: reduce)");
let targets = [];
let places = null; // {source, hubs, ports} in CSS pixels of the canvas
let dots = [];
let canvas = null;
let context = null;
let seen = true;
let running = false;
let width = 0; // of the canvas; asked for once, since each asking in the middle of a tick lays the whole page out
let height = 0;
let last = 0;
let pace = 1; // draw every so manieth frame
let paceSince = 0;
let gap = 17; // smoothed milliseconds from one frame to the next
let frameAt = 0;
let skipped = 0;
let colours = {};
let tick = 0;

/** Where dots go: `{element, colour, ready, state, rps, per_s, failed, retried}` each. */
export function setTargets(list) {
  targets = list;
  canvas ?? prepare();
  if (store.tick !== tick) {
    tick = store.tick;
    fail();
  }
  places = null; // boxes may have moved
  if (moves()) start();
  else draw(performance.now());
}

function prepare() {
  canvas = find("#dots");
  context = canvas.getContext("2d");
  new ResizeObserver(fit).observe(canvas);
  new IntersectionObserver(([entry]) => {
    seen = entry.isIntersecting;
    if (moves()) start();
  }).observe(canvas);
  for (const [what, name] of [[document, "visibilitychange"], [still, "change"]]) what.addEventListener(name, () => moves() && start());
  addEventListener("themechange", readColours);
  readColours();
  fit();
}

function readColours() {
  colours = { down: token("--down"), degraded: token("--degraded"), accent: token("--accent"), edge: token("--edge"), surface: token("--surface") };
  for (let i = 1; i <= 8; i += 1) colours[i] = token(`--series-${i}`);
}

function fit() {
  const ratio = devicePixelRatio || 1;
  [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  places = null;
  draw(performance.now());
}

const moves = () => seen && !document.hidden && !still.matches && !view.paused && !stale() && width > 0;

function start() {
  if (running) return;
  running = true;
  last = performance.now();
  frameAt = 0;
  requestAnimationFrame(frame);
}

function frame(now) {
  if (!moves()) {
    running = false;
    dots = [];
    draw(now);
    return;
  }
  keepPace(now);
  skipped += 1;
  if (skipped < pace) return requestAnimationFrame(frame);
  skipped = 0;
  const passed = Math.min(100, now - last); // a tab that slept must not let go a swarm
  last = now;
  spawn(passed / 1000, now);
  draw(now);
  requestAnimationFrame(frame);
}

/** A machine that cannot keep up draws every second or fourth frame, and tries again after ten seconds. */
function keepPace(now) {
  const passed = now - (frameAt || now);
  frameAt = now;
  gap += 0.1 * (Math.min(200, passed) - gap);
  const since = now - paceSince;
  if (gap > SLOW_MS && pace < MOST_PACE && since > 1000) setPace(pace * 2, now);
  else if (gap < SLOW_MS && pace > 1 && since > 10000) setPace(pace / 2, now);
}

function setPace(every, now) {
  pace = every;
  paceSince = now;
}

/** New dots of this frame: each target gathers its share until it is worth a dot. */
function spawn(seconds, now) {
  const flowing = targets.filter((target) => target.ready);
  const whole = flowing.reduce((sum, target) => sum + (target.per_s ?? 0), 0);
  const scale = Math.min(1, MOST_PER_S / Math.max(whole, 1e-9));
  const key = find("#dots-key");
  const each = Math.round(1 / scale);
  text(key, whole ? (each > 1 ? `● ≈ ${number(each)} requests` : "● 1 request") : "");
  attribute(key, "hidden", !whole);
  for (const target of flowing) {
    target.element.gathered = (target.element.gathered ?? Math.random()) + (target.per_s ?? 0) * scale * seconds;
    while (target.element.gathered >= 1) {
      target.element.gathered -= 1;
      if (dots.length < 60) dots.push(dot(target, now));
    }
  }
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
}

function measure() {
  const frame = canvas.getBoundingClientRect();
  const box = (element) => element.getBoundingClientRect();
  const middle = (rect) => rect.top + rect.height / 2 - frame.top;
  const source = box(find("#clients"));
  const hubs = [...find("#hubs").children].map((hub) => box(find(".box", hub)));
  places = {
    source: { x: source.right - frame.left, y: middle(source) },
    hubs: hubs.map((rect) => ({ in: rect.left - frame.left, out: rect.right - frame.left, y: middle(rect) })),
    ports: targets.map((target) => {
      const rect = box(target.element);
      return { x: rect.left - frame.left, y: middle(rect) };
    }),
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
  if (!context) return;
  context.clearRect(0, 0, width, height);
  if (!targets.length || !width) return;
  if (!places) measure();
  drawEdges();
  dots = dots.filter((one) => drawDot(one, now));
}

function drawEdges() {
  const whole = targets.reduce((sum, target) => sum + (target.ready ? (target.rps ?? 0) : 0), 0);
  context.lineCap = "round";
  for (const hub of places.hubs) {
    edge(places.source, { x: hub.in, y: hub.y }, whole ? 3 : 1, colours.edge, 0.3);
    targets.forEach((target, i) => {
      const share = whole && target.ready ? (target.rps ?? 0) / whole / places.hubs.length : 0;
      const cut = !target.ready;
      context.setLineDash(cut ? [3, 5] : []);
      edge({ x: hub.out, y: hub.y }, places.ports[i], cut ? 1 : 1 + 9 * share, cut ? colours.edge : colours[target.colour], cut ? 0.8 : 0.3);
    });
  }
  context.setLineDash([]);
}

function edge(from, to, width, colour, alpha) {
  const bend = (to.x - from.x) * 0.55;
  context.globalAlpha = alpha;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.bezierCurveTo(from.x + bend, from.y, to.x - bend, to.y, to.x, to.y);
  context.stroke();
  context.globalAlpha = 1;
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
  const colour = colours[one.target.colour];
  if (age < TO_HUB_MS) {
    const place = along(places.source, { x: hub.in, y: hub.y }, age / TO_HUB_MS);
    return point({ x: place.x, y: place.y + one.lift * Math.sin((Math.PI * age) / TO_HUB_MS) }, colours.edge);
  }
  age -= TO_HUB_MS;
  if (age < TO_NODE_MS) return point(along(out, port, ease(age / TO_NODE_MS)), colour);
  age -= TO_NODE_MS;
  if (one.kind === "fallen" && age < FALL_MS) return cross(port.x - 10, port.y + 60 * (age / FALL_MS) ** 2, 1 - age / FALL_MS);
  if (one.kind === "turned" && age < TURN_MS) {
    const second = places.ports[targets.findIndex((target) => target.element === one.other?.element)];
    return second ? point(turn(port, second, age / TURN_MS), colours.degraded, 4.5) : false;
  }
  return false;
}

/** From the first node's port back a little, and on to the second's. */
function turn(from, to, part) {
  return { x: from.x - 46 * Math.sin(Math.PI * part), y: from.y + (to.y - from.y) * ease(part) };
}

const ease = (part) => part * part * (3 - 2 * part);

function point({ x, y }, colour, radius = 3.4) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
  return true;
}

function cross(x, y, alpha) {
  context.globalAlpha = alpha;
  context.strokeStyle = colours.down;
  context.lineWidth = 2.2;
  context.beginPath();
  for (const [dx, dy] of [[4, 4], [4, -4]]) {
    context.moveTo(x - dx, y - dy);
    context.lineTo(x + dx, y + dy);
  }
  context.stroke();
  context.globalAlpha = 1;
  return true;
}

/** How many dots are under way; for tests. */
export const underWay = () => dots.length;
