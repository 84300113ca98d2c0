"""Values with sensible defaults, so that a test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from monitor.core.batch import Job
from monitor.core.health import HealthState, fold
from monitor.core.ranking import build_order, standings_of
from monitor.core.snapshot import Health, Order, State, TargetView
from monitor.core.spec import Objective, Policy, PoolSpec, Profile, TargetSpec
from monitor.core.window import History, Sample
from probes.model import ErrorClass, Outcome, ProbeResult

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40Z.
BALANCED = Profile(name="balanced", usd_per_second=0.002)


def a_spec(target: str = "alpha", **changes: Any) -> TargetSpec:
    """A target that is probed every ten minutes."""
    fields: dict[str, Any] = {
        "id": target,
        "provider": "acme",
        "model": "painter-1",
        "base_url": "https://api.acme.example",
        "format": "openai-images",
        "price_usd": 0.04,
        "interval_s": 600.0,
        "deadline_s": 120.0,
    }
    return TargetSpec(**fields | changes)


def a_pool(*targets: str, **changes: Any) -> PoolSpec:
    """A pool that wants 99 % within 15 s."""
    slo = changes.pop("slo", Objective(availability=0.99, latency_p95_s=15.0))
    return PoolSpec(id="pool", targets=targets or ("alpha",), slo=slo, **changes)


def a_result(error: ErrorClass | None = None, at: float = NOW, **changes: Any) -> ProbeResult:
    """A scheduled canary: good after five seconds, or failed with *error*."""
    fields: dict[str, Any] = {
        "probe_id": f"probe-{at}",
        "target_id": "alpha",
        "started_at": at,
        "duration_s": 5.0,
        "latency_s": 5.0 if error is None else None,
        "error": error,
        "slot_s": 600.0,
    }
    return ProbeResult(**fields | changes)


def a_sample(at: float = NOW, outcome: Outcome = Outcome.GOOD, **changes: Any) -> Sample:
    """A sample of a ten-minute slot, five seconds long."""
    fields: dict[str, Any] = {
        "at": at,
        "outcome": outcome,
        "is_timeout": False,
        "latency_s": 5.0 if outcome is Outcome.GOOD else None,
        "duration_s": 5.0,
        "slot_s": 600.0,
    }
    return Sample(**fields | changes)


def a_view(
    spec: TargetSpec | None = None,
    *,
    good: int = 144,
    bad: int = 0,
    latencies: Iterable[float] | None = None,
    health: Health | None = None,
    windows: Mapping[str, float] | None = None,
    interval_s: float = 600.0,
    now: float = NOW,
) -> TargetView:
    """A target with *bad* failures, then good samples (5 s, or *latencies*), the last just now."""
    seconds = list(latencies) if latencies is not None else [5.0] * good
    history = History(windows or Policy().windows)
    start = now - (bad + len(seconds) - 1) * interval_s
    for slot in range(bad):
        history.append(a_sample(start + slot * interval_s, Outcome.BAD))
    for slot, latency_s in enumerate(seconds, bad):
        history.append(a_sample(start + slot * interval_s, latency_s=latency_s))
    return TargetView(
        spec=spec or a_spec(),
        health=health or Health(state=State.HEALTHY, since=start),
        windows=history.figures(now),
        last=None,
        recent_latencies=history.recent_latencies(60),
    )


def an_order(  # noqa: PLR0917 - as the function it calls
    pool: PoolSpec,
    profile: Profile,
    views: Mapping[str, TargetView],
    before: Order | None = None,
    now: float = NOW,
    policy: Policy | None = None,
    **how: bool,
) -> Order:
    """The order of *pool* that follows from *views*."""
    policy = policy or Policy()
    return build_order(pool, profile, standings_of(pool, views, policy), before, now, policy, **how)


def folded(
    errors: Iterable[ErrorClass | None], policy: Policy | None = None, start: float = NOW
) -> HealthState:
    """The state after one result a minute from *start*: good for None, else of that class."""
    state = HealthState()
    for minute, error in enumerate(errors):
        state = fold(state, a_result(error, start + 60.0 * minute), policy or Policy())
    return state


def a_job(**changes: Any) -> Job:
    """A batch job created a moment ago that has a day and a name."""
    fields: dict[str, Any] = {
        "probe_id": "p-1",
        "target_id": "alpha",
        "provider": "acme",
        "slot": 7,
        "slot_s": 21_600.0,
        "prompt": "A plain red square.",
        "colour": "red",
        "created_at": NOW,
        "deadline_at": NOW + 86_400.0,
        "poll_s": 600.0,
        "price_usd": 0.02,
        "next_at": NOW,
        "called_at": NOW,
        "name": "batches/1",
    }
    return Job(**fields | changes)
