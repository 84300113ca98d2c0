"""
Caps on probe money: what they cover, when a probe no longer fits, when that is worth a word.

A claim is held against quotas too (``monitor/core/quota.py``): one step decides both.

The books themselves are in the store (``monitor/store/ledger.py``); here is the arithmetic. Amounts
are whole micro-dollars: costs round up, caps down, and nothing drifts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from math import ceil, floor
from typing import Final

from monitor.core.quota import Quota, QuotaUse
from monitor.core.spec import ProviderSpec, SpendCap, TargetSpec

_DAY_S: Final = 86_400
NEAR_SHARE: Final = Decimal("0.8")


class Scope(StrEnum):
    """Whose probes a cap is on."""

    GLOBAL = "global"
    PROVIDER = "provider"
    TARGET = "target"


class Period(StrEnum):
    """How long a cap lasts: a UTC day or a calendar month in UTC."""

    DAY = "day"
    MONTH = "month"


class Mark(StrEnum):
    """How far a cap is used: 80 %, or all of it (or so much that a probe did not fit)."""

    NEAR = "near"
    REACHED = "reached"


def micros(usd: float) -> int:
    """Return a cost in whole micro-dollars, rounded up."""
    assert usd >= 0
    return ceil(_micros(usd))


def _micros(usd: float) -> Decimal:
    # Of the decimal digits: 0.134 * 1e6 is 134000.00000000001 in binary and would round up.
    return Decimal(str(usd)) * 1_000_000


def period_start(period: Period, at: float) -> float:
    """Return the start of the UTC day or month that *at* is in, seconds since the epoch."""
    if period is Period.DAY:
        return float(floor(at / _DAY_S) * _DAY_S)
    day = datetime.fromtimestamp(at, UTC)
    return day.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A hard limit of *micros* micro-dollars a *period*; *id* is empty for the global one."""

    scope: Scope
    id: str
    period: Period
    micros: int

    def __str__(self) -> str:
        return f"{' '.join(filter(None, (self.scope, self.id)))} per {self.period}"


@dataclass(frozen=True, slots=True)
class CapUse:
    """What is booked against a cap in its running period: billed, or still at its worst case."""

    cap: Cap
    booked_micros: int

    @property
    def ratio(self) -> float:
        """Used share of the cap; a cap of nothing is always used up."""
        return self.booked_micros / self.cap.micros if self.cap.micros else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    What one probe asks to be booked: one request, and money to be set aside.

    Attributes:
        micros: Its worst-case price; 0 when it is free.
        at: Wall time of asking: the minute, day and month it is booked for.
        caps: Every cap it has to fit into.
        quotas: Every quota it has to fit into.
    """

    probe_id: str
    target_id: str
    provider: str
    micros: int
    at: float
    caps: tuple[Cap, ...] = ()
    quotas: tuple[Quota, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    The answer to a claim.

    Attributes:
        refused_by: The first cap or else quota it does not fit into; None when it is granted.
        marks: How far each cap is used with this claim in it, where that is worth a word.
    """

    refused_by: CapUse | QuotaUse | None
    marks: tuple[tuple[Mark, CapUse], ...] = ()


def decide(claim: Claim, caps: Sequence[CapUse], quotas: Sequence[QuotaUse]) -> Decision:
    """Return whether *claim* fits into all its caps and quotas, which are used as is given."""
    full = [use for use in caps if use.booked_micros + claim.micros > use.cap.micros]
    spent = [use for use in quotas if use.is_full]
    refused_by = full[0] if full else spent[0] if spent else None
    after = [
        use if refused_by else CapUse(use.cap, use.booked_micros + claim.micros) for use in caps
    ]
    marks = [
        (mark, use)
        for use in after
        for mark, is_there in (
            (Mark.NEAR, use.booked_micros >= NEAR_SHARE * use.cap.micros),
            (Mark.REACHED, use.booked_micros >= use.cap.micros or use in full),
        )
        if is_there
    ]
    return Decision(refused_by=refused_by, marks=tuple(marks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """All caps of a configuration."""

    overall: SpendCap | None
    providers: Mapping[str, ProviderSpec]
    targets: Mapping[str, TargetSpec]

    def of(self, target_id: str) -> tuple[Cap, ...]:
        """Return the caps that a probe of one target has to fit into, the narrowest first."""
        target = self.targets[target_id]
        provider = self.providers.get(target.provider)
        return (
            *_caps(Scope.TARGET, target.id, target.spend_cap),
            *_caps(Scope.PROVIDER, target.provider, provider.spend_cap if provider else None),
            *_caps(Scope.GLOBAL, "", self.overall),
        )

    def claim(
        self, probe_id: str, spec: TargetSpec, at: float, quotas: tuple[Quota, ...] = ()
    ) -> Claim:
        """Return the claim of a probe that starts at wall time *at*, at its worst-case price."""
        return Claim(
            probe_id=probe_id,
            target_id=spec.id,
            provider=spec.provider,
            micros=micros(spec.price_usd),
            at=at,
            caps=self.of(spec.id),
            quotas=quotas,
        )

    def all(self) -> tuple[Cap, ...]:
        """Return every cap, the widest first."""
        return (
            *_caps(Scope.GLOBAL, "", self.overall),
            *(c for p in self.providers.values() for c in _caps(Scope.PROVIDER, p.id, p.spend_cap)),
            *(c for t in self.targets.values() for c in _caps(Scope.TARGET, t.id, t.spend_cap)),
        )


def _caps(scope: Scope, scope_id: str, cap: SpendCap | None) -> Iterable[Cap]:
    if cap is None:
        return
    for period, usd in ((Period.DAY, cap.usd_per_day), (Period.MONTH, cap.usd_per_month)):
        if usd is not None:
            yield Cap(scope=scope, id=scope_id, period=period, micros=floor(_micros(usd)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What is booked for one target since the start of the UTC day and of the month."""

    provider: str
    target_id: str
    day_micros: int
    month_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Probe money as it is published: by provider since UTC midnight, and the use of each cap."""

    today_usd: Mapping[str, float] = field(default_factory=dict)
    caps: tuple[CapUse, ...] = ()


def spending(booked: Iterable[Booked], caps: Caps) -> Spending:
    """Return what *booked* makes of *caps*; targets that are gone count for their provider."""
    sums: Counter[tuple[Scope, str, Period]] = Counter()
    for row in booked:
        for scope, scope_id in (
            (Scope.GLOBAL, ""),
            (Scope.PROVIDER, row.provider),
            (Scope.TARGET, row.target_id),
        ):
            sums[scope, scope_id, Period.DAY] += row.day_micros
            sums[scope, scope_id, Period.MONTH] += row.month_micros
    return Spending(
        today_usd={p: sums[Scope.PROVIDER, p, Period.DAY] / 1e6 for p in sorted(caps.providers)},
        caps=tuple(CapUse(c, sums[c.scope, c.id, c.period]) for c in caps.all()),
    )
