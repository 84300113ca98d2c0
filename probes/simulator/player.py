"""
Turns a fault plan into one decision per request.

Pure: the time comes in with each call, randomness is drawn from (seed, account, ordinal), so the
same plan and the same requests give the same troubles. Knows nothing of HTTP or of vendors.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from probes.simulator.faults import AccountPlan, Fault, FaultKind, FaultPlan

MINUTE_S: Final = 60.0
DAY_S: Final = 86_400.0
# A call that draws nothing reaches a front end, not a model: it takes no longer than this.
FREE_CALL_S: Final = 0.2

_K = FaultKind
# Refused at the door, before a model works on it: these answers come at once.
QUICK: Final = frozenset({
    _K.OVERLOADED, _K.RATE_LIMITED, _K.QUOTA_EXHAUSTED, _K.NOT_ENTITLED, _K.BILLING, _K.AUTH,
    _K.MODEL_GONE, _K.BAD_REQUEST, _K.RESET, _K.REDIRECT,
})  # fmt: skip
# What also meets calls that draw nothing (model lists, token counts, polls): they pass the same
# network, front end and key check, and stay green through every trouble of the image models.
STRIKES_FREE_CALLS: Final = frozenset({
    _K.AUTH, _K.HANG, _K.SLOW_DRIP, _K.CUT_BODY, _K.GARBAGE, _K.RESET, _K.HTML, _K.REDIRECT,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    What happens to one request.

    Attributes:
        ordinal: Number of the request in its account, from 1, counted per sort of call.
        latency_s: Real seconds until it is answered.
        fault: None when all is well. A ``slow`` fault is already in *latency_s*.
        retry_after_s: Real seconds until another try can succeed, for limits; else None.
        limit: The bound that was hit, for limits; else None.
        drip_s: Real seconds between two pieces of a dripping body.
        slower: How many times slower a ``slow`` fault makes everything, a batch queue too.
    """

    ordinal: int = 0
    latency_s: float = 0.0
    fault: Fault | None = None
    retry_after_s: float | None = None
    limit: int | None = None
    drip_s: float = 0.0
    slower: float = 1.0

    @property
    def kind(self) -> FaultKind | None:
        """Kind of the fault, if any."""
        return None if self.fault is None else self.fault.kind


@dataclass(slots=True)
class _Ledger:
    """What an account has done so far; times in plan seconds."""

    generations: int = 0
    free_calls: int = 0
    recent: deque[float] = field(default_factory=deque)  # Never longer than per_minute.
    period_start: float = 0.0
    spent: int = 0


class Player:
    """Plays a plan: one decision per request, in the order the requests come."""

    def __init__(self, plan: FaultPlan) -> None:
        """Start *plan* at its beginning."""
        self.plan = plan
        self.live: dict[str, Fault] = {}
        self._ledgers: dict[str, _Ledger] = {}

    def decide(self, account: str, model: str, elapsed_s: float, *, paid: bool = True) -> Decision:
        """
        Return what happens to the next request of *account*.

        Args:
            account: Name in the plan.
            model: Model asked for.
            elapsed_s: Real seconds since the plan began.
            paid: A generation: it takes the model's time and counts against the limits.
        """
        plan, scale = self.plan.account(account), self.plan.scale
        now = elapsed_s * scale
        ledger = self._ledgers.setdefault(account, _Ledger())
        if paid:
            ledger.generations += 1
            ordinal = ledger.generations
        else:
            ledger.free_calls += 1
            ordinal = ledger.free_calls
        sort = "paid" if paid else "free"
        # Reproducible on purpose, and no secret hangs on it.
        rng = Random(f"{self.plan.seed}/{account}/{sort}/{ordinal}")
        latency = plan.latency.draw(rng)
        if not paid:
            latency = min(latency, FREE_CALL_S)
        fault, slower = self._strike(account, model, now, rng, paid=paid)
        latency *= slower
        if fault is not None and fault.kind in QUICK:
            latency = min(latency, FREE_CALL_S)
        decision = Decision(
            ordinal=ordinal,
            latency_s=latency / scale,
            fault=fault,
            drip_s=0.0 if fault is None else fault.drip_s / scale,
            slower=slower,
        )
        if not paid:
            return decision
        if fault is None:
            return self._limited(plan, ledger, now, decision)
        end = _end_of(plan, fault, now)
        if end is None:
            return decision
        return replace(decision, retry_after_s=(end - now) / scale, limit=1)

    def _strike(
        self, account: str, model: str, now: float, rng: Random, *, paid: bool
    ) -> tuple[Fault | None, float]:
        """Return the first fault that strikes, and how many times slower the answer is."""
        active = [e.fault for e in self.plan.account(account).episodes if e.from_s <= now < e.to_s]
        if account in self.live:
            active.insert(0, self.live[account])
        slower, hit = 1.0, None
        for fault in active:
            struck = rng.random() < fault.share  # Drawn for each, so that draws do not shift.
            if not struck or fault.model not in (None, model):
                continue
            if fault.kind is FaultKind.SLOW:
                slower *= fault.factor if paid else 1.0
            elif hit is None and (paid or fault.kind in STRIKES_FREE_CALLS):
                hit = fault
        return hit, slower

    def _limited(
        self, plan: AccountPlan, ledger: _Ledger, now: float, decision: Decision
    ) -> Decision:
        """Refuse *decision* when a limit is used up; else count it."""
        scale = self.plan.scale
        start, end = quota_period(plan, now)
        if start > ledger.period_start:
            ledger.period_start, ledger.spent = start, 0
        drained = any(start <= at <= now for at in plan.quota_spent_s)
        if plan.per_day is not None and (drained or ledger.spent >= plan.per_day):
            return _refused(decision, FaultKind.QUOTA_EXHAUSTED, plan.per_day, end - now, scale)
        recent = ledger.recent
        while recent and recent[0] <= now - MINUTE_S:
            recent.popleft()
        if plan.per_minute is not None and len(recent) >= plan.per_minute:
            wait = recent[0] + MINUTE_S - now if recent else MINUTE_S
            return _refused(decision, FaultKind.RATE_LIMITED, plan.per_minute, wait, scale)
        if plan.per_minute is not None:
            recent.append(now)
        ledger.spent += 1
        return decision


def quota_period(plan: AccountPlan, now: float) -> tuple[float, float]:
    """Return start and end of the quota period around *now*, in plan seconds."""
    midnight = now // DAY_S * DAY_S
    start = max([midnight, *(at for at in plan.quota_resets_s if at <= now)])
    end = min([midnight + DAY_S, *(at for at in plan.quota_resets_s if at > now)])
    return start, end


def _end_of(plan: AccountPlan, fault: Fault, now: float) -> float | None:
    """Return when a limit given as an episode is over; None for other faults and live ones."""
    if fault.kind not in {FaultKind.RATE_LIMITED, FaultKind.QUOTA_EXHAUSTED}:
        return None
    ends = [e.to_s for e in plan.episodes if e.fault is fault and e.from_s <= now < e.to_s]
    live = now + (MINUTE_S if fault.kind is FaultKind.RATE_LIMITED else DAY_S)
    return min(ends, default=live)


def _refused(
    decision: Decision, kind: FaultKind, limit: int, wait_s: float, scale: float
) -> Decision:
    return replace(
        decision,
        latency_s=min(decision.latency_s, FREE_CALL_S / scale),
        fault=Fault(kind=kind),
        retry_after_s=wait_s / scale,
        limit=limit,
    )
