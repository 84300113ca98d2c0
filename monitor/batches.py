"""
When something is done about batch jobs: one is created a slot, and each turn does what is due.

Everything about a job is in the store, so a restart goes on with the jobs of before as with any
other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from random import Random
from typing import Any, Final

import structlog

from monitor.books import StoreLedger
from monitor.clock import Clock
from monitor.core.batch import Job, Stage, due_at
from monitor.core.schedule import slot_of
from monitor.core.snapshot import GapReason
from monitor.errors import StoreError
from monitor.jobs import JobSteps, Queue
from monitor.limits import BATCH_JOBS_PER_TARGET_MAX, BATCH_TURN_S, DRAIN_S
from monitor.runner import Probeable, Runner
from monitor.secrets import Redactor
from monitor.store.reader import Reader
from probes.batch import BatchFormat
from probes.canary import draw_canary
from probes.driver import Driver

log = structlog.get_logger("imgmon.batches")
# A turn never comes sooner than this after the one before.
_TURN_S_MIN: Final = 0.01


class Batches:
    """
    Runs the jobs of all batch targets.

    Attributes:
        counts: What happened to jobs.
        turn_s: Longest time between two turns, in seconds.
    """

    def __init__(
        self,
        probeables: Mapping[str, Probeable],
        *,
        runner: Runner,
        driver: Driver,
        store: StoreLedger,
        reader: Reader,
        clock: Clock,
        rng: Random,
        redactor: Redactor,
        on_result: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Wire the parts; *on_result* is told of each target whose job has its result."""
        self._queues = {
            target_id: Queue(one.target, one.spec, one.format)
            for target_id, one in probeables.items()
            if isinstance(one.format, BatchFormat)
        }
        self._steps = JobSteps(
            self._queues,
            runner=runner,
            driver=driver,
            store=store,
            clock=clock,
            redactor=redactor,
            on_result=on_result,
        )
        self._runner = runner
        self._reader = reader
        self._clock = clock
        self._rng = rng
        self._wake = asyncio.Event()
        self._busy: set[str] = set()
        self._touched: set[str] = set()  # Since the store was last read: older than it says.
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self.counts = self._steps.counts
        self.turn_s = BATCH_TURN_S

    def __contains__(self, target_id: str) -> bool:
        return target_id in self._queues

    async def scheduled(self, target_id: str, draw: float) -> None:
        """Create the job of one schedule slot, unless the slot passes without one."""
        if not self._is_closing:
            await self._runner.scheduled(target_id, draw, self._start)

    async def _start(self, target_id: str, slot_s: float) -> None:
        """Create the job of the slot that is now; return when its name is kept."""
        spec, now = self._queues[target_id].spec, self._clock.wall()
        slot = slot_of(target_id, spec.interval_s, now)
        try:
            jobs = await asyncio.to_thread(self._reader.batch_jobs)
            has_job = await asyncio.to_thread(self._reader.has_batch_job, target_id, slot)
        except StoreError as error:
            log.error("batch.not_created", target=target_id, error=str(error))  # noqa: TRY400
            self._runner.gap(target_id, GapReason.MISSED, now, why="it cannot be booked")
            return
        if has_job:
            log.debug("slot.passed", target=target_id, detail="it has had its job")
            return
        open_jobs = sum(job.target_id == target_id and job.stage is Stage.OPEN for job in jobs)
        if open_jobs >= BATCH_JOBS_PER_TARGET_MAX:
            why = f"{open_jobs} jobs are under way"
            self._runner.gap(target_id, GapReason.QUOTA_GUARD, now, why=why)
            return
        canary = draw_canary(self._rng)
        job = Job(
            probe_id=self._runner.new_id(now),
            target_id=target_id,
            provider=spec.provider,
            slot=slot,
            slot_s=slot_s,
            prompt=canary.prompt,
            colour=canary.colour.name if canary.colour else None,
            created_at=now,
            deadline_at=now + spec.deadline_s,
            poll_s=spec.poll_s,
            price_usd=spec.price_usd,
            next_at=now,
            called_at=now,
        )
        # A task of our own: the scheduler's shutdown cancels its jobs, we let them end.
        await asyncio.shield(self._spawn(job, self._steps.create(job, canary)))

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            wait_s = self.turn_s
            try:
                wait_s = await self._turn()
            except StoreError as error:
                log.warning("batches.unknown", error=str(error))
            except Exception:  # A bug must not leave jobs unseen in silence.
                log.exception("batches.failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            self._wake.clear()

    async def _turn(self) -> float:
        """Begin all steps that are due; return the seconds until the next one may be."""
        self._touched.clear()
        jobs = await asyncio.to_thread(self._reader.batch_jobs)
        self.counts.under_way = sum(job.stage is Stage.OPEN for job in jobs)
        now, wait_s = self._clock.wall(), self.turn_s
        for job in jobs:
            if job.probe_id in self._busy | self._touched:
                continue
            if (due_s := due_at(job, now) - now) > 0:
                wait_s = min(wait_s, max(due_s, _TURN_S_MIN))
            elif not self._is_closing:
                self._spawn(job, self._steps.step(job))
        return wait_s

    async def settle(self, probe_id: str) -> Job | None:
        """
        Do what is due for one job until it is closed or a step leads nowhere; without :meth:`run`.

        Return the job as it is then; None when it is closed.
        """
        before: Job | None = None
        while True:
            jobs = await asyncio.to_thread(self._reader.batch_jobs)
            job = next((job for job in jobs if job.probe_id == probe_id), None)
            if job is None or (before and (before.stage, before.name) == (job.stage, job.name)):
                return job
            before = job
            await self._steps.step(job)

    async def drain(self, grace_s: float = DRAIN_S) -> None:
        """Start nothing new and let running calls end; the jobs themselves wait for a next start."""
        self._is_closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, job: Job, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._busy.add(job.probe_id)
        task = asyncio.ensure_future(self._guarded(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        """Do *work* on a job; whatever stops it, the job is in the store and due again."""
        try:
            with structlog.contextvars.bound_contextvars(probe=job.probe_id, target=job.target_id):
                await work
        except StoreError as error:
            log.warning("batch.not_kept", error=str(error))
            await asyncio.sleep(self.turn_s)
        except Exception:  # The one loop that must go on whatever a plug-in does.
            log.exception("batch.crashed")
            await asyncio.sleep(self.turn_s)
        finally:
            self._busy.discard(job.probe_id)
            self._touched.add(job.probe_id)
            self._wake.set()
