// Colours and type for canvases, asked of the style sheets once a theme: each asking in the middle of a tick makes the
// browser bring all styles up to date first.

import { token } from "./dom.js";

let known = new Map();
let family = "";

addEventListener("themechange", () => {
  known = new Map();
});

/** The value of a colour token in the present theme. */
export function colour(name) {
  if (!known.has(name)) known.set(name, token(name));
  return known.get(name);
}

/** The page's typefaces. */
export function fontFamily() {
  family ||= getComputedStyle(document.body).fontFamily;
  return family;
}
