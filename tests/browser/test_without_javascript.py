"""Without JavaScript the page is a table that reloads itself: whole, readable, within the width of a phone."""

import re
import time
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import within
from tests.dashboard.running import RunningDashboard

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def first_numbers(running: RunningDashboard) -> None:
    """Until the dashboard has numbers: a page without JavaScript shows what was known when it was asked for."""
    request = urllib.request.Request(running.url + "/state", headers={"Cookie": running.cookie()})
    for _ in range(100):
        with urllib.request.urlopen(request, timeout=5) as answer:
            if b'"tick":[' in answer.read().replace(b": ", b":"):
                return
        time.sleep(0.1)
    raise AssertionError("no numbers came")


@pytest.mark.parametrize("size", [(1280, 720), (390, 844), (320, 568)], ids=lambda size: f"{size[0]}px")
def test_the_table_is_whole(running: RunningDashboard, open_page: Open, size: tuple[int, int]) -> None:
    running.control.set_node("l2", health="down", cause="3 probes failed: timeout after 1.0 s")
    first_numbers(running)
    page = open_page(java_script_enabled=False, viewport={"width": size[0], "height": size[1]}, has_touch=True)
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1).locator("[data-badge]")).to_have_text(re.compile(r"▼\s*down"))
    expect(rows.nth(1)).to_contain_text("3 probes failed: timeout after 1.0 s")
    expect(rows.nth(0).locator('[data-f="rps"]')).to_have_text(re.compile(r"^\d"))
    expect(rows.nth(1).locator('[data-f="p99_ms"]')).to_have_text("–")
    expect(page.locator("#counts")).to_have_text("2 up · 0 draining · 1 down")
    expect(page.locator("noscript p")).to_be_visible()
    within(size[0], page.locator("#nodes-table"), page.locator("#rows :is(td, th):visible"))
    within(size[0], page.locator("header.bar"), page.locator(".alert"), page.locator("footer.last"))
    page.mouse.wheel(300, 0)
    assert page.evaluate("scrollX") == 0
    expect(page.locator("button:visible:not(.sort), select:visible")).to_have_count(0)
    with page.expect_navigation(timeout=15000):  # by itself
        pass
