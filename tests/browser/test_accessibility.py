"""No barriers that axe-core can find (WCAG 2.2 A and AA), in both themes, on a phone, in every view and dialog."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import act, live
from tests.dashboard.running import RunningDashboard

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
Open = Callable[..., Page]


def violations(page: Page) -> list[str]:
    """What axe finds on the page as it stands: rule, element, why."""
    assert AXE.is_file(), "axe-core is missing: python tests/browser/install_axe.py"
    page.evaluate(AXE.read_text())
    found: Any = page.evaluate("(tags) => axe.run({runOnly: tags})", TAGS)
    assert len(found["passes"]) > 15
    return [
        f"{rule['id']}: {node['target']}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
def test_the_whole_page(running: RunningDashboard, open_page: Open, theme: str, size: tuple[int, int]) -> None:
    running.control.set_node("l2", health="down", cause="3 probes failed: timeout after 1.0 s")
    page = open_page(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
    live(page)
    act(page, "l3", "draining") if size[0] > 640 else None
    expect(page.locator("#log li").first).to_be_visible()
    assert violations(page) == []


def test_the_table_an_open_chart_and_dialogs(open_page: Open) -> None:
    page = open_page()
    live(page)
    page.get_by_role("button", name="Table").click()
    page.locator("[data-show]").first.click()
    assert violations(page) == []
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.locator(".menu summary").click()
    assert violations(page) == []


def test_thirty_nodes(running: RunningDashboard, open_page: Open) -> None:
    for i in range(3, 30):
        running.control.add_node(f"n{i}", i)
    page = open_page()
    live(page)
    expect(page.locator(".node-tile")).to_have_count(30)
    assert violations(page) == []


def test_signing_in(running: RunningDashboard, open_page: Open) -> None:
    page = open_page(running.url + "/?token=wrong", troubles=True)
    assert violations(page) == []
