"""One kept program: its state, and when it is started again. Pure: clocks are handed in.

States are called as Supervisor calls them (supervisord.org/subprocess.html), so that status and dashboard show both
kinds of hosts alike. FATAL is not among them: a keeper tries for ever, ever more slowly.
"""

from dataclasses import dataclass

STEADY_S = 10.0
"""A program that ran so long is started again at once when it ends; one that ended sooner waits."""
RUNNING_AFTER_S = 1.0
LONGEST_PAUSE_S = 30.0


def pause_s(ends: int) -> float:
    """How long to wait after so many ends in a row right after the start: 1, 2, 4 ... 30 s."""
    return min(LONGEST_PAUSE_S, 2.0 ** min(ends - 1, 10))


@dataclass
class Kept:
    """What is known of one program. Times are of one monotonic clock."""

    name: str
    state: str = "STOPPED"
    pid: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    start_at: float = 0.0
    """When it is due; for those that wait (BACKOFF, EXITED)."""
    ends: int = 0
    """Ends in a row right after a start."""
    description: str = ""
    wanted: bool = True
    """False: stopped by order."""

    def is_due(self, now: float) -> bool:
        """Whether to start it now."""
        return self.wanted and self.pid == 0 and self.state != "STOPPING" and now >= self.start_at

    def started(self, pid: int, now: float) -> None:
        """It was started."""
        self.pid, self.started_at, self.state, self.description = pid, now, "STARTING", ""

    def ran_on(self, now: float) -> bool:
        """Time has passed. True: it counts as running from now on."""
        if now - self.started_at > STEADY_S:
            self.ends = 0
        if self.state == "STARTING" and self.pid and now - self.started_at >= RUNNING_AFTER_S:
            self.state = "RUNNING"
            return True
        return False

    def stopping(self) -> None:
        """It was told to stop."""
        self.wanted = False
        self.state = "STOPPING" if self.pid else "STOPPED"

    def ended(self, how: str, now: float) -> None:
        """It is gone, or could not be started; `how` in words."""
        ran_s = now - self.started_at if self.pid else 0.0
        self.pid, self.ended_at, self.description = 0, now, how
        if not self.wanted:
            self.state = "STOPPED"
        elif ran_s >= STEADY_S:
            self.state, self.ends, self.start_at = "EXITED", 0, now
        else:
            self.ends += 1
            self.state, self.start_at = "BACKOFF", now + pause_s(self.ends)
