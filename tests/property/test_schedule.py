"""Laws of the grid: one fire a slot, no drift, no burst."""

from __future__ import annotations

from datetime import UTC, datetime
from math import floor
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.schedule import next_fire, phase_s
from tests.support.builders import NOW

INTERVALS = st.floats(1.0, 604_800.0)
NAMES = st.text("abcdefgh-", min_size=1, max_size=12)


def jitter_of(slot):
    """A jitter drawn anew, and alike, for each slot."""
    return Random(slot).random()


@given(name=NAMES, interval_s=INTERVALS)
def test_a_phase_is_inside_its_slot(name, interval_s):
    """Zero included, the interval itself excluded."""
    assert 0 <= phase_s(name, interval_s) < interval_s


def no_jitter(_slot):
    """Every fire at the very begin of its slot, where rounding is most dangerous."""
    return 0.0


@given(
    name=NAMES,
    interval_s=INTERVALS,
    start=st.floats(0, 2 * NOW),
    jitter_of=st.sampled_from([jitter_of, no_jitter]),
)
def test_each_slot_fires_exactly_once(name, interval_s, start, jitter_of):
    """Fires fall into successive slots, so their mean distance is the interval, without drift."""
    fires, after = [], start
    for _ in range(40):
        after = next_fire(name, interval_s, after, jitter_of)
        fires.append(after)
        # The scheduler keeps times as datetimes; the way there and back must not repeat a fire.
        after = datetime.fromtimestamp(after, UTC).timestamp()
    phase = phase_s(name, interval_s)
    # An eighth of a slot to the early side keeps rounding at the slot's very begin out of it.
    slots = [floor((fire - phase) / interval_s + 0.125) for fire in fires]

    assert list(range(slots[0], slots[0] + 40)) == slots
    assert abs(fires[-1] - fires[0] - 39 * interval_s) <= 0.2501 * interval_s


@given(name=NAMES, interval_s=INTERVALS, start=st.floats(0, 2 * NOW), share=st.floats(0, 3))
def test_a_restart_neither_bursts_nor_repeats(name, interval_s, start, share):
    """Asked at any moment, the next fire is the one that an uninterrupted run would make."""
    fires = [next_fire(name, interval_s, start, jitter_of)]
    while len(fires) < 6:
        fires.append(next_fire(name, interval_s, fires[-1], jitter_of))
    restarted_at = start + share * interval_s
    due = next_fire(name, interval_s, restarted_at, jitter_of)

    assert next(fire for fire in fires if fire > restarted_at) == due
    assert restarted_at < due <= restarted_at + 1.2501 * interval_s
