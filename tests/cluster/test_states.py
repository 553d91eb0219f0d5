"""States: the table is complete, and the operator's word comes first."""

import itertools

import pytest

from cluster.states import LAST_RESORT, READY, STATE, Admin, Health, State, admin_from

ALL = list(itertools.product(Admin, Health, (False, True)))


def test_the_table_knows_every_combination_and_no_other() -> None:
    assert set(STATE) == set(ALL)


@pytest.mark.parametrize(("health", "ejected"), list(itertools.product(Health, (False, True))))
def test_what_an_operator_ordered_is_shown_whatever_was_observed(health: Health, ejected: bool) -> None:
    assert STATE[Admin.DRAINING, health, ejected] is State.DRAINING
    assert STATE[Admin.MAINTENANCE, health, ejected] is State.MAINTENANCE


def test_an_enabled_node_is_what_was_observed_and_down_says_more_than_ejected() -> None:
    assert {(h, e): STATE[Admin.ENABLED, h, e] for h in Health for e in (False, True)} == {
        (Health.UNKNOWN, False): State.UNKNOWN,
        (Health.UP, False): State.UP,
        (Health.DOWN, False): State.DOWN,
        (Health.UNKNOWN, True): State.EJECTED,
        (Health.UP, True): State.EJECTED,
        (Health.DOWN, True): State.DOWN,
    }


def test_only_enabled_nodes_that_are_not_down_may_ever_be_used() -> None:
    usable = {key for key in ALL if STATE[key] in READY | LAST_RESORT}
    assert usable == {(Admin.ENABLED, h, e) for h in (Health.UP, Health.UNKNOWN) for e in (False, True)}
    assert not READY & LAST_RESORT


def test_words_are_lower_case_and_lead_back() -> None:
    assert [admin_from(a.word) for a in Admin] == list(Admin)
    assert [s.word for s in State] == ["up", "unknown", "ejected", "down", "draining", "maintenance"]
    with pytest.raises(KeyError):
        admin_from("asleep")
