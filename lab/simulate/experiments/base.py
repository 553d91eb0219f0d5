"""What an experiment is."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import RenderableType

from lab.simulate.runs import Done


class Experiment(NamedTuple):
    """`run(seeds, processes, done)` gives what is to be printed."""

    title: str
    run: Callable[[Sequence[int], int, Done], list[RenderableType]]
