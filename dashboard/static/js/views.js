// Four views on one page, each with its address; keys that lead there. No key changes traffic.

import { all, attribute, find, remember, remembered } from "./dom.js";

/** Mark in the bar where the reader is. */
export function wireViews() {
  const links = all(".views a");
  const sections = links.map((link) => find(link.getAttribute("href")));
  const mark = () => {
    const line = innerHeight * 0.4;
    let here = sections.findLastIndex((section) => section.getBoundingClientRect().top < line);
    if (scrollY + innerHeight >= document.documentElement.scrollHeight - 4 && scrollY > 4) here = sections.length - 1;
    links.forEach((link, i) => attribute(link, "aria-current", i === Math.max(0, here) ? "true" : null));
  };
  addEventListener("scroll", mark, { passive: true });
  addEventListener("resize", mark);
  mark();
  find("#big").addEventListener("click", big);
  if (remembered("big", "no") === "yes") document.documentElement.dataset.big = "yes";
  addEventListener("hashchange", openTarget);
}

/** What the address says after its "#". */
function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return ""; // a "%" that stands for nothing
  }
}

/** The whole page is there: now the place that the address names is where it stays. */
export function landed() {
  const place = document.getElementById(fragment());
  if (place) requestAnimationFrame(() => place.scrollIntoView({ behavior: "instant" }));
}

/** An address that names a node opens its card; where there are no cards, its row is brought into sight. */
export function openTarget() {
  const name = fragment().replace(/^node-/, "");
  const card = document.getElementById(`node-${name}`);
  if (card) card.open = true;
  const row = find(`tr[data-node="${CSS.escape(name)}"]`);
  if (row?.offsetParent) row.scrollIntoView({ block: "center" });
  for (const other of all("#rows [data-found]")) attribute(other, "data-found", null);
  if (row) attribute(row, "data-found", "yes");
}

/** Larger type and only the live view, for a projector. */
function big() {
  const on = document.documentElement.dataset.big !== "yes";
  attribute(document.documentElement, "data-big", on ? "yes" : null);
  remember("big", on ? "yes" : "no");
  find(".menu").open = false;
  scrollTo(0, 0);
  dispatchEvent(new Event("sizechange"));
}

const KEYS = {
  "?": () => find("#keys").showModal(),
  "/": () => find("#find").focus(),
  p: () => find("#pause").click(),
  b: big,
};

/** Listen to keys, unless they are turned off (WCAG 2.1.4) or somebody is typing. */
export function wireKeys() {
  const on = find("#keys-on");
  on.checked = remembered("keys", "on") === "on";
  on.addEventListener("change", () => remember("keys", on.checked ? "on" : "off"));
  find("#keys-open").addEventListener("click", KEYS["?"]);
  find("#keys button").addEventListener("click", () => find("#keys").close());
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea, dialog");
    if (!on.checked || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const view = all(".views a")[Number(event.key) - 1];
    if (view && "1234".includes(event.key)) view.click();
    else if (KEYS[event.key]) KEYS[event.key]();
    else return;
    event.preventDefault();
  });
}
