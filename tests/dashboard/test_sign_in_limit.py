"""Wrong tokens: how often, and what happens to those who try too often."""

from flask.testing import FlaskClient

from cluster.config import Fleet
from dashboard.app import Dashboard
from dashboard.signin_limit import ADDRESSES, TRIES, SignInLimit

TOKEN = "the-operators-token"


def client(**settings: bool) -> FlaskClient:
    fleet = {"balancers": [{"name": "b1"}], "nodes": [{"name": "l1", "port": 5001}], "dashboard": settings}
    return Dashboard(Fleet.model_validate(fleet), TOKEN).app.test_client()


def test_ten_wrong_ones_a_minute_then_a_wait() -> None:
    limit = SignInLimit()
    assert not any(limit.wrong("a", i) for i in range(TRIES - 1))
    assert limit.wrong("a", 9.0)
    assert limit.wait_s("a", 10.0) == 50.0
    assert limit.wait_s("a", 60.0) == 0.0
    assert limit.wait_s("b", 10.0) == 0.0


def test_the_right_one_forgives() -> None:
    limit = SignInLimit(tries=2)
    limit.wrong("a", 0)
    limit.right("a")
    assert not limit.wrong("a", 1)


def test_many_addresses_do_not_fill_the_memory() -> None:
    limit = SignInLimit(tries=1)
    for i in range(ADDRESSES + 5):
        limit.wrong(f"address {i}", 0)
    assert limit.wait_s("address 0", 1) == 0
    assert limit.wait_s(f"address {ADDRESSES + 4}", 1) > 0


def test_the_page_says_how_long_to_wait_and_not_even_the_right_token_opens() -> None:
    guesser = client()
    for _ in range(TRIES):
        assert guesser.post("/sign-in", data={"token": "wrong"}).status_code == 401
    answered = guesser.get(f"/?token={TOKEN}")
    assert answered.status_code == 429
    assert 1 <= int(answered.headers["Retry-After"]) <= 61
    assert b"Too many wrong tokens" in answered.data
    assert "Set-Cookie" not in answered.headers


def test_anonymous_view_shows_and_does_not_steer() -> None:
    stranger = client(anonymous_view=True)
    page = stranger.get("/")
    assert page.status_code == 200
    assert b'href="/sign-in"' in page.data
    assert b'data-role="view"' in page.data
    assert stranger.get("/state").status_code == 200
    assert stranger.post("/actions/algorithm", json={"algorithm": "weighted"}).status_code == 403
    assert stranger.get("/logs/l1").status_code == 403
    assert stranger.get("/sign-in").status_code == 200
    assert stranger.get(f"/?token={TOKEN}").status_code == 303
    assert b'data-role="operate"' in stranger.get("/").data


def test_without_it_nobody_sees_anything() -> None:
    assert client().get("/").status_code == 401
