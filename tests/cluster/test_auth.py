"""The operator's token: private, stable, the same for all who start at once."""

import multiprocessing
import stat
from pathlib import Path

import pytest

from cluster import auth


def test_it_is_made_once_long_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "token"
    token = auth.read_token(path)
    assert len(token) == 32
    assert auth.read_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["token"]
    assert auth.read_token(tmp_path / "other") != token


def test_one_that_an_operator_wrote_counts(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("chosen\n")
    assert auth.read_token(tmp_path / "token") == "chosen"


def test_it_lies_in_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_STATE", str(tmp_path / "s"))
    assert auth.read_token() == (tmp_path / "s" / "token").read_text().strip()


def test_many_who_start_at_once_agree(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        tokens = pool.map(auth.read_token, [tmp_path / "token"] * 16)
    assert len(set(tokens)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["token"]


def test_only_the_whole_token_matches() -> None:
    assert auth.matches("abc", "abc")
    for wrong in (None, "", "ab", "abcd", "ABC", "äbc"):
        assert not auth.matches(wrong, "abc")


@pytest.mark.parametrize(
    ("field", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("abc", None),
        ("", None),
        (None, None),
    ],
)
def test_the_authorization_field(field: str | None, token: str | None) -> None:
    assert auth.bearer(field) == token
