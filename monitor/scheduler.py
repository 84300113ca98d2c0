"""
When probes fire. The only module that imports APScheduler; core/schedule.py decides the times.

Each target has a slot at its own phase, with a seeded jitter, and at most one probe outside the
slots ahead of it. Slots that passed without a fire (a busy loop, a probe still running) are gaps
``missed``: APScheduler drops them in silence. Free calls have a grid of their own; a slot of it
that is missed is no gap in what is measured.
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
from apscheduler.triggers.date import DateTrigger

from monitor.clock import Clock
from monitor.core.schedule import fire_of, next_fire, phase_s, slot_of
from monitor.lag import LagMeter

Fire = Callable[[str, float], Awaitable[object]]
Extra = Callable[[str], Awaitable[object]]
FreeCall = Callable[[str], Awaitable[object]]
ExtraDue = Callable[[str, float], float | None]
Missed = Callable[[str, float], None]
Seen = Callable[[str, float, int], None]

_MISSED_S_MAX: Final = 86_400.0
# Probes outside the slots are late by up to this share of their wait, so that many do not meet.
_EXTRA_JITTER_SHARE: Final = 0.1
# What is overdue, after a restart or for all targets of a provider at once, is spread over this.
_OVERDUE_SPREAD_S: Final = 10.0


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

    def next_after(self, after: float) -> float:
        """Return the first fire after wall time *after*."""
        return next_fire(self._target_id, self._interval_s, after, self.jitter_of)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return the first fire after *previous* and *now*."""
        after = max(now.timestamp(), previous.timestamp() if previous else 0.0)
        return datetime.fromtimestamp(self.next_after(after), UTC)


class Schedule:
    """Fires the canaries and the free calls of every target for as long as it is started."""

    def __init__(
        self,
        intervals: Mapping[str, float],
        *,
        fire: Fire,
        extra: Extra,
        extra_due: ExtraDue,
        missed: Missed,
        seen: Seen,
        clock: Clock,
        lag: LagMeter,
        liveness: Mapping[str, float] | None = None,
        free_call: FreeCall | None = None,
    ) -> None:
        """
        Watch targets, each with its slot's length in seconds.

        Args:
            intervals: By target id.
            fire: Called once a slot with the target and a number drawn for the slot, in [0, 1).
            extra: Called with a target when its probe outside the slots is due.
            extra_due: Gives the time of that probe, or None, for a target and its next slot.
            missed: Told of slots without a fire: the target, and the slot's start in wall time.
            seen: Told of each target's newest slot: the target, its slots' length, the slot's number.
            clock: Tells the time.
            lag: Told how late fires are.
            liveness: Seconds between two free calls, by target id.
            free_call: Called with a target once in each of these intervals.
        """
        self._intervals = dict(intervals)
        self._liveness = dict(liveness or {})
        self._free_call = free_call
        self._fire = fire
        self._extra = extra
        self._extra_due = extra_due
        self._missed = missed
        self._seen = seen
        self._clock = clock
        self._lateness = lag
        self._grids: dict[str, GridTrigger] = {}
        self._extras: dict[str, float] = {}
        self._seed = 0
        self._last_slot: dict[str, int] = {}
        self._is_on = False
        self.is_stopped = False
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        logging.getLogger("apscheduler").setLevel(logging.WARNING)

    def start(self, seed: int, before: Mapping[str, tuple[float, int]]) -> None:
        """
        Begin firing; the event loop must be running.

        *seed* decides every jitter: with the same one, a restart goes on with the same times.
        *before* is what the schedule that ran before has seen to, in this process or in another one:
        slots since then were missed.
        """
        self._seed = seed
        self._grids = {t: GridTrigger(t, s, seed) for t, s in self._intervals.items()}
        for target_id, interval_s in self._intervals.items():
            self._scheduler.add_job(
                self._run,
                self._grids[target_id],
                args=[target_id],
                id=f"slot/{target_id}",
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
        now = self._clock.wall()
        for target_id, interval_s in self._intervals.items():
            self.revise(target_id)
            last_interval_s, last = before.get(target_id, (0.0, 0))
            next_slot = slot_of(target_id, interval_s, self._grids[target_id].next_after(now))
            if last_interval_s == interval_s:
                self._last_slot[target_id] = last
                self._note_missed(target_id, next_slot)
            # A slot counts from here on even if the first fires never come.
            self._last_slot[target_id] = next_slot - 1
            self._seen(target_id, interval_s, next_slot - 1)

    def revise(self, target_id: str) -> None:
        """Ask anew when the target's probe outside the slots is due."""
        if not self._is_on or target_id not in self._grids:
            return
        now = self._clock.wall()
        due = self._extra_due(target_id, self._grids[target_id].next_after(now))
        if due == self._extras.get(target_id):
            return
        job_id = f"extra/{target_id}"
        if due is None:
            del self._extras[target_id]
            if self._scheduler.get_job(job_id):  # It may have just fired.
                self._scheduler.remove_job(job_id)
            return
        self._extras[target_id] = due
        self._scheduler.add_job(
            self._run_extra,
            DateTrigger(datetime.fromtimestamp(self._spread(target_id, due, now), UTC)),
            args=[target_id],
            id=job_id,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
            replace_existing=True,
        )

    def next_probes(self) -> dict[str, float]:
        """Return when the next probe of each target is due, in wall time; in any thread."""
        due: dict[str, float] = {}
        for job in self._scheduler.get_jobs():
            kind, _, target_id = job.id.partition("/")
            at = getattr(job, "next_run_time", None)  # None while the schedule is paused.
            if kind != "liveness" and at is not None:
                due[target_id] = min(at.timestamp(), due.get(target_id, float("inf")))
        return due

    def _spread(self, target_id: str, due: float, now: float) -> float:
        """Return when to send what is due, a seeded moment later."""
        overdue_s = min(_OVERDUE_SPREAD_S, self._intervals[target_id] / 4)
        within_s = overdue_s if due <= now else _EXTRA_JITTER_SHARE * (due - now)
        draw = Random(f"{self._seed}/{target_id}/extra/{due}").random()
        return max(due, now) + draw * within_s

    def stop(self) -> None:
        """Fire no more; probes under way are the runner's to drain. Stopping twice is fine."""
        self.is_stopped = True
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
        self._seen(target_id, interval_s, slot)
        jitter_of = self._grids[target_id].jitter_of
        self._lateness.note(now - fire_of(target_id, interval_s, slot, jitter_of))
        draw = Random(f"{self._seed}/{target_id}/{slot}/left out").random()
        try:
            await self._fire(target_id, draw)
        except asyncio.CancelledError:
            # Shutdown: the probe itself runs on in a task of the runner and is drained there.
            return

    async def _run_extra(self, target_id: str) -> None:
        # Whatever comes of it, its result lets the next one be asked for.
        self._extras.pop(target_id, None)
        try:
            await self._extra(target_id)
        except asyncio.CancelledError:
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
            self._missed(target_id, start)
