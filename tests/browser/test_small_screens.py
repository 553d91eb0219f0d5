"""A phone, also without JavaScript: everything is there, readable, within its width."""

import re
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.pages import live
from tests.dashboard.running import RunningDashboard

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
SIZES = [(390, 844), (320, 568)]


def within(width: int, *parts: Locator) -> None:
    """None of these sticks out at a side."""
    for part in parts:
        for i in range(part.count()):
            box = part.nth(i).bounding_box()
            assert box is not None, part.nth(i)
            assert box["x"] >= 0, (box, part.nth(i).inner_text())
            assert box["x"] + box["width"] <= width, (box, part.nth(i).inner_text())


def first_numbers(running: RunningDashboard) -> None:
    """Until the dashboard has numbers: a page without JavaScript shows what was known when it was asked for."""
    request = urllib.request.Request(running.url + "/state", headers={"Cookie": running.cookie()})
    for _ in range(100):
        with urllib.request.urlopen(request, timeout=5) as answer:
            if b'"tick":[' in answer.read().replace(b": ", b":"):
                return
        time.sleep(0.1)
    raise AssertionError("no numbers came")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}px")
def test_without_javascript(running: RunningDashboard, open_page: Open, size: tuple[int, int]) -> None:
    running.control.set_node("l2", health="down", cause="3 probes failed: timeout after 1.0 s")
    first_numbers(running)
    page = open_page(java_script_enabled=False, viewport={"width": size[0], "height": size[1]}, has_touch=True)
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1).locator("[data-badge]")).to_have_text(re.compile(r"▼\s*down"))
    expect(rows.nth(1)).to_contain_text("3 probes failed: timeout after 1.0 s")
    expect(rows.nth(0).locator('[data-f="rps"]')).to_have_text(re.compile(r"^\d"))
    expect(page.locator("#counts")).to_have_text("2 up · 0 draining · 1 down")
    expect(page.locator("body")).to_contain_text("Without JavaScript this page is a plain table")
    within(
        size[0],
        page.locator("#nodes-table"),
        page.locator("#rows :is(td, th):visible"),
        page.locator("thead th:visible"),
    )
    within(size[0], page.locator("header.bar"), page.locator(".alert"), page.locator("footer"))
    page.mouse.wheel(300, 0)
    assert page.evaluate("scrollX") == 0
    expect(page.locator("button:visible:not(.sort), select:visible")).to_have_count(0)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}px")
def test_a_dead_node(running: RunningDashboard, open_page: Open, size: tuple[int, int]) -> None:
    """What is wrong and with whom is read without scrolling; its card says why, and what was seen of it."""
    page = open_page(viewport={"width": size[0], "height": size[1]}, has_touch=True)
    live(page)
    running.control.set_node("l2", health="down", cause="3 probes failed: timeout after 1.0 s")
    expect(page.locator("#advice-text")).to_have_text("l2: 3 probes failed: timeout after 1.0 s")
    expect(page.locator("#counts")).to_contain_text("1 down")
    expect(page.locator("#counts")).to_be_in_viewport(ratio=1)
    expect(page.locator("#advice")).to_be_in_viewport(ratio=1)
    lane = page.locator('.lane[data-node="l2"]')
    expect(lane.locator(".glyph")).to_have_text("▼")
    expect(lane.locator(".word")).to_be_visible()
    expect(lane.locator(".note")).to_have_text("3 probes failed: timeout after 1.0 s")
    card = page.locator('.node-card[data-node="l2"]')
    expect(card.locator("[data-badge]")).to_have_text(re.compile(r"▼\s*l2\s*down"))
    expect(card.locator(".axes")).to_be_hidden()
    card.locator("summary").tap()
    expect(card.locator('[data-f="probe"]')).to_contain_text("7 failed in a row")
    expect(card.locator('[data-f="process"]')).to_be_visible()
    within(
        size[0],
        lane,
        lane.locator(".note, .who, .rate, .slow"),
        card,
        card.locator(".axes, .orders, .flight, .figures"),
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert _cut(page, "#lanes .note, #counts, #advice-text, .node-card [data-f]:not([hidden])") == []


def _cut(page: Page, selector: str) -> Any:
    """Texts of which a part cannot be seen."""
    return page.evaluate(
        "(selector) => [...document.querySelectorAll(selector)].filter((part) => part.offsetParent &&"
        " part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflow !== 'visible')"
        ".map((part) => part.textContent)",
        selector,
    )
