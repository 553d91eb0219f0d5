"""A LAN comes up, its hosts are machines of their own, and nothing of it is left."""

from collections.abc import Iterator

import pytest

from lab.lan.errors import LanError
from lab.lan.lan import Lan

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    with Lan.up(names=["alpha", "beta"], state=tmp_path_factory.mktemp("lan")) as lan:
        yield lan


def test_hosts_answer_over_ssh_by_their_known_keys(lan: Lan) -> None:
    for host in lan.hosts:
        said = lan.operator.run(["ssh", "-F", str(lan.ssh_config), host.name, "cat /etc/hostname; hostname"])
        assert said.stdout.split() == [host.name, host.name]


def test_a_host_cannot_be_set_up_twice_in_one_folder(lan: Lan) -> None:
    with pytest.raises(LanError, match="a LAN is up in"):
        Lan.up(1, state=lan.state)
