"""Laws of the grid: one fire a slot, no drift, no burst."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from math import floor
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.ration import FLOOR
from monitor.core.schedule import next_fire, phase_s
from monitor.core.spec import Policy
from probes.model import ErrorClass
from tests.support.builders import NOW, a_spec
from tests.support.watching import watch

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


@settings(max_examples=30)
@given(
    interval_s=st.sampled_from([60.0, 900.0, 3_600.0, 7_200.0]),
    failing=st.sampled_from([0.0, 0.5, 1.0]),
    money_share=st.floats(FLOOR, 1.0),
    seed=st.integers(0, 2**32),
)
def test_the_last_and_the_down_keep_a_floor_of_probes(interval_s, failing, money_share, seed):
    """
    No state and no place ends the probing: between two are at most twice the rarest slots.

    Those are an hour apart while it stays down, and four slots where money is for others first.
    """
    policy, rng = Policy(), Random(seed)

    def answer(_: float) -> tuple[ErrorClass | None, float]:
        return (ErrorClass.TIMEOUT if rng.random() < failing else None), 1.0

    seen = watch(
        a_spec(interval_s=interval_s), policy, answer, NOW, seed=seed, money_share=money_share
    )
    starts = [result.started_at for (result, _), _ in zip(seen, range(40), strict=False)]
    rarest_s = max(policy.backoff_max_s, interval_s / FLOOR)

    assert max(b - a for a, b in pairwise(starts)) <= 2 * rarest_s + 1.5 * interval_s
