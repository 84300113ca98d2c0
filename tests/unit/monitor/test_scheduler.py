"""The grid as APScheduler sees it, and the slots nobody fired."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from types import MappingProxyType

import pytest

from monitor.clock import ManualClock, SystemClock
from monitor.core.schedule import phase_s, slot_of
from monitor.lag import LagMeter
from monitor.scheduler import GridTrigger, Schedule
from tests.support.daemon import until

pytestmark = pytest.mark.anyio
START = 1_795_000_000.0


def test_a_trigger_fires_once_in_every_slot():
    """A thousand fires, each asked for with the one before, fill a thousand slots."""
    trigger = GridTrigger("t", 60.0, seed=7)
    at = datetime.fromtimestamp(START, UTC)
    slots = []
    for _ in range(1000):
        at = trigger.get_next_fire_time(at, at)
        slots.append(slot_of("t", 60.0, at.timestamp()))

    assert list(range(slots[0], slots[0] + 1000)) == slots


def test_jitter_is_the_same_whenever_it_is_asked_and_differs_by_seed():
    """A run can be repeated, and no provider can know the next second."""
    one, same, other = (GridTrigger("t", 60.0, seed) for seed in (1, 1, 2))

    assert [one.jitter_of(k) for k in range(20)] == [same.jitter_of(k) for k in range(20)]
    assert [one.jitter_of(k) for k in range(20)] != [other.jitter_of(k) for k in range(20)]


def schedule(
    clock, *, missed=None, seen=None, fired=None, extra=None, due=lambda *_: None, interval_s=60.0,
    called=None, liveness_s=60.0,
):  # fmt: skip
    """A schedule of one target that writes down what it does."""

    async def fire(target_id: str, draw: float) -> None:
        assert 0 <= draw < 1
        if fired is not None:
            fired.append(target_id)

    async def send(target_id: str) -> None:
        if extra is not None:
            extra.append(target_id)

    async def call(target_id: str) -> None:
        called.append(target_id)

    return Schedule(
        {"t": interval_s},
        fire=fire,
        extra=send,
        extra_due=due,
        missed=lambda *gap: None if missed is None else missed.append(gap),
        seen=lambda target, *slot: None if seen is None else seen.update({target: slot}),
        clock=clock,
        lag=LagMeter(clock),
        liveness={} if called is None else {"t": liveness_s},
        free_call=call,
    )


@contextmanager
def started(turning: Schedule, seed: int = 1, before=MappingProxyType({})):
    """The schedule on this test's loop, stopped at the end."""
    turning.start(seed, before)
    yield turning
    turning.stop()


async def test_slots_that_passed_without_a_fire_are_gaps():
    """Between two fires three slots apart two were missed, each told with its start."""
    clock, missed, fired = ManualClock(wall=START), [], []
    with started(schedule(clock, missed=missed, fired=fired)) as turning:
        await turning._run("t")
        clock.advance(180)
        await turning._run("t")
    first = slot_of("t", 60.0, START)

    starts = [phase_s("t", 60.0) + (first + k) * 60.0 for k in (1, 2)]
    assert ["t", "t"] == fired
    assert [("t", start) for start in starts] == missed


async def test_slots_between_one_schedule_and_the_next_are_gaps():
    """Told at once by the next one; not where slots have another length, and none without a gap."""
    clock, first, second, other, same = ManualClock(wall=START), [], [], [], []
    seen = {}
    with started(schedule(clock, missed=first, seen=seen)):
        pass
    before = dict(seen)
    with started(schedule(clock, missed=same, seen=seen), before=before):
        pass
    assert seen == before
    clock.advance(180)
    with started(schedule(clock, missed=second), before=before):
        pass
    with started(schedule(clock, missed=other, interval_s=90.0), before=before):
        pass

    assert ([], [], 3, []) == (first, same, len(second), other)
    assert {"t"} == {target for target, _ in second}
    assert [60.0, 60.0] == [b - a for (_, a), (_, b) in pairwise(second)]


async def test_a_leap_of_the_clock_is_a_bounded_number_of_gaps():
    """A clock set a year ahead does not write half a million rows."""
    clock, missed = ManualClock(wall=START), []
    with started(schedule(clock, missed=missed)) as turning:
        await turning._run("t")
        clock.step(365 * 86_400.0)
        await turning._run("t")

    assert 1440 <= len(missed) <= 1442


async def test_free_calls_have_a_grid_of_their_own():
    """Their phase and jitters are not the canary's, and both fire."""
    fired, called = [], []
    turning = schedule(
        SystemClock(), fired=fired, called=called, interval_s=0.2, liveness_s=0.1
    )  # fmt: skip
    with started(turning):
        await until(lambda: bool(fired and called))

    assert {"t"} == set(fired) == set(called)
    assert phase_s("t", 60.0) != phase_s("liveness/t", 60.0)
    canary, call = GridTrigger("t", 60.0, 1), GridTrigger("liveness/t", 60.0, 1)
    assert [canary.jitter_of(k) for k in range(9)] != [call.jitter_of(k) for k in range(9)]


async def test_a_free_call_that_was_missed_is_no_gap():
    """It is no part of what is measured: nothing is told, however long the loop stood still."""
    clock, missed, called = ManualClock(wall=START), [], []
    with started(schedule(clock, missed=missed, called=called)) as turning:
        await turning._run_free("t")
        clock.advance(6000)
        await turning._run_free("t")

    assert (["t", "t"], []) == (called, missed)


async def test_a_started_schedule_fires_and_a_stopped_one_does_not():
    """Start and stop do what they say on a real loop."""
    fired: list[str] = []
    with started(schedule(SystemClock(), fired=fired, interval_s=0.2)) as turning:
        assert turning.is_running
        await until(lambda: bool(fired))
    turning.stop()

    assert not turning.is_running


async def test_a_slot_draws_the_same_number_in_every_run_with_one_seed():
    """Which slots chance leaves out is decided by the seed that the store keeps."""
    draws: list[tuple[int, float]] = []

    async def fire(_: str, draw: float) -> None:
        draws.append((slot_of("t", 60.0, clock.wall()), draw))

    for seed in (1, 1, 2):
        clock = ManualClock(wall=START)
        turning = schedule(clock)
        turning._fire = fire
        with started(turning, seed):
            for _ in range(5):
                await turning._run("t")
                clock.advance(60)

    assert draws[:5] == draws[5:10] != draws[10:]
    assert 5 == len({draw for _, draw in draws[:5]})


async def test_a_probe_outside_the_slots_is_sent_when_it_is_due():
    """Also one that was due before the start; and only while something asks for it."""
    clock, extra = SystemClock(), []
    dues = iter([clock.wall() - 1000, clock.wall(), None])

    with started(
        schedule(clock, extra=extra, due=lambda *_: next(dues), interval_s=0.2)
    ) as turning:
        await until(lambda: len(extra) == 1)
        turning.revise("t")
        await until(lambda: len(extra) == 2)
        turning.revise("t")

        assert turning._scheduler.get_job("extra/t") is None


async def test_a_probe_that_is_no_longer_asked_for_is_not_sent():
    """A slot has answered what it was to find out; asking twice for the same time changes nothing."""
    now = SystemClock().wall()
    dues = iter([now + 1000, now + 1000, now + 500, None])
    with started(schedule(SystemClock(), due=lambda *_: next(dues))) as turning:
        job = turning._scheduler.get_job("extra/t")
        turning.revise("t")
        assert job is turning._scheduler.get_job("extra/t")
        turning.revise("t")
        assert job is not turning._scheduler.get_job("extra/t")
        turning.revise("t")
        assert turning._scheduler.get_job("extra/t") is None
        turning.revise("somebody else's")
    turning.revise("t")


async def test_probes_outside_the_slots_do_not_meet():
    """A hundred targets of one provider that fail at once are confirmed over three seconds more."""
    clock = ManualClock(wall=START)
    turning = schedule(clock)
    turning._intervals = {f"t{n}": 900.0 for n in range(100)}

    ahead = sorted(turning._spread(f"t{n}", START + 30, START) - START for n in range(100))
    overdue = sorted(turning._spread(f"t{n}", START - 9, START) - START for n in range(100))
    assert 30 <= ahead[0] < ahead[50] < ahead[99] <= 33
    assert ahead[99] - ahead[0] > 2
    assert 0 <= overdue[0] < overdue[99] <= 10
    assert overdue[99] - overdue[0] > 8
