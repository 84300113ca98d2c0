"""
Prometheus exposition of the published snapshot and of ourselves, in the pieces it is rendered by.

It keeps no counters of its own for what the snapshot holds. A figure without data has no series:
a dashboard shows a gap, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from prometheus_client import ProcessCollector

from monitor.clock import Clock
from monitor.core.events import EventKind
from monitor.core.snapshot import Order, Snapshot
from monitor.core.tally import Tally
from monitor.exposition import OWN, Exposition, Families, Piece, Spec
from monitor.outbox_metrics import OUTBOX_SPECS, OutboxFigures, put_outbox
from monitor.publisher import Publisher
from monitor.reload_metrics import RELOAD_SPECS, ReloadFigures, put_reload
from monitor.report_metrics import (
    REPORT_COUNTERS,
    REPORT_SPECS,
    TargetReports,
    put_reports,
    reports_by_target,
)
from monitor.target_metrics import (
    TARGET_SPECS,
    TargetCounts,
    coverage_families,
    coverage_of,
    seen_of,
    target_families,
)
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
    store_oldest_row_at: float | None = None
    answers: Mapping[tuple[str, int], int] = field(default_factory=dict)  # By (route, status).


_CAP: Final = ("scope", "id", "period")
_QUOTA: Final = ("provider", "period")
_ORDER: Final = ("pool", "profile")

# Name, what it says, and the field of SelfFigures that holds it.
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
    (
        "imgmon_store_oldest_row_timestamp_seconds",
        "Start of the oldest generation that is kept; absent in the first minute.",
        "store_oldest_row_at",
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
SELF_SPECS: Final = (
    Spec("imgmon_build", "Version of the daemon.", ("version",), "info"),
    *(Spec(name, text) for name, text, _ in SELF_GAUGES),
    *(Spec(name, text, (), "counter") for name, text, _ in SELF_COUNTERS),
    *OUTBOX_SPECS,
    *RELOAD_SPECS,
    Spec("imgmon_http_requests", "Requests answered.", ("route", "status"), "counter"),
)
ORDER_SPECS: Final = (
    Spec("imgmon_priority_rank", "Place in the order, 1 first.", (*_ORDER, "target")),
    Spec("imgmon_priority_index_usd", "Expected cost of one delivered image.", (*_ORDER, "target")),
    Spec(
        "imgmon_priority_all_degraded",
        "1 while all of the order wait, are down or unusable.",
        _ORDER,
    ),
    Spec("imgmon_priority_version", "Number of the order's last decision.", _ORDER),
    Spec("imgmon_priority_changed_timestamp_seconds", "When the order last changed.", _ORDER),
    Spec("imgmon_priority_changes", "Changes of an order.", _ORDER, "counter"),
)
SNAPSHOT_SPECS: Final = (
    Spec("imgmon_snapshot_timestamp_seconds", "When the published snapshot was made."),
    Spec(
        "imgmon_priority_valid_until_timestamp_seconds",
        "Past this the order is stale.",
        _ORDER,
    ),
    Spec("imgmon_spend_cap_usd", "Hard cap on probe money per UTC day or month.", _CAP),
    Spec("imgmon_spend_cap_used_ratio", "Booked share of a cap in its running period.", _CAP),
    Spec("imgmon_spend_today_usd", "Probe money booked since UTC midnight.", ("provider",)),
    Spec(
        "imgmon_quota_limit",
        "Requests a provider takes a period, as configured or as its replies told.",
        (*_QUOTA, "source"),
    ),
    Spec("imgmon_quota_used", "Probes booked in the running period.", _QUOTA),
    Spec(
        "imgmon_quota_remaining",
        "Requests left by what the provider said; absent where it said nothing.",
        _QUOTA,
    ),
    Spec("imgmon_our_network_suspect", "1 while our own network is thought to be down, else 0."),
    Spec("imgmon_events", "Events in the log.", ("kind",), "counter"),
)
SPECS: Final = (*SELF_SPECS, *TARGET_SPECS, *REPORT_SPECS, *ORDER_SPECS, *SNAPSHOT_SPECS)
# What clients report of availability stands beside what canaries measure of it.
_REPORTED: Final = {spec.name: spec for spec in (*TARGET_SPECS, *REPORT_SPECS)}


def names() -> tuple[str, ...]:
    """Return the name of every metric as a query uses it; those of the process not among them."""
    return tuple(spec.shown for spec in (*SPECS, *OWN))


def exposition(
    publisher: Publisher,
    own: Callable[[], SelfFigures],
    next_probes: Callable[[], Mapping[str, float]],
    clock: Clock,
) -> Exposition:
    """
    Return the exposition of what is published and of the daemon.

    Args:
        publisher: Read once a page: all of it is of one version.
        own: Figures of the daemon itself; called in a thread, may raise.
        next_probes: Target id to the wall time of its next probe; likewise.
        clock: Measures how long rendering takes.
    """
    process = ProcessCollector(registry=None)

    def pieces() -> Iterator[Piece]:
        yield Piece("self", None, lambda: _self_families(own()))
        yield Piece("process", None, lambda: process)
        if (current := publisher.current) is not None:
            yield from snapshot_pieces(current.snapshot, next_probes)

    return Exposition(SPECS, pieces, clock)


def _self_families(own: SelfFigures) -> Families:
    families = Families({spec.name: spec for spec in SELF_SPECS})
    families.put("imgmon_build", (__version__,), 1)
    for name, _, figure in (*SELF_GAUGES, *SELF_COUNTERS):
        families.put(name, (), getattr(own, figure))
    put_outbox(families, own.outbox)
    put_reload(families, own.reload)
    for (route, status), count in own.answers.items():
        families.put("imgmon_http_requests", (route, str(status)), count)
    return families


def snapshot_pieces(
    snapshot: Snapshot, next_probes: Callable[[], Mapping[str, float]]
) -> Iterator[Piece]:
    """Yield the pieces of *snapshot*: one for each target and order, and one for the rest."""
    yield Piece("snapshot", None, lambda: _snapshot_families(snapshot))
    due = next_probes()
    counts = counts_by_target(snapshot)
    for target, view in snapshot.targets.items():
        made_of = (view, counts[target], snapshot.tallies.get(target, Tally()), due.get(target))
        state = (seen_of(view), *made_of[1:])
        yield Piece(("target", target), state, partial(target_families, *made_of))
        coverage = coverage_of(view)
        yield Piece(("coverage", target), coverage, partial(coverage_families, target, coverage))
    for target, reports in reports_by_target(snapshot).items():
        yield Piece(("reports", target), reports, partial(_report_families, target, reports))
    for key, order in snapshot.orders.items():
        changes = snapshot.totals.order_changes.get(key, 0)
        ranked = tuple((place.target, place.rank, place.index_usd) for place in order.places)
        decided = (order.version, order.changed_at, order.all_degraded, changes, ranked)
        yield Piece(("order", *key), decided, partial(_order_families, order, changes))


def counts_by_target(snapshot: Snapshot) -> dict[str, TargetCounts]:
    """Return the totals of every target there is; what the store holds of others is left out."""
    counts = {target: TargetCounts() for target in snapshot.targets}
    totals = snapshot.totals
    for key, count in totals.probes.items():
        if key.target in counts:
            counts[key.target].probes[key.kind, key.outcome, key.error] = count
    for (target, reason), count in totals.gaps.items():
        if target in counts:
            counts[target].gaps[reason] = count
    for (target, error), count in snapshot.log_counts.incidents.items():
        if target in counts:
            counts[target].incidents[error] = count
    for target, of in counts.items():
        of.spend_usd = totals.spend_usd.get(target, 0.0)
        of.latencies = totals.latency_counts.get(target)
        of.latency_sum_s = totals.latency_sum_s.get(target, 0.0)
    return counts


def _report_families(target: str, reports: TargetReports) -> Families:
    families = Families(_REPORTED)
    put_reports(families, target, reports)
    return families


def _order_families(order: Order, changes: int) -> Families:
    families = Families({spec.name: spec for spec in ORDER_SPECS})
    key = (order.pool.id, order.profile.name)
    for place in order.places:
        families.put("imgmon_priority_rank", (*key, place.target), place.rank)
        families.put("imgmon_priority_index_usd", (*key, place.target), place.index_usd)
    families.put("imgmon_priority_all_degraded", key, order.all_degraded)
    families.put("imgmon_priority_version", key, order.version)
    families.put("imgmon_priority_changed_timestamp_seconds", key, order.changed_at)
    families.put("imgmon_priority_changes", key, changes)
    return families


def _snapshot_families(snapshot: Snapshot) -> Families:
    families = Families({spec.name: spec for spec in SNAPSHOT_SPECS})
    put = families.put
    put("imgmon_snapshot_timestamp_seconds", (), snapshot.made_at)
    put("imgmon_our_network_suspect", (), snapshot.our_network.is_suspect)
    for key, order in snapshot.orders.items():
        put("imgmon_priority_valid_until_timestamp_seconds", key, order.valid_until)
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
    for kind in EventKind:
        put("imgmon_events", (kind.value,), snapshot.log_counts.events.get(kind.value, 0))
    return families
