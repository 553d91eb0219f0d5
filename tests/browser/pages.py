"""Where things stand on the page: what several browser tests look for and press."""

import re

from playwright.sync_api import Locator, Page, expect


def live(page: Page) -> None:
    """Numbers have arrived, and all that stands below the picture."""
    expect(page.locator("#live-or-not")).to_contain_text("Live")
    expect(page.locator('[data-total="rps"]')).to_have_text(re.compile(r"\d"))
    expect(page.locator("body")).to_have_attribute("data-whole", "yes")


def cell(page: Page, node: str, field: str) -> str:
    """A figure or word of a node, from its row in the table."""
    return page.locator(f'tr[data-node="{node}"] [data-f="{field}"]').inner_text()


def act(page: Page, node: str, what: str) -> None:
    """Press one of a node's orders, on its card."""
    page.locator(f'.node-card[data-node="{node}"] [data-act="{what}"]').click()


def card(label: str) -> str:
    """The card of an algorithm."""
    return f'.card:has-text("{label}")'


def within(width: int, *parts: Locator) -> None:
    """None of these sticks out at a side."""
    for part in parts:
        for i in range(part.count()):
            box = part.nth(i).bounding_box()
            assert box is not None, part.nth(i)
            assert box["x"] >= 0, (box, part.nth(i).inner_text())
            assert box["x"] + box["width"] <= width, (box, part.nth(i).inner_text())
