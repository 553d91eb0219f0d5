// The traffic picture: clients, balancers, and a lane a node (tiles by kind when there are many). This list is the
// truth; the canvas behind it (dots.js) only moves.

import { showOrders } from "./controls.js";
import { all, attribute, copy, find, make, text } from "./dom.js";
import { setTargets } from "./dots.js";
import { count, GLYPHS, number } from "./format.js";
import { pains } from "./pains.js";
import { drawInFlight, drawStack } from "./stack.js";
import { label } from "./status.js";
import { store } from "./store.js";

const MOST_LANES = 10;
const parts = new Map(); // node name -> its element
const groups = new Map(); // kind -> its box, when there are tiles

/** New words: make what is missing, name it. */
export function drawTopology() {
  const { nodes, balancers } = store.layout;
  const box = find("#lanes");
  const tiled = nodes.length > MOST_LANES;
  const shape = `${tiled} ${nodes.map((node) => `${node.name}/${node.kind}`).join()}`;
  if (box.dataset.shape !== shape) build(box, shape, tiled);
  nodes.forEach((node) => drawWords(parts.get(node.name), node));
  drawHubs(balancers);
  aim(tiled);
}

function build(box, shape, tiled) {
  const { nodes } = store.layout;
  const drawn = box.dataset.shape === undefined ? all("[data-node]", box) : []; // by the server, in the page's first HTML
  box.dataset.shape = shape;
  parts.clear();
  groups.clear();
  if (nodes.length && drawn.length === nodes.length) return adopt(box, drawn);
  box.classList.toggle("tiled", tiled);
  box.classList.toggle("few", nodes.length <= 5);
  box.classList.toggle("crowd", nodes.length > 40);
  box.replaceChildren();
  for (const node of nodes) {
    const part = copy(tiled ? "tile-template" : "lane-template");
    part.dataset.node = node.name;
    parts.set(node.name, part);
    (tiled ? group(box, node.kind) : box).append(part);
  }
}

function adopt(box, drawn) {
  for (const part of drawn) parts.set(part.dataset.node, part);
  for (const item of all(".group", box)) groups.set(item.dataset.kind, item);
}

function group(box, kind) {
  if (!groups.has(kind)) {
    const item = make("li", "group");
    item.dataset.kind = kind;
    item.append(make("p", "kind-name"), make("ul", "tiles-of"));
    box.append(item);
    groups.set(kind, item);
  }
  return groups.get(kind).lastElementChild;
}

function drawWords(part, node) {
  attribute(part, "data-state", node.state);
  attribute(part, "data-fault", store.layout.lab?.faults[node.name] ? "yes" : null);
  const name = find(".name", part);
  text(name, node.name);
  attribute(name, "href", `#node-${node.name}`);
  text(find(".glyph", part), GLYPHS[node.state] ?? "○");
  text(find(".word", part), node.state);
  const kind = find(".of.kind-of", part);
  if (!kind) return;
  text(kind, node.kind);
  const drain = find('[data-act="draining"]', part);
  const enable = find('[data-act="enabled"]', part);
  attribute(drain, "aria-label", `Drain ${node.name}`);
  attribute(enable, "aria-label", `Enable ${node.name}`);
  showOrders(part, node);
}

function drawHubs(balancers) {
  const box = find("#hubs");
  while (box.children.length > balancers.length) box.lastElementChild.remove();
  while (box.children.length < balancers.length) box.append(copy("hub-template"));
  balancers.forEach((balancer, i) => {
    const hub = box.children[i];
    const differs = balancer.algorithm && balancer.algorithm !== store.layout.algorithm;
    attribute(hub, "data-tone", balancer.reachable ? (differs ? "ejected" : null) : "down");
    text(find(".name", hub), balancer.name);
    text(find(".algorithm-of", hub), balancer.reachable ? label(balancer.algorithm) : "control unreachable");
  });
}

/** New numbers. */
export function drawFlow() {
  const { layout, rows, totals } = store;
  const hurting = pains(layout.nodes, rows, layout.lab?.faults);
  layout.nodes.forEach((node, i) => {
    const part = parts.get(node.name);
    const figures = rows[i];
    if (!part || !figures) return;
    const pain = hurting[i];
    attribute(part, "data-pain", pain.level || null);
    drawStack(find(".stack", part), figures.in_flight ?? 0, node.slots);
    text(find(".rate b", part), number(rateOf(node, figures)));
    if (!find(".note", part)) return attribute(part, "title", pain.text || null);
    drawInFlight(find(".held", part), figures.in_flight, node.slots);
    text(find(".slow b", part), number(figures.p99_ms));
    text(find(".note", part), noteOf(node, figures, pain));
  });
  layout.balancers.forEach((_, i) => {
    const hub = find("#hubs").children[i];
    const own = store.balancers[i] ?? totals;
    if (hub) text(find(".rate b", hub), number(own.rps));
  });
  const queue = find("#queue");
  queue.hidden = !totals.queued;
  text(find("b", queue), totals.queued ?? 0);
  for (const [kind, box] of groups) {
    const of = layout.nodes.map((node, i) => (node.kind === kind ? (rows[i]?.rps ?? 0) : 0)).reduce((a, b) => a + b, 0);
    text(box.firstElementChild, `${kind} · ${count(box.lastElementChild.children.length, "node")} · ${number(of)}/s`);
  }
  aim(groups.size > 0);
}

/** A node that is drained gets nothing from now on; the ten-second window would say so ten seconds late. */
function rateOf(node, figures) {
  return node.ready ? figures.rps : figures.per_s;
}

function noteOf(node, figures, pain) {
  const faults = store.layout.lab?.faults[node.name] ?? [];
  const told = faults.length && !pain.text.startsWith("fault") ? " · a fault is on" : ""; // which, says the banner
  if (pain.level) return pain.text + told;
  if (node.state === "draining") return figures.in_flight ? `finishing ${count(figures.in_flight, "request")}` : "empty: safe to stop";
  if (node.ready && figures.slow_start < 1) return `slow start, ${Math.round(figures.slow_start * 100)} %`;
  return "";
}

/** Tell the canvas where dots go: lanes, or groups when there are tiles. */
function aim(tiled) {
  const { nodes } = store.layout;
  const of = (node, i) => ({ ready: node.ready, state: node.state, ...store.rows[i] });
  if (!tiled) {
    setTargets(nodes.map((node, i) => ({ element: parts.get(node.name), series: `--series-${(i % 8) + 1}`, ...of(node, i) })));
    return;
  }
  const sum = (list, key) => list.reduce((whole, one) => whole + (one[key] ?? 0), 0);
  const targets = [...groups].map(([kind, box], g) => {
    const members = nodes.map(of).filter((_, i) => nodes[i].kind === kind);
    const ready = members.some((one) => one.ready);
    const figures = Object.fromEntries(["rps", "per_s", "failed", "retried"].map((key) => [key, sum(members, key)]));
    return { element: box, series: `--series-${(g % 8) + 1}`, ready, state: ready ? "up" : "down", ...figures };
  });
  setTargets(targets);
}
