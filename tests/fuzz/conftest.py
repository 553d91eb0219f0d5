"""The bench for the tests of this folder, its files in a folder of their own."""

from collections.abc import Iterator

import pytest

from tests.fuzz.in_process import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIRLEAD_STATE", str(folder / "run"))
        made = Bench(folder)
        yield made
        made.close()
