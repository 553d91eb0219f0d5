// A node's last forty probes, oldest left: short bars for passes, tall ones with a gap for fails, so that it reads
// without colour too.

import { attribute, find, text } from "./dom.js";
import { store } from "./store.js";

const ALL = 40;

/** Draw into a card: the strip, and what stands beside it. */
export function drawProbe(card, node) {
  const strip = store.strips.get(node.name);
  const svg = find(".strip", card);
  const results = strip?.results ?? [];
  const first = ALL - results.length;
  const bars = (wanted, top, height) => results.map((ok, i) => (ok === wanted ? `M${(first + i) * 4 + 1.5} ${top}v${height}` : "")).join("");
  attribute(find(".pass", svg), "d", bars(true, 7, 7));
  attribute(find(".fail", svg), "d", bars(false, 1, 13));
  const fails = results.filter((ok) => !ok).length;
  attribute(svg, "aria-label", results.length ? `last ${results.length} probes: ${fails ? `${fails} failed` : "all passed"}` : "no probes yet");
  text(find('[data-f="probe"]', card), probeText(node, strip));
  text(find('[data-f="probe_where"]', card), node.probe ? `${node.probe.path}, every ${node.probe.interval_s} s` : "");
}

function probeText(node, strip) {
  if (!node.probe) return "not probed";
  if (!strip?.results.length) return "no result yet";
  const last = strip.results.at(-1);
  const row = strip.results.length - 1 - strip.results.lastIndexOf(!last);
  const many = row >= ALL ? `${ALL}+` : row;
  if (last) return `${many} passed in a row, ${strip.last_ms} ms`;
  const told = node.cause.includes(node.probe.cause); // above, where the card says why the node is down
  return `${many} failed in a row${told ? "" : `: ${node.probe.cause}`}`;
}
