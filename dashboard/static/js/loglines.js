// The last lines of a node's log, fetched when somebody wants them; of a node on another host, which this page cannot
// read, the command that does. Text only: logs may hold anything.

import { find, text } from "./dom.js";
import { store } from "./store.js";

/** Show them in the node's card. */
export async function showLog(card, name) {
  const place = find(".loglines", card);
  const { host } = store.layout.nodes.find((node) => node.name === name);
  place.hidden = false;
  if (host !== store.layout.dashboard_host) {
    text(place, `fab logs --hosts ${host} --programs node-${name}`);
    return getSelection().selectAllChildren(place); // to be copied
  }
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
