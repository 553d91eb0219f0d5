"""On a phone: what is wrong is read without scrolling, and nothing sticks out or is cut."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import live, within
from tests.dashboard.running import RunningDashboard

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
SIZES = [(390, 844), (320, 568)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}px")
def test_a_dead_node(running: RunningDashboard, open_page: Open, size: tuple[int, int]) -> None:
    """What is wrong and with whom is read without scrolling; its card says why, and what was seen of it."""
    page = open_page(viewport={"width": size[0], "height": size[1]}, has_touch=True)
    live(page)
    running.control.set_node("l2", health="down", cause="3 probes failed: timeout after 1.0 s")
    expect(page.locator("#advice-text")).to_contain_text("l2: 3 probes failed: timeout after 1.0 s")
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
