"""The metrics of client reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from monitor.core.reports import ClientFigures
from monitor.core.snapshot import Snapshot
from monitor.exposition import Families, Spec

_T: Final = ("target",)
REPORT_SPECS: Final = (
    Spec(
        "imgmon_reported_latency_quantile_seconds",
        "Quantile of pictures that clients reported, within 1 %.",
        (*_T, "window", "quantile"),
        "summary",  # Which the label ``quantile`` is reserved for.
    ),
    Spec("imgmon_reporting_clients", "Clients that reported.", (*_T, "window")),
    Spec(
        "imgmon_clients_failing_alone",
        "Clients that fail while others succeed: their own trouble.",
        _T,
    ),
    Spec("imgmon_reports", "Client reports stored.", (*_T, "outcome", "error"), "counter"),
)
REPORT_COUNTERS: Final = (
    ("imgmon_reports_duplicate", "Reports that were known already.", "reports_duplicate"),
    ("imgmon_reports_rejected", "Reports with something wrong in them.", "reports_rejected"),
    (
        "imgmon_reports_refused",
        "Reports sent back whole: over a limit, or too many waiting.",
        "reports_refused",
    ),
)


@dataclass(slots=True)
class TargetReports:
    """
    What clients reported of one target.

    Attributes:
        totals: (outcome, error class or "") to reports.
        alone: Clients that fail while others succeed.
    """

    windows: Mapping[str, ClientFigures] = field(default_factory=dict)
    totals: dict[tuple[str, str], int] = field(default_factory=dict)
    alone: int = 0


def reports_by_target(snapshot: Snapshot) -> dict[str, TargetReports]:
    """Return the reports of every target that there are any of, and that is still configured."""
    reports, found = snapshot.reports, dict[str, TargetReports]()
    for count, n in reports.totals.items():
        if count.target in snapshot.targets:
            of = found.setdefault(count.target, TargetReports())
            of.totals[count.outcome, count.error] = n
            of.alone = len(reports.failing_alone.get(count.target, ()))
    for target, windows in reports.windows.items():
        if target in snapshot.targets:
            found.setdefault(target, TargetReports()).windows = windows
    return found


def put_reports(families: Families, target: str, reports: TargetReports) -> None:
    """Put what clients reported of a target; where nothing was reported there is no series."""
    put = families.put
    if reports.totals:
        put("imgmon_clients_failing_alone", (target,), reports.alone)
    for ends, n in reports.totals.items():
        put("imgmon_reports", (target, *ends), n)
    for window, figures in reports.windows.items():
        put("imgmon_reporting_clients", (target, window), figures.clients)
        for view, ratio in (("provider", figures.provider), ("user", figures.user)):
            labels = (target, window, view, "client")
            put("imgmon_availability_ratio", labels, ratio.value)
            put("imgmon_availability_ratio_lower", labels, ratio.lower)
            put("imgmon_availability_ratio_upper", labels, ratio.upper)
            put("imgmon_availability_samples", labels, ratio.n)
        for q, value in figures.quantiles.items():
            put("imgmon_reported_latency_quantile_seconds", (target, window, str(q)), value)
