"""Sign-in, roles, orders: the Flask application in process, balancers replaced by a fake control API."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.config import Fleet
from dashboard import access
from dashboard.access import Role
from dashboard.actions import Actions, Denied, answer
from dashboard.app import Dashboard
from dashboard.control import Control
from tests.dashboard.fake_control import FakeControl

TOKEN = "the-operators-token"


@pytest.fixture
def control() -> Iterator[FakeControl]:
    fake = FakeControl(TOKEN).start()
    yield fake
    fake.stop()


@pytest.fixture
def client(control: FakeControl) -> FlaskClient:
    fleet = Fleet.model_validate(
        {
            "balancers": [{"name": "b1", "control_port": control.port}],
            "nodes": [{"name": n, "port": 5001 + i} for i, n in enumerate(control.nodes)],
            "dashboard": {},
        }
    )
    return Dashboard(fleet, TOKEN).app.test_client()


def signed_in(client: FlaskClient, token: str = TOKEN) -> FlaskClient:
    assert client.get(f"/?token={token}").status_code == 303
    return client


def test_a_link_becomes_a_cookie_and_leaves_the_address(client: FlaskClient) -> None:
    answered = client.get(f"/?token={TOKEN}")
    assert answered.status_code == 303
    assert answered.headers["Location"] == "/"
    cookie = answered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    page = client.get("/")
    assert page.status_code == 200
    assert b'data-node="l1"' in page.data


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/?token="])
def test_without_the_token_there_is_a_field_for_it(client: FlaskClient, path: str) -> None:
    answered = client.get(path)
    assert answered.status_code == 401
    assert b'name="token"' in answered.data
    assert "Set-Cookie" not in answered.headers


def test_who_comes_over_a_network_is_told_how_nobody_else_can_read_it(client: FlaskClient) -> None:
    over = client.get("/", base_url="http://192.0.2.7:8090").get_data(as_text=True)
    assert "<code>ssh -L 8090:127.0.0.1:8090 192.0.2.7</code>" in over
    for private in ("http://127.0.0.1:8090", "http://localhost:8090", "https://192.0.2.7:8090"):
        assert "ssh -L" not in client.get("/", base_url=private).get_data(as_text=True), private


def test_the_field_signs_in_and_sign_out_forgets(client: FlaskClient) -> None:
    assert client.post("/sign-in", data={"token": "wrong"}).status_code == 401
    assert client.post("/sign-in", data={"token": f" {TOKEN} "}).status_code == 303
    assert client.get("/").status_code == 200
    assert client.post("/sign-out").status_code == 303
    assert client.get("/").status_code == 401


@pytest.mark.parametrize("value", ["operate.", "operate.0", f"operate.{TOKEN}", "view.x", ""])
def test_a_made_up_cookie_opens_nothing(client: FlaskClient, value: str) -> None:
    client.set_cookie("fairlead_80", value)
    assert client.get("/").status_code == 401
    assert client.get("/state").status_code == 401


def test_the_view_cookie_cannot_be_promoted(client: FlaskClient) -> None:
    forged = access.cookie_value(Role.VIEW, TOKEN).replace("view.", "operate.")
    client.set_cookie("fairlead_80", forged)
    assert client.get("/").status_code == 401


def test_headers_forbid_foreign_and_inline_content(client: FlaskClient) -> None:
    for path in ("/", "/static/js/main.js", "/-/health"):
        with client.get(path) as answered:
            policy = answered.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_health_needs_no_token(client: FlaskClient) -> None:
    assert client.get("/-/health").get_json() == {"name": "dashboard", "release": "dev"}


def test_the_algorithm_is_ordered_with_who(client: FlaskClient, control: FakeControl) -> None:
    answered = signed_in(client).post("/actions/algorithm", json={"algorithm": "weighted"})
    assert answered.status_code == 200
    assert control.algorithm == "weighted"
    assert '"who": "operator at 127.0.0.1"' in control.requests[-1]


def test_a_node_is_ordered(client: FlaskClient, control: FakeControl) -> None:
    signed_in(client)
    assert client.patch("/actions/nodes/l2", json={"admin": "draining", "weight": 7}).status_code == 200
    assert (control.nodes["l2"]["admin"], control.nodes["l2"]["weight"]) == ("draining", 7)


def test_a_refusal_comes_back_with_its_reason(client: FlaskClient, control: FakeControl) -> None:
    signed_in(client)
    answered = client.post("/actions/algorithm", json={"algorithm": "coin_toss"})
    assert answered.status_code == 400
    assert "unknown algorithm" in answered.get_json()["error"]
    assert client.patch("/actions/nodes/l99", json={"admin": "enabled"}).status_code == 404
    assert client.patch("/actions/nodes/..%2Falgorithm", json={"admin": "enabled"}).status_code == 404
    control.stop()
    answered = client.post("/actions/algorithm", json={"algorithm": "weighted"})
    assert answered.status_code == 502
    assert "b1: its control API cannot be reached (connection refused)" in answered.get_json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        "neither",
        {},
        [],
        {"admin": "gone"},
        {"weight": -1},
        {"weight": 257},
        {"weight": True},
        {"weight": "3"},
        {"admin": "enabled", "who": "me"},
    ],
)
def test_orders_that_make_no_sense_reach_no_balancer(client: FlaskClient, control: FakeControl, body: Any) -> None:
    signed_in(client)
    assert client.patch("/actions/nodes/l1", json=body).status_code == 400
    assert control.requests == []


def test_brackets_without_end_are_no_body(client: FlaskClient, control: FakeControl) -> None:
    deep = {"data": b"[" * 100_000, "content_type": "application/json"}
    assert client.post("/actions/algorithm", **deep).status_code == 401  # type: ignore[arg-type]
    signed_in(client)
    assert client.post("/actions/algorithm", **deep).status_code == 400  # type: ignore[arg-type]
    assert control.requests == []


def test_who_only_looks_cannot_steer(client: FlaskClient, control: FakeControl) -> None:
    signed_in(client, access.view_token(TOKEN))
    assert client.get("/state").status_code == 200
    for answered in (
        client.post("/actions/algorithm", json={"algorithm": "weighted"}),
        client.patch("/actions/nodes/l1", json={"admin": "draining"}),
    ):
        assert answered.status_code == 403
        assert "only look" in answered.get_json()["error"]
    assert control.requests == []


def test_signed_out_cannot_steer(client: FlaskClient, control: FakeControl) -> None:
    assert client.post("/actions/algorithm", json={"algorithm": "weighted"}).status_code == 401
    assert control.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_cannot_steer(client: FlaskClient, control: FakeControl, headers: dict[str, str]) -> None:
    signed_in(client)
    assert client.post("/actions/algorithm", json={"algorithm": "weighted"}, headers=headers).status_code == 403
    assert client.post("/sign-out", headers=headers).status_code == 403
    assert control.requests == []


def test_a_form_cannot_steer_and_nothing_changes_by_get(client: FlaskClient, control: FakeControl) -> None:
    signed_in(client)
    assert client.post("/actions/algorithm", data={"algorithm": "weighted"}).status_code == 415
    assert client.get("/actions/algorithm").status_code == 405
    assert client.get("/actions/nodes/l1").status_code == 405
    assert client.get("/sign-out").status_code == 405
    assert control.requests == []


def test_process_reports_need_the_bearer_token(client: FlaskClient) -> None:
    body = {"host": "here", "at": 1.0, "processes": [], "events": []}
    assert client.post("/processes", json=body).status_code == 401
    assert signed_in(client).post("/processes", json=body).status_code == 401
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post("/processes", json=body, headers=bearer).status_code == 204
    answered = client.post("/processes", json={**body, "host": "moon"}, headers=bearer)
    assert answered.status_code == 400
    assert "not in hosts" in answered.get_json()["error"]
    assert client.post("/processes", data=b"{" * 600_000, headers=bearer).status_code in (413, 415)


def test_names_are_text_not_markup(client: FlaskClient, control: FakeControl) -> None:
    """Server-rendered rows too: a cause comes from a node."""
    import dashboard.app as app_module

    fleet = Fleet.model_validate(
        {"balancers": [{"name": "b1"}], "nodes": [{"name": "l1", "port": 5001}], "dashboard": {}}
    )
    made = app_module.Dashboard(fleet, TOKEN)
    control.set_node("l1", cause="<script>alert(1)</script>")
    made.picture.saw("b1", control.snapshot(), 1.0)  # type: ignore[arg-type]
    made.picture.turn(1.0)
    page = signed_in(made.app.test_client()).get("/").data
    assert b"<script>alert" not in page
    assert b"&lt;script&gt;alert" in page


def test_one_of_two_balancers_failing_is_named(control: FakeControl) -> None:
    fleet = Fleet.model_validate(
        {
            "balancers": [
                {"name": "b1", "control_port": control.port},
                {"name": "b2", "port": 8090, "control_port": 1},
            ],
            "nodes": [{"name": "l1", "port": 5001}],
        }
    )
    actions = Actions(fleet.balancers, lambda name: Control("127.0.0.1", fleet.balancer(name).control_port, TOKEN))
    results = actions.algorithm({"algorithm": "weighted"}, "me")
    body, status = answer(results)
    assert status == 502
    assert [r["ok"] for r in body["results"]] == [True, False]
    assert body["error"].startswith("b2: ")
    with pytest.raises(Denied):
        actions.algorithm({}, "me")


def test_a_kept_connection_survives_a_restart_of_control(control: FakeControl) -> None:
    client = Control("127.0.0.1", control.port, TOKEN)
    assert client.snapshot()["boot"] == "boot-1"
    control.stop()
    control.start()
    assert client.snapshot()["boot"] == "boot-1"
    client.close()
