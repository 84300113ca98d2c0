"""
What clients say of their own requests, and the figures that it makes beside the canaries'.

In figures no client weighs more than all others together. What reports mean for the state is in
:mod:`monitor.core.hearsay`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from monitor.core.availability import Ratio, weighted
from monitor.core.sketch import Sketch
from probes.model import ErrorClass, Outcome

# A client's clock may be off by so much; what it says is moved by it, and it is noted.
SKEW_S_MAX: Final = 86_400.0
SKEW_S_MIN: Final = 2.0  # Less is the time a body takes.
AGE_S_MAX: Final = 86_400.0
FUTURE_S_MAX: Final = 60.0
# Weights are whole numbers of this, so that sums do not depend on their order.
_WHOLE: Final = 1_000_000


class Report(NamedTuple):
    """
    One attempt of a client.

    Attributes:
        id: Made by the client, unique among its own.
        at: Start of the attempt, wall time, moved by the client's skew.
        error: None for a delivered picture.
        latency_s: From the start to the picture or the failure; None where it was not told.
        attempt: Place in the client's fall-through, from 1.
    """

    id: str
    target: str
    at: float
    error: ErrorClass | None
    latency_s: float | None
    attempt: int


def skew_of(sent_at: float, received_at: float) -> float:
    """Return by how many seconds a client's clock is behind ours; 0 for what the way explains."""
    skew = received_at - sent_at
    return skew if abs(skew) > SKEW_S_MIN else 0.0


def why_not(report: Report, targets: Collection[str], now: float) -> tuple[str, str] | None:
    """Return the field of *report* that cannot be taken and why; None when all of it can."""
    if report.target not in targets:
        return "target", "there is no such target; GET /v1/targets lists them"
    if report.at < now - AGE_S_MAX:
        return "at", "is more than a day ago"
    if report.at > now + FUTURE_S_MAX:
        return "at", "is more than a minute ahead of the time of sending"
    return None


@dataclass(slots=True)
class Sums:
    """What one client's reports of one target come to over a window; see :class:`ClientFigures`."""

    errors: dict[ErrorClass | None, int] = field(default_factory=dict)
    latency: Sketch = field(default_factory=Sketch)

    def count(self, outcome: Outcome) -> int:
        """Return how many came to *outcome*."""
        return sum(n for error, n in self.errors.items() if outcome_of(error) is outcome)


def outcome_of(error: ErrorClass | None) -> Outcome:
    """Return the outcome of a report."""
    return Outcome.GOOD if error is None else error.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFigures:
    """
    What clients reported of one target over one window, beside what canaries measured.

    Attributes:
        clients: How many reported.
        n, good, bad, unusable: Reports; void ones say nothing.
        provider, user: Both views, each client weighing at most as much as all others together.
        quantiles: 0.5, 0.9, 0.95 and 0.99 of the latency of pictures, within 1 % (a sketch); None
            without any.
        latency_n: Pictures with a latency.
        timeout_ratio: Timeouts among good and bad ones; None without any.
    """

    clients: int
    n: int
    good: int
    bad: int
    unusable: int
    provider: Ratio
    user: Ratio
    quantiles: Mapping[float, float | None]
    latency_n: int
    timeout_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """
    What clients reported of one target in a period of the past, beside what canaries measured.

    Attributes:
        figures: Of all reports whose hour, or whole day, began in the period.
        left_out: Starts of the days that are only partly in it and whose reports are not counted,
            because their sums are no longer kept by the hour; wall times.
    """

    figures: ClientFigures
    left_out: tuple[float, ...] = ()


class ReportCount(NamedTuple):
    """Key of a cumulative counter of reports."""

    target: str
    outcome: str
    error: str


@dataclass(frozen=True, slots=True)
class ReportFigures:
    """
    All that is published of reports, of one moment.

    Attributes:
        windows: Target and window's name to figures; where nothing was reported there are none.
        totals: Reports since the first; they only grow.
        failing_alone: Target to the clients whose failures are their own trouble.
    """

    windows: Mapping[str, Mapping[str, ClientFigures]] = field(default_factory=dict)
    totals: Mapping[ReportCount, int] = field(default_factory=dict)
    failing_alone: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def client_figures(by_client: Sequence[Sums]) -> ClientFigures:
    """Return the figures of one window from the sums of each client."""
    good, bad, unusable = (
        [sums.count(outcome) for sums in by_client]
        for outcome in (Outcome.GOOD, Outcome.BAD, Outcome.UNUSABLE)
    )
    latency = Sketch()
    for sums in by_client:
        latency.merge(sums.latency)
    verdicts = sum(good) + sum(bad)
    timeouts = sum(sums.errors.get(ErrorClass.TIMEOUT, 0) for sums in by_client)
    return ClientFigures(
        clients=len(by_client),
        n=verdicts + sum(unusable),
        good=sum(good),
        bad=sum(bad),
        unusable=sum(unusable),
        provider=_bounded(good, bad),
        user=_bounded(good, [b + u for b, u in zip(bad, unusable, strict=True)]),
        quantiles={q: latency.quantile(q) for q in (0.5, 0.9, 0.95, 0.99)},
        latency_n=latency.n,
        timeout_ratio=timeouts / verdicts if verdicts else None,
    )


def _bounded(good: Sequence[int], others: Sequence[int]) -> Ratio:
    """Return the good share, the reports of the busiest client weighing no more than all others'."""
    counts = [g + o for g, o in zip(good, others, strict=True)]
    total, most = sum(counts), max(counts, default=0)
    rest = total - most
    weights = [
        _WHOLE * rest // most if 0 < rest < most and count == most else _WHOLE for count in counts
    ]
    return weighted(
        sum(w * g for w, g in zip(weights, good, strict=True)),
        sum(w * n for w, n in zip(weights, counts, strict=True)),
        sum(w * w * n for w, n in zip(weights, counts, strict=True)),
        total,
    )
