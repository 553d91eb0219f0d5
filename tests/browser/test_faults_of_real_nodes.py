"""The Lab on real simulated nodes: a fault put on from the page, seen there, felt by requests, and over by itself."""

import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import live
from tests.fleet import RunningFleet, fleet_config, free_port
from tests.fleet import running as running_fleet

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


class Shown(NamedTuple):
    """What `open_page` opens: here the dashboard of a real fleet."""

    url: str
    link: str
    fleet: RunningFleet


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Shown]:
    config = fleet_config([{"name": "l1"}, {"name": "l2"}], health={"slow_start_s": 0})
    config["dashboard"] = {"port": free_port(), "lab": True}
    with running_fleet(tmp_path, config) as fleet:
        url = fleet.dashboard_url
        yield Shown(url, f"{url}/?token={fleet.token}", fleet)


def start_fault(page: Page, node: str, kind: str, lasts_s: int) -> None:
    """Fill in the form of the Lab and press."""
    page.locator("#fault-node").select_option(node)
    page.locator("#fault-kind").select_option(kind)
    page.locator("#fault-lasts").fill(str(lasts_s))
    page.get_by_role("button", name="Start fault").click()


def active(running: Shown, node: str) -> list[str]:
    """The kinds of faults that a node itself says it has."""
    return [fault["kind"] for fault in running.fleet.node_stats(node)["faults"]]


def answers(running: Shown, path: str = "/") -> set[int]:
    """The statuses of six requests through the balancer, as clients see them."""
    seen = set()
    for _ in range(6):
        request = urllib.request.Request(running.fleet.url + path, b"x", method="POST")  # not tried again elsewhere
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                seen.add(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                seen.add(error.code)
    return seen


def test_a_fault_is_started_seen_felt_and_ends_by_itself(running: Shown, open_page: Open) -> None:
    page = open_page()
    live(page)
    start_fault(page, "l2", "error", 8)
    banner = page.locator('.alert[data-key="faults"]')
    expect(banner).to_contain_text(re.compile(r"l2 errors, status 500 \(\d s left\)"))
    assert active(running, "l2") == ["error"]
    assert answers(running) == {200, 500}
    expect(page.locator('.node-card[data-node="l2"] .chip')).to_contain_text("errors, status 500")
    note = page.locator(".lane[data-node=l2] .note")
    expect(note).to_have_text(re.compile(r"^\d+ % of its requests fail · a fault is on$"))
    expect(page.locator('[data-total="errors"]')).not_to_have_text("0")
    expect(page.locator("#advice-text")).to_contain_text("l2: ")
    expect(page.locator("#faults-on")).to_contain_text("l2 errors, status 500")
    expect(page.locator("#log")).to_contain_text("fault on l2: errors, status 500")
    expect(banner).to_have_count(0, timeout=20000)
    assert active(running, "l2") == []
    assert answers(running) == {200}
    expect(page.locator("#faults-none")).to_be_visible()
    expect(page.locator('.node-card[data-node="l2"] .chip')).to_have_count(0)
    expect(page.locator("#log")).to_contain_text("l2 has no faults any more")


def test_all_faults_end_at_one_press(running: Shown, open_page: Open) -> None:
    """Also one that somebody else put there, and from whichever view one is in."""
    running.fleet.fault("l1", kind="slow", add_ms=50)
    page = open_page()
    live(page)
    start_fault(page, "l2", "error", 600)
    banner = page.locator('.alert[data-key="faults"]')
    expect(banner).to_contain_text("l1 slow, +50 ms")
    expect(banner).to_contain_text("l2 errors")
    page.get_by_role("link", name="Live", exact=True).click()
    banner.get_by_role("button", name="Clear all faults").click()
    expect(banner).to_have_count(0)
    assert active(running, "l1") == active(running, "l2") == []
    expect(page.locator("#log")).to_contain_text("faults of l1 were cleared")
    expect(page.locator("#log")).to_contain_text("faults of l2 were cleared")
    assert answers(running) == {200}
