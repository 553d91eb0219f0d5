"""The traffic picture, keys, views, many nodes: what moves, what it says, and that it can be still."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import act, live
from tests.dashboard.running import RunningDashboard

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
UNDER_WAY = "import('/static/js/dots.js').then((m) => m.underWay())"


def lane(node: str) -> str:
    return f'.lane[data-node="{node}"]'


def test_dots_are_a_bounded_sample(running: RunningDashboard, open_page: Open) -> None:
    running.control.rps = 5000.0
    page = open_page()
    live(page)
    page.wait_for_function(f"() => {UNDER_WAY}.then((n) => n > 10)")
    expect(page.locator("#dots-key")).to_have_text(re.compile(r"● ≈ \d+ requests"))
    page.wait_for_timeout(1500)
    assert page.evaluate(UNDER_WAY) <= 60
    page.get_by_role("button", name="Pause").click()
    page.wait_for_function(f"() => {UNDER_WAY}.then((n) => n === 0)")


def test_without_motion_there_are_edges_and_numbers_only(open_page: Open) -> None:
    page = open_page(reduced_motion="reduce")
    live(page)
    page.wait_for_timeout(1500)
    assert page.evaluate(UNDER_WAY) == 0
    drawn = "document.querySelector('#edges').getContext('2d').getImageData(0, 0, 2000, 1000).data.some((v) => v)"
    assert page.evaluate(drawn)
    expect(page.locator(lane("l1") + " .rate b")).to_have_text(re.compile(r"\d"))


def test_a_drain_is_seen_in_the_picture(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    page.locator(lane("l2") + ' [data-act="draining"]').click()
    expect(page.locator(lane("l2"))).to_have_attribute("data-state", "draining")
    expect(page.locator(lane("l2") + " .note")).to_have_text(re.compile("empty: safe to stop|finishing"))
    expect(page.locator(lane("l2") + ' [data-act="enabled"]')).to_be_focused()


def test_the_node_that_hurts_is_named_with_what_to_press(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    running.control.set_node("l2", health="down", cause="3 probes failed: timeout after 1.0 s")
    expect(page.locator("#advice-text")).to_contain_text("l2: 3 probes failed: timeout after 1.0 s")
    expect(page.locator(lane("l2"))).to_have_attribute("data-pain", "2")
    expect(page.locator('.node-card[data-node="l2"] [data-f="probe"]')).to_contain_text("7 failed in a row")
    expect(page.locator('.node-card[data-node="l2"] .strip')).to_have_attribute("aria-label", re.compile("7 failed"))


@pytest.mark.parametrize("nodes", [3, 8])
def test_a_node_that_begins_to_hurt_moves_nothing(running: RunningDashboard, open_page: Open, nodes: int) -> None:
    """Who is about to press, or reads a number, must not lose it from sight when l2 dies."""
    for i in range(3, nodes):
        running.control.add_node(f"n{i}", i)
    page = open_page()
    live(page)
    places = (
        "[...document.querySelectorAll('.lane, #charts, .node-card, .node-card .orders, #events, .plot')]"
        ".map((part) => [part.className || part.id, Math.round(part.getBoundingClientRect().top + scrollY)])"
    )
    page.locator("#events").scroll_into_view_if_needed()  # what was never in sight has no height of its own
    expect(page.locator(".node-card").last.locator('[data-f="since"]')).to_contain_text("for ")
    expect(page.locator(".node-card").last.locator('[data-f="probe_where"]')).to_contain_text("every 1 s")
    before = page.evaluate(places)
    running.control.set_node("l2", health="down", cause="3 probes failed: timeout after 1.0 s")
    expect(page.locator(lane("l2") + " .note")).to_have_text("3 probes failed: timeout after 1.0 s")
    expect(page.locator('.node-card[data-node="l2"] [data-f="pain"]')).to_contain_text("3 probes failed")
    expect(page.locator('.node-card[data-node="l2"] [data-f="probe"]')).to_have_text("7 failed in a row")
    assert page.evaluate(places) == before


def test_keys_lead_to_views_and_change_no_traffic(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    page.locator("h1").click()
    page.keyboard.press("3")
    expect(page).to_have_url(re.compile("#events$"))
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("signed in 1p?")  # letters are words now, not keys
    expect(page.locator("#log li:visible")).to_have_count(0)
    expect(page.locator("#live-or-not")).to_contain_text("Live")
    page.locator("h1").click()
    page.keyboard.press("p")
    expect(page.locator("#live-or-not")).to_contain_text("Paused")
    page.keyboard.press("p")
    page.keyboard.press("?")
    page.locator("#keys-on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    expect(page.locator("#live-or-not")).to_contain_text("Live")
    assert not [order for order in running.control.requests if not order.startswith("GET")]


def test_a_projector_shows_the_live_view_large(open_page: Open) -> None:
    page = open_page(viewport={"width": 1920, "height": 1080})
    live(page)
    page.locator("h1").click()
    page.keyboard.press("b")
    expect(page.locator("#nodes")).to_be_hidden()
    expect(page.locator("#share")).to_be_in_viewport(ratio=1)
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") > 20


@pytest.mark.parametrize("nodes", [30, 100])
def test_many_nodes_are_tiles_by_kind(running: RunningDashboard, open_page: Open, nodes: int) -> None:
    for i in range(3, nodes):
        running.control.add_node(f"n{i}", i)
    page = open_page()
    live(page)
    expect(page.locator(".node-tile")).to_have_count(nodes)
    expect(page.locator(".group")).to_have_count(4)
    expect(page.locator(".kind-name").first).to_have_text(re.compile(r"general · \d+ nodes · [\d.]+/s"))
    expect(page.locator("#nodes-table")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    expect(page.locator('[data-chart="rates"] .item')).to_have_count(4)


def test_the_table_is_sorted_from_the_keyboard_and_stays_under_the_focus(
    running: RunningDashboard, open_page: Open
) -> None:
    running.control.set_node("l3", weight=9)
    page = open_page()
    live(page)
    page.get_by_role("button", name="Table").click()
    page.locator('[data-sort="weight"]').focus()
    page.keyboard.press("Enter")
    rows = page.locator("#rows tr")
    expect(rows.first).to_have_attribute("data-node", "l3")
    expect(page.locator('th:has([data-sort="weight"])')).to_have_attribute("aria-sort", "descending")
    page.locator('tr[data-node="l3"] [data-act="draining"]').focus()
    running.control.set_node("l1", weight=20)
    page.wait_for_timeout(1500)
    expect(rows.first).to_have_attribute("data-node", "l3")
    page.locator("h1").click()
    page.locator('[data-sort="name"]').focus()
    expect(rows.first).to_have_attribute("data-node", "l1")


def test_who_presses_while_looking_at_a_card_sees_the_order_there(running: RunningDashboard, open_page: Open) -> None:
    page = open_page(troubles=True)
    live(page)
    running.control.refuse = "not today"
    act(page, "l1", "maintenance")
    expect(page.locator('.node-card[data-node="l1"] [data-f="pending"]')).to_contain_text("not today")


def test_the_pace_of_dots_follows_a_clock_that_is_handed_in(open_page: Open) -> None:
    """Nothing waits: 42 dots a second by their shares, whatever the frames; slow frames halve the drawing twice."""
    page = open_page()
    dots = page.evaluate(
        """async () => {
        const { Sample, requestsADot } = await import('/static/js/sample.js');
        const one = { element: {}, ready: true, per_s: 750 };
        const targets = [one, { element: {}, ready: true, per_s: 250 }, { element: {}, ready: false, per_s: 500 }];
        const count = (step_s) => {
          const sample = new Sample(() => 0.5);
          let taken = [];
          for (let i = 0; i < Math.round(10 / step_s); i += 1) taken = taken.concat(sample.take(targets, step_s));
          return [taken.length, taken.filter((target) => target === one).length];
        };
        return [count(1 / 64), count(1 / 8), requestsADot(targets), requestsADot([]), requestsADot([targets[2]])];
        }"""
    )
    assert dots == [[420, 315], [420, 315], 24, 0, 0]
    drawn = page.evaluate(
        """async () => {
        const { Pace } = await import('/static/js/pace.js');
        const pace = new Pace();
        let now = 0;
        const frames = (count, gap_ms) => {
          let due = 0;
          for (let i = 0; i < count; i += 1) due += pace.due((now += gap_ms)) ? 1 : 0;
          return [due, pace.every];
        };
        const runs = [[120, 16], [20, 50], [40, 50], [100, 50], [600, 16], [1000, 16]];
        const seen = runs.map(([count, gap_ms]) => frames(count, gap_ms));
        pace.rest();
        now += 60000; // a tab that slept is no slow machine
        return [...seen, frames(60, 16)];
        }"""
    )
    every = [each for _, each in drawn]
    assert every == [1, 2, 4, 4, 2, 1, 1]
    assert drawn[0][0] == 120
    assert drawn[3][0] == 25
    assert drawn[6][0] == 60


def test_what_failed_is_never_more_than_all(open_page: Open) -> None:
    """A second that ends many attempts and begins few."""
    page = open_page()
    said = page.evaluate(
        """async () => {
        const { painOf } = await import('/static/js/pains.js');
        const node = { state: 'up', ready: true, slots: 8 };
        return [89, 2].map((errors_per_s) => painOf(node, { rps: 47, errors_per_s, in_flight: 0 }, [], []).text);
        }"""
    )
    assert said == ["100 % of its requests fail", "4.3 % of its requests fail"]


def test_three_tabs_order_at_once_and_agree(running: RunningDashboard, open_page: Open) -> None:
    """Also an address that lands in the Lab, and one with a "%" that stands for nothing."""
    pages = [open_page(f"{running.link}{place}", troubles=True) for place in ("", "#lab", "#%")]
    for page in pages:
        live(page)
    expect(pages[1].locator("#lab")).to_be_in_viewport(ratio=0.9)
    press = "document.querySelector('.card[data-key=%s]').click()"
    pages[0].evaluate(press % "dynamic")
    pages[1].evaluate(press % "least_connections")
    for page in pages:
        page.wait_for_function("() => !document.querySelector('.card[data-pending]')")
        expect(page.locator(f'.card[data-key="{running.control.algorithm}"]')).to_have_attribute("aria-checked", "true")
