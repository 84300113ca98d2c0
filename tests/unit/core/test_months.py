"""Calendar months: their bounds, their grace, and the figures of one that runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.gaps import Gap
from monitor.core.months import (
    GRACE_S,
    Evidence,
    is_over,
    month_bounds,
    month_figures,
    month_of,
)
from monitor.core.snapshot import GapReason
from monitor.core.spec import Objective
from monitor.core.verdict import Verdict
from tests.support.builders import a_sample, a_spec

DAY = 86_400.0


def utc(*parts):
    """A time in UTC, in seconds since the epoch."""
    return datetime(*parts, tzinfo=UTC).timestamp()


@given(at=st.floats(0, 4e9))
def test_every_moment_lies_in_its_month_and_in_no_other(at):
    """Months follow on one another without a gap or an overlap, years included."""
    since, until = month_bounds(month_of(at))

    assert since <= at < until
    assert 28 * DAY <= until - since <= 31 * DAY
    assert until == month_bounds(month_of(until))[0]
    assert month_of(until) > month_of(since)


def test_a_month_is_over_a_day_after_its_end():
    """Late results of batch jobs come within that day."""
    assert (utc(2026, 12, 1), utc(2027, 1, 1)) == month_bounds("2026-12")
    assert not is_over("2026-12", utc(2027, 1, 1) + GRACE_S - 1)
    assert is_over("2026-12", utc(2027, 1, 1) + GRACE_S)


def figured(month="2026-11", *, now, samples=(), gaps=(), **changes):
    """The figures of a target as of *now*."""
    spec = a_spec(claim=Objective(availability=0.99, latency_p95_s=12.0), **changes)
    evidence = Evidence(samples=tuple(samples), gaps=tuple(gaps), spend_usd=1.25)
    return month_figures(month, spec, evidence, threshold_s=12.0, now=now)


def test_a_month_that_runs_is_figured_so_far_and_judged_by_its_whole_length():
    """On the fourth day coverage is of three days; the rest of the month has room for the proof."""
    start = utc(2026, 11, 1)
    samples = [a_sample(start + 600.0 * slot) for slot in range(3 * 144)]
    gaps = [Gap("alpha", start + 60.0, GapReason.SPEND_CAP, 600.0)]
    month = figured(now=start + 3 * DAY, samples=samples, gaps=gaps)
    availability, latency = month.verdicts

    assert (False, "2026-11", 1.25) == (month.is_final, month.month, month.spend_usd)
    assert 1.0 == pytest.approx(month.figures.coverage, abs=1e-3)
    assert {GapReason.SPEND_CAP: 1} == {r: c.slots for r, c in month.figures.gaps.items()}
    assert (Verdict.ATTAINED, Verdict.ATTAINED) == (availability.verdict, latency.verdict)
    young = figured(now=start + DAY, samples=samples)
    assert young.verdicts[0].decider.fits


def test_the_first_moment_of_a_month_has_figures_without_data():
    """Nothing is divided by nothing."""
    month = figured(now=utc(2026, 11, 1))

    assert (0, 0.0) == (month.figures.n, month.figures.coverage)
    assert {Verdict.UNDETERMINED} == {verdict.verdict for verdict in month.verdicts}
