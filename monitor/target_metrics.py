"""The metrics of one target: its gauges, its counters, the histogram and phases of good probes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from math import floor
from typing import Final

from prometheus_client.samples import Exemplar

from monitor.core.sketch import LATENCY_BUCKETS_S
from monitor.core.snapshot import GapReason, LifeSign, State, TargetView
from monitor.core.tally import Tally
from monitor.exposition import Families, Spec
from monitor.slo_metrics import SLO_GAUGES, put_slo
from probes.model import ErrorClass, Outcome, ProbeKind

_T: Final = ("target",)
_TW: Final = ("target", "window")
_TWV: Final = (*_TW, "view", "source")
_TWQ: Final = (*_TW, "quantile")

TARGET_GAUGES: Final = (
    Spec(
        "imgmon_target",
        "What a target is: joins these labels to its other series.",
        (*_T, "provider", "model", "format"),
        "info",
    ),
    Spec(
        "imgmon_target_state", "1 for the state a target is in, 0 for the others.", (*_T, "state")
    ),
    Spec(
        "imgmon_availability_ratio", "Good share of scheduled probes: view provider or user.", _TWV
    ),
    Spec("imgmon_availability_ratio_lower", "Lower end of the 95 % Wilson interval.", _TWV),
    Spec("imgmon_availability_ratio_upper", "Upper end of the 95 % Wilson interval.", _TWV),
    Spec("imgmon_availability_samples", "Scheduled probes the ratio rests on.", _TWV),
    Spec("imgmon_coverage_ratio", "Share of the window that samples speak for.", _TW),
    # Summaries are what the label ``quantile`` belongs to.
    Spec(
        "imgmon_latency_quantile_seconds", "Nearest-rank quantile of good probes.", _TWQ, "summary"
    ),
    Spec(
        "imgmon_latency_quantile_seconds_lower",
        "One-sided 95 % lower bound; absent where unsupported.",
        _TWQ,
        "summary",
    ),
    Spec(
        "imgmon_latency_quantile_seconds_upper",
        "One-sided 95 % upper bound; absent where unsupported.",
        _TWQ,
        "summary",
    ),
    Spec("imgmon_latency_samples", "Good probes the quantiles rest on.", _TW),
    Spec("imgmon_timeouts_ratio", "Timeouts among good and bad scheduled probes.", _TW),
    Spec("imgmon_retry_at_timestamp_seconds", "When a waiting target is worth a call again.", _T),
    Spec("imgmon_last_probe_timestamp_seconds", "Start of the newest generation.", _T),
    Spec("imgmon_next_probe_timestamp_seconds", "When the next generation is due.", _T),
    Spec("imgmon_probe_interval_seconds", "Length of a slot of the schedule.", _T),
    Spec(
        "imgmon_policy_blocks_in_a_row",
        "Newest generations in a row that a content policy blocked.",
        _T,
    ),
    Spec("imgmon_image_size_bytes", "Length of the newest generation's picture.", _T),
    Spec("imgmon_image_width_pixels", "Width of the newest generation's picture.", _T),
    Spec("imgmon_image_height_pixels", "Height of the newest generation's picture.", _T),
    Spec("imgmon_liveness_success", "1 when free calls are answered, 0 when they fail.", _T),
    Spec("imgmon_liveness_timestamp_seconds", "Start of the newest free call.", _T),
    Spec("imgmon_balance_usd", "Money left on the account, where free calls tell it.", _T),
    Spec(
        "imgmon_model_shutdown_timestamp_seconds",
        "Midnight UTC from which the model will be gone.",
        _T,
    ),
    Spec("imgmon_target_price_usd", "Configured price of one image.", _T),
    *SLO_GAUGES,
    Spec("imgmon_incident_open", "1 while an incident of the target lasts, else 0.", _T),
)
TARGET_COUNTERS: Final = (
    Spec("imgmon_probes", "Probes finished.", (*_T, "kind", "outcome", "error"), "counter"),
    Spec("imgmon_spend_usd", "Money booked for probes.", _T, "counter"),
    Spec("imgmon_gaps", "Slots without a probe.", (*_T, "reason"), "counter"),
    Spec(
        "imgmon_incidents", "Incidents, by the class that opened them.", (*_T, "error"), "counter"
    ),
    Spec("imgmon_probe_duration_seconds", "Latency of good generations.", _T, "histogram"),
    Spec(
        "imgmon_probe_phase_seconds",
        "Time in each phase of good generations since the daemon's start.",
        (*_T, "phase"),
        "summary",
    ),
)
TARGET_SPECS: Final = (*TARGET_GAUGES, *TARGET_COUNTERS)
_BY_NAME: Final = {spec.name: spec for spec in TARGET_SPECS}

# A free call returns no picture, so none of these can come of one.
_OF_PICTURES: Final = frozenset({
    ErrorClass.POLICY_BLOCKED, ErrorClass.NO_IMAGE, ErrorClass.BAD_IMAGE, ErrorClass.EXPIRED,
})  # fmt: skip
_GENERATION_ENDS: Final = tuple(
    (error.outcome.value if error else Outcome.GOOD.value, error.value if error else "")
    for error in (None, *ErrorClass)
)
_CALL_ENDS: Final = tuple(end for end in _GENERATION_ENDS if end[1] not in _OF_PICTURES)
_OPENING: Final = frozenset({Outcome.BAD, Outcome.UNUSABLE})
_BOUNDS: Final = (*map(str, LATENCY_BUCKETS_S), "+Inf")


@dataclass(slots=True)
class TargetCounts:
    """
    Cumulative counts of one target.

    Attributes:
        probes: (kind, outcome, error class or "") to probes.
        latencies: Good generations per bucket, not cumulative; None before the first.
    """

    probes: dict[tuple[str, str, str], int] = field(default_factory=dict)
    spend_usd: float = 0.0
    gaps: dict[GapReason, int] = field(default_factory=dict)
    incidents: dict[str, int] = field(default_factory=dict)
    latencies: tuple[int, ...] | None = None
    latency_sum_s: float = 0.0


def target_families(
    view: TargetView, counts: TargetCounts, tally: Tally, next_at: float | None
) -> Families:
    """Return the families of one target; what is unknown has no series."""
    families = Families(_BY_NAME)
    _put_state(families, view, next_at)
    _put_liveness(families, view)
    put_slo(families.put, view.spec.id, view)
    _put_windows(families, view)
    _put_counts(families, view, counts)
    _put_latencies(families, view.spec.id, counts, tally)
    return families


def seen_of(view: TargetView) -> tuple[object, ...]:
    """
    Return what :func:`target_families` shows of a view.

    Views change with every breath, because windows slide; this does when something is learned.
    """
    health = view.health
    figures = [
        (f.provider, f.user, f.quantiles, f.timeout_ratio, f.latency_sli, f.maintenance_s)
        for f in view.windows.values()
    ]
    return (
        view.spec, health.state, health.retry_at, health.consecutive_policy_blocks,
        bool(view.incidents), view.last, view.liveness, view.claims, view.budget, figures,
    )  # fmt: skip


def coverage_of(view: TargetView) -> tuple[tuple[str, float], ...]:
    """Return the coverage by window, floored to three digits: between samples it slides."""
    return tuple((name, floor(f.coverage * 1000) / 1000) for name, f in view.windows.items())


def coverage_families(target: str, coverage: tuple[tuple[str, float], ...]) -> Families:
    """Return the family of what slides, so that nothing else is rendered because of it."""
    families = Families(_BY_NAME)
    for window, ratio in coverage:
        families.put("imgmon_coverage_ratio", (target, window), ratio)
    return families


def _put_state(families: Families, view: TargetView, next_at: float | None) -> None:
    spec, health, put = view.spec, view.health, families.put
    target = (spec.id,)
    put("imgmon_target", (spec.id, spec.provider, spec.model, spec.format), 1)
    for state in State:
        put("imgmon_target_state", (spec.id, state.value), health.state is state)
    put("imgmon_retry_at_timestamp_seconds", target, health.retry_at)
    put("imgmon_next_probe_timestamp_seconds", target, next_at)
    put("imgmon_probe_interval_seconds", target, spec.interval_s)
    put("imgmon_policy_blocks_in_a_row", target, health.consecutive_policy_blocks)
    put("imgmon_target_price_usd", target, spec.price_usd)
    put("imgmon_incident_open", target, bool(view.incidents))
    if view.last is not None:
        put("imgmon_last_probe_timestamp_seconds", target, view.last.started_at)
        if (image := view.last.image) is not None:
            put("imgmon_image_size_bytes", target, image.size_bytes)
            put("imgmon_image_width_pixels", target, image.width)
            put("imgmon_image_height_pixels", target, image.height)


def _put_liveness(families: Families, view: TargetView) -> None:
    put, liveness, target = families.put, view.liveness, (view.spec.id,)
    if liveness.state is not LifeSign.UNKNOWN:
        put("imgmon_liveness_success", target, liveness.state is LifeSign.OK)
    put("imgmon_liveness_timestamp_seconds", target, liveness.at)
    put("imgmon_balance_usd", target, liveness.balance_usd)
    if liveness.shutdown_on is not None:
        gone = datetime.fromisoformat(liveness.shutdown_on).replace(tzinfo=UTC).timestamp()
        put("imgmon_model_shutdown_timestamp_seconds", target, gone)


def _put_windows(families: Families, view: TargetView) -> None:
    put, target = families.put, view.spec.id
    for window, figures in view.windows.items():
        for of, ratio in (("provider", figures.provider), ("user", figures.user)):
            viewed = (target, window, of, "canary")
            put("imgmon_availability_ratio", viewed, ratio.value)
            put("imgmon_availability_ratio_lower", viewed, ratio.lower)
            put("imgmon_availability_ratio_upper", viewed, ratio.upper)
            put("imgmon_availability_samples", viewed, ratio.n)
        put("imgmon_latency_samples", (target, window), figures.latency_n)
        put("imgmon_timeouts_ratio", (target, window), figures.timeout_ratio)
        for q, quantile in figures.quantiles.items():
            labels = (target, window, str(q))
            put("imgmon_latency_quantile_seconds", labels, quantile.value)
            put("imgmon_latency_quantile_seconds_lower", labels, quantile.lower)
            put("imgmon_latency_quantile_seconds_upper", labels, quantile.upper)


def _put_counts(families: Families, view: TargetView, counts: TargetCounts) -> None:
    """
    Put the counters of a target, those at 0 too: ``rate`` sees no first error of a new series.

    That is only the kinds of probe that the target has.
    """
    put, spec = families.put, view.spec
    target = spec.id
    kind = ProbeKind.BATCH if spec.is_batch else ProbeKind.CANARY
    probes = dict.fromkeys(((kind.value, *end) for end in _GENERATION_ENDS), 0)
    if spec.liveness_s is not None:
        probes |= dict.fromkeys(((ProbeKind.LIVENESS.value, *end) for end in _CALL_ENDS), 0)
    for key, count in (probes | counts.probes).items():
        put("imgmon_probes", (target, *key), count)
    put("imgmon_spend_usd", (target,), counts.spend_usd)
    for reason in GapReason:
        put("imgmon_gaps", (target, reason.value), counts.gaps.get(reason, 0))
    opened = dict.fromkeys((error.value for error in ErrorClass if error.outcome in _OPENING), 0)
    for error, count in (opened | counts.incidents).items():
        put("imgmon_incidents", (target, error), count)


def _put_latencies(families: Families, target: str, counts: TargetCounts, tally: Tally) -> None:
    put = partial(families.put, "imgmon_probe_duration_seconds", (target,))
    running = 0
    latencies = counts.latencies or (0,) * len(_BOUNDS)
    for place, (bound, count) in enumerate(zip(_BOUNDS, latencies, strict=True)):
        running += count
        stands = tally.exemplars.get(place)
        exemplar = None
        if stands is not None:
            exemplar = Exemplar({"probe_id": stands.probe_id}, stands.latency_s, stands.at)
        put(running, suffix="_bucket", bound=bound, exemplar=exemplar)
    put(running, suffix="_count")
    put(counts.latency_sum_s, suffix="_sum")
    for phase, (count, seconds) in tally.phases.items():
        labels = (target, phase.value)
        families.put("imgmon_probe_phase_seconds", labels, count, suffix="_count")
        families.put("imgmon_probe_phase_seconds", labels, seconds, suffix="_sum")
