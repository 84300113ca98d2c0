"""A report for programs: everything in it as plain JSON values."""

from __future__ import annotations

from typing import Any, Final

from monitor.api.client_figures import reported_window
from monitor.api.encode import timestamp, window_document
from monitor.core.report import METHOD, IncidentReport, Report, TargetReport
from monitor.core.reports import Reported

SCHEMA: Final = 1


def document(report: Report) -> dict[str, Any]:
    """Return *report*; null where something is unknown, figures as the API gives those of windows."""
    period = report.period
    return {
        "schema": SCHEMA,
        "method": METHOD,
        "version": report.version,
        "generated_at": timestamp(report.generated_at),
        "vantage": report.vantage,
        "subject": report.subject,
        "period": {
            "from": timestamp(period.since),
            "to": timestamp(period.until),
            "figures_until": timestamp(period.ends),
            "is_running": period.is_running,
        },
        "targets": [_target(target) for target in report.targets],
    }


def _target(target: TargetReport) -> dict[str, Any]:
    spec = target.spec
    return {
        "target": spec.id,
        "provider": spec.provider,
        "model": spec.model,
        "format": spec.format,
        "price_usd": spec.price_usd,
        "interval_s": spec.interval_s,
        "deadline_s": spec.deadline_s,
        "measured_since": timestamp(target.measured_since),
        "measured_until": timestamp(target.measured_until),
        "figures": window_document(target.figures, target.verdicts),
        "reported": target.reported and _reported(target.reported),
        "incidents": [_incident(told) for told in target.incidents],
        "errors": [
            {
                "class": error.error.value,
                "outcome": error.error.outcome.value,
                "samples": error.count,
                "first_at": timestamp(error.first_at),
                "last_at": timestamp(error.last_at),
            }
            for error in target.errors
        ],
        "gaps": [
            {"reason": gap.reason.value, "slots": gap.slots, "seconds": gap.seconds}
            for gap in target.gaps
        ],
        "maintenance": [
            {"from": timestamp(begin), "to": timestamp(end)} for begin, end in target.maintenance
        ],
        "measured_s": round(target.measured_s, 3),
        "unrecorded_s": round(target.unrecorded_s, 3),
        "outside_schedule": {reason.value: n for reason, n in sorted(target.uncounted.items())},
        "spend_usd": target.spend_usd,
        "days": [
            {
                "from": timestamp(day.since),
                "to": timestamp(day.until),
                "figures": window_document(day.figures),
            }
            for day in target.days
        ],
    }


def _reported(reported: Reported) -> dict[str, Any]:
    return {
        **reported_window(reported.figures),
        "left_out_days": [str(timestamp(day))[:10] for day in reported.left_out],
    }


def _incident(told: IncidentReport) -> dict[str, Any]:
    incident = told.incident
    failures = incident.failures
    return {
        "incident": incident.id,
        "scope": incident.scope.value,
        "error": failures.error.value,
        "errors": {error.value: n for error, n in failures.errors},
        "started_at": timestamp(incident.started_at),
        "confirmed_at": timestamp(incident.confirmed_at),
        "last_failed_at": timestamp(failures.last_at),
        "ended_at": timestamp(incident.ended_at),
        "closed_at": timestamp(incident.closed_at),
        "failures": failures.count,
        "relapses": incident.relapses,
        "upstream": incident.upstream,
        "evidence": [
            {
                "probe": probe.probe_id,
                "started_at": timestamp(probe.started_at),
                "reason": probe.reason.value,
                "error": probe.error and probe.error.value,
                "http_status": probe.http_status,
                "request_id": probe.request_id,
                "detail": probe.detail,
            }
            for probe in told.evidence
        ],
    }
