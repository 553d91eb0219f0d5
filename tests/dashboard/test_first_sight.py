"""The page's first picture: figures that are there before any script has run."""

import re
from typing import Any

import pytest

from cluster.config import Fleet
from dashboard import first_sight
from dashboard.app import Dashboard
from tests.dashboard.fake_control import FakeControl


def fleet() -> Fleet:
    nodes = [{"name": f"l{i}", "port": 5000 + i} for i in (1, 2, 3)]
    return Fleet.model_validate({"balancers": [{"name": "b1"}], "nodes": nodes, "dashboard": {}})


def page(dashboard: Dashboard) -> str:
    client = dashboard.app.test_client()
    client.get("/?token=t")
    return client.get("/").text


def figure(html: str, name: str) -> str:
    found = re.search(rf'data-total="{name}">([^<]*)<', html)
    assert found
    return found[1]


def test_the_page_brings_figures_and_states_before_its_script_runs() -> None:
    dashboard, control = Dashboard(fleet(), "t"), FakeControl("t")
    control.set_node("l2", admin="draining")
    snapshot = control.snapshot()
    snapshot["window"].update(rps=240.4, errors_per_s=1.2, p50_ms=18.04, p95_ms=None, p99_ms=12345.0)
    dashboard.picture.saw("b1", snapshot, 100.5)  # type: ignore[arg-type]
    dashboard.picture.turn(100.5)
    html = page(dashboard)
    shown = [figure(html, name) for name in ("rps", "errors", "p50_ms", "p95_ms", "p99_ms", "in_flight")]
    assert shown == ["240", "0.5", "18", "–", "12,345", str(snapshot["totals"]["in_flight"])]
    assert "2 up · 1 draining · 0 down" in html


def test_old_figures_are_not_shown_as_if_they_were_new() -> None:
    dashboard = Dashboard(fleet(), "t")
    assert figure(page(dashboard), "rps") == "–"
    dashboard.picture.saw("b1", FakeControl("t").snapshot(), 100.5)  # type: ignore[arg-type]
    dashboard.picture.turn(100.5)
    assert figure(page(dashboard), "rps") != "–"
    dashboard.picture.lost("b1", "connection refused", 101.0)
    dashboard.picture.turn(101.0)
    assert figure(page(dashboard), "rps") == "–"


def test_the_first_picture_waits_for_no_module() -> None:
    """Modules are named in a template only, of which a browser fetches nothing by itself."""
    html = page(Dashboard(fleet(), "t"))
    templates = re.findall(r"<template.*?</template>", html, re.DOTALL)
    assert html.count("modulepreload") == sum(t.count("modulepreload") for t in templates) > 10
    assert re.findall(r'<script[^>]*src="([^"]+)', html) == ["/static/js/first.js"]


def seen(count: int, **of_l2: Any) -> Dashboard:
    names = [f"l{i + 1}" for i in range(count)]
    nodes = [{"name": name, "port": 5001 + i} for i, name in enumerate(names)]
    dashboard = Dashboard(Fleet.model_validate({"balancers": [{"name": "b1"}], "nodes": nodes, "dashboard": {}}), "t")
    control = FakeControl("t", tuple(names))
    if of_l2:
        control.set_node("l2", **of_l2)
    snapshot = control.snapshot()
    snapshot["nodes"][0].update(in_flight=3)
    snapshot["nodes"][0]["window"].update(rps=81.24, p99_ms=99.04)
    dashboard.picture.saw("b1", snapshot, 100.5)  # type: ignore[arg-type]
    dashboard.picture.turn(100.5)
    return dashboard


def test_lanes_and_edges_are_there_before_any_script() -> None:
    html = page(seen(3, admin="draining"))
    lane = re.findall(r'<li class="lane" data-node="l1".*?</li>', html, re.DOTALL)[0]
    assert re.findall(r"<b>([^<]*)</b>", lane) == ["3", "81.2", "99"]
    assert lane.count('<i class="full">') == 3
    assert lane.count("<i></i>") == 5
    assert re.search(r'data-node="l2" data-state="draining"', html)
    svg = re.findall(r'<svg id="first-edges".*?</svg>', html, re.DOTALL)[0]
    assert svg.count("<path") == 4
    assert svg.count(" cut") == 1
    widths = [float(width) for width in re.findall(r'stroke-width="([\d.]+)"', svg)]
    assert sum(widths) == pytest.approx(3 + 9, abs=0.15)  # 1 each, and 9 among those that get requests
    assert re.findall(r'aria-checked="true"[^>]*data-key="(\w+)"', html) == ["round_robin"]


def test_many_nodes_are_tiles_by_kind_before_any_script() -> None:
    html = page(seen(11))
    picture = html[html.index('id="lanes"') : html.index('class="key"')]
    assert re.findall(r'data-kind="(\w+)"', picture) == ["general", "api", "image", "video"]
    assert picture.count('class="node-tile"') == 11
    assert 'class="lane"' not in picture
    assert "first-edges" not in html


@pytest.mark.parametrize(
    ("in_flight", "slots", "shown"),
    [
        (2, 4, ["full", "full", "", ""]),
        (3, 2, ["full", "full", "over"]),
        (2, None, ["full", "full"]),
        ("–", 2, ["", ""]),
        (48, 24, ["full"] * 12 + ["over"] * 12),
    ],
)
def test_stacks_as_the_script_draws_them(in_flight: Any, slots: int | None, shown: list[str]) -> None:
    assert first_sight.blocks(in_flight, slots) == shown


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 100, "0"), (1, 0, "0"), (0.05, 100, "<0.1"), (1.23, 100, "1.2"), (33.4, 100, "33"), (189, 100, "100")],
)
def test_per_cent_as_the_script_writes_it(part: float, whole: float, text: str) -> None:
    assert first_sight.percent(part, whole) == text
