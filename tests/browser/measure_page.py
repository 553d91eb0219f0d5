"""Measures the page in a real Chromium beside a made-up control API; prints figures and asserts nothing.

python -m tests.browser.measure_page first [NODES] [RUNS]      first picture, processor slowed down 4 times
python -m tests.browser.measure_page frames [NODES] [SLOWER]   frames a second at 1,000 requests a second
python -m tests.browser.measure_page memory [NODES] [MINUTES]  heap after collection; the page's clock runs fast
"""

import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, WebSocketRoute, sync_playwright

from tests.browser.conftest import ARGUMENTS
from tests.dashboard.running import RunningDashboard

SIZE: Any = {"width": 1280, "height": 720}
# A frame's callbacks run just before it is painted, so the first that finds figures and nodes shows them.
# Looks at text only: asking for sizes here would lay the page out once more each time, which is not the page's doing.
WATCH_FIRST = """
const look = () => {
  const figure = (selector) => /\\d/.test(document.querySelector(selector)?.textContent);
  const shown = figure('[data-total="rps"]') && figure('.lane .rate, .node-tile .rate');
  if (shown && !performance.getEntriesByName('figures').length) performance.mark('figures');
  if (document.querySelector('#live-or-not strong')?.textContent === 'Live') performance.mark('alive');
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
FIRST = """() => {
  const first = (name) => performance.getEntriesByName(name)[0].startTime;
  const paint = first('first-contentful-paint');
  return [paint, Math.max(paint, first('figures')), first('alive'), performance.getEntriesByType('resource').length];
}"""
# Lives on for that many seconds of the page's clock: two ticks a second through the page's own store, as the socket
# hands them in, with words that change each ten seconds and an event each five. The real server goes on beside it.
LIVE_ON = """async (seconds) => {
  const { store, tick, change, events } = await import('/static/js/store.js');
  for (let beat = 0; beat < 2 * seconds; beat += 1) {
    pageClock.forward(500);
    const totals = Object.values(store.totals).map((value) => (value ?? 0) * (0.95 + Math.random() / 10));
    const near = (value) => Math.round((value ?? 0) * (0.9 + Math.random() / 5));
    const rows = store.rows.map((row) => Object.values(row).map(near));
    tick([store.tick + 1, totals, rows, []]);
    const index = beat % store.layout.nodes.length;
    const words = beat % 40 ? { state: 'up', cause: '' } : { state: 'down', cause: 'timeout' };
    if (beat % 20 === 0) change({ nodes: { [index]: words } });
    const id = Math.max(0, ...store.events.map((event) => event.id)) + 1;
    if (beat % 10 === 0) events([[id, Date.now() / 1000, 'health', 'l1', 'probe', `l1 said ${beat}`, 'b1']]);
    if (beat % 20 === 0) await new Promise((done) => requestAnimationFrame(done));
  }
}"""
SIZES = """async () => {
  const { store } = await import('/static/js/store.js');
  return [store.history.at.length, store.events.length, store.tick];
}"""
# The date moves only when told, so that a point a second fills the history; timers and frames keep their real pace.
FAST_CLOCK = """
const [begun, sinceStart] = [Date.now(), performance.now.bind(performance)];
window.pageClock = { ahead: 0, forward(ms) { this.ahead += ms; } };
Date.now = () => begun + pageClock.ahead;
performance.now = () => sinceStart() + pageClock.ahead;
"""
WATCH_FRAMES = """(seconds) => new Promise((done) => {
  const times = [];
  const frame = (now) => {
    times.push(now);
    if (now - times[0] < seconds * 1000) requestAnimationFrame(frame);
    else done(times);
  };
  requestAnimationFrame(frame);
})"""


def measure_first(browser: Browser, running: RunningDashboard, runs: str = "5") -> None:
    """First contentful paint, first figures on screen, and the page alive; each time with an empty cache."""
    rows = []
    for _ in range(int(runs)):
        context = browser.new_context(viewport=SIZE)
        page = context.new_page()
        page.goto(running.link)
        page.goto("about:blank")
        cdp = context.new_cdp_session(page)
        cdp.send("Network.setCacheDisabled", {"cacheDisabled": True})
        cdp.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        page.add_init_script(WATCH_FIRST)
        page.goto(running.url)
        page.wait_for_function("() => performance.getEntriesByName('alive').length")
        rows.append(page.evaluate(FIRST))
        context.close()
    for name, column in zip(("first paint", "first figures", "alive"), zip(*rows, strict=True), strict=False):
        print(f"{name}: median {statistics.median(column):.0f} ms, {min(column):.0f} to {max(column):.0f}")
    print(f"{rows[0][3]} files, processor 4 times slower, {len(rows)} runs; {_machine()}")


def measure_frames(browser: Browser, running: RunningDashboard, slower: str = "1") -> None:
    """Frames a second over ten seconds, and what script, style and layout take of one."""
    page = browser.new_context(viewport=SIZE).new_page()
    page.goto(running.link)
    page.wait_for_selector("#live-or-not:has-text('Live')")
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    cdp.send("Emulation.setCPUThrottlingRate", {"rate": float(slower)})
    page.wait_for_timeout(2000)
    before = _metrics(cdp)
    times = page.evaluate(WATCH_FRAMES, 10)
    after = _metrics(cdp)
    gaps = [b - a for a, b in pairwise(times)]
    rate = len(gaps) / (times[-1] - times[0]) * 1000
    print(f"{rate:.1f} frames/s, {sum(g > 34 for g in gaps)} gaps over 34 ms; {_machine()}")
    for name in ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration", "TaskDuration"):
        print(f"{name}: {(after[name] - before[name]) / len(gaps) * 1000:.2f} ms a frame")


def measure_memory(browser: Browser, running: RunningDashboard, minutes: str = "30") -> None:
    """The heap after a collection, at seven points; the page's clock and its ticks run fast, the server's do not."""
    page = browser.new_context(viewport=SIZE).new_page()
    for i in range(600):  # the log is full from the start: what grows then is a leak
        running.control.event("health", f"l1 said {i}", node="l1")
    page.add_init_script(FAST_CLOCK)
    page.route_web_socket(re.compile("socket.io"), _greeting_once())
    page.route("**/state", lambda route: route.abort())
    page.goto(running.link)
    page.wait_for_selector("body[data-whole]")
    page.wait_for_selector("#live-or-not:has-text('Live')")
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    part = round(float(minutes) * 60 / 6)
    for i in range(7):
        if i:
            page.evaluate(LIVE_ON, part)
        cdp.send("HeapProfiler.collectGarbage")
        seen = _metrics(cdp)
        sizes = page.evaluate(SIZES)
        print(
            f"minute {i * part / 60:4.1f}: heap {seen['JSHeapUsedSize'] / 1e6:.2f} MB, {seen['Nodes']:.0f} DOM nodes, "
            f"{seen['JSEventListeners']:.0f} listeners; {sizes[0]} points, {sizes[1]} events, tick {sizes[2]}",
            flush=True,
        )


def _greeting_once() -> Callable[[WebSocketRoute], None]:
    """Lets one `hello` and `past` through: with another the server's clock and history would replace the page's."""
    greeted: set[str] = set()

    def connected(page_side: WebSocketRoute) -> None:
        def pass_on(message: str | bytes) -> None:
            greeting = re.match(r'42\["(hello|past)"', message) if isinstance(message, str) else None
            if greeting is None or greeting[1] not in greeted:
                page_side.send(message)
            if greeting is not None:
                greeted.add(greeting[1])

        page_side.connect_to_server().on_message(pass_on)

    return connected


def _machine() -> str:
    return f"{os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}"


def _metrics(cdp: CDPSession) -> dict[str, float]:
    return {metric["name"]: metric["value"] for metric in cdp.send("Performance.getMetrics")["metrics"]}


MEASURES: dict[str, Callable[..., None]] = {"first": measure_first, "frames": measure_frames, "memory": measure_memory}


def main() -> None:
    what, *more = sys.argv[1:]
    nodes = int(more[0]) if more else {"first": 3, "frames": 30, "memory": 100}[what]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        names = tuple(f"l{i + 1}" for i in range(nodes))
        running = RunningDashboard(Path(folder), names, rps=1000.0).start()
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        try:
            time.sleep(3)  # the feed has asked once
            MEASURES[what](browser, running, *more[1:])
        finally:
            browser.close()
            running.close()


if __name__ == "__main__":
    main()
