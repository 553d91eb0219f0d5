// Each node's share of the requests against its fair share: bars, not stacked areas, in which a trend that is none
// looks like one.

import { attribute, find, make, text } from "./dom.js";
import { fairShares, fullShare, shares, uses } from "./fair.js";
import { count } from "./format.js";
import { store } from "./store.js";

const percent = (part) => `${Math.round(100 * part)} %`;

/** New numbers. */
export function drawShare() {
  const { nodes } = store.layout;
  const list = find("#share-list");
  while (list.children.length > nodes.length) list.lastElementChild.remove();
  while (list.children.length < nodes.length) list.append(row());
  const [got, fair] = [shares(), fairShares()];
  const full = fullShare(got, fair);
  nodes.forEach((node, i) => {
    const [name, bar, figure] = list.children[i].children;
    text(name, node.name);
    bar.firstChild.style.width = `${(100 * got[i]) / full}%`;
    bar.firstChild.style.background = nodes.length > 12 ? "" : `var(--series-${(i % 8) + 1})`;
    bar.lastChild.style.left = `${(100 * fair[i]) / full}%`;
    attribute(bar.lastChild, "hidden", !fair[i]);
    text(figure, percent(got[i]));
  });
  text(find("#share-note"), uses("weight") ? "mark: fair share by weight" : "mark: fair share, all alike");
  const worst = got.map((part, i) => part - fair[i]).reduce((best, gap, i, gaps) => (Math.abs(gap) > Math.abs(gaps[best]) ? i : best), 0);
  const sentence = nodes.length ? `Share of the requests of ${count(nodes.length, "node")}. Furthest from its fair share: ${nodes[worst].name}, ${percent(got[worst])} instead of ${percent(fair[worst])}.` : "";
  attribute(list, "aria-label", sentence);
}

function row() {
  const item = make("li");
  const bar = make("span", "sharebar");
  bar.setAttribute("aria-hidden", "true");
  bar.append(make("span", "fill"), make("span", "fair"));
  item.append(make("span", "name"), bar, make("span", "number"));
  return item;
}
