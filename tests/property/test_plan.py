"""Laws of the plan: what it says of detection, proof and caps holds whatever the schedule."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.availability import wilson
from monitor.core.plan import Cap, clean_canaries, detection, plan, time_to_detect
from monitor.core.schedule import JITTER_SHARE, next_fire
from monitor.core.spec import Objective, Policy, ProviderSpec, QuotaSpec
from probes.model import ErrorClass
from tests.support.builders import NOW, a_spec
from tests.support.watching import watch

INTERVALS = st.floats(60.0, 604_800.0)


@given(claim=st.floats(0.0, 0.99999))
def test_the_canaries_of_a_proof_are_the_fewest(claim):
    """By the interval that is published, they attain the claim, and one less does not."""
    n = clean_canaries(claim)

    assert wilson(n, n).lower >= claim - 1e-12
    assert n == 1 or wilson(n - 1, n - 1).lower < claim


@given(n=st.integers(1, 1_000))
def test_what_a_clean_span_proves_takes_that_span_to_prove(n):
    """The lower bound of n clean samples is a claim that n clean samples prove."""
    assert n == clean_canaries(wilson(n, n).lower)


@settings(max_examples=20)
@given(
    name=st.text("abcdef", min_size=1, max_size=8),
    interval_s=INTERVALS,
    down_after=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_detection_times_hold_on_any_grid(name, interval_s, down_after, seed):
    """Of 1500 outages at random moments, the mean and nine in ten are as stated."""
    rng, n = Random(seed), 1500

    def jitter_of(slot):
        return Random(seed ^ slot).random()

    delays = []
    for _ in range(n):
        begin = fire = NOW + rng.random() * 1e6 * interval_s
        for _ in range(down_after):
            fire = next_fire(name, interval_s, fire, jitter_of)
        delays.append((fire - begin) / interval_s)
    expected = time_to_detect(interval_s, down_after)
    in_time = sum(delay * interval_s <= expected.p90_s for delay in delays) / n

    # Standard deviations are 0.3 slots and 0.3 of a share: seven of those of 1500 samples.
    assert expected.mean_s / interval_s == pytest.approx(sum(delays) / n, abs=0.055)
    assert 0.9 == pytest.approx(in_time, abs=0.055)
    assert max(delays) <= down_after + JITTER_SHARE


@settings(max_examples=10)
@given(
    interval_s=st.floats(120.0, 3_600.0),
    down_after=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_detection_holds_on_the_schedule_itself(interval_s, down_after, seed):
    """Of 300 outages watched by schedule and verdicts, mean and nine in ten come as stated."""
    rng, n, policy = Random(seed), 300, Policy(down_after=down_after)
    spec = a_spec(interval_s=interval_s)
    delays = []
    for number in range(n):
        begin = NOW + rng.random() * 1e6

        def answer(at: float, since: float = begin) -> tuple[ErrorClass | None, float]:
            return (ErrorClass.OVERLOADED if at >= since else None), 0.0

        start = begin - interval_s
        for result, state in watch(spec, policy, answer, start, seed=seed + number):
            if state.down_since is not None:
                delays.append(result.started_at - begin)
                break
    expected = detection(spec, policy)
    in_time = sum(delay <= expected.p90_s for delay in delays) / n

    # Slots that come before a confirmation is due make it a little sooner.
    assert expected.mean_s == pytest.approx(sum(delays) / n, abs=0.1 * interval_s)
    assert in_time >= 0.9 - 0.12


@given(
    prices=st.lists(st.integers(0, 240), min_size=1, max_size=6),
    intervals=st.lists(INTERVALS, min_size=6, max_size=6),
    caps=st.lists(st.tuples(st.sets(st.integers(0, 5)), st.integers(1, 5000)), max_size=4),
    quota=st.tuples(st.none() | st.integers(1, 10_000), st.floats(0.001, 1.0)),
    claim=st.floats(0.5, 1.0),
)
def test_no_plan_passes_a_cap_or_a_quota(prices, intervals, caps, quota, claim):
    """What is left is within every cap and the quota's share, and proves no more than is planned."""
    per_day, share = quota
    acme = ProviderSpec(id="acme", quota=QuotaSpec(per_day=per_day, share=share))
    specs = [
        a_spec(
            f"target-{number}",
            price_usd=price / 1000,
            interval_s=interval_s,
            claim=Objective(availability=claim),
        )
        for number, (price, interval_s) in enumerate(zip(prices, intervals, strict=False))
    ]
    under = [
        Cap(name="cap", targets=frozenset(f"target-{n}" for n in numbers), usd=mils / 1000)
        for numbers, mils in caps
    ]
    free = plan(specs, Policy(), [], {})
    capped = plan(specs, Policy(), under, {"acme": acme})

    for cap in under:
        spent = sum(t.left_usd_per_day for t in capped.targets if t.spec.id in cap.targets)
        assert spent <= cap.usd_per_day + 1e-6
    if per_day is not None:
        assert sum(t.left_per_day for t in capped.targets) <= per_day * share + 1e-6
    for before, after in zip(free.targets, capped.targets, strict=True):
        assert after.left_per_day <= after.canaries_per_day == before.left_per_day
        for span, proven in after.proves.items():
            assert (proven or 0) <= (before.proves[span] or 0)
