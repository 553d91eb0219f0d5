"""A virtual LAN that the tests of this folder share; each finds it whole."""

from collections.abc import Iterator

import pytest

from lab.lan.faults import clear
from lab.lan.lan import Lan


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses a LAN starts processes, and needs root."""
    for item in items:
        if {"shared_lan", "lan"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def shared_lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    """Three hosts: alpha and beta, and gamma, whose sshd hands every command to a program of its own."""
    folder = tmp_path_factory.mktemp("lan")
    (folder / "shared").mkdir()
    (folder / "shared" / "note").write_text("from the machine\n")
    with Lan.up(
        names=["alpha", "beta", "gamma"],
        state=folder / "lan",
        share=[folder / "shared"],
        shells={"gamma": "/usr/local/bin/other-shell"},
    ) as lan:
        lan.host("gamma").run(
            ["sh", "-c", "cat >/usr/local/bin/other-shell; chmod 755 /usr/local/bin/other-shell"],
            input='#!/bin/sh\necho "asked for: $SSH_ORIGINAL_COMMAND"\nexit 3\n',
        )
        yield lan


@pytest.fixture
def lan(shared_lan: Lan) -> Iterator[Lan]:
    """The shared LAN, without a fault before and after."""
    assert shared_lan.faults == []
    yield shared_lan
    clear(shared_lan)
