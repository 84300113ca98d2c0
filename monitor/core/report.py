"""
What a report says of a period: stored probes and gaps in, one value per target out.

Figures are those of the windows (``core.window``), over any period: pooled over all its samples,
never a mean of days. What was not measured stays unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

from monitor.core.gaps import Gap
from monitor.core.incidents import Incident
from monitor.core.maintenance import stretches
from monitor.core.period import figures_between
from monitor.core.reports import Reported
from monitor.core.slo import verdicts
from monitor.core.snapshot import GapReason, WindowFigures
from monitor.core.spec import TargetSpec
from monitor.core.verdict import ClaimVerdict
from monitor.core.window import Sample
from probes.model import ErrorClass, Outcome, ProbeKind, ProbeReason

# Grows when a figure would come out differently for the same rows.
METHOD: Final = 1
DAY_S: Final = 86_400.0
# A first or last sample this many intervals from an end of the period is no chance of the schedule.
_EDGE_SLOTS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProbe:
    """
    What a report needs of one stored generation.

    Attributes:
        started_at: Wall time, seconds since the epoch.
        latency_s: None unless good.
        slot_s: The time a scheduled one stands for; 0 outside the schedule.
        request_id: The provider's own id of the request, for its support.
    """

    target_id: str
    probe_id: str
    started_at: float
    duration_s: float
    latency_s: float | None
    error: ErrorClass | None
    kind: ProbeKind
    reason: ProbeReason
    slot_s: float
    cost_usd: float
    detail: str = ""
    http_status: int | None = None
    request_id: str | None = None

    @property
    def outcome(self) -> Outcome:
        """Who is at fault, from the one table."""
        return Outcome.GOOD if self.error is None else self.error.outcome

    @property
    def is_scheduled(self) -> bool:
        """Whether it enters availability (law 2)."""
        return self.reason is ProbeReason.SCHEDULED and self.kind in (
            ProbeKind.CANARY,
            ProbeKind.BATCH,
        )

    @property
    def sample(self) -> Sample:
        """What windows remember of it."""
        return Sample(
            at=self.started_at,
            outcome=self.outcome,
            is_timeout=self.error is ErrorClass.TIMEOUT,
            latency_s=self.latency_s,
            duration_s=self.duration_s,
            slot_s=self.slot_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """
    What a report is about: *since* inclusive, *until* exclusive, wall times in seconds.

    Attributes:
        ends: *until*, or now where the period is still running.
    """

    since: float
    until: float
    ends: float

    def __post_init__(self) -> None:
        assert self.since < self.ends <= self.until

    @property
    def is_running(self) -> bool:
        """Whether some of it is still to come."""
        return self.ends < self.until

    @property
    def span_s(self) -> float:
        """Seconds of it that have passed."""
        return self.ends - self.since

    def days(self) -> list[tuple[float, float]]:
        """Return start and end of each UTC day in it, the first and last cut to the period."""
        first = floor(self.since / DAY_S)
        starts = [self.since]
        while (midnight := (first + len(starts)) * DAY_S) < self.ends:
            starts.append(midnight)
        return list(zip(starts, [*starts[1:], self.ends], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCount:
    """Scheduled samples of one class: how many, and the starts of the first and last."""

    error: ErrorClass
    count: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GapSum:
    """Slots in which no probe ran, for one reason, and the time they would have stood for."""

    reason: GapReason
    slots: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One UTC day of the period, or the part of it that is in the period."""

    since: float
    until: float
    figures: WindowFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentReport:
    """
    An incident that touches the period.

    Attributes:
        evidence: Its first and last failed probes, as far as they are in the period, oldest first.
    """

    incident: Incident
    evidence: tuple[StoredProbe, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """
    One target over the period.

    Attributes:
        figures: Over what has passed of the period.
        verdicts: On each part of the target's claim; none where nothing is claimed.
        errors: Failed scheduled samples by class, the most frequent first; void ones too, which
            enter no figure.
        incidents: Those that touch the period, oldest first.
        uncounted: Probes outside the schedule by reason: they enter no figure either.
        gaps: By reason, the longest first.
        maintenance: Announced times in the period, as (begin, end); no sample is asked of them.
        measured_s: Seconds that samples speak for.
        unrecorded_s: Seconds that neither a sample nor a gap speaks for: no daemon ran.
        spend_usd: What all its probes of the period cost.
        measured_since: Start of the first sample where measuring began within the period.
        measured_until: Start of the last one where it ended before the period did.
        reported: What clients reported: in no other figure. None without a report.
    """

    spec: TargetSpec
    figures: WindowFigures
    verdicts: tuple[ClaimVerdict, ...]
    days: tuple[Day, ...]
    errors: tuple[ErrorCount, ...]
    incidents: tuple[IncidentReport, ...]
    uncounted: Mapping[ProbeReason, int]
    gaps: tuple[GapSum, ...]
    maintenance: tuple[tuple[float, float], ...]
    measured_s: float
    unrecorded_s: float
    spend_usd: float
    measured_since: float | None
    measured_until: float | None
    reported: Reported | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    The report of a period.

    Attributes:
        subject: What it covers, in words: a pool or all targets.
        generated_at: Wall time, seconds since the epoch.
        version: Of the program that made it.
    """

    period: Period
    subject: str
    vantage: str
    version: str
    generated_at: float
    targets: tuple[TargetReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """
    What the store holds of one target for a period.

    Attributes:
        probes: Its generations that started in the period, oldest first.
        gaps: Its gaps in the period.
        incidents: Its incidents that touch the period.
        first_at: Start of its first scheduled sample ever; None without any.
        reported: What clients reported of it in the period; None without a report.
    """

    probes: Sequence[StoredProbe]
    gaps: Sequence[Gap] = ()
    incidents: Sequence[Incident] = ()
    first_at: float | None = None
    reported: Reported | None = None


def report_target(spec: TargetSpec, period: Period, stored: Stored) -> TargetReport:
    """Return the report of one target, as it is configured now, from what is *stored* of it."""
    probes = stored.probes
    scheduled = [probe for probe in probes if probe.is_scheduled]
    samples = [probe.sample for probe in scheduled]
    figures = figures_between(
        samples,
        period.since,
        period.ends,
        "the period",
        threshold_s=spec.claim.latency_p95_s,
        gaps=stored.gaps,
        maintenance=spec.maintenance,
    )
    gaps = tuple(_gap_sums(stored.gaps))
    # What is announced is no part of what had to be measured.
    asked_s = period.span_s - figures.maintenance_s
    left_out_s = sum(gap.seconds for gap in gaps if gap.reason is not GapReason.MAINTENANCE)
    began, ended = _edges(spec, period, figures, stored.first_at)
    return TargetReport(
        spec=spec,
        figures=figures,
        verdicts=verdicts(figures, spec.claim, spec, span_s=period.until - period.since),
        days=tuple(_days(spec, samples, stored.gaps, period)),
        errors=tuple(_errors(scheduled)),
        incidents=tuple(_incidents(stored.incidents, probes)),
        uncounted=Counter(probe.reason for probe in probes if not probe.is_scheduled),
        gaps=gaps,
        maintenance=tuple(stretches(spec.maintenance, period.since, period.ends)),
        measured_s=figures.coverage * asked_s,
        unrecorded_s=max(0.0, (1 - figures.coverage) * asked_s - left_out_s),
        # Whole micro-dollars, as the ledger adds them.
        spend_usd=sum(round(probe.cost_usd * 1e6) for probe in probes) / 1e6,
        measured_since=began,
        measured_until=ended,
        reported=stored.reported,
    )


def _days(
    spec: TargetSpec, samples: Sequence[Sample], gaps: Sequence[Gap], period: Period
) -> Iterator[Day]:
    """Yield the figures of each day of *period*."""
    bounds = period.days()
    first = floor(period.since / DAY_S)
    of_day: list[tuple[list[Sample], list[Gap]]] = [([], []) for _ in bounds]
    for sample in samples:
        of_day[floor(sample.at / DAY_S) - first][0].append(sample)
    for gap in gaps:
        of_day[floor(gap.at / DAY_S) - first][1].append(gap)
    for (since, until), (seen, missed) in zip(bounds, of_day, strict=True):
        figures = figures_between(
            seen, since, until, "the day", gaps=missed, maintenance=spec.maintenance
        )
        yield Day(since=since, until=until, figures=figures)


def _gap_sums(gaps: Iterable[Gap]) -> Iterator[GapSum]:
    """Yield the gaps of each reason, the one of the longest time first."""
    slots: dict[GapReason, list[float]] = {}
    for gap in gaps:
        slots.setdefault(gap.reason, []).append(gap.slot_s)
    for reason, lengths in sorted(slots.items(), key=lambda item: -sum(item[1])):
        yield GapSum(reason=reason, slots=len(lengths), seconds=sum(lengths))


def _errors(scheduled: Iterable[StoredProbe]) -> Iterator[ErrorCount]:
    starts: dict[ErrorClass, list[float]] = {}
    for probe in scheduled:
        if probe.error is not None:
            starts.setdefault(probe.error, []).append(probe.started_at)
    for error, at in sorted(starts.items(), key=lambda item: -len(item[1])):
        yield ErrorCount(error=error, count=len(at), first_at=min(at), last_at=max(at))


def _incidents(
    incidents: Iterable[Incident], probes: Iterable[StoredProbe]
) -> Iterator[IncidentReport]:
    by_id = {probe.probe_id: probe for probe in probes if probe.error is not None}
    for incident in sorted(incidents, key=lambda incident: incident.started_at):
        evidence = (by_id[probe] for probe in incident.failures.probes if probe in by_id)
        yield IncidentReport(incident=incident, evidence=tuple(evidence))


def _edges(
    spec: TargetSpec, period: Period, figures: WindowFigures, first_at: float | None
) -> tuple[float | None, float | None]:
    """Return when measuring began and ended within *period*; None where it did not."""
    edge_s = _EDGE_SLOTS * spec.interval_s
    began = first_at if first_at is not None and first_at > period.since + edge_s else None
    last = figures.last_sample_at
    return began, last if last is not None and last < period.ends - edge_s else None
