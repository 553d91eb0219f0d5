"""Bad usage of `fab` ends with 2, as that of all our commands. By itself it ends with 1: here, that hosts failed."""

from collections.abc import Callable

from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from deploy.outcome import Code


def end_with_2(fab: Program) -> None:
    """Have the program that loads our tasks say so of tasks, options and values that do not exist."""
    fab.parse_tasks, fab.parse_cleanup = map(_step, (fab.parse_tasks, fab.parse_cleanup))


def _step(step: Callable[[], None]) -> Callable[[], None]:
    def stepped() -> None:
        try:
            step()
        except (ParseError, ValueError) as error:  # ValueError: a word where a number belongs
            raise Exit(f"{error}\n`fab --list` shows the tasks, `fab --help TASK` its options", Code.PENDING) from None

    return stepped
