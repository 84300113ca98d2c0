"""
A report for sheets: one table a file, one header that does not change, numbers as numbers.

Sections of different columns in one file load into no sheet, so each kind of row is a table of its
own. A cell is empty where something is unknown.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from monitor.api.encode import timestamp
from monitor.core.availability import floor_ratio
from monitor.core.report import Report, TargetReport
from monitor.core.reports import ClientFigures
from monitor.core.snapshot import WindowFigures

# What a sheet takes for the start of a formula (OWASP, "CSV Injection").
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
Row = Mapping[str, Any]


def render(report: Report, table: str) -> str:
    """Return the *table* of :data:`TABLES` as CSV (RFC 4180), its header first."""
    header, rows = TABLES[table]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    for target in report.targets:
        for row in rows(target):
            named = {**_period(report), "target": target.spec.id, **row}
            assert named.keys() == set(header)
            writer.writerow([_cell(named[name]) for name in header])
    return out.getvalue()


def _cell(value: Any) -> Any:
    """Return *value* so that no sheet calculates a text that others sent."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _period(report: Report) -> Row:
    return {
        "from": timestamp(report.period.since),
        "to": timestamp(report.period.until),
        "figures_until": timestamp(report.period.ends),
    }


def _ratio(value: float | None) -> float | None:
    return floor_ratio(value)


def _views(figures: WindowFigures | ClientFigures) -> Row:
    return {
        "availability": _ratio(figures.provider.value),
        "availability_lower": _ratio(figures.provider.lower),
        "availability_upper": figures.provider.upper and round(figures.provider.upper, 5),
        "n": figures.provider.n,
        "usable": _ratio(figures.user.value),
        "usable_lower": _ratio(figures.user.lower),
        "usable_upper": figures.user.upper and round(figures.user.upper, 5),
        "usable_n": figures.user.n,
    }


def _figures(figures: WindowFigures) -> Row:
    quantiles = figures.quantiles
    return {
        **_views(figures),
        "coverage": _ratio(figures.coverage),
        "good": figures.good,
        "bad": figures.bad,
        "unusable": figures.unusable,
        "timeouts": figures.timeout_ratio and round(figures.timeout_ratio, 5),
        "p50_s": quantiles[0.5].value,
        "p95_s": quantiles[0.95].value,
        "p95_lower_s": quantiles[0.95].lower,
        "p95_upper_s": quantiles[0.95].upper,
        "p99_s": quantiles[0.99].value,
    }


_PERIOD: Final = ("from", "to", "figures_until", "target")
_VIEWS: Final = (
    "availability", "availability_lower", "availability_upper", "n", "usable", "usable_lower",
    "usable_upper", "usable_n",
)  # fmt: skip
_FIGURES: Final = (
    *_VIEWS, "coverage", "good", "bad", "unusable", "timeouts", "p50_s", "p95_s",
    "p95_lower_s", "p95_upper_s", "p99_s",
)  # fmt: skip


def _targets(target: TargetReport) -> Iterator[Row]:
    spec = target.spec
    claims = {verdict.kind.value: verdict for verdict in target.verdicts}
    availability, latency = claims.get("availability"), claims.get("latency_p95")
    yield {
        "provider": spec.provider,
        "model": spec.model,
        "measured_since": timestamp(target.measured_since),
        "measured_until": timestamp(target.measured_until),
        **_figures(target.figures),
        "claimed_availability": availability and availability.claim,
        "availability_verdict": availability and availability.verdict.value,
        "claimed_p95_s": latency and latency.claim,
        "p95_verdict": latency and latency.verdict.value,
        "measured_hours": round(target.measured_s / 3600, 3),
        "maintenance_hours": round(target.figures.maintenance_s / 3600, 3),
        "gap_slots": sum(gap.slots for gap in target.gaps),
        "gap_hours": round(sum(gap.seconds for gap in target.gaps) / 3600, 3),
        "unrecorded_hours": round(target.unrecorded_s / 3600, 3),
        "spend_usd": target.spend_usd,
    }


def _clients(target: TargetReport) -> Iterator[Row]:
    if target.reported is None:
        return
    figures, quantiles = target.reported.figures, target.reported.figures.quantiles
    yield {
        "clients": figures.clients,
        "reports": figures.n,
        **_views(figures),
        "good": figures.good,
        "bad": figures.bad,
        "unusable": figures.unusable,
        "timeouts": figures.timeout_ratio and round(figures.timeout_ratio, 5),
        "latencies": figures.latency_n,
        "p50_s": quantiles[0.5] and round(quantiles[0.5], 4),
        "p95_s": quantiles[0.95] and round(quantiles[0.95], 4),
        "left_out_days": " ".join(str(timestamp(day))[:10] for day in target.reported.left_out),
    }


def _days(target: TargetReport) -> Iterator[Row]:
    for day in target.days:
        yield {"day": str(timestamp(day.since))[:10], **_figures(day.figures)}


def _errors(target: TargetReport) -> Iterator[Row]:
    for error in target.errors:
        yield {
            "class": error.error.value,
            "outcome": error.error.outcome.value,
            "canaries": error.count,
            "first_at": timestamp(error.first_at),
            "last_at": timestamp(error.last_at),
        }


def _incidents(target: TargetReport) -> Iterator[Row]:
    for told in target.incidents:
        incident = told.incident
        yield {
            "incident": incident.id,
            "scope": incident.scope.value,
            "class": incident.failures.error.value,
            "started_at": timestamp(incident.started_at),
            "confirmed_at": timestamp(incident.confirmed_at),
            "last_failed_at": timestamp(incident.failures.last_at),
            "ended_at": timestamp(incident.ended_at),
            "closed_at": timestamp(incident.closed_at),
            "failures": incident.failures.count,
            "relapses": incident.relapses,
        }


def _evidence(target: TargetReport) -> Iterator[Row]:
    for told in target.incidents:
        for probe in told.evidence:
            yield {
                "incident": told.incident.id,
                "probe": probe.probe_id,
                "started_at": timestamp(probe.started_at),
                "reason": probe.reason.value,
                "class": probe.error and probe.error.value,
                "http_status": probe.http_status,
                "request_id": probe.request_id,
                "detail": probe.detail,
            }


def _gaps(target: TargetReport) -> Iterator[Row]:
    for gap in target.gaps:
        yield {
            "reason": gap.reason.value,
            "slots": gap.slots,
            "hours": round(gap.seconds / 3600, 3),
        }


Rows = Callable[[TargetReport], Iterable[Row]]
TABLES: Final[Mapping[str, tuple[tuple[str, ...], Rows]]] = {
    "targets": (
        (
            *_PERIOD, "provider", "model", "measured_since", "measured_until", *_FIGURES,
            "claimed_availability", "availability_verdict", "claimed_p95_s", "p95_verdict",
            "measured_hours", "maintenance_hours", "gap_slots",
            "gap_hours", "unrecorded_hours", "spend_usd",
        ),
        _targets,
    ),
    "days": ((*_PERIOD, "day", *_FIGURES), _days),
    "clients": (
        (
            *_PERIOD, "clients", "reports", *_VIEWS, "good", "bad", "unusable", "timeouts",
            "latencies", "p50_s", "p95_s", "left_out_days",
        ),
        _clients,
    ),
    "errors": ((*_PERIOD, "class", "outcome", "canaries", "first_at", "last_at"), _errors),
    "incidents": (
        (
            *_PERIOD, "incident", "scope", "class", "started_at", "confirmed_at", "last_failed_at",
            "ended_at", "closed_at", "failures", "relapses",
        ),
        _incidents,
    ),
    "evidence": (
        (
            *_PERIOD, "incident", "probe", "started_at", "reason", "class", "http_status",
            "request_id", "detail",
        ),
        _evidence,
    ),
    "gaps": ((*_PERIOD, "reason", "slots", "hours"), _gaps),
}  # fmt: skip
