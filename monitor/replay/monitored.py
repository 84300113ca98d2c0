"""
Clients that read this monitor's order: its own schedule, verdicts and ranking in virtual time.

Nothing here decides anything: canaries fire when ``core.schedule`` says so, their results go
through the engine, and what clients read is the order that the engine publishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from monitor.core.schedule import Pass, next_fire, slot_of
from monitor.core.snapshot import State
from monitor.core.spec import Objective, Policy, PoolSpec, Profile, TargetSpec
from monitor.core.tallies import MINUTE_S, Count, Key
from monitor.engine import Engine
from monitor.replay.world import Service, World, luck
from probes.model import ErrorClass, ProbeReason, ProbeResult

_POOL: Final = "replay"
# Windows that nothing enters age slowly; a daemon shows every second of it, a replay need not.
_REFRESH_S: Final = 300.0
# Attempts of canaries are numbered apart from those of clients, so that no two share their luck.
_CANARIES: Final = 1 << 40
_JITTER: Final = 1 << 20
_DRAW: Final = 1 << 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    How the monitor of a replay is set up: one interval for all, one pool, one profile.

    Attributes:
        hears_reports: Clients tell it what came of their requests.
    """

    name: str = "this monitor"
    interval_s: float = 900.0
    deadline_s: float = 60.0
    policy: Policy
    profile: Profile
    slo: Objective = field(default_factory=Objective)
    hears_reports: bool = False


@dataclass(slots=True)
class _Watch:
    """What is due next for one target."""

    slot_at: float
    extra_at: float | None = None
    running: tuple[float, ProbeResult] | None = None  # When it ends, and what it will say.


@dataclass(frozen=True, slots=True)
class Change:
    """A target's state from *at* on."""

    at: float
    state: State


class Monitored:
    """
    A router by this monitor's order.

    Attributes:
        probes, spent_usd: Canaries sent, and what they cost.
        changes: By service, every change of its state, in order of time.
    """

    def __init__(self, world: World, settings: Settings) -> None:
        """Begin to watch *world* at its begin, without any evidence."""
        self.name = settings.name
        self.probes = 0
        self.spent_usd = 0.0
        self.changes: list[list[Change]] = [[] for _ in world.services]
        self._world = world
        self._settings = settings
        self._ids = [f"{index}-{service.id}" for index, service in enumerate(world.services)]
        self._index = {target_id: index for index, target_id in enumerate(self._ids)}
        specs = {
            target_id: _spec(target_id, service, settings)
            for target_id, service in zip(self._ids, world.services, strict=True)
        }
        pool = PoolSpec(
            id=_POOL,
            targets=tuple(specs),
            slo=settings.slo,
            profile=settings.profile.name,
            profiles=(settings.profile,),
        )
        self._engine = Engine(specs, [pool], settings.policy, refresh_s=_REFRESH_S, explains=False)
        # A first probe of each, as when a daemon starts.
        self._watches = [_Watch(world.begin) for _ in self._ids]
        self._due_at = world.begin  # Nothing is due before.
        self._order: tuple[int, ...] = ()
        self._is_dirty = True
        self._tick_at = world.begin  # When an order that was held back may change by itself.

    def order(self, now: float) -> Sequence[int]:
        """Return the order that is published at *now*."""
        self._advance(now)
        if self._is_dirty or now >= self._tick_at:
            self._tick_at = now + self._settings.policy.dwell_s if self._is_dirty else float("inf")
            self._is_dirty = False
            places = self._engine.tick(now).orders[_POOL, self._settings.profile.name].places
            self._order = tuple(self._index[place.target] for place in places)
        return self._order

    def told(self, index: int, at: float, *, is_good: bool, took_s: float) -> None:
        """Hear a client's report, if it is set up to."""
        if not self._settings.hears_reports:
            return
        ended = at + took_s
        self._advance(ended)
        error = "" if is_good else ErrorClass.OVERLOADED.value
        minute = int(at // MINUTE_S) * MINUTE_S
        told = {Key(MINUTE_S, minute, self._ids[index], "client", error): Count(1, at)}
        if self._engine.reported(told, ended):  # Nothing else of a report changes a state.
            self._note(index, ended)
            self._is_dirty = True
        self._look_ahead(index, ended)

    def _advance(self, now: float) -> None:
        """Send and judge every canary that is due until *now*, in order of time."""
        while self._due_at <= now:
            dues = [self._due(watch) for watch in self._watches]
            due = min(dues)
            if due > now:
                self._due_at = due
                return
            index = dues.index(due)
            if self._watches[index].running is None:
                self._send(index, due)
            else:
                self._judge(index)

    def _due(self, watch: _Watch) -> float:
        if watch.running is not None:
            return watch.running[0]
        return watch.slot_at if watch.extra_at is None else min(watch.slot_at, watch.extra_at)

    def _send(self, index: int, now: float) -> None:
        watch, target_id, settings = self._watches[index], self._ids[index], self._settings
        reason, slot_s = ProbeReason.CONFIRM, 0.0
        if now >= watch.slot_at:
            slot = slot_of(target_id, self._settings.interval_s, now)
            planned = self._engine.plan_slot(target_id, now, self._luck(index, slot, _DRAW))
            watch.slot_at = self._next_slot(index, now)
            if isinstance(planned, Pass):
                self._look_ahead(index, now)
                return
            reason, slot_s = ProbeReason.SCHEDULED, planned
        answer = self._world.answer(index, now, _CANARIES + self.probes, self._settings.deadline_s)
        self.probes += 1
        price_usd = self._world.services[index].price_usd
        self.spent_usd += price_usd * (1 if answer.is_good else settings.policy.billed_share)
        result = ProbeResult(
            probe_id=str(self.probes),
            target_id=target_id,
            started_at=now,
            duration_s=answer.took_s,
            latency_s=answer.took_s if answer.is_good else None,
            error=None if answer.is_good else ErrorClass.OVERLOADED,
            reason=reason,
            slot_s=slot_s,
        )
        watch.running, watch.extra_at = (now + answer.took_s, result), None

    def _judge(self, index: int) -> None:
        watch = self._watches[index]
        assert watch.running is not None
        ended, result = watch.running
        watch.running = None
        self._engine.accept(result)
        self._is_dirty = True
        self._note(index, ended)
        if watch.slot_at <= ended:  # A slot that passed while the probe ran is not made up for.
            watch.slot_at = self._next_slot(index, ended)
        self._look_ahead(index, ended)

    def _note(self, index: int, at: float) -> None:
        """Keep the state of a target at *at* if it is another one than before."""
        state = self._engine.health(self._ids[index], at).state
        changes = self.changes[index]
        if not changes or changes[-1].state is not state:
            changes.append(Change(at, state))

    def _look_ahead(self, index: int, now: float) -> None:
        watch = self._watches[index]
        if watch.running is None:
            due = self._engine.extra_due(self._ids[index], watch.slot_at)
            watch.extra_at = None if due is None else max(due, now)
            self._due_at = min(self._due_at, self._due(watch))

    def _next_slot(self, index: int, after: float) -> float:
        def jitter_of(slot: int) -> float:
            return self._luck(index, slot, _JITTER)

        return next_fire(self._ids[index], self._settings.interval_s, after, jitter_of)

    def _luck(self, index: int, slot: int, what: int) -> float:
        return luck(self._world.seed, index + what, slot)


def _spec(target_id: str, service: Service, settings: Settings) -> TargetSpec:
    return TargetSpec(
        id=target_id,
        provider=target_id,
        model=service.id,
        base_url="https://replay.example",
        format="replay",
        price_usd=service.price_usd,
        interval_s=settings.interval_s,
        deadline_s=settings.deadline_s,
    )
