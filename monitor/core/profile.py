"""
How a target is at each hour of the week: an evening that is always slow is no outage.

Computed on demand over the samples of the longest window; the same weights as in windows, so that
slots left out while a target was down bias no hour.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from monitor.core.availability import Ratio, weighted
from monitor.core.percentile import quantile
from monitor.core.window import Sample
from probes.model import Outcome

HOURS: Final = 24
DAYS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class HourFigures:
    """
    One hour of the week over all weeks that are known.

    Attributes:
        weekday: 0 for Monday to 6 for Sunday.
        hour: 0 to 23, of the zone's clock.
        n: Scheduled samples that are good, bad or unusable.
        availability: The provider's own record: good / (good + bad).
        latency_n: Good samples in the quantiles.
        p50, p95: In seconds; None where the samples support no upper bound: 5 and 59 are needed.
    """

    weekday: int
    hour: int
    n: int
    availability: Ratio
    latency_n: int
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Profile:
    """The hours of a week over the last *span_s* seconds, by the clock of *zone*."""

    zone: str
    span_s: float
    hours: tuple[HourFigures, ...]


@dataclass(slots=True)
class _Hour:
    counts: Counter[Outcome] = field(default_factory=Counter)
    weights: Counter[Outcome] = field(default_factory=Counter)
    squares: Counter[Outcome] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)


def hours_of_week(
    samples: Iterable[Sample], since: float, zone: ZoneInfo
) -> tuple[HourFigures, ...]:
    """
    Return the figures of all 168 hours of a week, from Monday 0:00 in *zone* on.

    Samples before wall time *since* are left out. An hour that the clock shows twice in a night of
    autumn counts both, one that it leaves out in spring has a week less.
    """
    hours = [_Hour() for _ in range(DAYS * HOURS)]
    for sample in samples:
        if sample.at < since or sample.outcome is Outcome.VOID:
            continue
        local = datetime.fromtimestamp(sample.at, zone)
        hour = hours[local.weekday() * HOURS + local.hour]
        hour.counts[sample.outcome] += 1
        hour.weights[sample.outcome] += sample.weight
        hour.squares[sample.outcome] += sample.weight**2
        if sample.latency_s is not None:
            insort(hour.latencies, sample.latency_s)
    return tuple(_figures(number, hour) for number, hour in enumerate(hours))


def _figures(number: int, hour: _Hour) -> HourFigures:
    rated = (Outcome.GOOD, Outcome.BAD)
    p50, p95 = (quantile(hour.latencies, q) for q in (0.5, 0.95))
    return HourFigures(
        weekday=number // HOURS,
        hour=number % HOURS,
        n=hour.counts.total(),
        availability=weighted(
            hour.weights[Outcome.GOOD],
            sum(hour.weights[outcome] for outcome in rated),
            sum(hour.squares[outcome] for outcome in rated),
            sum(hour.counts[outcome] for outcome in rated),
        ),
        latency_n=len(hour.latencies),
        p50=None if p50.upper is None else p50.value,
        p95=None if p95.upper is None else p95.value,
    )
