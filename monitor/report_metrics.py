"""The metrics of client reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from monitor.core.availability import Ratio
from monitor.core.reports import ReportFigures
from monitor.core.snapshot import Snapshot

_T: Final = ("target",)
REPORT_GAUGES: Final = (
    (
        "imgmon_reported_latency_quantile_seconds",
        "Quantile of pictures that clients reported, within 1 %.",
        (*_T, "window", "quantile"),
    ),
    ("imgmon_reporting_clients", "Clients that reported.", (*_T, "window")),
    (
        "imgmon_clients_failing_alone",
        "Clients that fail while others succeed: their own trouble.",
        _T,
    ),
)
REPORTS: Final = (
    "imgmon_reports",
    "Client reports stored.",
    (*_T, "outcome", "error"),
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

Put = Callable[[str, tuple[str, ...], float | None], None]


def put_reports(put: Put, snapshot: Snapshot) -> None:
    """Put the gauges of what clients reported; where nothing was reported there is no series."""
    reports = snapshot.reports
    for target in {count.target for count in reports.totals} & snapshot.targets.keys():
        alone = reports.failing_alone.get(target, ())
        put("imgmon_clients_failing_alone", (target,), len(alone))
    for target, windows in reports.windows.items():
        for window, figures in windows.items():
            put("imgmon_reporting_clients", (target, window), figures.clients)
            views: dict[str, Ratio] = {"provider": figures.provider, "user": figures.user}
            for view, ratio in views.items():
                labels = (target, window, view, "client")
                put("imgmon_availability_ratio", labels, ratio.value)
                put("imgmon_availability_ratio_lower", labels, ratio.lower)
                put("imgmon_availability_ratio_upper", labels, ratio.upper)
                put("imgmon_availability_samples", labels, ratio.n)
            for q, value in figures.quantiles.items():
                put("imgmon_reported_latency_quantile_seconds", (target, window, str(q)), value)


def report_counters(reports: ReportFigures) -> Iterator[Metric]:
    """Yield the cumulative counts of reports."""
    name, text, labels = REPORTS
    family = CounterMetricFamily(name, text, labels=labels)
    for count, n in reports.totals.items():
        family.add_metric(tuple(count), n)
    yield family
