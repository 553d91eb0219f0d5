// Orders to the balancers, and waiting until a tick confirms them. Nothing is shown as done before.

import { on, store } from "./store.js";

const CONFIRM_MS = 3000;
const waiting = new Set();

/**
 * Send an order. Resolves to "" when the layout confirms it, else to the reason why it did not come to pass.
 * `confirmed` looks at the layout; orders that are already true are confirmed at once.
 */
export async function order(method, path, body, confirmed) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10000),
    });
  } catch {
    return "the dashboard did not answer; nobody knows whether the order arrived";
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) return said.error || `the dashboard answered ${answer.status}`;
  if (confirmed(store.layout)) return "";
  return new Promise((resolve) => {
    const wait = { confirmed, resolve };
    waiting.add(wait);
    setTimeout(() => {
      if (waiting.delete(wait)) resolve("accepted, but no tick has confirmed it within 3 s");
    }, CONFIRM_MS);
  });
}

on("layout", () => {
  for (const wait of waiting) {
    if (!wait.confirmed(store.layout)) continue;
    waiting.delete(wait);
    wait.resolve("");
  }
});

/** Ask before something that hurts. Resolves to whether the person wants it. */
export function sure(title, sentence, button) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-text").textContent = sentence;
  const [no, yes] = dialog.querySelectorAll("button");
  yes.textContent = button;
  no.onclick = () => dialog.close("no");
  yes.onclick = () => dialog.close("yes");
  dialog.returnValue = "no"; // also when it is closed by Escape
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
