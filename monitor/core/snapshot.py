"""The immutable snapshot: everything that is published, of one moment, swapped whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Self

from monitor.core.availability import Ratio
from monitor.core.incidents import Incident
from monitor.core.network import OurNetwork
from monitor.core.pause import Pause
from monitor.core.quota import QuotaFigures
from monitor.core.reports import ReportFigures
from monitor.core.spec import Policy, PoolSpec, Profile, TargetSpec
from monitor.core.spend import Spending
from monitor.core.tally import Tally
from monitor.core.verdict import ClaimVerdict, ErrorBudget
from probes.model import ErrorClass, ImageFacts, Outcome, Phase, ProbeResult


class State(StrEnum):
    """What a target is thought to be right now."""

    HEALTHY = "healthy"
    SUSPECT = "suspect"  # One unconfirmed failure.
    DEGRADED = "degraded"
    DOWN = "down"
    UNUSABLE = "unusable"
    UNKNOWN = "unknown"


class Tier(IntEnum):
    """Coarse rank; inside a tier the index decides."""

    UP = 1  # Up and within the SLO.
    DOUBTFUL = 2  # Suspect, degraded, slow or unknown.
    WAITING = 3  # Usable again at a known time.
    DOWN = 4
    UNUSABLE = 5


class GapReason(StrEnum):
    """Why no probe ran in a slot."""

    SPEND_CAP = "spend_cap"
    QUOTA_GUARD = "quota_guard"
    RETRY_AFTER = "retry_after"
    MAINTENANCE = "maintenance"
    PAUSED = "paused"
    MISSED = "missed"
    FRESH_REPORTS = "fresh_reports"


@dataclass(frozen=True, slots=True, kw_only=True)
class GapCount:
    """How many slots of a window were gaps of one reason, and the share of the window they are."""

    slots: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A nearest-rank quantile in seconds with one-sided 95 % bounds; None where unsupported."""

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFigures:
    """
    Figures of one target over one window.

    Attributes:
        span_s: Nominal length.
        n: Scheduled samples that are good, bad or unusable (void ones say nothing).
        provider: Availability as the provider's own record: good / (good + bad), each sample
            weighing the time it stands for.
        user: Usability to us: good / (good + bad + unusable), likewise.
        coverage: Share of the window, less maintenance, that samples speak for, 0..1 (laws 2, 5).
        quantiles: 0.5, 0.9, 0.95 and 0.99 of the latency of good samples.
        latency_n: Good samples in the quantiles.
        latency_mean_s: Mean latency of good samples, for the index.
        failure_mean_s: Mean duration of bad samples, for the index.
        timeout_ratio: Share of timeouts among good and bad samples; None without any.
        last_sample_at: Wall time of the newest scheduled sample in the window.
        latency_threshold_s: Over it a good sample is slow; None where nothing was promised or aimed
            for.
        fast: Good samples within that threshold.
        latency_sli: Share of good and bad samples that are good and within the threshold, weighted
            as availability is: a timeout is slow, and so is every failure. None without a threshold.
        since: When the first sample or gap of the window was; None without any.
        gaps: Slots without a probe, by reason.
        maintenance_s: Announced maintenance in the window, which counts for no coverage.
    """

    name: str
    span_s: float
    n: int
    good: int
    bad: int
    unusable: int
    provider: Ratio
    user: Ratio
    coverage: float
    quantiles: Mapping[float, Quantile]
    latency_n: int
    latency_mean_s: float | None
    failure_mean_s: float | None
    timeout_ratio: float | None
    last_sample_at: float | None
    latency_threshold_s: float | None = None
    fast: int = 0
    latency_sli: Ratio | None = None
    since: float | None = None
    gaps: Mapping[GapReason, GapCount] = field(default_factory=dict)
    maintenance_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """
    The judged state of a target.

    Attributes:
        since: When *state* began (for a failure: the first failed probe), seconds since the epoch.
        error: Class behind a state that is not healthy.
        detail: In words.
        retry_at: When it is worth calling again; None when unknown or not needed.
        consecutive_policy_blocks: Blocks of the harmless canary in a row.
        over_at: When the last outage was proven over, wall time; None before any, or while our
            account is refused.
        recent, recent_good: How many of the newest good and bad probes are looked at, none of them
            of an outage that is over, and how many of them are good.
    """

    state: State
    since: float | None
    error: ErrorClass | None = None
    detail: str = ""
    retry_at: float | None = None
    consecutive_policy_blocks: int = 0
    over_at: float | None = None
    recent: int = 0
    recent_good: int = 0


class LifeSign(StrEnum):
    """What free calls say of a target."""

    OK = "ok"
    FAILING = "failing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """
    What free calls say of a target, beside its state and never part of it.

    Attributes:
        at: Start of the newest call that said something; None before the first.
        error: Why calls fail; None unless they do.
        detail: In words.
        answered_at: Start of the newest call that was answered: the age of the two below.
        shutdown_on: ISO day from which the model will be gone; None when none was told.
        balance_usd: Money left on the account; None when it was not told.
    """

    state: LifeSign = LifeSign.UNKNOWN
    at: float | None = None
    error: ErrorClass | None = None
    detail: str = ""
    answered_at: float | None = None
    shutdown_on: str | None = None
    balance_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastProbe:
    """The newest generation of a target, for views that show the last stored result."""

    probe_id: str
    started_at: float
    duration_s: float
    latency_s: float | None
    outcome: Outcome
    error: ErrorClass | None
    detail: str
    http_status: int | None
    phases: Mapping[Phase, float]
    cost_usd: float
    image: ImageFacts | None
    model_version: str | None
    http_version: str | None = None
    received_bytes: int = 0

    @classmethod
    def of(cls, result: ProbeResult) -> Self:
        """Return what is shown of *result*."""
        return cls(
            probe_id=result.probe_id,
            started_at=result.started_at,
            duration_s=result.duration_s,
            latency_s=result.latency_s,
            outcome=result.outcome,
            error=result.error,
            detail=result.detail,
            http_status=result.http_status,
            phases=result.phases,
            cost_usd=result.cost_usd,
            image=result.image,
            model_version=result.model_version,
            http_version=result.http_version,
            received_bytes=result.received_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """All that is published of one target."""

    spec: TargetSpec
    health: Health
    windows: Mapping[str, WindowFigures]
    last: LastProbe | None
    recent_latencies: tuple[float, ...]  # Newest last, good scheduled samples, bounded.
    liveness: Liveness = field(default_factory=Liveness)
    claims: Mapping[str, tuple[ClaimVerdict, ...]] = field(default_factory=dict)  # By window.
    budget: ErrorBudget | None = None
    incidents: tuple[Incident, ...] = ()  # Open ones: at most one of each scope.


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a target has its place: a stable code and a true sentence with its numbers."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    One rank of an order.

    Attributes:
        scope: ``provider`` when what limits it holds for everybody, ``monitor_account`` when it
            concerns only the key this monitor uses; None when nothing limits it.
        success_probability: Shrunken success ratio used by the index, 0..1.
        latency_p95_s: Nearest-rank p95 of *samples* good probes; *estimated* marks one from too
            few samples for a bound.
        index_usd: Expected cost of one delivered image (DESIGN.md 4), in US dollars.
    """

    rank: int
    target: str
    tier: Tier
    state: State
    usable: bool
    scope: str | None
    success_probability: float
    availability: float | None
    availability_n: int
    latency_p95_s: float | None
    latency_n: int
    latency_estimated: bool
    price_usd: float
    index_usd: float
    retry_at: float | None
    last_sample_at: float | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    The priority order of one pool under one profile.

    Attributes:
        version: Grows by one whenever the decision (ids, tiers, retry times) changes.
        changed_at: When it last changed, seconds since the epoch.
        valid_until: Past this the verdicts are stale; the order itself is still the best known.
    """

    pool: PoolSpec
    profile: Profile
    version: int
    changed_at: float
    valid_until: float
    all_degraded: bool
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCount:
    """Key of a cumulative probe counter."""

    target: str
    kind: str
    outcome: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """
    Cumulative since the first stored probe; they only grow.

    Attributes:
        latency_counts: Per target, good generations per bucket (last: above all bounds), not
            cumulative.
        gaps: (target, reason) to slots without a probe.
        order_changes: (pool, profile) to changes of the decision.
    """

    probes: Mapping[ProbeCount, int] = field(default_factory=dict)
    spend_usd: Mapping[str, float] = field(default_factory=dict)
    latency_counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    latency_sum_s: Mapping[str, float] = field(default_factory=dict)
    gaps: Mapping[tuple[str, GapReason], int] = field(default_factory=dict)
    order_changes: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogCounts:
    """
    What the store's log of events holds; the counts only grow.

    Attributes:
        events: Kind to events.
        incidents: (target, error class at the opening) to incidents.
    """

    events: Mapping[str, int] = field(default_factory=dict)
    incidents: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    Everything published, of one moment.

    Attributes:
        version: Grows with every snapshot of this process.
        made_at: Wall time, seconds since the epoch.
        stale_after: Wall time past which readers must say ``stale``.
        orders: (pool id, profile name) to order.
        spending: Probe money as the store had it when it was last read.
        quotas: Limits on requests that are known, and the probes booked against them.
        log_counts: As the log of events was last read.
        tallies: Per target, what only this process counted.
        reports: What clients reported, as it was last read.
        paused: Target id to the pause it is in.
        policy: How it was judged and ordered.
    """

    version: int
    made_at: float
    stale_after: float
    targets: Mapping[str, TargetView]
    orders: Mapping[tuple[str, str], Order]
    totals: Totals
    spending: Spending
    quotas: tuple[QuotaFigures, ...] = ()
    our_network: OurNetwork = field(default_factory=OurNetwork)
    log_counts: LogCounts = field(default_factory=LogCounts)
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    reports: ReportFigures = field(default_factory=ReportFigures)
    paused: Mapping[str, Pause] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
