"""What the configuration means once read: providers, targets, pools and policy as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from math import floor
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from monitor.core.maintenance import Rules
from probes.model import ErrorClass, LimitPeriod


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """
    A promise or an aim: a claim when a provider makes it, an SLO when a pool does.

    Attributes:
        availability: Wanted share of good requests, 0..1.
        latency_p95_s: Wanted 95th percentile of good requests, in seconds.
    """

    availability: float | None = None
    latency_p95_s: float | None = None


class Basis(StrEnum):
    """What places the targets of one tier."""

    INDEX = "index"  # Expected cost of one picture.
    LOWER_BOUND = "lower_bound"  # The same with success at the lower bound of what is measured.
    CONFIGURED = "configured"  # Where they stand in the configuration.


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a pool weighs money against waiting: *usd_per_second* values one second of waiting."""

    name: str
    usd_per_second: float
    basis: Basis = Basis.INDEX


# RANKING.md d1 and DESIGN.md 4: the value of time matters more than any estimator, so several
# orders are published at once.
PROFILES: Final[tuple[Profile, ...]] = (
    Profile(name="cheap", usd_per_second=0.0005),
    Profile(name="balanced", usd_per_second=0.002),
    Profile(name="fast", usd_per_second=0.01),
    # At the highest of these a failed try costs most: whoever asks for it wants none.
    Profile(name="reliable", usd_per_second=0.01, basis=Basis.LOWER_BOUND),
    Profile(name="static", usd_per_second=0.002, basis=Basis.CONFIGURED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendCap:
    """Hard limits on what probes may cost per UTC day and calendar month; None for no limit."""

    usd_per_day: float | None = None
    usd_per_month: float | None = None


# What probes may use of a daily limit on requests, and the tenth of one a minute: the rest is for
# pictures that somebody wants.
QUOTA_SHARE: Final = 0.02
_MINUTE_SHARE: Final = 10
_UTC: Final = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSpec:
    """
    Limits on requests to a provider, and how much of them its probes may use.

    Attributes:
        per_minute: Requests it takes a minute; None where none is known.
        per_day: Likewise, a day.
        share: What probes may use of a daily limit, 0..1.
        resets: Zone at whose midnight a day begins.
    """

    per_minute: int | None = None
    per_day: int | None = None
    share: float = QUOTA_SHARE
    resets: ZoneInfo = _UTC

    def requests(self, period: LimitPeriod) -> int | None:
        """Return the limit a *period*."""
        return self.per_minute if period is LimitPeriod.MINUTE else self.per_day

    def probes_of(self, requests: int, period: LimitPeriod) -> int:
        """Return how many probes a *period* may use of a limit of *requests*."""
        if period is LimitPeriod.MINUTE:
            # One at least: a provider that takes five a minute could not be watched otherwise.
            return max(1, requests // _MINUTE_SHARE)
        # Of the decimal digits: 0.29 * 100 is 28.999999999999996 in binary.
        return floor(Decimal(str(self.share)) * requests)

    def probes(self, period: LimitPeriod) -> int | None:
        """Return how many probes a *period* the configured limit leaves; None without a limit."""
        requests = self.requests(period)
        return None if requests is None else self.probes_of(requests, period)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """
    A company or gateway; *spend_cap* and *quota* are on all its targets together.

    Attributes:
        zone: Where its days are lived, for the hours of a week; None for UTC.
    """

    id: str
    zone: ZoneInfo | None = None
    spend_cap: SpendCap | None = None
    quota: QuotaSpec = field(default_factory=QuotaSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """
    A target as the monitor sees it: probed, priced and ranked.

    Attributes:
        price_usd: What a client pays for one image; also the worst case of one canary.
        batch_price_usd: What an image of a batch job costs; None where none is sold.
        interval_s: Length of a schedule slot.
        liveness_s: Time between two free calls; None where none are made.
        is_batch: Its canaries are jobs of a batch queue, several of which may be under way.
        poll_s: Longest pause between two looks at such a job.
        maintenance: Announced times in which no canary is sent.
        upstream: What it shares with other targets and may fail with together.
        unusable: Set when no probe can be sent at all (a missing key), with *unusable_detail*
            saying what to do.
    """

    id: str
    provider: str
    model: str
    base_url: str
    format: str
    price_usd: float
    interval_s: float
    deadline_s: float
    batch_price_usd: float | None = None
    liveness_s: float | None = None
    is_batch: bool = False
    poll_s: float = 600.0
    upstream: str | None = None
    claim: Objective = field(default_factory=Objective)
    spend_cap: SpendCap | None = None
    maintenance: Rules = ()
    unusable: ErrorClass | None = None
    unusable_detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """Targets that can stand in for one another, in configured order, with one SLO."""

    id: str
    targets: tuple[str, ...]
    slo: Objective = field(default_factory=Objective)
    profile: str = "balanced"
    profiles: tuple[Profile, ...] = PROFILES


WINDOWS: Final[Mapping[str, float]] = MappingProxyType({
    "1h": 3_600.0, "6h": 21_600.0, "24h": 86_400.0, "7d": 604_800.0, "30d": 2_592_000.0,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    Knobs of judging and ordering.

    Attributes:
        windows: Name to length in seconds, shortest first.
        down_after: Consecutive bad probes that make a target down.
        up_after: Consecutive good probes that bring a down target back.
        degraded_of: Recent valid probes looked at for ``degraded``.
        degraded_share: Share of bad ones among them, from which a target is degraded.
        confirm_s: Time until a first failure is confirmed; doubles with each one in a row.
        backoff_max_s: Longest time without a probe of a target that is down.
        relapse_s: How soon after its end an outage that comes back is the same incident.
        slow_of: Recent good latencies whose median is compared with the SLO's p95.
        stale_slots: Slots without any sample after which a state is ``unknown``.
        margin: Relative gain in index needed to overtake inside a tier, 0..1.
        dwell_s: Least time between two changes inside the same tier.
        prior_success: Success probability assumed without data; worth *prior_weight* samples.
        billed_share: Share of failures that are billed, until measured.
    """

    windows: Mapping[str, float] = field(default_factory=lambda: WINDOWS)
    down_after: int = 2
    up_after: int = 2
    confirm_s: float = 30.0
    backoff_max_s: float = 3_600.0
    relapse_s: float = 600.0
    degraded_of: int = 10
    degraded_share: float = 0.2
    slow_of: int = 5
    stale_slots: float = 3.0
    margin: float = 0.10
    dwell_s: float = 120.0
    prior_success: float = 0.97
    prior_weight: float = 4.0
    billed_share: float = 0.5
