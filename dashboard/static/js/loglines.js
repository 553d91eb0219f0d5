// The last lines of a node's log, fetched when somebody wants them. Text only: logs may hold anything.

import { find, text } from "./dom.js";

/** Fetch and show them in the node's card. */
export async function fetchLog(card, name) {
  const place = find(".loglines", card);
  place.hidden = false;
  text(place, "fetching…");
  try {
    const answer = await fetch(`/logs/${encodeURIComponent(name)}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const told = await answer.json();
    text(place, answer.ok ? told.lines.join("\n") || "the log is empty" : told.error);
  } catch {
    text(place, "the dashboard did not answer");
  }
  place.scrollTop = place.scrollHeight;
}
