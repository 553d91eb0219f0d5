"""Nothing that a node, a host, a log or another site says does more on this page than be read."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard import access
from tests.browser.pages import act, card, live
from tests.dashboard.fake_control import ALGORITHMS, FakeControl
from tests.dashboard.running import RunningDashboard

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
EVIL = """</script></pre><img src=x onerror="alert(1)"><svg onload='alert(2)'><script>alert(3)</script>'"&lt;"""
UNHURT = "!document.querySelector('img, svg[onload], script:not([src]):not([type])')"


def test_whatever_reports_say_is_text_in_every_view(
    running: RunningDashboard, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names, kinds, addresses, causes, algorithms, events of tools, processes; before and after a reload."""
    control = running.control
    control.nodes[EVIL] = FakeControl._node(EVIL, 3) | {"kind": EVIL, "address": EVIL, "host": EVIL}
    control.set_node("l1", health="down", cause=EVIL)
    monkeypatch.setitem(ALGORITHMS[1], "label", EVIL)
    monkeypatch.setitem(ALGORITHMS[1], "sentence", EVIL)
    page = open_page()
    live(page)
    expect(page.locator("#rows tr")).to_have_count(4)
    page.reload()  # cards of algorithms are made once
    live(page)
    now = time.time()
    event = {"seq": 1, "at": now, "kind": "deploy", "node": EVIL, "who": EVIL, "text": EVIL}
    running.told("/events", {"source": EVIL, "events": [event]})
    process = {"name": EVIL, "state": "RUNNING", "pid": 5, "since": now, "restarts": 1, "description": EVIL}
    running.told("/processes", {"host": "here", "at": now, "processes": [process], "events": []})
    for _ in range(2):  # as it comes over the socket; then with all of it in the page's own HTML
        expect(page.locator("#log li").filter(has_text="deploy").locator(".text").first).to_have_text(EVIL)
        expect(page.locator("#process-list .program")).to_have_text(EVIL)
        expect(page.locator('tr[data-node="l1"] [data-f="cause"]')).to_have_text(EVIL)
        expect(page.locator('.card[data-key="least_connections"] .title')).to_have_text(EVIL)
        expect(page.locator("#lanes .lane .name").last).to_have_text(EVIL)
        expect(page.locator(".node-card .name").last).to_have_text(EVIL)
        assert page.evaluate(UNHURT)
        page.reload()
        live(page)
    with page.expect_response(running.url + "/") as answered:
        page.reload()
    assert "&lt;/script&gt;&lt;/pre&gt;&lt;img" in answered.value.text()
    live(page)


def test_lines_of_a_nodes_log_are_text(running: RunningDashboard, open_page: Open) -> None:
    """A client writes into a log what it likes: its address, its headers."""
    lines = [f'"GET /{EVIL} HTTP/1.1" 200', f"user-agent: {EVIL}", "\x1b]0;title\x07 colours"]
    (running.folder / "logs").mkdir(exist_ok=True)
    (running.folder / "logs" / "node-l1.log").write_text("\n".join(lines))
    page = open_page()
    live(page)
    page.locator('.node-card[data-node="l1"] [data-log]').click()
    shown = page.locator('.node-card[data-node="l1"] .loglines')
    expect(shown).to_contain_text("user-agent")
    assert shown.inner_text().splitlines() == [*lines[:2], "·]0;title· colours"]
    assert page.evaluate(UNHURT)


def test_who_only_looks_and_makes_the_buttons_work_is_refused(running: RunningDashboard, open_page: Open) -> None:
    """The page's own manners are no lock: with its developer tools anybody can press anything."""
    page = open_page(f"{running.url}/?token={access.view_token(running.token)}", troubles=True)
    live(page)
    page.evaluate("document.body.dataset.role = 'operate'")
    expect(page.locator(card("Dynamic"))).not_to_have_attribute("aria-disabled", "true")
    page.locator(card("Dynamic")).click()
    expect(page.locator("#algorithm-status")).to_contain_text("this session may only look")
    act(page, "l1", "draining")
    expect(page.locator('.node-card[data-node="l1"] [data-f="pending"]')).to_contain_text("this session may only look")
    page.locator("#fault-form button[type=submit]").click()
    expect(page.locator("#fault-note")).to_contain_text("this session may only look")
    page.locator("#traffic-start").click()
    expect(page.locator("#traffic-note")).to_contain_text("this session may only look")
    assert not [order for order in running.control.requests if not order.startswith("GET")]


FORMS = """<!doctype html><title>win a prize</title>
<form id="algorithm" method="post" enctype="text/plain" action="{url}/actions/algorithm">
<input name='{{"algorithm": "dynamic", "x": "' value='"}}'></form>
<form id="fault" method="post" action="{url}/lab/faults"><input name="node" value="l1"></form>
<form id="traffic" method="post" action="{url}/lab/traffic"></form>
<form id="out" method="post" action="{url}/sign-out"></form>"""

WITHOUT_A_FORM = """(url) => {
  const body = JSON.stringify({algorithm: "dynamic", admin: "draining"});
  const send = (method, path, type) =>
    fetch(url + path, {method, body, credentials: "include", headers: {"Content-Type": type},
      mode: type === "text/plain" ? "no-cors" : "cors"})
      .then((answer) => answer.type, () => "refused");
  return Promise.all([
    send("POST", "/actions/algorithm", "text/plain"),
    send("POST", "/actions/algorithm", "application/json"),
    send("PATCH", "/actions/nodes/l1", "application/json"),
    send("DELETE", "/lab/faults", "application/json"),
  ]);
}"""


@contextmanager
def another_site(html: str) -> Iterator[int]:
    """A web server of somebody else, on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_form_of_another_site_changes_nothing(running: RunningDashboard, chromium: Browser, host: str) -> None:
    """Another port of the same machine is the same *site* to a browser: it sends the cookie along, Strict or not."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(running.link)
    live(page)
    before = [request for request in running.control.requests if not request.startswith("GET")]
    with another_site(FORMS.format(url=running.url)) as port:
        for form in ("algorithm", "fault", "traffic", "out"):
            page.goto(f"http://{host}:{port}/")
            with page.expect_navigation() as went:
                page.evaluate("(form) => document.getElementById(form).submit()", form)
            assert went.value.status in (401, 403), form
        page.goto(f"http://{host}:{port}/")
        assert page.evaluate(WITHOUT_A_FORM, running.url) == ["opaque", "refused", "refused", "refused"]
        page.goto(running.url)
        live(page)  # still signed in
    context.close()
    assert [request for request in running.control.requests if not request.startswith("GET")] == before == []
    assert running.control.algorithm == "round_robin"
