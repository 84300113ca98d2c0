"""
When probes fire. The only module that imports APScheduler; core/schedule.py decides the times.

Each target fires once a slot at its own phase, with a seeded jitter. Slots that passed without a
fire (a busy loop, a probe still running) are gaps ``missed``: APScheduler drops them in silence.
Free calls have a grid of their own; a slot of it that is missed is no gap in what is measured.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from math import floor
from random import Random
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from monitor.clock import Clock
from monitor.core.schedule import fire_of, next_fire, phase_s, slot_of
from monitor.core.snapshot import GapReason
from monitor.lag import LagMeter

Fire = Callable[[str], Awaitable[object]]
Missed = Callable[[str, GapReason, float], None]

_MISSED_S_MAX: Final = 86_400.0


class GridTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types.
    """Fires once per slot of *interval_s* at the target's phase plus a seeded jitter."""

    def __init__(self, target_id: str, interval_s: float, seed: int) -> None:
        """Draw jitters from *seed*, so that a run can be repeated."""
        self._target_id = target_id
        self._interval_s = interval_s
        self._seed = seed

    def jitter_of(self, slot: int) -> float:
        """Return the jitter of one slot in [0, 1); the same whenever it is asked."""
        return Random(f"{self._seed}/{self._target_id}/{slot}").random()

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return the first fire after *previous* and *now*."""
        after = max(now.timestamp(), previous.timestamp() if previous else 0.0)
        at = next_fire(self._target_id, self._interval_s, after, self.jitter_of)
        return datetime.fromtimestamp(at, UTC)


class Schedule:
    """Fires the canary and the free call of every target for as long as it is started."""

    def __init__(
        self,
        intervals: Mapping[str, float],
        *,
        fire: Fire,
        missed: Missed,
        clock: Clock,
        lag: LagMeter,
        seed: int,
        liveness: Mapping[str, float] | None = None,
        free_call: Fire | None = None,
    ) -> None:
        """
        Call *fire* once a slot per target; tell *missed* of slots without a fire.

        *liveness* are the seconds between two free calls by target, each made by *free_call*.
        """
        self._intervals = dict(intervals)
        self._liveness = dict(liveness or {})
        self._free_call = free_call
        self._fire = fire
        self._missed = missed
        self._clock = clock
        self._lateness = lag
        self._seed = seed
        self._last_slot: dict[str, int] = {}
        self._is_on = False
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        logging.getLogger("apscheduler").setLevel(logging.WARNING)

    def start(self) -> None:
        """Begin firing; the event loop must be running."""
        for target_id, interval_s in self._intervals.items():
            self._scheduler.add_job(
                self._run,
                GridTrigger(target_id, interval_s, self._seed),
                args=[target_id],
                id=target_id,
                # All explicit: APScheduler's own defaults lose runs (grace of one second).
                misfire_grace_time=max(1, int(interval_s)),
                coalesce=True,
                max_instances=1,
                replace_existing=True,
            )
        for target_id, interval_s in self._liveness.items():
            # A name of its own gives it a phase and jitters that are not the canary's.
            name = f"liveness/{target_id}"
            self._scheduler.add_job(
                self._run_free,
                GridTrigger(name, interval_s, self._seed),
                args=[target_id],
                id=name,
                misfire_grace_time=max(1, int(interval_s)),
                coalesce=True,
                max_instances=1,
                replace_existing=True,
            )
        self._scheduler.start()
        self._is_on = True

    def stop(self) -> None:
        """Fire no more; probes under way are the runner's to drain. Stopping twice is fine."""
        if self._is_on:
            self._is_on = False
            self._scheduler.pause()
            # Takes effect on the loop's next turn; until then the scheduler calls itself running.
            self._scheduler.shutdown(wait=False)

    @property
    def is_running(self) -> bool:
        """Whether slots fire."""
        return self._is_on and bool(self._scheduler.running)

    async def _run(self, target_id: str) -> None:
        now = self._clock.wall()
        interval_s = self._intervals[target_id]
        slot = slot_of(target_id, interval_s, now)
        self._note_missed(target_id, slot)
        jitter_of = GridTrigger(target_id, interval_s, self._seed).jitter_of
        self._lateness.note(now - fire_of(target_id, interval_s, slot, jitter_of))
        try:
            await self._fire(target_id)
        except asyncio.CancelledError:
            # Shutdown: the probe itself runs on in a task of the runner and is drained there.
            return

    async def _run_free(self, target_id: str) -> None:
        assert self._free_call is not None
        try:
            await self._free_call(target_id)
        except asyncio.CancelledError:
            return  # As above.

    def _note_missed(self, target_id: str, slot: int) -> None:
        """Tell of every slot between the last fire and this one."""
        interval_s = self._intervals[target_id]
        last = self._last_slot.get(target_id, slot - 1)
        self._last_slot[target_id] = slot
        # A clock set forward by a year is one missed day of slots, not a million rows.
        first = max(last + 1, slot - floor(_MISSED_S_MAX / interval_s) - 1)
        for passed in range(first, slot):
            start = phase_s(target_id, interval_s) + passed * interval_s
            self._missed(target_id, GapReason.MISSED, start)
