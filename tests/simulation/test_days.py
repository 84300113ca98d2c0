"""Virtual days by seed: schedule, faults and verdicts through the real engine."""

from __future__ import annotations

from random import Random

import pytest

from monitor.core.quota import Source
from monitor.core.schedule import Pass, next_fire
from monitor.core.snapshot import Snapshot, State
from monitor.core.spec import Objective, Policy, PoolSpec, ProviderSpec, QuotaSpec, TargetSpec
from monitor.engine import Engine, Past
from probes.model import ErrorClass, Limit, LimitPeriod, ProbeReason, ProbeResult

START = 1_795_000_000.0
DAY = 86_400.0
INTERVAL_S = 600.0
TARGETS = ("cheap", "middle", "dear")
# Drawn per probe while a target is in trouble.
TROUBLES = (
    ErrorClass.OVERLOADED,
    ErrorClass.SERVER_ERROR,
    ErrorClass.TIMEOUT,
    ErrorClass.NO_IMAGE,
    ErrorClass.RATE_LIMITED,
    ErrorClass.POLICY_BLOCKED,
    ErrorClass.MONITOR_FAULT,
)


def specs() -> dict[str, TargetSpec]:
    """Three targets, a cent apart."""
    return {
        name: TargetSpec(
            id=name,
            provider=name,
            model="m",
            base_url="https://x.example",
            format="gemini",
            price_usd=0.03 + 0.01 * number,
            interval_s=INTERVAL_S,
            deadline_s=120.0,
        )
        for number, name in enumerate(TARGETS)
    }


def engine() -> Engine:
    """An engine over one pool of all three."""
    pool = PoolSpec(id="p", targets=TARGETS, slo=Objective(availability=0.9, latency_p95_s=30.0))
    providers = {name: ProviderSpec(id=name, quota=QuotaSpec(per_day=9000)) for name in TARGETS}
    return Engine(specs(), [pool], Policy(), providers)


def outages(rng: Random) -> dict[str, list[tuple[float, float]]]:
    """Heavy-tailed outages: a few of each target in a month, minutes to hours."""
    return {
        name: sorted(
            (start, start + min(60.0 * rng.paretovariate(0.7), 12 * 3600.0))
            for start in (START + rng.uniform(0, 30 * DAY) for _ in range(6))
        )
        for name in TARGETS
    }


def told(rng: Random, at: float) -> tuple[Limit, ...]:
    """What an answer tells of a limit, now and then without its number."""
    return (
        Limit(
            period=rng.choice([*LimitPeriod]),
            requests=rng.choice([None, 500, 700]),
            remaining=0,
            resets_at=at + rng.choice([900, 30_000]),
            per_model=rng.random() < 0.5,
        ),
    )


def history(seed: int, days: float = 30) -> list[ProbeResult]:
    """All probes of *days*, in the order in which they were sent."""
    rng = Random(seed)
    down = outages(rng)
    results = []
    for name, spec in specs().items():
        at = START
        while (at := next_fire(name, INTERVAL_S, at, lambda _: rng.random())) < START + days * DAY:
            in_trouble = any(start <= at < end for start, end in down[name])
            error = rng.choice(TROUBLES) if in_trouble else None
            took = rng.lognormvariate(1.6, 0.35)
            results.append(
                ProbeResult(
                    probe_id=f"{name}-{at:.3f}",
                    target_id=name,
                    started_at=at,
                    duration_s=took,
                    latency_s=None if error else took,
                    error=error,
                    slot_s=INTERVAL_S,
                    cost_usd=spec.price_usd,
                    retry_at=at + 900 if error is ErrorClass.RATE_LIMITED else None,
                    limits=told(rng, at) if rng.random() < 0.1 else (),
                )
            )
    return sorted(results, key=lambda result: result.started_at)


def play(results: list[ProbeResult], subject: Engine) -> list[Snapshot]:
    """Send the results through *subject*, a tick after each; return every hundredth snapshot."""
    kept = []
    for number, result in enumerate(results):
        subject.accept(result)
        snapshot = subject.tick(result.started_at + result.duration_s)
        if number % 100 == 99:
            kept.append(snapshot)
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_every_snapshot_keeps_the_laws(seed):
    """Nobody is lost, ratios lie in their intervals, failures have no latency, unknown no figure."""
    snapshots = play(history(seed, days=6), engine())

    for snapshot in snapshots:
        for order in snapshot.orders.values():
            assert sorted(TARGETS) == sorted(place.target for place in order.places)
            tiers = [place.tier for place in order.places]
            assert sorted(tiers) == tiers
            assert all(place.reasons for place in order.places)
        for view in snapshot.targets.values():
            for window in view.windows.values():
                assert 0 <= window.coverage <= 1
                assert window.latency_n == window.good
                for ratio in (window.provider, window.user):
                    assert (ratio.value is None) == (ratio.n == 0)
                    assert ratio.n == 0 or ratio.lower <= ratio.value <= ratio.upper
                if window.good == 0:
                    assert all(q.value is None for q in window.quantiles.values())


@pytest.mark.parametrize("seed", range(3))
def test_a_restart_at_any_moment_changes_nothing(seed):
    """Replaying stored results through a new engine gives the figures and states of the old."""
    results = history(seed, days=4)
    cut = Random(seed).randrange(len(results))
    old = engine()
    play(results[:cut], old)
    now = results[cut - 1].started_at + 600.0
    before = old.tick(now)
    new = engine()
    new.restore(results[:cut], Past(totals=before.totals, orders=before.orders))
    after = new.tick(now)

    assert before.targets == after.targets
    assert before.orders == after.orders
    assert before.totals == after.totals
    assert before.quotas == after.quotas
    assert any(Source.LEARNED in figures.limits for figures in after.quotas)
    for name in TARGETS:
        for later in (0.0, 10_000.0, 5 * DAY):
            assert old.quotas(name, now + later) == new.quotas(name, now + later)


def test_the_same_seed_is_the_same_month():
    """A failing run can be repeated from its seed."""
    one, two = (play(history(5, days=2), engine()) for _ in range(2))

    assert one == two


def test_a_hard_outage_is_down_after_two_slots_and_over_after_two_good_ones():
    """Fast down, slow up, at the cadence of the schedule."""
    subject = engine()
    errors = [None] * 6 + [ErrorClass.OVERLOADED] * 3 + [None] * 3
    states = []
    for number, error in enumerate(errors):
        at = START + number * INTERVAL_S
        subject.accept(
            ProbeResult(
                probe_id=str(number),
                target_id="cheap",
                started_at=at,
                duration_s=5.0,
                latency_s=None if error else 5.0,
                error=error,
                slot_s=INTERVAL_S,
            )
        )
        states.append(subject.tick(at + 5).targets["cheap"].health.state)

    healthy, down = State.HEALTHY, State.DOWN
    assert [healthy] * 6 + [State.SUSPECT, down, down] + [State.DEGRADED] + [healthy] * 2 == states


def test_probes_outside_the_schedule_move_the_state_and_never_the_record():
    """Law 2: a start-up or manual probe is evidence for now, not a sample of availability."""
    subject = engine()
    for number in range(2):
        subject.accept(
            ProbeResult(
                probe_id=str(number),
                target_id="cheap",
                started_at=START + number,
                duration_s=1.0,
                error=ErrorClass.SERVER_ERROR,
                reason=ProbeReason.STARTUP,
            )
        )
    view = subject.tick(START + 5).targets["cheap"]

    assert State.DOWN is view.health.state
    assert 0 == view.windows["1h"].n
    assert view.windows["1h"].provider.value is None


def test_results_of_targets_that_are_no_longer_configured_are_ignored():
    """A row of yesterday's configuration breaks nothing and counts nowhere."""
    subject = engine()
    subject.accept(
        ProbeResult(probe_id="x", target_id="gone", started_at=START, duration_s=1.0, latency_s=1.0)
    )

    assert {} == dict(subject.tick(START).totals.probes)


def test_a_waiting_target_is_asked_again_when_its_time_has_come():
    """Retry times are gaps in the schedule, and no state is absorbing."""
    subject = engine()
    subject.accept(
        ProbeResult(
            probe_id="1",
            target_id="cheap",
            started_at=START,
            duration_s=1.0,
            error=ErrorClass.RATE_LIMITED,
            retry_at=START + 100,
            slot_s=INTERVAL_S,
        )
    )

    waiting = subject.plan_slot("cheap", START + 99, draw=0.5)
    free = subject.plan_slot("cheap", START + 101, draw=0.5)
    assert isinstance(waiting, Pass)
    assert INTERVAL_S == free
