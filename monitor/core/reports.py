"""
What clients say of their own requests: evidence for the state, figures beside the canaries'.

Reports demote, canaries prove (law 11). A client moves a target one step in half a minute however
much it sends, a client that fails while another one succeeds is its own trouble, and what concerns
its account or its request says nothing of the provider. In figures no client weighs more than all
others together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from monitor.core.availability import Ratio, weighted
from monitor.core.sketch import Sketch
from probes.model import ErrorClass, Outcome

# What is older says little of now, and a client that was fine so recently vouches for the target.
RECENT_S: Final = 120.0
_RECENT_MAX: Final = 10
STEP_S: Final = 30.0
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


class Step(NamedTuple):
    """What a client's newest reports make of a target: one result for its state."""

    at: float
    error: ErrorClass | None


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
class _Testimony:
    """What one client said of one target lately, oldest first."""

    recent: deque[Step] = field(default_factory=lambda: deque(maxlen=_RECENT_MAX))
    stepped_at: float = float("-inf")

    def hear(self, said: Iterable[Step]) -> None:
        self.recent.extend(said)
        newest = self.recent[-1].at
        while self.recent[0].at < newest - RECENT_S:
            self.recent.popleft()

    @property
    def newest(self) -> Step:
        return self.recent[-1]

    @property
    def is_failing(self) -> bool:
        failures = sum(step.error is not None for step in self.recent)
        return self.newest.error is not None and 2 * failures >= len(self.recent)


class Witnesses:
    """The clients that speak of targets; what they say becomes steps of a target's state."""

    def __init__(self) -> None:
        """Start without any."""
        self._said: dict[str, dict[str, _Testimony]] = {}

    def hear(self, client: str, reports: Sequence[Report]) -> dict[str, Step]:
        """
        Take what *client* sent and return target to the step that its state makes, if any.

        O(reports), whatever was sent before.
        """
        by_target: dict[str, list[Step]] = {}
        for report in reports:
            if report.error is None or report.error.outcome is Outcome.BAD:
                by_target.setdefault(report.target, []).append(Step(report.at, report.error))
        steps = {}
        for target, said in by_target.items():
            said.sort(key=lambda step: step.at)
            step = self._step(client, target, said[-_RECENT_MAX:])
            if step is not None:
                steps[target] = step
        return steps

    def _step(self, client: str, target: str, said: Sequence[Step]) -> Step | None:
        testimony = self._said.setdefault(target, {}).setdefault(client, _Testimony())
        if testimony.recent and said[-1].at < testimony.newest.at:
            return None  # Late: newer things are known of the same client.
        testimony.hear(said)
        newest = testimony.newest
        if newest.error is None:
            return newest
        if not testimony.is_failing or client in self.failing_alone(target):
            return None
        if newest.at - testimony.stepped_at < STEP_S:
            return None
        testimony.stepped_at = newest.at
        return newest

    def failing_alone(self, target: str) -> tuple[str, ...]:
        """Return the clients that fail on *target* while another one succeeds: their own trouble."""
        said = self._said.get(target, {})
        fine = [t.newest.at for t in said.values() if t.newest.error is None]
        return tuple(
            client
            for client, testimony in said.items()
            if testimony.is_failing and any(at >= testimony.newest.at - RECENT_S for at in fine)
        )


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
