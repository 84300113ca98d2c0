"""
What is done about one batch job: creating, finding, looking, cancelling, deleting, ending.

Each step makes at most a call or two and keeps what came of it in the store before it returns; which
step is due, :mod:`monitor.batches` knows. What leads to money is committed before it is sent, a job's
name before anything else is done with it, and its result before it is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

import structlog

from monitor.books import StoreLedger
from monitor.clock import Clock
from monitor.core.batch import (
    Job,
    Stage,
    Step,
    finished,
    is_past_deadline,
    is_refused,
    later,
    may_be_late,
    next_step,
    not_done,
    not_found,
    seen,
    undeleted,
    void,
)
from monitor.core.spec import TargetSpec
from monitor.limits import BATCH_CALLS_AT_ONCE_MAX
from monitor.runner import Runner
from monitor.secrets import Redactor
from probes.batch import BatchFormat, BatchJob
from probes.canary import COLOURS
from probes.driver import Driver
from probes.model import (
    Canary,
    ErrorClass,
    ProbeKind,
    ProbeReason,
    ProbeResult,
    Reply,
    Send,
    Target,
)
from probes.run import Label

log = structlog.get_logger("imgmon.batches")
T = TypeVar("T")
_COLOURS: Final = {colour.name: colour for colour in COLOURS}


@dataclass(frozen=True, slots=True)
class Queue:
    """A batch target: what is called, how it is judged, and how to speak to it."""

    target: Target
    spec: TargetSpec
    format: BatchFormat


@dataclass(slots=True)
class Counts:
    """
    What happened to jobs since the start of this process.

    Attributes:
        under_way: Jobs whose result is not known, as of the last turn.
        calls_failed: Calls that failed and are repeated.
        not_deleted: Jobs that were left to their provider.
    """

    under_way: int = 0
    calls_failed: int = 0
    not_deleted: int = 0


class JobSteps:
    """The steps of the jobs of all queues; each raises StoreError when it cannot be kept."""

    def __init__(
        self,
        queues: Mapping[str, Queue],
        *,
        runner: Runner,
        driver: Driver,
        store: StoreLedger,
        clock: Clock,
        redactor: Redactor,
        on_result: Callable[[str], None],
    ) -> None:
        """Wire the parts; *on_result* is told of each target whose job has its result."""
        self._queues = queues
        self._runner = runner
        self._driver = driver
        self._store = store
        self._clock = clock
        self._redact = redactor
        self._on_result = on_result
        self._calls = asyncio.Semaphore(BATCH_CALLS_AT_ONCE_MAX)
        self.counts = Counts()

    async def create(self, job: Job, canary: Canary) -> None:
        """Book *job* and create it; where it cannot be booked, leave a gap that says why."""
        queue = self._queues[job.target_id]
        reason, at = ProbeReason.SCHEDULED, job.created_at
        book = partial(self._store.book_job, job, queue.spec)
        if not await self._runner.is_booked(queue.spec, reason, at, book):
            return
        make = partial(queue.format.create, queue.target, canary, job.probe_id)
        creation, shown = await self._call(queue, job, make, BatchJob)
        now = self._clock.wall()
        if shown is not None:
            job = seen(replace(job, phases=creation.phases), shown, now)
            await self._store.save_job(later(job, now))
            log.info("batch.created", name=shown.name)
        elif is_refused(creation):
            await self._end(job, not_found(replace(job, doubt=creation), "", now))
        else:
            # It may have been created: the next steps look for it.
            doubt = self._runner.redacted(creation)
            log.warning("batch.in_doubt", error=doubt.error, detail=doubt.detail)
            await self._store.save_job(later(replace(job, doubt=doubt), now))

    async def step(self, job: Job) -> None:
        """Do what is next about *job*."""
        queue = self._queues.get(job.target_id)
        if queue is None:
            await self._orphan(job)
            return
        match next_step(job):
            case Step.FIND:
                await self._find(queue, job)
            case Step.LOOK:
                await self._look(queue, job)
            case Step.CANCEL:
                await self._cancel(queue, job)
            case Step.DELETE:
                await self._delete(queue, job)

    async def _orphan(self, job: Job) -> None:
        """Let go of a job whose target or key is gone once its time is over."""
        now = self._clock.wall()
        if job.stage is Stage.OVER:
            await self._store.save_job(undeleted(job, now))
        elif now < job.deadline_at:
            await self._store.save_job(replace(job, next_at=now + job.poll_s, called_at=now))
        else:
            await self._end(job, void(job, "its target is no longer configured", now))

    async def _find(self, queue: Queue, job: Job) -> None:
        """Look for a job that may or may not have been created."""
        make = partial(queue.format.find, queue.target, job.probe_id)
        search, listed = await self._call(queue, job, make, tuple)
        now = self._clock.wall()
        if listed:
            if len(listed) > 1:
                log.error("batch.doubled", names=[shown.name for shown in listed])
            log.info("batch.adopted", name=listed[0].name)
            await self._store.save_job(
                replace(seen(job, listed[0], now), next_at=now, called_at=now)
            )
        elif listed is None and now < job.deadline_at:
            await self._again(job, search, now)
        elif listed is not None and may_be_late(job, now):
            await self._store.save_job(later(job, now))
        else:
            why = "its provider knows no such job" if listed is not None else search.detail
            await self._end(job, not_found(job, f"stopped while it was created: {why}", now))

    async def _look(self, queue: Queue, job: Job) -> None:
        """See how far a job is; past its deadline it ends whatever is seen."""
        assert job.name is not None
        canary = Canary(prompt=job.prompt, colour=_COLOURS.get(job.colour or ""))
        make = partial(queue.format.look, queue.target, job.name)
        look, shown = await self._call(queue, job, make, BatchJob, canary)
        now = self._clock.wall()
        if shown is not None and shown.is_over:
            await self._end(job, finished(job, look, shown, now))
        elif is_past_deadline(job, shown, now):
            await self._call(queue, job, partial(queue.format.cancel, queue.target, job.name), bool)
            await self._end(job, not_done(job, look, shown, now))
        elif shown is not None:
            await self._store.save_job(later(seen(job, shown, now), now))
        else:
            await self._again(job, look, now)

    async def _cancel(self, queue: Queue, job: Job) -> None:
        """End a job as an operator asked; one that its provider will not end is let go of too."""
        assert job.name is not None
        make = partial(queue.format.cancel, queue.target, job.name)
        call, was_there = await self._call(queue, job, make, bool)
        now = self._clock.wall()
        if was_there is None and not is_refused(call) and now < job.deadline_at:
            await self._again(job, call, now)
            return
        refused = f", which its provider refused: {call.detail}" if was_there is None else ""
        await self._end(job, void(job, f"cancelled on request{refused}", now))

    async def _delete(self, queue: Queue, job: Job) -> None:
        """Delete a job whose result is stored: a few tries, then it is left to its provider."""
        assert job.name is not None
        make = partial(queue.format.delete, queue.target, job.name)
        call, was_there = await self._call(queue, job, make, bool)
        now = self._clock.wall()
        if was_there is not None:
            await self._store.save_job(replace(job, stage=Stage.CLOSED, called_at=now))
            return
        job = undeleted(job, now)
        await self._store.save_job(job)
        if job.stage is Stage.CLOSED:
            self.counts.not_deleted += 1
            log.warning("batch.not_deleted", name=job.name, detail=self._redact(call.detail))

    async def _again(self, job: Job, call: ProbeResult, now: float) -> None:
        """Have a call that failed repeated: it says nothing of the job."""
        self.counts.calls_failed += 1
        log.warning("batch.call_failed", error=call.error, detail=self._redact(call.detail))
        await self._store.save_job(later(job, now, not_before=call.retry_at))

    async def _call(
        self,
        queue: Queue,
        job: Job,
        make: Callable[[], Generator[Send, Reply, T]],
        wanted: type[T],
        canary: Canary | None = None,
    ) -> tuple[ProbeResult, T | None]:
        """Make one call; one that failed in our own trouble says so instead."""
        label = Label(
            probe_id=job.probe_id,
            kind=ProbeKind.BATCH,
            reason=ProbeReason.SCHEDULED,
            slot_s=job.slot_s,
        )
        async with self._calls:
            started, wall = self._clock.monotonic(), self._clock.wall()
            result, found = await self._driver.call(
                queue.target, queue.format, make, wanted, label, canary=canary
            )
        if isinstance(found, BatchJob) and self._redact(found.name) != found.name:
            # It is kept, and goes into URLs and logs.
            detail = "the job's name holds a secret"
            return replace(result, error=ErrorClass.PROTOCOL, latency_s=None, detail=detail), None
        if found is None:
            judged = self._runner.fitness.judged
            result = await judged(result, queue.spec.base_url, started, wall)
        return result, found

    async def _end(self, job: Job, result: ProbeResult) -> None:
        """Keep the one result of a job; only then is it told, and the job deleted."""
        now = self._clock.wall()
        result = self._runner.redacted(result)
        stage = Stage.CLOSED if job.name is None else Stage.OVER
        job = replace(job, stage=stage, doubt=None, next_at=now, called_at=now)
        if not await self._store.end_job(job, result):
            log.error("batch.ended_twice", detail=result.detail)
            return
        if (spec := self._store.caps.targets.get(job.target_id)) is not None:
            self._runner.learned(result, spec)
            self._on_result(job.target_id)
