"""What a node is: two axes, and one table that says what follows.

`Admin` is what an operator ordered. `Health` is what was observed. Neither overwrites the other: a node that
an operator drained stays draining whatever the probes say, and a node that comes back up is ready only if it is
enabled. Everything that decides whether a node may be picked is in this file.
"""

from enum import IntEnum


class Admin(IntEnum):
    """What the operator ordered; survives every restart."""

    ENABLED = 0
    DRAINING = 1  # no new requests; those in flight are finished
    MAINTENANCE = 2  # out, whatever the probes say; not probed into rotation

    @property
    def word(self) -> str:
        return self.name.lower()


class Health(IntEnum):
    """What the probes saw. UNKNOWN may be picked: a node nobody has asked yet is more likely up than not."""

    UNKNOWN = 0
    UP = 1
    DOWN = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class State(IntEnum):
    """What a person is shown: the one word that matters most."""

    UP = 0
    UNKNOWN = 1
    EJECTED = 2
    DOWN = 3
    DRAINING = 4
    MAINTENANCE = 5

    @property
    def word(self) -> str:
        return self.name.lower()


# (admin, health, ejected) -> state. The operator's word comes first, then the probes', then the ejector's.
STATE: dict[tuple[Admin, Health, bool], State] = {
    **{(Admin.MAINTENANCE, health, e): State.MAINTENANCE for health in Health for e in (False, True)},
    **{(Admin.DRAINING, health, e): State.DRAINING for health in Health for e in (False, True)},
    **{(Admin.ENABLED, Health.DOWN, e): State.DOWN for e in (False, True)},
    (Admin.ENABLED, Health.UP, True): State.EJECTED,
    (Admin.ENABLED, Health.UNKNOWN, True): State.EJECTED,
    (Admin.ENABLED, Health.UP, False): State.UP,
    (Admin.ENABLED, Health.UNKNOWN, False): State.UNKNOWN,
}

READY = frozenset({State.UP, State.UNKNOWN})

# When ejection alone has emptied the pool these are used after all: a doubtful node beats none. A node that the
# probes call down, or that an operator took out, is never used.
LAST_RESORT = frozenset({State.EJECTED})


def admin_from(word: str) -> Admin:
    """The admin state that a person's word names: enabled, draining or maintenance. KeyError otherwise."""
    return Admin[word.upper()]
