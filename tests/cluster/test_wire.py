"""The ORCA text form of a node's load report, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.wire import NodeReport, orca_to_report, report_to_orca


def test_the_text_form() -> None:
    report = NodeReport(rif=3, slots=8, service_ms=12.5)
    assert report_to_orca(report) == "TEXT named_metrics.rif=3,named_metrics.slots=8,named_metrics.service_ms=12.500"


@given(st.integers(0, 10**8), st.integers(0, 10**8), st.floats(0, 1e8))
def test_there_and_back(rif: int, slots: int, service_ms: float) -> None:
    back = orca_to_report(report_to_orca(NodeReport(rif=rif, slots=slots, service_ms=service_ms)))
    assert back is not None
    assert (back["rif"], back["slots"]) == (rif, slots)
    assert back["service_ms"] == pytest.approx(service_ms, abs=0.001)


def test_what_other_programs_add_is_passed_over_and_what_they_leave_out_is_not_said() -> None:
    assert orca_to_report("TEXT cpu_utilization=0.3, named_metrics.rif=2 ,mem_utilization=0.8") == {
        "rif": 2,
        "slots": 0,
        "service_ms": 0.0,
    }


@pytest.mark.parametrize(
    "value",
    [
        "",
        "TEXT ",
        "TEXT named_metrics.slots=8",
        "TEXT named_metrics.rif=many",
        "TEXT named_metrics.rif",
        "TEXT named_metrics.rif=-1",
        "TEXT named_metrics.rif=nan",
        "TEXT named_metrics.rif=inf",
        "TEXT named_metrics.rif=1,named_metrics.slots=1e300",
        'JSON {"named_metrics": {"rif": 1}}',
        "named_metrics.rif=1",
    ],
)
def test_what_is_no_report_is_none(value: str) -> None:
    assert orca_to_report(value) is None


@given(st.text(max_size=200))
def test_nothing_that_a_node_sends_raises(value: str) -> None:
    orca_to_report("TEXT " + value)
