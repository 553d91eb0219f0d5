// Numbers, times and words for people. Pure.

export const GLYPHS = { up: "●", unknown: "○", ejected: "◐", down: "▼", draining: "◇", maintenance: "▪" };

/** Three figures at most; "–" for no value. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value >= 10000) return value.toLocaleString("en", { maximumFractionDigits: 0 });
  if (value >= 100) return String(Math.round(value));
  if (value >= 10) return String(Math.round(value * 10) / 10);
  return String(Math.round(value * 100) / 100);
}

/** Per cent of a part in a whole: "0.2", "33", "0". Never above 100: what ends in a window may have begun before it. */
export function percent(part, whole) {
  if (!whole) return "0";
  const value = Math.min(100, (100 * part) / whole);
  return value === 0 || value >= 10 ? String(Math.round(value)) : value < 0.1 ? "<0.1" : value.toFixed(1);
}

/** A span of time in its largest unit: "8 s", "3 m", "5 h", "2 d". */
export function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** Time of day of seconds since the epoch: "14:02:10". By hand: asking for a locale's costs a slow machine 140 ms once. */
export function clock(at) {
  const time = new Date(at * 1000);
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

/** "1 node", "3 nodes". */
export function count(n, noun) {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}
