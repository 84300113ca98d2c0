"""
Quotas: how many probes may ask a provider in a running minute or day, by what limits.

A limit is configured, or was told by the provider's replies; a probe has to fit into its share of
each. What is booked is counted in the store (``monitor/store/ledger.py``); here is the arithmetic.
Days begin at midnight in the provider's zone, minutes slide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from typing import Final

from monitor.core.spec import ProviderSpec, QuotaSpec, TargetSpec
from monitor.core.words import exact, exact_percent, utc
from probes.model import Limit, LimitPeriod
from probes.retry import midnight_after, midnight_before

MINUTE_S: Final = 60.0
# A local day has 25 hours at most; a reply's reset is believed for no longer.
DAY_S_MAX: Final = 25 * 3_600.0
# A limit that nobody told again for so long may have been raised.
LEARNED_S: Final = 7 * 86_400.0


class Source(StrEnum):
    """How a limit is known."""

    CONFIGURED = "configured"
    LEARNED = "learned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """
    What probes may use of one limit in its running period.

    Attributes:
        requests: The limit itself; None while *until* says that none of it is left.
        probes: How many probes may use it.
        since: When the running period began, seconds since the epoch: probes booked since count.
        targets: Whose probes count; empty for all of the provider's.
        share: Of a daily limit, 0..1, for words.
        until: Set where the provider said that nothing is left before then.
    """

    provider: str
    period: LimitPeriod
    source: Source
    requests: int | None
    probes: int
    since: float
    targets: tuple[str, ...] = ()
    share: float = 0.0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """The probes that are booked in the running period of a quota."""

    quota: Quota
    booked: int

    @property
    def is_full(self) -> bool:
        """Whether one more probe does not fit."""
        return self.booked >= self.quota.probes

    @property
    def words(self) -> str:
        """Why a probe that does not fit is not sent."""
        quota = self.quota
        whose = f"of {' and '.join(quota.targets)}" if quota.targets else f"of {quota.provider}"
        if quota.until is not None:
            left_at = utc(quota.until, quota.since)
            return f"quota {whose} per {quota.period}: told that none is left before {left_at}"
        if quota.period is LimitPeriod.MINUTE:
            part = f"{quota.probes} of {quota.requests} requests"
        else:
            share = f"{exact_percent(quota.share)} %"
            part = f"{quota.probes} ({share}) of {quota.requests} requests"
        return (
            f"quota {whose} per {quota.period}: {self.booked} probes are booked, they may use "
            f"{part} ({quota.source})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """
    What a provider told last of one of its limits, and when.

    Attributes:
        requests: The newest number; None before it told one.
        requests_at: When it told that number.
        remaining: How many were left; None where the newest telling says nothing of it.
        at: When the newest telling came.
        resets_at: When the period that was running then ends, where it was told.
    """

    requests: int | None
    requests_at: float
    remaining: int | None
    at: float
    resets_at: float | None

    def number(self, now: float) -> int | None:
        """Return the limit, unless nobody told it for a week."""
        return self.requests if _was_told(self.requests_at, now, LEARNED_S) else None

    def left(self, period: LimitPeriod, quota: QuotaSpec, now: float) -> int | None:
        """Return what it said is left, for as long as its period runs; else None."""
        ends_at = self.resets_at
        if period is LimitPeriod.MINUTE:
            # Buckets fill up in less; what was said is of this minute all the same.
            ends_at = max(ends_at or 0.0, self.at + MINUTE_S)
        elif ends_at is None:
            ends_at = midnight_after(self.at, quota.resets)
        is_running = now < ends_at and _was_told(self.at, now, DAY_S_MAX)
        return self.remaining if is_running else None

    def held_until(self, now: float) -> float | None:
        """Return until when nothing is left by what it told; None when that is over or not so."""
        if self.remaining != 0 or self.resets_at is None:
            return None
        until = min(self.resets_at, self.at + DAY_S_MAX)
        return until if until > now and _was_told(self.at, now, DAY_S_MAX) else None


def _was_told(at: float, now: float, within_s: float) -> bool:
    """Whether *at* is not longer ago; what is a day ahead is of a clock that was set back since."""
    return at - DAY_S_MAX <= now < at + within_s


# Provider, model (empty: of the account, whatever the model), period.
Kind = tuple[str, str, LimitPeriod]
Learned = Mapping[Kind, Told]


def learn(before: Told | None, limit: Limit, at: float) -> Told:
    """Return what is known after *limit* was told at *at*."""
    after = Told(
        requests=limit.requests,
        requests_at=at,
        remaining=limit.remaining,
        at=at,
        resets_at=limit.resets_at,
    )
    if limit.requests is None and before is not None:
        return replace(after, requests=before.requests, requests_at=before.requests_at)
    return after


def kind_of(limit: Limit, target: TargetSpec) -> Kind:
    """Return which limit a reply to *target* spoke of."""
    return (target.provider, target.model if limit.per_model else "", limit.period)


def period_start(period: LimitPeriod, quota: QuotaSpec, at: float) -> float:
    """Return the start of the period that *at* is in: the last minute, or the provider's day."""
    return at - MINUTE_S if period is LimitPeriod.MINUTE else midnight_before(at, quota.resets)


def quotas_of(
    target: TargetSpec,
    provider: ProviderSpec,
    targets: Iterable[TargetSpec],
    learned: Learned,
    at: float,
) -> tuple[Quota, ...]:
    """
    Return every quota that a probe of *target* at *at* has to fit into.

    Args:
        target: Whose probe it is.
        provider: Of that target.
        targets: All that are configured; a limit of a model counts the probes of all that use it.
        learned: What providers told so far.
        at: Wall time, seconds since the epoch.
    """
    found = [
        _quota(provider, period, Source.CONFIGURED, at, requests=requests)
        for period in LimitPeriod
        if (requests := provider.quota.requests(period)) is not None
    ]
    model = tuple(t.id for t in targets if (t.provider, t.model) == (target.provider, target.model))
    for scope, counted in (("", ()), (target.model, model)):
        for period in LimitPeriod:
            told = learned.get((provider.id, scope, period))
            if told is None:
                continue
            if (until := told.held_until(at)) is not None:
                hold = _quota(provider, period, Source.LEARNED, at, targets=counted, until=until)
                found.append(hold)
            # A limit of nothing is no matter of shares: not_entitled says when to ask again.
            if requests := told.number(at):
                found.append(
                    _quota(provider, period, Source.LEARNED, at, requests=requests, targets=counted)
                )
    return tuple(found)


def _quota(
    provider: ProviderSpec,
    period: LimitPeriod,
    source: Source,
    at: float,
    *,
    requests: int | None = None,
    targets: tuple[str, ...] = (),
    until: float | None = None,
) -> Quota:
    return Quota(
        provider=provider.id,
        period=period,
        source=source,
        requests=requests,
        probes=0 if requests is None else provider.quota.probes_of(requests, period),
        since=period_start(period, provider.quota, at),
        targets=targets,
        share=provider.quota.share,
        until=until,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaFigures:
    """
    What is published of a provider's limit on requests a *period*.

    Attributes:
        limits: By how it is known; of several that it told, the lowest.
        used: Probes booked in the running period; None before the books were read.
        remaining: What it said is left, the least; None where it said nothing of this period.
    """

    provider: str
    period: LimitPeriod
    limits: Mapping[Source, int]
    used: int | None
    remaining: int | None


def quota_figures(
    providers: Iterable[ProviderSpec],
    learned: Learned,
    used: Mapping[tuple[str, LimitPeriod], int],
    now: float,
) -> tuple[QuotaFigures, ...]:
    """Return what is known at *now* of every limit, configured or told; those unknown are absent."""
    found = []
    for provider in providers:
        for period in LimitPeriod:
            told = [t for (p, _, of), t in learned.items() if (p, of) == (provider.id, period)]
            numbers = [n for t in told if (n := t.number(now)) is not None]
            left = [n for t in told if (n := t.left(period, provider.quota, now)) is not None]
            limits = {Source.LEARNED: min(numbers)} if numbers else {}
            if (configured := provider.quota.requests(period)) is not None:
                limits[Source.CONFIGURED] = configured
            if limits or left:
                figures = QuotaFigures(
                    provider=provider.id,
                    period=period,
                    limits=limits,
                    used=used.get((provider.id, period)),
                    remaining=min(left, default=None),
                )
                found.append(figures)
    return tuple(found)


def shortfalls(provider: ProviderSpec, planned_per_day: float) -> Iterator[str]:
    """Yield what to change, a sentence for each configured limit that leaves less than is planned."""
    quota = provider.quota
    for period, planned in (
        (LimitPeriod.MINUTE, planned_per_day * MINUTE_S / 86_400),
        (LimitPeriod.DAY, planned_per_day),
    ):
        requests, probes = quota.requests(period), quota.probes(period)
        if requests is None or probes is None or planned <= probes + 1e-9:
            continue
        share = _raised(ceil(planned) / requests, 4)
        advice = []
        if probes:
            advice.append(f"make intervals {exact(_raised(planned / probes, 2))} times as long")
        if period is LimitPeriod.DAY and share <= 1:
            advice.append(f"set quota.share = {exact(share)}")
        what = " or ".join(advice) or "make intervals longer and set quota.share"
        yield (
            f"provider {provider.id}: {exact(round(planned, 2))} canaries a {period} are planned, its quota of "
            f"{requests} requests a {period} leaves them {probes}; {what}."
        )


def _raised(value: float, digits: int) -> float:
    """Return *value* with so many decimals, never less than it is."""
    scale = 10.0**digits
    return ceil(round(value * scale, 6)) / scale
