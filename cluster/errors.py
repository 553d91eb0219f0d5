"""Every error that a person can meet, in one tree.

FairleadError
|- ConfigError          exit 2   config.json: every problem at once, each with its path
|- StartError           exit 1   a program did not start; says which, why and the way out
|- ControlError         exit 1   the control API refused or could not be reached
`- ProxyError           never leaves the balancer as a traceback: it becomes an answer
   |- BadRequest        400      the client sent something ambiguous or malformed
   |- TooLarge          413/414/431
   |- NotImplementedHere 501/405/417
   |- NoReadyNode       503      with Retry-After
   |- NodeFailed        502      refused, reset, cut off, or not HTTP
   |- NodeTooSlow       504      a time limit passed
   `- ClientGone        499      nobody's fault; logged, never sent
"""

from typing import ClassVar, NamedTuple


class FairleadError(Exception):
    """Base of all; `exit_code` is what a command ends with."""

    exit_code: ClassVar[int] = 1


class Problem(NamedTuple):
    """One thing wrong in a configuration: where (`nodes[2].port`) and what, with the rule and the way out."""

    path: str
    text: str


class ConfigError(FairleadError):
    """config.json cannot be used; `problems` holds all of them."""

    exit_code = 2

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        width = max((len(p.path) for p in problems), default=0)
        noun = "problem" if len(problems) == 1 else "problems"
        lines = [f"{source}: {len(problems)} {noun}"]
        lines += [f"  {p.path:<{width}}  {p.text}" for p in problems]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, list[Problem]]]:
        return ConfigError, (self.source, self.problems)  # it may cross from one process to another


class StartError(FairleadError):
    """The fleet, or one program of it, did not come up."""


class ControlError(FairleadError):
    """The control API could not be reached, or said no."""


class ProxyError(Exception):
    """A request that ends in an answer of the balancer's own.

    `reason` is one short machine-readable word group, the same in the answer, the access log and the metrics.
    """

    status: int = 500

    def __init__(self, reason: str, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        if status is not None:
            self.status = status


class BadRequest(ProxyError):
    """The client's fault; the connection is closed after the answer."""

    status = 400


class TooLarge(BadRequest):
    """A head, line or body over its limit (413, 414 or 431)."""

    status = 431


class NotImplementedHere(BadRequest):
    """A method, coding or expectation that this balancer does not carry (501, 405, 417, 505)."""

    status = 501


class NoReadyNode(ProxyError):
    """No node may be picked now; sent with Retry-After."""

    status = 503


class AllBusy(NoReadyNode):
    """Nodes are ready, but each has as many requests as it may have: wait in the queue."""


class OutOfFiles(NoReadyNode):
    """This process may open no further connection (EMFILE): no node's fault."""


class NodeFailed(ProxyError):
    """The node refused, reset, cut off, or sent something that is not HTTP.

    `sent` says whether any byte of the request can have reached the node: what decides if a POST may be tried again.
    """

    status = 502

    def __init__(self, reason: str, text: str, *, sent: bool) -> None:
        super().__init__(reason, text)
        self.sent = sent


class NodeTooSlow(NodeFailed):
    """A time limit towards the node passed."""

    status = 504


class ClientGone(ProxyError):
    """The client closed or reset; there is nobody to answer."""

    status = 499
