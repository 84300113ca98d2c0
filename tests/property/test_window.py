"""Incremental windows equal an obvious count over all samples."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.availability import weighted
from monitor.core.maintenance import Maintenance
from monitor.core.period import figures_between
from monitor.core.window import History
from probes.model import Outcome
from tests.support.builders import NOW
from tests.support.strategies import samples

MAINTENANCE = (Maintenance(since=NOW + 100, until=NOW + 130),)
WINDOWS = {"short": 20.0, "middle": 100.0, "long": 600.0}
# Quarters of a second are exact in binary, so the oracle may compare without tolerance.
OFFSETS = st.integers(0, 1600).map(lambda quarters: quarters / 4)


def covered(members, start, now):
    """Lay out each sample's stretch of time and add them up."""
    total = 0.0
    for i, sample in enumerate(members):
        left = (sample.at - members[i - 1].at) / 2 if i else sample.at - start
        right = (members[i + 1].at - sample.at) / 2 if i + 1 < len(members) else now - sample.at
        total += min(left, sample.slot_s) + min(right, sample.slot_s)
    return total


def share(members):
    """The good share of *members*, each weighing the microseconds of its slot."""
    weights = [max(1, round(s.slot_s * 1e6)) for s in members]
    good = sum(w for s, w in zip(members, weights, strict=True) if s.outcome is Outcome.GOOD)
    return weighted(good, sum(weights), sum(w * w for w in weights), len(members))


def oracle(appended, now, span):
    """Count from scratch what a window of *span* holds at *now*."""
    kept = [s for s in appended if s.outcome is not Outcome.VOID]
    members = sorted((s for s in kept if now - span < s.at <= now), key=lambda s: s.at)
    good = sorted(s.latency_s for s in members if s.outcome is Outcome.GOOD)
    bad = [s for s in members if s.outcome is Outcome.BAD]
    return {
        "n": len(members),
        "provider": share([s for s in members if s.outcome is not Outcome.UNUSABLE]),
        "user": share(members),
        "p50": good[ceil(len(good) / 2) - 1] if good else None,
        "mean": round(sum(good) / len(good), 4) if good else None,
        "failure": round(sum(s.duration_s for s in bad) / len(bad), 4) if bad else None,
        "timeouts": sum(s.is_timeout for s in bad),
        "last": members[-1].at if members else None,
        "coverage": round(covered(members, now - span, now) / span, 9),
    }


def shown(figures):
    """What the oracle speaks of, out of the published figures."""
    mean, failure = figures.latency_mean_s, figures.failure_mean_s
    decided = figures.good + figures.bad
    return {
        "n": figures.n,
        "provider": figures.provider,
        "user": figures.user,
        "p50": figures.quantiles[0.5].value,
        "mean": None if mean is None else round(mean, 4),
        "failure": None if failure is None else round(failure, 4),
        "timeouts": round((figures.timeout_ratio or 0) * decided),
        "last": figures.last_sample_at,
        "coverage": round(figures.coverage, 9),
    }


def close(expected, actual):
    """Equal, up to the last rounded digit of the means and the coverage."""
    loose = {"mean": 2e-4, "failure": 2e-4, "coverage": 2e-9}
    for key, tolerance in loose.items():
        one, other = expected.pop(key), actual.pop(key)
        assert (one is None) == (other is None)
        assert one is None or abs(one - other) <= tolerance
    return expected == actual


@given(
    steps=st.lists(
        st.one_of(samples(OFFSETS.map(lambda s: NOW + s)), OFFSETS.map(lambda s: NOW + s)),
        max_size=60,
    )
)
def test_figures_equal_a_count_from_scratch(steps):
    """Whatever order samples and readings come in, clocks set back included."""
    history, appended = History(WINDOWS), []
    for step in [*steps, NOW + 500, NOW + 2000]:
        if not isinstance(step, float):
            history.append(step)
            appended.append(step)
            continue
        figures = history.figures(step)
        for name, span in WINDOWS.items():
            assert close(oracle(appended, step, span), shown(figures[name]))


@given(
    appended=st.lists(samples(OFFSETS.map(lambda s: NOW + s)), max_size=40),
    now=OFFSETS.map(lambda s: NOW + s),
)
def test_ratios_stay_within_their_bounds(appended, now):
    """Coverage, ratios and quantiles are inside their limits, whatever was appended."""
    history = History(WINDOWS)
    for sample in appended:
        history.append(sample)
    for figures in history.figures(now).values():
        assert 0 <= figures.coverage <= 1
        for bounds in (figures.provider, figures.user, *figures.quantiles.values()):
            lower, upper = bounds.lower, bounds.upper
            assert bounds.value is None or lower is None or lower <= bounds.value
            assert bounds.value is None or upper is None or bounds.value <= upper


@given(appended=st.lists(samples(OFFSETS.map(lambda s: NOW + s)), max_size=40), data=st.data())
def test_a_restart_changes_no_figure(appended, data):
    """Replaying the stored samples of the longest window gives the figures of before."""
    now = NOW + 500
    appended.sort(key=lambda sample: sample.at)
    live = History(WINDOWS)
    for sample in appended:
        live.append(sample)
        if data.draw(st.booleans()):
            live.figures(sample.at)
    replayed = History(WINDOWS)
    for sample in appended:
        if sample.at > now - WINDOWS["long"]:
            replayed.append(sample)

    assert live.figures(now) == replayed.figures(now)


@given(
    appended=st.lists(samples(OFFSETS.map(lambda s: NOW + s)), max_size=40),
    readings=st.lists(OFFSETS, min_size=40, max_size=40),
    threshold_s=st.none() | st.floats(1.0, 300.0),
)
def test_windows_counted_at_once_equal_windows_that_moved(appended, readings, threshold_s):
    """What enters and leaves one by one, clocks set back included, leaves no trace in any figure."""
    now = NOW + 500
    slow, at_once = (
        History(WINDOWS, threshold_s=threshold_s, maintenance=MAINTENANCE) for _ in range(2)
    )
    for sample, reading in zip(appended, readings, strict=False):
        slow.append(sample)
        slow.figures(NOW + reading)
    at_once.extend(appended)

    assert slow.figures(now) == at_once.figures(now)


@given(
    appended=st.lists(samples(OFFSETS.map(lambda s: NOW + s)), max_size=40),
    first=st.integers(0, 1600),
    span=st.integers(1, 800),
)
def test_a_period_has_its_first_moment_and_not_its_last(appended, first, span):
    """Adjacent periods share no sample and lose none."""
    since, until = NOW + first / 4, NOW + (first + span) / 4
    members = [s for s in appended if since <= s.at < until]
    kept = sorted((s for s in members if s.outcome is not Outcome.VOID), key=lambda s: s.at)
    expected = oracle(members, until, until - since + 1.0)
    actual = shown(figures_between(appended, since, until))

    coverage = covered(kept, since, until) / (until - since)
    assert abs(coverage - actual["coverage"]) < 1e-5  # The last microsecond is not in it.
    assert close(expected | {"coverage": actual["coverage"]}, actual)
