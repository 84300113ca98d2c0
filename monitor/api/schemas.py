"""What answers look like, for OpenAPI: the bytes themselves are made in encode.py."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from monitor.api.client_figures import ReportedOut
from monitor.api.incidents import OpenIncidentOut
from monitor.api.slo_schemas import BudgetOut, ClaimOut, GapOut

State = Literal["healthy", "suspect", "degraded", "down", "unusable", "unknown"]
Seconds = float
Ratio = float


class ReasonOut(BaseModel):
    """Why a target has its place."""

    code: str
    text: str


class PlaceOut(BaseModel):
    """One rank of an order."""

    rank: int
    tier: int = Field(description="1 up, 2 doubtful, 3 waiting, 4 down, 5 unusable.")
    target: str
    provider: str
    model: str
    base_url: str
    format: str
    state: State
    usable: bool = Field(description="Whether the monitor's own account may call it now.")
    scope: Literal["provider", "monitor_account"] | None = Field(
        description="Whom the limit concerns: everybody, or only the monitor's own key."
    )
    success_probability: Ratio
    availability: Ratio | None
    availability_samples: int
    latency_p95_s: Seconds | None
    latency_samples: int
    latency_estimated: bool = Field(description="Too few samples for a bound on the p95.")
    price_usd: float
    index_usd: float = Field(description="Expected cost of one delivered image, waiting included.")
    retry_at: str | None
    last_sample_at: str | None
    samples: int
    reasons: list[ReasonOut]


class LimitsOut(BaseModel):
    """What the caller asked for."""

    max_price_usd: float | None
    max_p95_s: Seconds | None
    exclude: list[str] = Field(description="Ids of targets or providers.")


class LeftOutOut(BaseModel):
    """A target of the pool that is not listed."""

    target: str
    code: Literal["excluded", "max_price", "max_p95"]
    text: str


class PriorityOut(BaseModel):
    """The order in which a failover client should try the targets of a pool, best first."""

    schema_: int = Field(alias="schema")
    pool: str
    profile: str
    version: int = Field(description="Grows when the decision changes.")
    changed_at: str
    generated_at: str = Field(description="When these figures were made; see X-Imgmon-Made-At.")
    valid_until: str = Field(description="Renewed by the header X-Imgmon-Valid-Until on a 304.")
    stale: bool
    all_degraded: bool
    our_network_suspect: bool | None = Field(
        description="The monitor itself is cut off, so states stand still. Null while not watched."
    )
    limits: LimitsOut | None = Field(description="Null where the caller set none.")
    limits_met: bool = Field(
        description="False when no target is within the limits: others are listed, never none."
    )
    left_out: list[LeftOutOut] = Field(description="Targets beyond the limits, and why.")
    targets: list[PlaceOut]


class IdsOut(BaseModel):
    """The order as ids alone."""

    schema_: int = Field(alias="schema")
    pool: str
    profile: str
    version: int
    limits_met: bool
    targets: list[str]


class ObjectiveOut(BaseModel):
    """A claim or an objective."""

    availability: Ratio | None
    latency_p95_s: Seconds | None


class ProfileOut(BaseModel):
    """What one profile of a pool decided last."""

    usd_per_second: float
    version: int
    changed_at: str
    all_degraded: bool
    targets: list[str]


class PoolOut(BaseModel):
    """A pool and its orders."""

    pool: str
    default_profile: str
    slo: ObjectiveOut
    profiles: dict[str, ProfileOut]


class PoolsOut(BaseModel):
    """All pools."""

    schema_: int = Field(alias="schema")
    pools: list[PoolOut]


class ImageOut(BaseModel):
    """What is kept of a picture."""

    format: str
    width: int
    height: int
    size_bytes: int
    sha256: str


class ProbeOut(BaseModel):
    """The newest generation of a target."""

    probe: str
    started_at: str
    duration_s: Seconds
    latency_s: Seconds | None
    outcome: Literal["good", "bad", "unusable", "void"]
    error: str | None
    detail: str
    http_status: int | None
    phases_s: dict[str, Seconds]
    cost_usd: float
    image: ImageOut | None
    model_version: str | None


class LivenessOut(BaseModel):
    """What free calls say of a target; never part of its state, windows or place."""

    state: Literal["ok", "failing", "unknown"]
    interval_s: Seconds | None = Field(description="Null where no free calls are made.")
    at: str | None = Field(description="Start of the newest call that said something.")
    error: str | None
    detail: str
    answered_at: str | None = Field(description="The age of shutdown_on and balance_usd.")
    shutdown_on: str | None = Field(description="ISO day from which the model will be gone.")
    balance_usd: float | None


class PauseOut(BaseModel):
    """An operator's word that no canary of the schedule is sent."""

    since: str
    until: str | None = Field(description="Null until it is ended.")
    reason: str
    by: str = Field(description="Name of the token.")


class TargetOut(BaseModel):
    """A target: what it is, how it is, its newest generation."""

    target: str
    provider: str
    model: str
    format: str
    base_url: str
    price_usd: float
    interval_s: Seconds
    deadline_s: Seconds
    claim: ObjectiveOut
    state: State
    since: str | None
    error: str | None
    detail: str
    retry_at: str | None
    error_budget: BudgetOut | None = Field(description="Null without a claimed availability.")
    policy_blocks_in_a_row: int
    liveness: LivenessOut
    incidents: list[OpenIncidentOut] = Field(description="Those that last.")
    last_probe: ProbeOut | None
    paused: PauseOut | None


class TargetsOut(BaseModel):
    """All targets."""

    schema_: int = Field(alias="schema")
    targets: list[TargetOut]


class RatioOut(BaseModel):
    """A share with its 95 % Wilson interval; null without samples."""

    value: Ratio | None
    lower: Ratio | None
    upper: Ratio | None
    samples: int


class ViewsOut(BaseModel):
    """Availability as the provider's own record, and usability to the monitor's account."""

    provider: RatioOut
    user: RatioOut


class QuantileOut(BaseModel):
    """Nearest-rank quantile with one-sided 95 % bounds; null where unsupported."""

    value: Seconds | None
    lower: Seconds | None
    upper: Seconds | None


class LatencyOut(BaseModel):
    """Latency of good samples."""

    samples: int
    mean: Seconds | None
    p50: QuantileOut
    p90: QuantileOut
    p95: QuantileOut
    p99: QuantileOut


class LatencySliOut(RatioOut):
    """Share of good and bad samples that are good and within the threshold."""

    threshold_s: Seconds


class WindowOut(BaseModel):
    """Figures of one window."""

    span_s: Seconds
    samples: int
    good: int
    bad: int
    unusable: int
    coverage_ratio: Ratio = Field(description="Of the window less maintenance.")
    last_sample_at: str | None
    since: str | None = Field(description="First sample or gap of the window.")
    gaps: dict[str, GapOut] = Field(description="Slots without a probe, by reason.")
    maintenance_s: Seconds
    claims: list[ClaimOut]
    availability: ViewsOut
    timeouts_ratio: Ratio | None
    latency_sli: LatencySliOut | None = Field(
        description="Null where no p95 is claimed or aimed for."
    )
    latency_s: LatencyOut


class TargetDetailOut(TargetOut):
    """A target with its windows."""

    schema_: int = Field(alias="schema")
    windows: dict[str, WindowOut]
    reported: ReportedOut


class WindowsOut(BaseModel):
    """The windows of one target."""

    schema_: int = Field(alias="schema")
    target: str
    windows: dict[str, WindowOut]
    reported: ReportedOut


class ResultOut(BaseModel):
    """One stored probe."""

    probe: str
    kind: str
    reason: str
    started_at: str
    duration_s: Seconds
    latency_s: Seconds | None
    outcome: str
    error: str | None
    failed_phase: str | None
    detail: str
    code: str | None
    http_status: int | None
    retry_at: str | None
    cost_usd: float
    phases_s: dict[str, Seconds]
    slot_s: Seconds = Field(description="Schedule slot that it fills; 0 outside the schedule.")
    finish_reason: str | None = Field(description="The provider's own word for an empty answer.")
    request_id: str | None = Field(description="What the provider's support asks for.")
    image: ImageOut | None
    model_version: str | None
    shutdown_on: str | None
    balance_usd: float | None


class ResultsOut(BaseModel):
    """A page of stored probes, newest first."""

    schema_: int = Field(alias="schema")
    target: str
    results: list[ResultOut]
    next_cursor: int | None = Field(description="Pass as ?cursor= for older rows; null at the end.")


class LiveOut(BaseModel):
    """The daemon's process is alive."""

    status: Literal["ok"] = "ok"


class ReadyOut(BaseModel):
    """Whether the daemon is fit to be asked."""

    ready: bool
    problems: list[str]
