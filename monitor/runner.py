"""
One probe: may it run, a slot, its booking, the driver's verdict, our own fitness, hand-over.

Provider trouble comes back as a value; an exception here is our own fault and voids the probe.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any, Protocol

import structlog

from monitor.clock import Clock
from monitor.core.gaps import Gap
from monitor.core.pause import Pause
from monitor.core.quota import Quota
from monitor.core.schedule import Pass, in_maintenance
from monitor.core.snapshot import GapReason
from monitor.core.spec import TargetSpec
from monitor.core.spend import CapUse, Decision
from monitor.engine import Engine
from monitor.errors import StoreError
from monitor.fitness import Fitness
from monitor.limits import (
    DRAIN_S,
    FREE_CALLS_AT_ONCE_MAX,
    FREE_CALLS_PER_PROVIDER_MAX,
    PROBES_AT_ONCE_MAX,
    PROBES_PER_PROVIDER_MAX,
)
from monitor.probe_log import ProbeLog
from monitor.secrets import Redactor
from probes.canary import draw_canary
from probes.driver import Driver
from probes.model import (
    ErrorClass,
    Format,
    LivenessFormat,
    ProbeKind,
    ProbeReason,
    ProbeResult,
    Target,
)

log = structlog.get_logger("imgmon.runner")
_OWN_IDS = frozenset({"probe_id", "target_id"})
Start = Callable[[str, float], Awaitable[ProbeResult | None]]
Paused = Callable[[str, float], Pause | None]
Book = Callable[[tuple[Quota, ...]], Awaitable[Decision]]


class Ledger(Protocol):
    """The books: a booking before a probe, its row and bill after, gaps in between."""

    async def reserve(
        self, probe_id: str, spec: TargetSpec, at: float, quotas: tuple[Quota, ...]
    ) -> Decision:
        """
        Book a probe at its worst-case price, if *quotas* leave one; what is granted is committed.

        Raises StoreError when the books cannot be written.
        """
        ...

    def probe(self, result: ProbeResult, provider: str) -> None:
        """Queue one finished probe for the store; returns at once."""
        ...

    def gap(self, target_id: str, reason: GapReason, at: float, slot_s: float) -> None:
        """Queue one slot in which no probe ran; returns at once."""
        ...


@dataclass(frozen=True, slots=True)
class Probeable:
    """A target as the driver needs it, as the monitor judges it, and how to speak to it."""

    target: Target
    spec: TargetSpec
    format: Format


class Runner:
    """Runs probes of all targets, bounded globally and per provider."""

    def __init__(
        self,
        probeables: Mapping[str, Probeable],
        *,
        driver: Driver,
        engine: Engine,
        store: Ledger,
        clock: Clock,
        rng: Random,
        fitness: Fitness,
        redactor: Redactor,
        on_result: Callable[[str], None] = lambda _: None,
        paused: Paused = lambda _target_id, _now: None,
    ) -> None:
        """
        Wire the parts.

        *on_result* is told of each target that the engine learned of; *paused* gives the pause that
        a target is in at a time.
        """
        self._probeables = probeables
        self._driver = driver
        self._engine = engine
        self._store = store
        self._clock = clock
        self._rng = rng
        self.fitness = fitness
        self._redact = redactor
        self._log = ProbeLog()
        self._on_result = on_result
        self._paused = paused
        self._refusals: dict[str, str] = {}
        self._slots = asyncio.Semaphore(PROBES_AT_ONCE_MAX)
        self._provider_slots: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(PROBES_PER_PROVIDER_MAX)
        )
        self._free_slots = asyncio.Semaphore(FREE_CALLS_AT_ONCE_MAX)
        self._provider_free_slots: dict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(FREE_CALLS_PER_PROVIDER_MAX)
        )
        self._tasks: set[asyncio.Task[ProbeResult | None]] = set()
        self._under_way: Counter[str] = Counter()
        self._is_closing = False

    @property
    def running(self) -> int:
        """Probes under way or waiting for a slot."""
        return len(self._tasks)

    async def scheduled(
        self, target_id: str, draw: float, start: Start | None = None
    ) -> ProbeResult | None:
        """
        Run the canary of one schedule slot; None when the slot passes without one.

        *draw* was drawn for the slot, uniform in [0, 1): slots of a target that is down, or whose
        money is scarce, are left out by chance. *start* is called instead of :meth:`run` with the
        target and the time that its sample stands for.
        """
        if target_id not in self._probeables:  # No key: the state says so, no slot is expected.
            return None
        now = self._clock.wall()
        planned = self._pause(target_id, now) or self._engine.plan_slot(target_id, now, draw)
        if not isinstance(planned, Pass):
            if start is not None:
                return await start(target_id, planned)
            return await self.run(target_id, reason=ProbeReason.SCHEDULED, slot_s=planned)
        if planned.gap is None:
            log.debug("slot.passed", target=target_id, detail=planned.why)
        else:
            self.gap(target_id, planned.gap, now, why=planned.why)
        return None

    def _pause(self, target_id: str, at: float) -> Pass | None:
        return Pass(GapReason.PAUSED, p.why) if (p := self._paused(target_id, at)) else None

    async def extra(self, target_id: str) -> ProbeResult | None:
        """Confirm what the last result said; None when a probe under way will say it, or paused."""
        if self._under_way[target_id] or self._paused(target_id, self._clock.wall()) is not None:
            return None
        return await self.run(target_id, reason=ProbeReason.CONFIRM)

    def is_under_way(self, target_id: str) -> bool:
        """Return whether a generation of the target is under way or waits for a slot."""
        return self._under_way[target_id] > 0

    def last_refusal(self, target_id: str) -> str:
        """Return why the target's newest probe by hand was not sent, in words, and forget it."""
        return self._refusals.pop(target_id, "the daemon is stopping")

    @property
    def liveness_intervals(self) -> dict[str, float]:
        """Seconds between two free calls of each target that has them and a key to make them."""
        return {
            target_id: p.spec.liveness_s
            for target_id, p in self._probeables.items()
            if p.spec.liveness_s is not None and p.target.api_key
        }

    async def free_call(self, target_id: str) -> ProbeResult | None:
        """Make the free call of one slot of its own grid; None when it would tell nothing new."""
        if self._is_closing or not self._engine.is_free_call_due(target_id, self._clock.wall()):
            return None
        task = asyncio.ensure_future(self._called(self._probeables[target_id]))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, target_id))
        return await asyncio.shield(task)

    async def run(
        self,
        target_id: str,
        *,
        reason: ProbeReason,
        kind: ProbeKind = ProbeKind.CANARY,
        slot_s: float | None = None,
    ) -> ProbeResult | None:
        """
        Run one probe now; None when a cap or quota forbids it or it cannot be booked.

        *slot_s* is the time that a scheduled probe stands for, None for the target's interval.
        """
        assert kind is not ProbeKind.LIVENESS, "free calls neither pay nor take a canary's place"
        if self._is_closing:
            return None
        probeable = self._probeables[target_id]
        if reason is not ProbeReason.SCHEDULED:
            slot_s = 0.0
        elif slot_s is None:
            slot_s = probeable.spec.interval_s
        # A task of our own: the scheduler's shutdown cancels its jobs, we want to drain them.
        task = asyncio.ensure_future(self._guarded(probeable, kind, reason, slot_s))
        self._tasks.add(task)
        self._under_way[target_id] += 1
        task.add_done_callback(lambda done: self._ended(done, target_id, generations=1))
        return await asyncio.shield(task)

    def _ended(
        self, task: asyncio.Task[ProbeResult | None], target_id: str, *, generations: int = 0
    ) -> None:
        self._tasks.discard(task)
        self._under_way[target_id] -= generations
        self._on_result(target_id)

    def gap(self, target_id: str, reason: GapReason, at: float, *, why: str | None = None) -> None:
        """Record a slot without a probe: counted, stored, logged with *why* in words."""
        slot_s = self._probeables[target_id].spec.interval_s
        self._engine.gap(Gap(target_id, at, reason, slot_s))
        self._store.gap(target_id, reason, at, slot_s)
        detail = {"detail": why} if why else {}
        log.info("probe.skipped", target=target_id, reason=reason.value, **detail)
        self._on_result(target_id)

    async def drain(self, grace_s: float = DRAIN_S) -> None:
        """Start nothing new, let running probes end for *grace_s*, then void what is left."""
        self._is_closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _called(self, probeable: Probeable) -> ProbeResult:
        spec = probeable.spec
        async with self._provider_free_slots[spec.provider], self._free_slots:
            probe_id = self.new_id(self._clock.wall())
            kind, reason = ProbeKind.LIVENESS, ProbeReason.SCHEDULED
            result = await self._probe(probeable, probe_id, kind, reason, spec.liveness_s or 0.0)
        self._finish(result, spec)
        return result

    def new_id(self, at: float) -> str:
        """Return a fresh id of a probe that starts at wall time *at*."""
        # Milliseconds first, so that ids sort by time.
        return f"{int(at * 1000):012x}-{self._rng.getrandbits(40):010x}"

    async def _guarded(
        self, probeable: Probeable, kind: ProbeKind, reason: ProbeReason, slot_s: float
    ) -> ProbeResult | None:
        spec = probeable.spec
        async with self._provider_slots[spec.provider], self._slots:
            at = self._clock.wall()
            probe_id = self.new_id(at)
            if not await self._may_ask(probe_id, spec, reason, at):
                return None
            result = await self._probe(probeable, probe_id, kind, reason, slot_s)
        self._finish(result, spec)
        return result

    async def _may_ask(
        self, probe_id: str, spec: TargetSpec, reason: ProbeReason, at: float
    ) -> bool:
        """Book the probe; where that cannot be, say why."""
        # A slot is planned, and confirmations are due, before they wait for their turn.
        pause = None if reason is ProbeReason.MANUAL else self._pause(spec.id, at)
        end = Pass(GapReason.MISSED, "the daemon is stopping") if self._is_closing else None
        if (away := end or in_maintenance(spec, at) or pause) is not None:
            self._not_sent(spec, reason, away.gap or GapReason.MISSED, at, why=away.why)
            return False
        if spec.price_usd == 0 and not self._engine.quotas(spec.id, at):
            return True  # Nothing to keep within: it is booked with its row.
        return await self.is_booked(
            spec, reason, at, lambda quotas: self._store.reserve(probe_id, spec, at, quotas)
        )

    async def is_booked(self, spec: TargetSpec, reason: ProbeReason, at: float, book: Book) -> bool:
        """Have a probe booked within the target's quotas; where that cannot be, say why."""
        try:
            decision = await book(self._engine.quotas(spec.id, at))
        except StoreError as error:  # A full disk, say: its words tell more than a traceback.
            log.error("probe.not_sent", target=spec.id, error=str(error))  # noqa: TRY400
            self._not_sent(spec, reason, GapReason.MISSED, at, why="it cannot be booked")
            return False
        for mark, use in decision.marks:
            self._log.cap(mark, use)
        refused_by = decision.refused_by
        if refused_by is None:
            return True
        if isinstance(refused_by, CapUse):
            self._not_sent(spec, reason, GapReason.SPEND_CAP, at, why=f"cap {refused_by.cap}")
        else:
            self._not_sent(spec, reason, GapReason.QUOTA_GUARD, at, why=refused_by.words)
        return False

    def _not_sent(
        self, spec: TargetSpec, reason: ProbeReason, gap: GapReason, at: float, *, why: str
    ) -> None:
        """Leave a gap where a slot was to be filled; another probe only counts as tried."""
        if reason is ProbeReason.SCHEDULED:
            self.gap(spec.id, gap, at, why=why)
            return
        log.info("probe.skipped", target=spec.id, reason=gap.value, detail=why)
        if reason is ProbeReason.MANUAL:
            self._refusals[spec.id] = f"{gap.value}: {why}"
        self._engine.attempted(spec.id, at)

    async def _probe(
        self,
        probeable: Probeable,
        probe_id: str,
        kind: ProbeKind,
        reason: ProbeReason,
        slot_s: float,
    ) -> ProbeResult:
        spec, clock = probeable.spec, self._clock
        # Read anew: a slow disk may have held up the reservation.
        now, started = clock.wall(), clock.monotonic()
        is_free = kind is ProbeKind.LIVENESS

        def fault(detail: str) -> ProbeResult:
            return ProbeResult(
                probe_id=probe_id,
                target_id=spec.id,
                started_at=now,
                duration_s=clock.monotonic() - started,
                error=ErrorClass.MONITOR_FAULT,
                kind=kind,
                reason=reason,
                slot_s=slot_s,
                detail=detail,
                # It may have left before we broke: book the worst case.
                cost_usd=0.0 if is_free else spec.price_usd,
            )

        with structlog.contextvars.bound_contextvars(probe=probe_id, target=spec.id):
            try:
                if is_free:
                    assert isinstance(probeable.format, LivenessFormat)
                    result = await self._driver.liveness(
                        probeable.target, probeable.format, probe_id=probe_id, slot_s=slot_s
                    )
                else:
                    result = await self._driver.probe(
                        probeable.target,
                        draw_canary(self._rng),
                        probeable.format,
                        probe_id=probe_id,
                        kind=kind,
                        reason=reason,
                        slot_s=slot_s,
                    )
                result = replace(result, started_at=now)
                return await self.fitness.judged(result, spec.base_url, started, now)
            except asyncio.CancelledError:
                return fault("the monitor was shutting down")
            except Exception as error:  # The one loop that must go on whatever a plug-in does.
                log.exception("probe.crashed")
                return fault(f"{type(error).__name__} in the monitor; its log has the rest")

    def redacted(self, result: ProbeResult) -> ProbeResult:
        """Return *result* without secrets in any text but our own ids."""
        # A provider may echo a key anywhere, its request id included.
        clean: dict[str, Any] = {
            field.name: self._redact(text)
            for field in fields(result)
            if type(text := getattr(result, field.name)) is str and field.name not in _OWN_IDS
        }
        return replace(result, **clean)

    def _finish(self, result: ProbeResult, spec: TargetSpec) -> None:
        result = self.redacted(result)
        self._store.probe(result, spec.provider)
        self.learned(result, spec)

    def learned(self, result: ProbeResult, spec: TargetSpec) -> None:
        """Fold and log a *result* that is stored, or queued to be."""
        self._engine.accept(result)
        blocks = 0
        if result.error is ErrorClass.POLICY_BLOCKED:
            blocks = self._engine.health(spec.id, result.started_at).consecutive_policy_blocks
        self._log.finished(result, spec, blocks)
