"""Calendar months of UTC: when they are over, and the figures of one target in one of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from monitor.core.gaps import Gap
from monitor.core.period import figures_between
from monitor.core.slo import verdicts
from monitor.core.snapshot import WindowFigures
from monitor.core.spec import Objective, TargetSpec
from monitor.core.verdict import ClaimVerdict
from monitor.core.window import Sample

# Batch jobs of a month's last day have their results a day later.
GRACE_S: Final = 86_400.0
# A month is never figured over less than this, so that its first moment has figures too.
_SPAN_S_MIN: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the store holds of one target in one month."""

    samples: tuple[Sample, ...]
    gaps: tuple[Gap, ...]
    spend_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthFigures:
    """
    The figures of one target over one calendar month.

    Attributes:
        month: Such as ``2026-11``.
        is_final: Frozen: nothing changes them any more.
        made_at: Wall time they were made at, seconds since the epoch.
        claim: What was claimed then.
        spend_usd: Money booked for all of the target's probes.
    """

    target: str
    month: str
    is_final: bool
    made_at: float
    claim: Objective
    figures: WindowFigures
    verdicts: tuple[ClaimVerdict, ...]
    spend_usd: float


def month_of(at: float) -> str:
    """Return the month that wall time *at* lies in."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def month_bounds(month: str) -> tuple[float, float]:
    """Return the first moment of *month* and that of the next one, seconds since the epoch."""
    begin = datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)
    year, number = divmod(begin.year * 12 + begin.month, 12)
    end = begin.replace(year=year, month=number + 1)
    return begin.timestamp(), end.timestamp()


def is_over(month: str, now: float) -> bool:
    """Return whether *month* has ended, and its late results have come."""
    return now >= month_bounds(month)[1] + GRACE_S


def month_figures(
    month: str,
    spec: TargetSpec,
    evidence: Evidence,
    *,
    threshold_s: float | None,
    now: float,
    is_final: bool = False,
) -> MonthFigures:
    """
    Return the figures of a target in *month*, or in what has passed of it.

    Args:
        month: Such as ``2026-11``.
        spec: The target with its claim and maintenance.
        evidence: Of that month.
        threshold_s: Latency over which a good sample is slow; None for no latency SLI.
        now: Wall time.
        is_final: Whether they are to be frozen: not before the month :func:`is_over`.
    """
    assert not is_final or is_over(month, now)
    since, end = month_bounds(month)
    figures = figures_between(
        evidence.samples,
        since,
        min(end, max(now, since + _SPAN_S_MIN)),
        month,
        threshold_s=threshold_s,
        gaps=evidence.gaps,
        maintenance=spec.maintenance,
    )
    return MonthFigures(
        target=spec.id,
        month=month,
        is_final=is_final,
        made_at=now,
        claim=spec.claim,
        figures=figures,
        verdicts=verdicts(figures, spec.claim, spec, span_s=end - since),
        spend_usd=evidence.spend_usd,
    )
