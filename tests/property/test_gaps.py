"""Gaps in windows equal an obvious count of the raw rows."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from monitor import limits
from monitor.core.gaps import Gap
from monitor.core.period import figures_between
from monitor.core.snapshot import GapReason
from monitor.core.window import History
from tests.support.builders import NOW
from tests.support.strategies import samples

WINDOWS = {"short": 20.0, "middle": 100.0, "long": 600.0}
# Quarters of a second are exact in binary, so the oracle may compare without tolerance.
OFFSETS = st.integers(0, 1600).map(lambda quarters: quarters / 4)
TIMES = OFFSETS.map(lambda s: NOW + s)
gaps = st.builds(
    Gap, st.just("alpha"), TIMES, st.sampled_from(GapReason), st.sampled_from([0.25, 10.0, 60.0])
)


def oracle(rows, samples_there, now, span):
    """Slots and share by reason, and the first moment, of what a window holds."""
    members = [row for row in rows if now - span < row.at <= now]
    slots = Counter(row.reason for row in members)
    share = {r: sum(row.slot_s for row in members if row.reason is r) / span for r in slots}
    first = [x.at for x in [*members, *(s for s in samples_there if now - span < s.at <= now)]]
    counts = {r: (slots[r], min(1.0, share[r])) for r in slots}
    return counts, min(first, default=None)


def shown(figures):
    """What the oracle speaks of, out of the published figures."""
    return {r: (c.slots, c.share) for r, c in figures.gaps.items()}, figures.since


def close(expected, actual):
    """Equal, up to rounding in the share."""
    (counts, first), (shown_counts, shown_first) = expected, actual
    assert counts.keys() == shown_counts.keys()
    for reason, (slots, share) in counts.items():
        assert slots == shown_counts[reason][0]
        assert abs(share - shown_counts[reason][1]) < 1e-9
    return first == shown_first


@given(steps=st.lists(st.one_of(gaps, samples(TIMES), TIMES), max_size=80))
def test_gaps_equal_a_count_from_scratch(steps):
    """Whatever order gaps, samples and readings come in, clocks set back included."""
    history, rows, appended = History(WINDOWS), [], []
    for step in [*steps, NOW + 500, NOW + 2000]:
        if isinstance(step, Gap):
            history.gap(step.at, step.reason, step.slot_s)
            rows.append(step)
        elif not isinstance(step, float):
            history.append(step)
            appended += [step] if step.outcome != "void" else []
        else:
            figures = history.figures(step)
            for name, span in WINDOWS.items():
                assert close(oracle(rows, appended, step, span), shown(figures[name]))


@given(rows=st.lists(gaps, max_size=40), data=st.data())
def test_a_restart_changes_no_count(rows, data):
    """Replaying the stored gaps of the longest window gives the figures of before."""
    now = NOW + 500
    rows.sort(key=lambda row: row.at)
    live, replayed = History(WINDOWS), History(WINDOWS)
    for row in rows:
        live.gap(row.at, row.reason, row.slot_s)
        if data.draw(st.booleans()):
            live.figures(row.at)
        if row.at >= now - WINDOWS["long"]:
            replayed.gap(row.at, row.reason, row.slot_s)

    assert live.figures(now) == replayed.figures(now)


@given(rows=st.lists(gaps, max_size=40), first=st.integers(0, 1600), span=st.integers(1, 800))
def test_a_period_has_the_gaps_of_its_first_moment_and_not_of_its_last(rows, first, span):
    """Adjacent periods share no gap and lose none."""
    since, until = NOW + first / 4, NOW + (first + span) / 4
    figures = figures_between((), since, until, gaps=rows)

    assert Counter(row.reason for row in rows if since <= row.at < until) == {
        reason: count.slots for reason, count in figures.gaps.items()
    }


@given(
    rows=st.lists(gaps, min_size=12, max_size=30),
    readings=st.lists(st.tuples(st.integers(0, 29), TIMES), max_size=10),
)
def test_memory_is_bounded_by_dropping_the_oldest(rows, readings):
    """Beyond the bound the newest are counted, whatever was read in between."""
    bound, limits.SAMPLES_PER_TARGET_MAX = limits.SAMPLES_PER_TARGET_MAX, 10
    try:
        history = History({"all": 1e6})
        for number, row in enumerate(rows):
            history.gap(row.at, row.reason, row.slot_s)
            for after, at in readings:
                if after == number:
                    history.figures(at)
        figures = history.figures(NOW + 500)["all"]
    finally:
        limits.SAMPLES_PER_TARGET_MAX = bound

    kept = sorted((row.at for row in rows), reverse=True)[:10]
    assert 10 == sum(count.slots for count in figures.gaps.values())
    assert figures.since >= kept[-1]
