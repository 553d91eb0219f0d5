"""The page's first picture: figures that are there before any script has run."""

import re

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


def test_nothing_of_the_script_stands_before_the_styles() -> None:
    html = page(Dashboard(fleet(), "t"))
    assert html.index('rel="stylesheet"') < html.index('data-total="rps"') < html.index("modulepreload")


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(0, 100, "0"), (1, 0, "0"), (0.05, 100, "<0.1"), (1.23, 100, "1.2"), (33.4, 100, "33")]
)
def test_per_cent_as_the_script_writes_it(part: float, whole: float, text: str) -> None:
    assert first_sight.percent(part, whole) == text
