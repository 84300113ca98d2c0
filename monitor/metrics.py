"""
Prometheus exposition: a collector that renders the current snapshot, and metrics of ourselves.

It keeps no counters of its own for what the snapshot holds. A figure without data has no series:
a dashboard shows a gap, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor.core.availability import Ratio
from monitor.core.sketch import LATENCY_BUCKETS_S
from monitor.core.snapshot import (
    LifeSign,
    Liveness,
    LogCounts,
    Snapshot,
    State,
    TargetView,
    Totals,
)
from monitor.outbox_metrics import OUTBOX_NAMES, OutboxFigures, outbox_families
from monitor.publisher import Publisher
from monitor.reload_metrics import RELOAD_NAMES, ReloadFigures, reload_families
from monitor.report_metrics import (
    REPORT_COUNTERS,
    REPORT_GAUGES,
    REPORTS,
    put_reports,
    report_counters,
)
from monitor.slo_metrics import SLO_GAUGES, put_slo
from monitor.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfFigures:
    """What the daemon measures of itself; times in seconds."""

    loop_lag_max_s: float
    schedule_lateness_max_s: float
    probes_running: int
    batch_jobs: int
    batch_calls_failed: int
    batch_jobs_not_deleted: int
    writer_queue_rows: int
    store_rows_total: int
    store_errors_total: int
    store_dropped_total: int
    store_pruned_total: int
    store_bytes: int
    store_last_commit_at: float | None
    outbox: OutboxFigures
    reload: ReloadFigures
    reports_duplicate: int
    reports_rejected: int
    reports_refused: int


Spec = tuple[str, str, tuple[str, ...]]
Put = Callable[[str, tuple[str, ...], float | None], None]
_T: Final = ("target",)
_TW: Final = ("target", "window")
_CAP: Final = ("scope", "id", "period")
_QUOTA: Final = ("provider", "period")

GAUGES: Final[tuple[Spec, ...]] = (
    ("imgmon_target_state", "1 for the state a target is in, 0 for the others.", (*_T, "state")),
    (
        "imgmon_availability_ratio",
        "Good share of scheduled probes: view provider or user.",
        (*_TW, "view", "source"),
    ),
    (
        "imgmon_availability_ratio_lower",
        "Lower end of the 95 % Wilson interval.",
        (*_TW, "view", "source"),
    ),
    (
        "imgmon_availability_ratio_upper",
        "Upper end of the 95 % Wilson interval.",
        (*_TW, "view", "source"),
    ),
    (
        "imgmon_availability_samples",
        "Scheduled probes the ratio rests on.",
        (*_TW, "view", "source"),
    ),
    ("imgmon_coverage_ratio", "Share of the window that samples speak for.", _TW),
    (
        "imgmon_latency_quantile_seconds",
        "Nearest-rank quantile of good probes.",
        (*_TW, "quantile"),
    ),
    (
        "imgmon_latency_quantile_seconds_lower",
        "One-sided 95 % lower bound; absent where unsupported.",
        (*_TW, "quantile"),
    ),
    (
        "imgmon_latency_quantile_seconds_upper",
        "One-sided 95 % upper bound; absent where unsupported.",
        (*_TW, "quantile"),
    ),
    ("imgmon_latency_samples", "Good probes the quantiles rest on.", _TW),
    ("imgmon_timeouts_ratio", "Timeouts among good and bad scheduled probes.", _TW),
    (
        "imgmon_priority_rank",
        "Place in the order, 1 first.",
        ("pool", "profile", "target"),
    ),
    (
        "imgmon_priority_index_usd",
        "Expected cost of one delivered image.",
        ("pool", "profile", "target"),
    ),
    ("imgmon_spend_cap_usd", "Hard cap on probe money per UTC day or month.", _CAP),
    ("imgmon_spend_cap_used_ratio", "Booked share of a cap in its running period.", _CAP),
    ("imgmon_spend_today_usd", "Probe money booked since UTC midnight.", ("provider",)),
    (
        "imgmon_quota_limit",
        "Requests a provider takes a period, as configured or as its replies told.",
        ("provider", "period", "source"),
    ),
    ("imgmon_quota_used", "Probes booked in the running period.", _QUOTA),
    (
        "imgmon_quota_remaining",
        "Requests left by what the provider said; absent where it said nothing.",
        _QUOTA,
    ),
    ("imgmon_retry_at_timestamp_seconds", "When a waiting target is worth a call again.", _T),
    ("imgmon_last_probe_timestamp_seconds", "Start of the newest generation.", _T),
    ("imgmon_liveness_success", "1 when free calls are answered, 0 when they fail.", _T),
    ("imgmon_liveness_timestamp_seconds", "Start of the newest free call.", _T),
    ("imgmon_balance_usd", "Money left on the account, where free calls tell it.", _T),
    (
        "imgmon_model_shutdown_timestamp_seconds",
        "Midnight UTC from which the model will be gone.",
        _T,
    ),
    ("imgmon_target_price_usd", "Configured price of one image.", _T),
    *SLO_GAUGES,
    *REPORT_GAUGES,
    ("imgmon_incident_open", "1 while an incident of the target lasts, else 0.", _T),
    ("imgmon_our_network_suspect", "1 while our own network is thought to be down, else 0.", ()),
)
COUNTERS: Final[tuple[Spec, ...]] = (
    ("imgmon_probes", "Probes finished.", (*_T, "kind", "outcome", "error")),
    ("imgmon_spend_usd", "Money booked for probes.", _T),
    ("imgmon_gaps", "Slots without a probe.", (*_T, "reason")),
    ("imgmon_priority_changes", "Changes of an order.", ("pool", "profile")),
    ("imgmon_incidents", "Incidents, by the class that opened them.", (*_T, "error")),
    ("imgmon_events", "Events in the log.", ("kind",)),
)
HISTOGRAM: Final[Spec] = ("imgmon_probe_duration_seconds", "Latency of good generations.", _T)
SELF_GAUGES: Final[tuple[tuple[str, str, str], ...]] = (
    ("imgmon_loop_lag_seconds", "Longest recent stall of the event loop.", "loop_lag_max_s"),
    (
        "imgmon_schedule_lateness_seconds",
        "Longest recent delay of a probe's start.",
        "schedule_lateness_max_s",
    ),
    ("imgmon_probes_running", "Probes under way.", "probes_running"),
    ("imgmon_batch_jobs", "Batch jobs under way.", "batch_jobs"),
    ("imgmon_store_queue_rows", "Rows waiting for the writer.", "writer_queue_rows"),
    ("imgmon_store_bytes", "Size of the database file and its log.", "store_bytes"),
    (
        "imgmon_store_last_commit_timestamp_seconds",
        "Last committed batch.",
        "store_last_commit_at",
    ),
)
SELF_COUNTERS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "imgmon_batch_calls_failed",
        "Looks at batch jobs that failed and were repeated.",
        "batch_calls_failed",
    ),
    (
        "imgmon_batch_jobs_not_deleted",
        "Batch jobs that could not be deleted and were left to their provider.",
        "batch_jobs_not_deleted",
    ),
    ("imgmon_store_rows", "Rows committed by this process.", "store_rows_total"),
    ("imgmon_store_errors", "Failed commits, retried.", "store_errors_total"),
    ("imgmon_store_dropped_rows", "Rows lost to a full queue.", "store_dropped_total"),
    ("imgmon_store_pruned_rows", "Rows removed because of their age.", "store_pruned_total"),
    *REPORT_COUNTERS,
)
SNAPSHOT_GAUGES: Final[tuple[tuple[str, str], ...]] = (
    ("imgmon_snapshot_timestamp_seconds", "When the published snapshot was made."),
)
BUILD: Final = ("imgmon_build", "Version of the daemon.")


def names() -> tuple[str, ...]:
    """Return the name of every metric as a query uses it."""
    return (
        *(name for name, _, _ in GAUGES),
        *(f"{name}_total" for name, _, _ in (*COUNTERS, REPORTS)),
        HISTOGRAM[0],
        *(name for name, _, _ in SELF_GAUGES),
        *(f"{name}_total" for name, _, _ in SELF_COUNTERS),
        *OUTBOX_NAMES,
        *RELOAD_NAMES,
        *(name for name, _ in SNAPSHOT_GAUGES),
        f"{BUILD[0]}_info",
    )


class SnapshotCollector(Collector):
    """Renders the published snapshot and the daemon's figures of itself."""

    def __init__(self, publisher: Publisher, own: Callable[[], SelfFigures]) -> None:
        """Read *publisher* and *own* at every scrape."""
        self._publisher = publisher
        self._own = own

    def collect(self) -> Iterator[Metric]:
        """Yield every family, all of one version of the snapshot."""
        yield InfoMetricFamily(BUILD[0], BUILD[1], value={"version": __version__})
        own = self._own()
        for name, text, field in SELF_GAUGES:
            value = getattr(own, field)
            if value is not None:
                yield GaugeMetricFamily(name, text, value=value)
        for name, text, field in SELF_COUNTERS:
            yield CounterMetricFamily(name, text, value=getattr(own, field))
        yield from outbox_families(own.outbox)
        yield from reload_families(own.reload)
        current = self._publisher.current
        if current is None:
            return
        snapshot = current.snapshot
        name, text = SNAPSHOT_GAUGES[0]
        yield GaugeMetricFamily(name, text, value=snapshot.made_at)
        yield from gauges(snapshot)
        yield from counters(snapshot.totals, snapshot.log_counts)
        yield from report_counters(snapshot.reports)


def gauges(snapshot: Snapshot) -> Iterable[Metric]:
    """Return the gauge families of *snapshot*; what is unknown has no series."""
    families = {name: GaugeMetricFamily(name, text, labels=labels) for name, text, labels in GAUGES}

    def put(name: str, labels: tuple[str, ...], value: float | None) -> None:
        if value is not None:
            families[name].add_metric(labels, value)

    is_suspect = snapshot.our_network.is_suspect
    put("imgmon_our_network_suspect", (), None if is_suspect is None else float(is_suspect))
    for target, view in snapshot.targets.items():
        _target_gauges(put, target, view)
    for (pool, profile), order in snapshot.orders.items():
        for place in order.places:
            labels = (pool, profile, place.target)
            put("imgmon_priority_rank", labels, place.rank)
            put("imgmon_priority_index_usd", labels, place.index_usd)
    for provider, spent in snapshot.spending.today_usd.items():
        put("imgmon_spend_today_usd", (provider,), spent)
    for use in snapshot.spending.caps:
        cap = (use.cap.scope.value, use.cap.id, use.cap.period.value)
        put("imgmon_spend_cap_usd", cap, use.cap.micros / 1e6)
        put("imgmon_spend_cap_used_ratio", cap, use.ratio)
    for quota in snapshot.quotas:
        of = (quota.provider, quota.period.value)
        for source, requests in quota.limits.items():
            put("imgmon_quota_limit", (*of, source.value), requests)
        put("imgmon_quota_used", of, quota.used)
        put("imgmon_quota_remaining", of, quota.remaining)
    put_reports(put, snapshot)
    return families.values()


def _target_gauges(put: Put, target: str, view: TargetView) -> None:
    for state in State:
        put("imgmon_target_state", (target, state.value), float(view.health.state is state))
    put("imgmon_retry_at_timestamp_seconds", (target,), view.health.retry_at)
    put("imgmon_target_price_usd", (target,), view.spec.price_usd)
    put("imgmon_incident_open", (target,), float(bool(view.incidents)))
    if view.last is not None:
        put("imgmon_last_probe_timestamp_seconds", (target,), view.last.started_at)
    _liveness_gauges(put, target, view.liveness)
    put_slo(put, target, view)
    for window, figures in view.windows.items():
        ratios: dict[str, Ratio] = {"provider": figures.provider, "user": figures.user}
        for of, ratio in ratios.items():
            labels = (target, window, of, "canary")
            put("imgmon_availability_ratio", labels, ratio.value)
            put("imgmon_availability_ratio_lower", labels, ratio.lower)
            put("imgmon_availability_ratio_upper", labels, ratio.upper)
            put("imgmon_availability_samples", labels, ratio.n)
        put("imgmon_coverage_ratio", (target, window), figures.coverage)
        put("imgmon_latency_samples", (target, window), figures.latency_n)
        put("imgmon_timeouts_ratio", (target, window), figures.timeout_ratio)
        for q, quantile in figures.quantiles.items():
            quantile_labels = (target, window, str(q))
            put("imgmon_latency_quantile_seconds", quantile_labels, quantile.value)
            put("imgmon_latency_quantile_seconds_lower", quantile_labels, quantile.lower)
            put("imgmon_latency_quantile_seconds_upper", quantile_labels, quantile.upper)


def _liveness_gauges(put: Put, target: str, liveness: Liveness) -> None:
    if liveness.state is not LifeSign.UNKNOWN:
        put("imgmon_liveness_success", (target,), float(liveness.state is LifeSign.OK))
    put("imgmon_liveness_timestamp_seconds", (target,), liveness.at)
    put("imgmon_balance_usd", (target,), liveness.balance_usd)
    if liveness.shutdown_on is not None:
        gone = datetime.fromisoformat(liveness.shutdown_on).replace(tzinfo=UTC).timestamp()
        put("imgmon_model_shutdown_timestamp_seconds", (target,), gone)


def counters(totals: Totals, log: LogCounts) -> Iterator[Metric]:
    """Yield the cumulative families."""
    probes, spend, gaps, changes, incidents, events = (
        CounterMetricFamily(name, text, labels=labels) for name, text, labels in COUNTERS
    )
    for key, count in totals.probes.items():
        probes.add_metric((key.target, key.kind, key.outcome, key.error), count)
    for target, usd in totals.spend_usd.items():
        spend.add_metric((target,), usd)
    for (target, reason), count in totals.gaps.items():
        gaps.add_metric((target, reason.value), count)
    for (pool, profile), count in totals.order_changes.items():
        changes.add_metric((pool, profile), count)
    for (target, error), count in log.incidents.items():
        incidents.add_metric((target, error), count)
    for kind, count in log.events.items():
        events.add_metric((kind,), count)
    yield from (probes, spend, gaps, changes, incidents, events)

    name, text, labels = HISTOGRAM
    durations = HistogramMetricFamily(name, text, labels=labels)
    for target, counts in totals.latency_counts.items():
        bounds = [*map(str, LATENCY_BUCKETS_S), "+Inf"]
        running, buckets = 0, []
        for bound, count in zip(bounds, counts, strict=True):
            running += count
            buckets.append((bound, running))
        durations.add_metric((target,), buckets, sum_value=totals.latency_sum_s[target])
    yield durations


def build_registry(publisher: Publisher, own: Callable[[], SelfFigures]) -> CollectorRegistry:
    """Return a registry of its own: nothing global, so tests and reloads need no clean-up."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(publisher, own))
    return registry


def expose(registry: CollectorRegistry, accept: str) -> tuple[str, bytes]:
    """Return media type and exposition that fit the Accept header."""
    encoder, media_type = choose_encoder(accept)
    return media_type, encoder(registry)
