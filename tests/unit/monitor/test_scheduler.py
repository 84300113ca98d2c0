"""The grid as APScheduler sees it, and the slots nobody fired."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from monitor.clock import ManualClock
from monitor.core.schedule import phase_s, slot_of
from monitor.core.snapshot import GapReason
from monitor.lag import LagMeter
from monitor.scheduler import GridTrigger, Schedule

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


def schedule(clock: ManualClock, missed: list, fired: list) -> Schedule:
    """A schedule of one target that writes down what it does."""

    async def fire(target_id: str) -> None:
        fired.append(target_id)

    return Schedule(
        {"t": 60.0},
        fire=fire,
        missed=lambda *gap: missed.append(gap),
        clock=clock,
        lag=LagMeter(clock),
        seed=1,
    )


async def test_slots_that_passed_without_a_fire_are_gaps():
    """Between two fires three slots apart two were missed, each told with its start."""
    clock, missed, fired = ManualClock(wall=START), [], []
    turning = schedule(clock, missed, fired)
    await turning._run("t")
    clock.advance(180)
    await turning._run("t")
    first = slot_of("t", 60.0, START)

    starts = [phase_s("t", 60.0) + (first + k) * 60.0 for k in (1, 2)]
    assert ["t", "t"] == fired
    assert [("t", GapReason.MISSED, start) for start in starts] == missed


async def test_a_leap_of_the_clock_is_a_bounded_number_of_gaps():
    """A clock set a year ahead does not write half a million rows."""
    clock, missed = ManualClock(wall=START), []
    turning = schedule(clock, missed, [])
    await turning._run("t")
    clock.step(365 * 86_400.0)
    await turning._run("t")

    assert 1440 <= len(missed) <= 1442


async def test_free_calls_have_a_grid_of_their_own():
    """Their phase and jitters are not the canary's, and both fire."""
    from monitor.clock import SystemClock

    fired: list[str] = []
    both = asyncio.Event()

    def noting(what: str):
        async def fire(target_id: str) -> None:
            fired.append(f"{what} {target_id}")
            if len(set(fired)) == 2:
                both.set()

        return fire

    clock = SystemClock()
    turning = Schedule(
        {"t": 0.2}, fire=noting("canary"), missed=lambda *_: None, clock=clock,
        lag=LagMeter(clock), seed=1, liveness={"t": 0.1}, free_call=noting("free call"),
    )  # fmt: skip
    turning.start()
    async with asyncio.timeout(10):
        await both.wait()
    turning.stop()

    assert {"canary t", "free call t"} == set(fired)
    assert phase_s("t", 60.0) != phase_s("liveness/t", 60.0)
    canary, call = GridTrigger("t", 60.0, 1), GridTrigger("liveness/t", 60.0, 1)
    assert [canary.jitter_of(k) for k in range(9)] != [call.jitter_of(k) for k in range(9)]


async def test_a_free_call_that_was_missed_is_no_gap():
    """It is no part of what is measured: nothing is told, however long the loop stood still."""
    clock, missed, called = ManualClock(wall=START), [], []

    async def call(target_id: str) -> None:
        called.append(target_id)

    turning = Schedule(
        {}, fire=call, missed=lambda *gap: missed.append(gap), clock=clock, lag=LagMeter(clock),
        seed=1, liveness={"t": 60.0}, free_call=call,
    )  # fmt: skip
    await turning._run_free("t")
    clock.advance(6000)
    await turning._run_free("t")

    assert (["t", "t"], []) == (called, missed)


async def test_a_started_schedule_fires_and_a_stopped_one_does_not():
    """Start and stop do what they say on a real loop."""
    from monitor.clock import SystemClock

    fired = asyncio.Event()

    async def fire(_: str) -> None:
        fired.set()

    clock = SystemClock()
    turning = Schedule(
        {"t": 0.2}, fire=fire, missed=lambda *_: None, clock=clock, lag=LagMeter(clock), seed=1
    )
    turning.start()
    assert turning.is_running
    async with asyncio.timeout(10):
        await fired.wait()
    turning.stop()
    turning.stop()

    assert not turning.is_running
