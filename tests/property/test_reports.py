"""Laws of client reports: who is believed, how much, and what figures they make."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.availability import wilson
from monitor.core.reports import (
    FUTURE_S_MAX,
    RECENT_S,
    STEP_S,
    Report,
    Sums,
    Witnesses,
    client_figures,
    skew_of,
    why_not,
)
from probes.model import ErrorClass, Outcome

BAD = sorted(error for error in ErrorClass if error.outcome is Outcome.BAD)
NOT_BAD = sorted(error for error in ErrorClass if error.outcome is not Outcome.BAD)
AT = 1_800_000_000.0


def a_report(at=0.0, error=None, target="alpha"):
    """A report *at* seconds after a moment."""
    return Report(f"r{at}", target, AT + at, error, 1.0, 1)


@given(st.lists(st.tuples(st.floats(0, 86_400), st.sampled_from(BAD)), min_size=1, max_size=300))
def test_one_client_moves_a_target_one_step_in_half_a_minute(failures):
    """However often it fails and in whatever batches it says so."""
    witnesses, steps = Witnesses(), []
    for at, error in sorted(failures, key=lambda failure: failure[0]):
        steps += witnesses.hear("shop", [a_report(at, error)]).values()

    assert all(b.at - a.at >= STEP_S for a, b in itertools.pairwise(steps))
    assert len(steps) >= 1


@given(st.lists(st.tuples(st.floats(0, 600), st.sampled_from(NOT_BAD)), max_size=50))
def test_what_concerns_a_client_alone_is_no_evidence(failures):
    """Its key, its quota, its request, its prompt: nobody else meets them."""
    witnesses = Witnesses()

    assert all(
        {} == witnesses.hear("shop", [a_report(at, error)]) for at, error in sorted(failures)
    )


@given(
    st.lists(st.floats(0, RECENT_S / 2), min_size=1, max_size=30),
    st.floats(0, RECENT_S / 2),
)
def test_a_client_that_fails_while_another_succeeds_demotes_nobody(failures, success):
    """And it is named, so that its owner hears of it."""
    witnesses = Witnesses()
    witnesses.hear("other", [a_report(success)])
    told = witnesses.hear("shop", [a_report(at, ErrorClass.TIMEOUT) for at in failures])

    assert {} == told
    assert ("shop",) == witnesses.failing_alone("alpha")


def test_a_client_whose_pictures_mostly_come_is_not_failing():
    """One failure among nine pictures is what providers are like."""
    witnesses = Witnesses()
    pictures = [a_report(at) for at in range(9)]

    assert {} == witnesses.hear("shop", [*pictures, a_report(9, ErrorClass.TIMEOUT)])


def test_a_late_report_changes_nothing_that_is_known_better():
    """Batches may come out of order."""
    witnesses = Witnesses()
    witnesses.hear("shop", [a_report(100)])

    assert {} == witnesses.hear("shop", [a_report(50, ErrorClass.TIMEOUT)])


def test_two_clients_that_fail_are_two_steps():
    """The first one demotes, the second one confirms."""
    witnesses = Witnesses()
    first = witnesses.hear("shop", [a_report(0, ErrorClass.OVERLOADED)])
    second = witnesses.hear("blog", [a_report(1, ErrorClass.OVERLOADED)])

    assert ErrorClass.OVERLOADED == first["alpha"].error == second["alpha"].error


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
