"""The store's writer as those who send probes see it: claims, jobs, finished probes, gaps."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from monitor.core.batch import Job
from monitor.core.quota import Quota
from monitor.core.snapshot import GapReason
from monitor.core.spec import TargetSpec
from monitor.core.spend import Caps, Decision
from monitor.store import batches as rows
from monitor.store.writer import Writer
from probes.model import ProbeResult


@dataclass(frozen=True, slots=True)
class StoreLedger:
    """
    Hands claims, jobs, finished probes and gaps to the store's writer.

    What is awaited is committed when it returns; StoreError says that nothing was.
    """

    writer: Writer
    vantage: str
    caps: Caps

    async def reserve(
        self, probe_id: str, spec: TargetSpec, at: float, quotas: tuple[Quota, ...]
    ) -> Decision:
        """Book a probe."""
        claim = self.caps.claim(probe_id, spec, at, quotas)
        return await asyncio.wrap_future(self.writer.reserve(claim))

    def probe(self, result: ProbeResult, provider: str) -> None:
        """Queue one finished probe."""
        self.writer.submit_probe(result, provider, self.vantage)

    def gap(self, target_id: str, reason: GapReason, at: float, slot_s: float) -> None:
        """Queue one slot without a probe."""
        self.writer.submit_gap(target_id, reason, at, slot_s)

    async def book_job(self, job: Job, spec: TargetSpec, quotas: tuple[Quota, ...]) -> Decision:
        """Book a job and keep it, in one transaction or not at all."""
        claim = self.caps.claim(job.probe_id, spec, job.created_at, quotas)
        asked = self.writer.ask(lambda c: rows.book(c, job, claim, self.vantage))
        return await asyncio.wrap_future(asked)

    async def save_job(self, job: Job) -> None:
        """Keep what became of a job."""
        await asyncio.wrap_future(self.writer.ask(lambda c: rows.save(c, job)))

    async def end_job(self, job: Job, result: ProbeResult) -> bool:
        """Keep the one result of a job; False when it has one already."""
        asked = self.writer.ask(lambda c: rows.end(c, job, result, self.vantage))
        return await asyncio.wrap_future(asked)
