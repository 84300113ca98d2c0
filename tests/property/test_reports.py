"""Laws of client reports: what is taken, and what figures they make."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.availability import wilson
from monitor.core.reports import (
    FUTURE_S_MAX,
    Report,
    Sums,
    client_figures,
    skew_of,
    why_not,
)
from probes.model import ErrorClass

AT = 1_800_000_000.0


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=6))
def test_no_client_weighs_more_than_all_others_together(counts):
    """The share lies between the others' own and the even mix of both; alone, it is Wilson's."""
    figures = client_figures([
        Sums(errors={None: good, ErrorClass.TIMEOUT: bad}) for good, bad in counts
    ])  # fmt: skip
    totals = [good + bad for good, bad in counts]
    busiest = max(range(len(counts)), key=totals.__getitem__)
    rest = sum(totals) - totals[busiest]
    ratio = figures.provider

    assert (sum(totals), len(counts)) == (figures.n, figures.clients)
    if not sum(totals):
        assert ratio.value is None
        return
    assert 0 <= ratio.lower <= ratio.value <= ratio.upper <= 1
    if len(counts) == 1:
        assert wilson(*next((g, g + b) for g, b in counts)).value == ratio.value
    elif rest and totals.count(totals[busiest]) == 1 and totals[busiest] > rest:
        mine = counts[busiest][0] / totals[busiest]
        others = (sum(good for good, _ in counts) - counts[busiest][0]) / rest
        assert abs(ratio.value - (mine + others) / 2) < 1e-4


@given(st.floats(-200_000, 200_000), st.floats(-200_000, 200_000))
def test_a_skewed_clock_changes_no_verdict_on_the_age_of_a_report(skew, age):
    """What is too old or ahead is so by the client's own clock, whatever that shows."""
    now = AT
    sent_at = now - skew
    told = Report("r", "alpha", sent_at - age, None, None, 1)
    moved = told._replace(at=told.at + skew_of(sent_at, now))
    why = why_not(moved, {"alpha"}, now)

    if 2 <= age <= 86_398:
        assert why is None
    if age > 86_403 or age < -FUTURE_S_MAX - 3:
        assert why is not None
        assert why[0] == "at"
    assert "target" == why_not(moved, {"beta"}, now)[0]
