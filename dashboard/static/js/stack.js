// What a node has in flight, as a stack: one block a request, outlines up to its slots, red what has to wait.

import { attribute, find, make, text } from "./dom.js";

const MOST = 24; // blocks; with more, a block stands for several requests

/** Draw into `box`, which holds nothing else. `slots` null: not known. */
export function drawStack(box, inFlight, slots) {
  const highest = Math.max(inFlight, slots ?? 0, 1);
  const each = Math.ceil(highest / MOST);
  const full = Math.ceil(inFlight / each);
  const outlines = slots ? Math.ceil(slots / each) : 0;
  const wanted = Math.max(full, outlines);
  while (box.children.length > wanted) box.lastElementChild.remove();
  while (box.children.length < wanted) box.append(make("i"));
  [...box.children].forEach((block, i) => {
    attribute(block, "class", i >= full ? null : outlines && i >= outlines ? "over" : "full");
  });
  attribute(box, "title", each > 1 ? `a block is ${each} requests` : null);
}

/** "7 / 8", in an element with a strong and a weak part. */
export function drawInFlight(element, inFlight, slots) {
  text(find("b", element), inFlight ?? "–");
  text(find(".of", element), slots ? ` / ${slots}` : "");
}
