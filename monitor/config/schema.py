"""The file as it is written: one frozen model per table, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from monitor.config.fields import (
    BaseUrl,
    Duration,
    Every,
    HostSuffix,
    Key,
    Listen,
    Moment,
    Ratio,
    Requests,
    Size,
    Slug,
    Table,
    Usd,
    WeeklyTimes,
    Word,
    Zone,
)
from monitor.config.notify import RouteTable
from monitor.core.retention import Retention
from monitor.core.spec import Policy
from monitor.limits import (
    MAINTENANCE_MAX,
    POOLS_MAX,
    PROFILES_MAX,
    REFERENCE_HOSTS_MAX,
    ROUTES_MAX,
    TARGETS_MAX,
    WINDOWS_MAX,
)


class ObjectiveTable(Table):
    """What is claimed or wanted; both parts may be left out."""

    availability: Ratio | None = Field(default=None, description="Share of good requests, 0..1.")
    latency_p95: Duration | None = Field(
        default=None, description="95th percentile of good requests."
    )


class SpendCapTable(Table):
    """A hard limit on what probes may cost; at least one of the two."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    usd_per_day: Usd | None = Field(default=None, description="Per UTC day, in US dollars.")
    usd_per_month: Usd | None = Field(
        default=None, description="Per calendar month (UTC), in US dollars."
    )

    @model_validator(mode="after")
    def _is_a_limit(self) -> Self:
        if self.usd_per_day is None and self.usd_per_month is None:
            context = {"message": "limits nothing", "fix": "give usd_per_day or usd_per_month"}
            raise PydanticCustomError("imgmon", "{message}", context)
        return self


class QuotaTable(Table):
    """Limits on requests to a provider, and what probes may use of them; else the preset's."""

    per_minute: Requests | None = Field(
        default=None, description="Requests it takes a minute; probes use a tenth of them, or one."
    )
    per_day: Requests | None = Field(default=None, description="Requests it takes a day.")
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Of a day's requests, what probes may use; default 0.02."
    )
    resets: Zone | None = Field(
        default=None, description="Zone at whose midnight a day begins; default UTC."
    )


class ProviderTable(Table):
    """A company or gateway: one base URL, one key."""

    id: Slug
    preset: str | None = Field(
        default=None, description="Known brand that fills in what is left out."
    )
    host: str | None = Field(
        default=None, description="One of the preset's hosts, by its short name."
    )
    base_url: BaseUrl | None = None
    format: str | None = Field(default=None, description="Wire format.")
    api_key: Key | None = Field(default=None, description="Where the key is kept; never the key.")
    options: dict[str, JsonValue] = Field(default={}, description="Settings of the wire format.")
    relay: bool | None = Field(
        default=None, description="Whether it passes requests on to vendors."
    )
    poll_hosts: list[HostSuffix] | None = Field(
        default=None,
        description="Host suffixes such as .bfl.ai that may be sent the key when polling.",
    )
    allow_private_downloads: bool = Field(
        default=False, description="Whether result links may point into private networks."
    )
    liveness: Every | None = Field(
        default=None, description="Default of the same key of its targets."
    )
    upstream: Slug | None = Field(
        default=None, description="Default of the same key of its targets."
    )
    zone: Zone | None = Field(
        default=None, description="Zone of the hours in its targets' profiles; default UTC."
    )
    balance_key: Key | None = Field(
        default=None,
        description="Where a relay keeps the account's own token: free calls then tell the balance.",
    )
    spend_cap: SpendCapTable | None = None
    quota: QuotaTable = QuotaTable()


class TargetTable(Table):
    """What is probed and ranked: a provider, a model and parameters."""

    id: Slug
    provider: str
    model: Word
    size: Size | None = Field(
        default=None, description="Pixels asked for; none for routes without."
    )
    quality: Word | None = None
    price_usd: Usd | None = Field(default=None, description="Of one picture; else the preset's.")
    batch_price_usd: Usd | None = Field(
        default=None, description="Of one picture of a batch job; else the preset's, if sold."
    )
    interval: Duration = Field(description="Time between two canaries.")
    deadline: Duration | None = Field(
        default=None,
        description="Total time of one probe; default 80 % of interval, at most 120 s; of a batch "
        "job 24 h.",
    )
    poll: Duration | None = Field(
        default=None, description="Longest pause between two looks at a batch job; default 10 min."
    )
    liveness: Every | None = Field(
        default=None,
        description='Time between two free calls, or "off"; default 5m where the format has one.',
    )
    upstream: Slug | None = Field(
        default=None,
        description="What it shares with other targets: outages that begin together are a group.",
    )
    pools: list[str] = Field(default=[])
    spend_cap: SpendCapTable | None = None
    claim: ObjectiveTable = ObjectiveTable()
    format: str | None = Field(default=None, description="Wire format, if not the provider's.")
    options: dict[str, JsonValue] = Field(default={}, description="Added to the provider's.")


class ProfileTable(Table):
    """How money weighs against waiting."""

    name: Slug
    usd_per_second: Usd = Field(description="Worth of one second of waiting.")


class PoolTable(Table):
    """Targets that can stand in for one another."""

    id: Slug
    profile: str = Field(
        default="balanced", description="The profile used when a caller names none."
    )
    slo: ObjectiveTable = ObjectiveTable()
    profiles: list[ProfileTable] = Field(
        default=[],
        max_length=PROFILES_MAX,
        description="Own profiles, or other values for built-in ones.",
    )


_P: Final = Policy()
_Count = Annotated[int, Field(ge=1, le=1000)]


class JudgingTable(Table):
    """Knobs of judging and ordering (monitor/core/spec.py, Policy)."""

    down_after: _Count = Field(
        default=_P.down_after, description="Bad probes in a row that mean down."
    )
    up_after: _Count = Field(
        default=_P.up_after,
        description="Good probes in a row that mean up again; up to three more after relapses.",
    )
    confirm: Duration = Field(
        default=_P.confirm_s,
        description="Time until a first failure is confirmed; doubles with each one in a row.",
    )
    backoff_max: Duration = Field(
        default=_P.backoff_max_s, description="Longest time without a probe of what is down."
    )
    relapse: Duration = Field(
        default=_P.relapse_s, description="How soon after its end an outage is the same incident."
    )
    degraded_of: _Count = Field(default=_P.degraded_of, description="Recent probes looked at.")
    degraded_share: Ratio = Field(default=_P.degraded_share, description="Bad share that degrades.")
    slow_of: _Count = Field(
        default=_P.slow_of, description="Recent latencies compared with the SLO."
    )
    stale_slots: Annotated[float, Field(ge=1, le=1000)] = Field(
        default=_P.stale_slots, description="Slots without a sample until a state is unknown."
    )
    margin: Ratio = Field(
        default=_P.margin, description="Relative gain needed to overtake in a tier."
    )
    dwell: Duration = Field(default=_P.dwell_s, description="Least time between changes in a tier.")
    prior_success: Ratio = Field(
        default=_P.prior_success, description="Success assumed without data."
    )
    prior_weight: Annotated[float, Field(ge=0, le=1000)] = Field(
        default=_P.prior_weight, description="Samples that assumption is worth."
    )
    billed_share: Ratio = Field(
        default=_P.billed_share, description="Share of failures that are billed."
    )


class MaintenanceTable(Table):
    """Announced times in which targets are not probed: once, or every week."""

    targets: list[str] = Field(default=[], description="Ids of targets it concerns.")
    providers: list[str] = Field(default=[], description="Providers all of whose targets it does.")
    since: Moment | None = Field(
        default=None, alias="from", description="Begin, with an offset: 2026-12-01T22:00:00Z."
    )
    until: Moment | None = Field(default=None, description="End; weekly times may go on without.")
    weekly: WeeklyTimes | None = Field(
        default=None, description='Only these times of the local clock: "sun 02:00-04:00".'
    )
    zone: Zone | None = Field(default=None, description="Zone of weekly; default UTC.")

    @model_validator(mode="after")
    def _is_a_time_of_something(self) -> Self:
        wrong: tuple[str, str] | None = None
        if not self.targets and not self.providers:
            wrong = "concerns nothing", "give targets or providers"
        elif self.weekly is None and (self.since is None or self.until is None):
            wrong = "has no time", "give from and until, or weekly"
        elif self.since is not None and self.until is not None and self.until <= self.since:
            wrong = "must end after it begins", "let until be later than from"
        elif self.zone is not None and self.weekly is None:
            wrong = "has a zone, which is for weekly times", "drop zone, or give weekly"
        if wrong is not None:
            context = {"message": wrong[0], "fix": wrong[1]}
            raise PydanticCustomError("imgmon", "{message}", context)
        return self


class ServerTable(Table):
    """The HTTP API."""

    listen: Listen = Field(default="127.0.0.1:8720", validate_default=True)
    public_read: bool = Field(
        default=False,
        description="Reading asks for no token although more than this machine can reach it.",
    )
    hosts: list[Word] = Field(
        default=[],
        max_length=100,
        description="Further names it is called by, where it listens on this machine alone: a "
        "proxy's, for example.",
    )
    tokens: Word | None = Field(
        default=None,
        description="File of the hashed tokens; default beside the database: imgmon.tokens.json.",
    )


class StoreTable(Table):
    """The database."""

    path: Word = Field(
        default="imgmon.db", description="SQLite file, relative to the working directory."
    )
    keep_probes: Duration | None = Field(
        default=None,
        description="How long canaries, gaps and orders are kept; default 400d, or what the longest "
        "window needs.",
    )
    keep_free_calls: Duration = Field(
        default=Retention().free_calls_s, description="How long free calls are kept."
    )
    keep_reports: Duration = Field(
        default=Retention().reports_s,
        description="How long each client report is kept; what they sum up to stays.",
    )


class ReportsTable(Table):
    """What clients may report."""

    per_client_per_minute: int = Field(
        default=1_200_000,
        ge=1,
        le=100_000_000,
        description="Reports that one token may send a minute; what is above is refused, whole.",
    )


class NetworkTable(Table):
    """What tells our own network from the providers' trouble."""

    reference_hosts: list[BaseUrl] = Field(
        default=[],
        max_length=REFERENCE_HOSTS_MAX,
        description="URLs of hosts that are asked when unrelated providers cannot be reached; "
        "default none.",
    )


class LogTable(Table):
    """What is logged and how."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class FileTable(Table):
    """The whole file."""

    vantage: Slug = Field(default="default", description="Name of the place this daemon runs at.")
    server: ServerTable = Field(default_factory=ServerTable)
    store: StoreTable = Field(default_factory=StoreTable)
    log: LogTable = Field(default_factory=LogTable)
    reports: ReportsTable = Field(default_factory=ReportsTable)
    network: NetworkTable = Field(default_factory=NetworkTable)
    windows: dict[Slug, Duration] | None = Field(
        default=None,
        min_length=1,
        max_length=WINDOWS_MAX,
        description="Name to length, shortest first.",
    )
    judging: JudgingTable = Field(default_factory=JudgingTable)
    maintenance: list[MaintenanceTable] = Field(default=[], max_length=MAINTENANCE_MAX)
    routes: list[RouteTable] = Field(default=[], max_length=ROUTES_MAX)
    spend_cap: SpendCapTable | None = None
    providers: list[ProviderTable] = Field(default=[], max_length=TARGETS_MAX)
    targets: list[TargetTable] = Field(default=[], max_length=TARGETS_MAX)
    pools: list[PoolTable] = Field(default=[], max_length=POOLS_MAX)


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    schema = FileTable.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema,
            "title": "imgmon configuration"}  # fmt: skip
