"""What the order is built from: one target's evidence for one pool, its tier and its index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

from monitor.core.snapshot import Health, State, TargetView, Tier, WindowFigures
from monitor.core.spec import Basis, Policy, PoolSpec, Profile

# The shortest window with this many verdicts is evidence enough for the index.
EVIDENCE_MIN: Final = 5
# Fewer recent latencies than this have no telling median.
RECENT_MIN: Final = 3
# A p95 of fewer samples is their maximum: one slow probe would decide the tier.
P95_SAMPLES_MIN: Final = 20
# The objective is judged over the shortest window that holds a day.
OBJECTIVE_SPAN_S: Final = 86_400.0
# Keeps the index finite for a target that never works.
SUCCESS_MIN: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowness:
    """
    What exceeds the pool's latency objective.

    Attributes:
        window: Name of the window of the p95; None for the median of recent latencies.
    """

    value_s: float
    limit_s: float
    n: int
    window: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    What the order knows of one target.

    Attributes:
        evidence: Window behind the index; None without any good or bad sample.
        objective: Window behind the availability, a day where there is one.
        success_probability: Shrunken share of good samples, 0..1; of those since the last outage
            was over, where the window holds some of it.
        latency_s: Expected latency of a success; *is_latency_measured* tells a mean from a claim.
        time_to_fail_s: Expected time until a failure is known.
        misses_availability: Whether even the upper bound is under the pool's objective.
        last_sample_at: Wall time of the newest scheduled sample of any window; None without one.
    """

    view: TargetView
    tier: Tier
    evidence: WindowFigures | None
    objective: WindowFigures
    success_probability: float
    latency_s: float
    is_latency_measured: bool
    time_to_fail_s: float
    slowness: Slowness | None
    misses_availability: bool
    last_sample_at: float | None

    def index_usd(self, profile: Profile, billed_share: float) -> float:
        """Return the expected cost of one image under *profile*, in US dollars."""
        return index_usd(
            price=self.view.spec.price_usd,
            latency_s=self.latency_s,
            p=self.success(profile),
            time_to_fail_s=self.time_to_fail_s,
            billed_share=billed_share,
            usd_per_second=profile.usd_per_second,
        )

    def success(self, profile: Profile) -> float:
        """Return the probability of success that *profile* reckons with, above 0."""
        if profile.basis is not Basis.LOWER_BOUND:
            return self.success_probability
        return max(SUCCESS_MIN, self.objective.provider.lower or 0.0)


def index_usd(
    *,
    price: float,
    latency_s: float,
    p: float,
    time_to_fail_s: float,
    billed_share: float,
    usd_per_second: float,
) -> float:
    """
    Return the expected cost of one delivered image when a first try can fail, in US dollars.

    Ascending order of it costs least for a client that falls through, whatever final failure
    costs (DESIGN.md 4, RANKING.md d1: cost per attempt over probability of success).
    """
    assert 0 < p <= 1
    failing = usd_per_second * time_to_fail_s + billed_share * price
    return price + usd_per_second * latency_s + (1 - p) / p * failing


def stand(view: TargetView, pool: PoolSpec, policy: Policy) -> Standing:
    """Return where *view* stands in *pool*: its tier and the numbers behind the index."""
    windows = sorted(view.windows.values(), key=lambda window: window.span_s)
    evidence = _evidence(windows)
    objective = next((w for w in windows if w.span_s >= OBJECTIVE_SPAN_S), windows[-1])
    slowness = _slowness(view, windows, pool, policy)
    wanted, upper = pool.slo.availability, objective.provider.upper
    misses = wanted is not None and upper is not None and upper < wanted
    latency_s = evidence.latency_mean_s if evidence else None
    failure_s = evidence.failure_mean_s if evidence else None
    return Standing(
        view=view,
        tier=_tier(view, is_doubtful=slowness is not None or misses),
        evidence=evidence,
        objective=objective,
        success_probability=_success(evidence, view.health, policy),
        latency_s=_expected_latency(view, pool) if latency_s is None else latency_s,
        is_latency_measured=latency_s is not None,
        time_to_fail_s=view.spec.deadline_s if failure_s is None else failure_s,
        slowness=slowness,
        misses_availability=misses,
        last_sample_at=max(
            (w.last_sample_at for w in windows if w.last_sample_at is not None), default=None
        ),
    )


def _evidence(windows: Iterable[WindowFigures]) -> WindowFigures | None:
    """Return the shortest window with enough verdicts, else the shortest that has them all."""
    fullest = None
    for window in windows:
        if window.provider.n >= EVIDENCE_MIN:
            return window
        if window.provider.n > (fullest.provider.n if fullest else 0):
            fullest = window
    return fullest


def _success(evidence: WindowFigures | None, health: Health, policy: Policy) -> float:
    """Shrink the good share towards the prior, so that 1 of 1 does not beat 999 of 1000."""
    good, n = (evidence.good, evidence.provider.n) if evidence else (0, 0)
    over_at, since = health.over_at, evidence.since if evidence else None
    if over_at is not None and since is not None and since <= over_at:
        # Its failures are no news of the next request, or a healed target would be passed over for
        # hours; that it may come back is what the hold-down is for.
        good, n = health.recent_good, health.recent
    if n + policy.prior_weight == 0:
        return policy.prior_success
    prior = policy.prior_weight * policy.prior_success
    return max(SUCCESS_MIN, (good + prior) / (n + policy.prior_weight))


def _expected_latency(view: TargetView, pool: PoolSpec) -> float:
    """Return what to expect without a good sample: the claim, the objective or the deadline."""
    for promised in (view.spec.claim.latency_p95_s, pool.slo.latency_p95_s):
        if promised is not None:
            return promised
    return view.spec.deadline_s


def _slowness(
    view: TargetView, windows: Iterable[WindowFigures], pool: PoolSpec, policy: Policy
) -> Slowness | None:
    """Return what exceeds the latency objective: the recent median, or a p95 of enough samples."""
    limit_s = pool.slo.latency_p95_s
    if limit_s is None:
        return None
    recent = view.recent_latencies[-policy.slow_of :]
    if len(recent) >= RECENT_MIN and (middle := median(recent)) > limit_s:
        return Slowness(value_s=middle, limit_s=limit_s, n=len(recent), window=None)
    window = next((w for w in windows if w.latency_n >= P95_SAMPLES_MIN), None)
    p95 = window.quantiles[0.95].value if window else None
    if window is None or p95 is None or p95 <= limit_s:
        return None
    return Slowness(value_s=p95, limit_s=limit_s, n=window.latency_n, window=window.name)


def _tier(view: TargetView, *, is_doubtful: bool) -> Tier:
    """Return the coarse rank; a published retry time is one that is still ahead."""
    if view.health.state is State.HEALTHY:
        return Tier.DOUBTFUL if is_doubtful else Tier.UP
    if view.health.state is State.DOWN:
        return Tier.DOWN
    if view.health.state is State.UNUSABLE:
        return Tier.UNUSABLE if view.health.retry_at is None else Tier.WAITING
    return Tier.DOUBTFUL
