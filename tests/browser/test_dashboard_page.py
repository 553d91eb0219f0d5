"""What a person sees and presses, in a real Chromium."""

import re
import time
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from dashboard import access
from tests.browser.pages import act, card, cell, live
from tests.dashboard.fake_control import FakeControl
from tests.dashboard.running import RunningDashboard

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


def points(page: Page) -> int:
    """How many points the charts have."""
    got: int = page.evaluate("import('/static/js/store.js').then((m) => m.store.history.at.length)")
    return got


def test_the_link_signs_in_and_data_is_there(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    assert page.url == running.url + "/"
    assert running.token not in page.content()
    assert page.evaluate("document.cookie") == ""
    expect(page.locator("#age")).to_have_text(re.compile(r"tick \d\.\d s ago"))
    expect(page.locator("#counts")).to_contain_text("3 up · 0 draining · 0 down")
    assert float(cell(page, "l1", "p99_ms")) > 0
    expect(page.locator(".plot canvas")).to_have_count(2)
    expect(page.locator('[role="img"]').first).to_have_attribute("aria-label", re.compile("l1 [0-9]"))


def test_numbers_move_and_rows_stay_the_same_elements(open_page: Open) -> None:
    page = open_page()
    live(page)
    page.evaluate("window.row = document.querySelector('.node-card[data-node=l1]')")
    page.locator('.node-card[data-node="l1"] [data-act="draining"]').focus()
    before = cell(page, "l1", "rps")
    page.wait_for_function(
        "(was) => document.querySelector('tr[data-node=l1] [data-f=rps]').innerText !== was", arg=before
    )
    assert page.evaluate("window.row === document.querySelector('.node-card[data-node=l1]')")
    assert page.evaluate("document.activeElement.dataset.act") == "draining"


def test_a_wrong_token_gets_a_field(running: RunningDashboard, open_page: Open) -> None:
    page = open_page(running.url + "/?token=wrong", troubles=True)
    expect(page.locator('[role="alert"]')).to_contain_text("not this fleet's")
    page.get_by_label("Token").fill(running.token)
    page.get_by_role("button", name="Sign in").click()
    live(page)
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()


def test_the_algorithm_is_shown_when_a_tick_confirms_it(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    expect(page.locator(card("Round robin"))).to_have_attribute("aria-checked", "true")
    page.locator(card("Least connections")).click()
    expect(page.locator(card("Least connections"))).to_have_attribute("aria-checked", "true")
    expect(page.locator(card("Round robin"))).to_have_attribute("aria-checked", "false")
    assert running.control.algorithm == "least_connections"
    expect(page.locator("#algorithm-status")).to_contain_text("differs from config.json")
    expect(page.locator("#log li").first).to_contain_text("switched to least_connections")
    expect(page.locator("#polite")).to_contain_text("Algorithm is Least connections")


def test_an_algorithm_that_no_tick_confirms_is_an_error(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    running.control.mute = True
    page.locator(card("Dynamic")).click()
    expect(page.locator("#algorithm-status")).to_contain_text("switching to Dynamic…")
    expect(page.locator(card("Round robin"))).to_have_attribute("aria-checked", "true")
    expect(page.locator("#algorithm-status")).to_contain_text("no tick has confirmed it within 3 s")
    expect(page.locator(card("Round robin"))).to_have_attribute("aria-checked", "true")


def test_a_refusal_is_shown_with_its_reason(running: RunningDashboard, open_page: Open) -> None:
    page = open_page(troubles=True)
    live(page)
    running.control.refuse = "the orders file cannot be written"
    page.locator(card("Dynamic")).click()
    expect(page.locator("#algorithm-status")).to_contain_text("b1: the orders file cannot be written")
    act(page, "l1", "draining")
    expect(page.locator('tr[data-node="l1"] [data-f="pending"]')).to_contain_text("the orders file cannot be written")
    assert cell(page, "l1", "state") == "up"


def test_drain_and_enable(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    act(page, "l2", "draining")
    row = page.locator('.node-card[data-node="l2"]')
    expect(row.locator("[data-badge]")).to_have_text(re.compile(r"◇\s*l2\s*draining"))
    expect(row.locator('[data-act="draining"]')).to_be_hidden()
    assert page.evaluate("document.activeElement.dataset.act") == "enabled"
    expect(page.locator("#counts")).to_contain_text("2 up · 1 draining")
    page.keyboard.press("Enter")
    expect(row.locator("[data-badge]")).to_have_text(re.compile(r"●\s*l2\s*up"))
    assert running.control.nodes["l2"]["admin"] == "enabled"


def test_the_last_ready_node_is_asked_about(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    for node in ("l1", "l2"):
        act(page, node, "maintenance")
        expect(page.locator(f'tr[data-node="{node}"] [data-badge]')).to_contain_text("maintenance")
    act(page, "l3", "draining")
    expect(page.locator("#confirm")).to_contain_text("l3 is the last ready node")
    expect(page.locator("#confirm")).to_contain_text("503")
    page.keyboard.press("Escape")
    assert running.control.nodes["l3"]["admin"] == "enabled"
    act(page, "l3", "draining")
    page.get_by_role("button", name="Drain anyway").click()
    expect(page.locator("#alerts")).to_contain_text("No node is ready")
    expect(page.locator("#assertive")).to_contain_text("No node is ready")


def test_weights_are_off_where_they_have_no_effect(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    heavier = page.locator('.node-card[data-node="l1"] [data-act="heavier"]')
    expect(page.locator("#weights-note")).to_have_text(
        "Round robin takes no account of weights; used by Weighted (smooth)"
    )
    expect(heavier).to_have_attribute("aria-disabled", "true")
    heavier.click(force=True)
    page.locator(card("Weighted")).click()
    expect(heavier).not_to_have_attribute("aria-disabled", "true")
    heavier.click()
    expect(page.locator('tr[data-node="l1"] [data-f="weight"]')).to_have_text("2")
    expect(page.locator('tr[data-node="l1"] [data-f="weight_note"]')).to_have_text("file: 1")
    assert running.control.nodes["l1"]["weight"] == 2


def test_old_data_is_called_old_and_nothing_can_be_pressed(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    running.control.stop()
    expect(page.locator("#age")).to_have_text(re.compile(r"Data is \d s old"))
    expect(page.locator("#alerts")).to_contain_text("Balancer control unreachable: b1")
    expect(page.locator("body")).to_have_attribute("data-stale", "yes")
    expect(page.locator(card("Dynamic"))).to_have_attribute("aria-disabled", "true")
    page.locator(card("Dynamic")).click(force=True)
    running.control.start()
    live(page)
    expect(page.locator("#alerts")).to_be_empty()
    expect(page.locator("body")).to_have_attribute("data-stale", "no")
    assert running.control.algorithm == "round_robin"
    expect(page.locator("#log")).to_contain_text("its control API answers again")


def test_a_dashboard_that_dies_is_another_matter_and_comes_back(running: RunningDashboard, open_page: Open) -> None:
    page = open_page(troubles=True)
    live(page)
    page.wait_for_timeout(3000)
    had = points(page)
    running.stop()
    expect(page.locator("#live-or-not")).to_contain_text("Connection lost")
    expect(page.locator("#alerts")).to_contain_text("Connection to the dashboard lost")
    expect(page.locator("#alerts")).not_to_contain_text("Balancer control")
    running.start()
    expect(page.locator("#live-or-not")).to_contain_text("Live", timeout=12000)
    expect(page.locator("#alerts")).to_be_empty()
    assert points(page) >= had  # what this tab remembers from before is still drawn


def test_a_reload_keeps_the_history(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    running.control.event("health", "something to remember", "l1")
    page.wait_for_timeout(4000)
    assert points(page) >= 4
    page.reload()
    live(page)
    assert points(page) >= 4
    expect(page.locator("#log")).to_contain_text("something to remember")
    page.locator("[data-show]").first.click()
    assert page.locator('[data-chart="rates"] .data tr').count() >= 4


def test_events_are_filtered_by_kind(running: RunningDashboard, open_page: Open) -> None:
    running.control.event("health", "l1 is down", "l1")
    running.control.event("weight", "l1 has weight 3", "l1")
    page = open_page()
    live(page)
    expect(page.locator("#log li:visible")).to_have_count(3)  # with the sign-in
    page.get_by_role("button", name="health 1").click()
    expect(page.locator("#log li:visible")).to_have_count(1)
    running.control.event("weight", "l1 has weight 4", "l1")
    expect(page.get_by_role("button", name="weight 2")).to_be_visible()
    expect(page.locator("#log li:visible")).to_have_count(1)


def test_what_nodes_say_is_never_markup(running: RunningDashboard, open_page: Open) -> None:
    evil = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
    running.control.nodes[evil] = FakeControl._node(evil, 3)
    running.control.set_node("l1", health="down", cause=evil)
    page = open_page()
    live(page)
    running.control.event(evil, evil, evil, who=evil)
    expect(page.locator("#log li").first.locator(".text")).to_have_text(evil)
    expect(page.locator('tr[data-node="l1"] [data-f="cause"]')).to_have_text(evil)
    expect(page.locator("#rows tr")).to_have_count(4)
    page.wait_for_timeout(1200)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0


def test_a_log_on_another_host_is_a_command_to_copy(running: RunningDashboard, open_page: Open) -> None:
    running.control.set_node("l2", host="web1")
    page = open_page()
    live(page)
    page.locator('.node-card[data-node="l2"] [data-log]').click()
    command = "fab logs --hosts web1 --programs node-l2"
    expect(page.locator('.node-card[data-node="l2"] .loglines')).to_have_text(command)
    assert page.evaluate("getSelection().toString()") == command


def test_what_a_deploy_says_is_said_aloud(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    event = {"seq": 1, "at": time.time(), "kind": "deploy", "who": "anna", "text": "release 7 failed on web2"}
    running.told("/events", {"source": "deploy", "events": [event, {**event, "seq": 2, "kind": "load", "text": "x"}]})
    expect(page.locator("#polite")).to_have_text("release 7 failed on web2")


def test_the_keyboard_moves_first_and_chooses_second(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    page.locator(card("Round robin")).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(1200)
    assert running.control.algorithm == "round_robin"
    page.keyboard.press("Enter")
    expect(page.locator(card("Weighted"))).to_have_attribute("aria-checked", "true")
    expect(page.locator(card("Weighted"))).to_be_focused()


def test_pause_freezes_the_numbers_and_not_the_log(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    live(page)
    page.get_by_role("button", name="Pause").click()
    before = page.locator("#rows").inner_text()
    running.control.event("health", "while paused", "l1")
    expect(page.locator("#log")).to_contain_text("while paused")
    page.wait_for_timeout(1500)
    assert page.locator("#rows").inner_text() == before
    page.get_by_role("button", name="Resume").click()
    page.wait_for_function("(was) => document.querySelector('#rows').innerText !== was", arg=before)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_scrolls_sideways(open_page: Open, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    live(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("#algorithm-select")).to_be_visible(visible=width <= 640)
    if width <= 640:
        small = page.evaluate(
            "[...document.querySelectorAll('#nodes button, .bar button, select')].filter((b) => b.offsetParent &&"
            " b.getBoundingClientRect().height < 44).map((b) => b.outerHTML)"
        )
        assert small == []


def test_on_a_phone_the_algorithm_is_a_native_list(running: RunningDashboard, open_page: Open) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True)
    live(page)
    page.locator("#algorithm-select").select_option("weighted")
    expect(page.locator("#algorithm-sentence")).to_contain_text("by weight")
    assert running.control.algorithm == "weighted"


def test_the_theme_follows_the_system_and_can_be_chosen(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    live(page)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.locator(".menu summary").click()
    page.locator("#theme").select_option("light")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_without_a_socket_the_page_asks(open_page: Open, running: RunningDashboard) -> None:
    page = open_page(troubles=True)
    page.route_web_socket(re.compile("socket.io"), lambda socket: socket.close())
    page.goto(running.url)
    expect(page.locator("#live-or-not")).to_contain_text("Every 2 s", timeout=12000)
    act(page, "l1", "draining")
    expect(page.locator('tr[data-node="l1"] [data-badge]')).to_contain_text("draining")


def test_without_javascript_there_is_a_table(running: RunningDashboard, open_page: Open) -> None:
    with urllib.request.urlopen(running.url + "/-/health"):  # the first snapshot has been taken by now
        pass
    page = open_page(java_script_enabled=False)
    page.wait_for_timeout(500)
    page.goto(running.url)
    assert "up" in cell(page, "l2", "state")
    expect(page.locator('tr[data-node="l2"] button').first).to_be_hidden()


def test_who_only_looks_has_no_controls(running: RunningDashboard, open_page: Open) -> None:
    page = open_page(f"{running.url}/?token={access.view_token(running.token)}")
    live(page)
    expect(page.locator("body")).to_contain_text("may look but not steer")
    expect(page.locator(card("Dynamic"))).to_have_attribute("aria-disabled", "true")
    page.locator(card("Dynamic")).click(force=True)
    page.wait_for_timeout(700)
    assert running.control.algorithm == "round_robin"


@pytest.mark.parametrize("running", [0.0], indirect=True, ids=["no traffic yet"])
def test_before_the_first_request_it_says_how_to_send_one(running: RunningDashboard, open_page: Open) -> None:
    page = open_page()
    expect(page.locator("#empty")).to_contain_text("No requests yet")
    expect(page.locator("#curl")).to_have_text(re.compile(r"^curl -i http://127\.0\.0\.1:\d+/$"))
    running.control.rps = 100
    expect(page.locator("#empty")).to_be_hidden()


def test_a_hidden_tab_gets_nothing_and_comes_back_whole(open_page: Open) -> None:
    page = open_page()
    live(page)
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    hide += "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide % "true")
    page.wait_for_timeout(600)
    seen = "import('/static/js/store.js').then((m) => m.store.tick)"
    before = page.evaluate(seen)
    page.wait_for_timeout(1500)
    assert page.evaluate(seen) == before
    page.evaluate(hide % "false")
    live(page)
    page.wait_for_function(f"(was) => {seen}.then((now) => now > was)", arg=before)
