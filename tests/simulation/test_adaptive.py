"""A schedule that adapts to what it sees must not change what it says of the past."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from monitor.core.spec import Policy
from probes.model import ErrorClass, ProbeReason
from tests.support.builders import a_spec
from tests.support.watching import watch

MONTH = 30 * 86_400.0
Outage = tuple[float, float]
POLICY = Policy()


def outages(rng: Random, *, mean_s: float, down_share: float) -> list[Outage]:
    """Exponential outages and times between them, over a month that begins in equilibrium."""
    found: list[Outage] = []
    at = -10 * mean_s
    while at < MONTH:
        at += rng.expovariate(down_share / (1 - down_share) / mean_s)
        found.append((at, at + rng.expovariate(1 / mean_s)))
        at = found[-1][1]
    return found


def episodes(down: list[Outage], apart_s: float) -> Iterator[list[Outage]]:
    """Outages so close that the schedule has not come to rest between them, together."""
    together: list[Outage] = []
    for outage in down:
        if together and outage[0] - together[-1][1] > apart_s:
            yield together
            together = []
        together.append(outage)
    yield together


def measured_down(down: list[Outage], interval_s: float, seed: int) -> tuple[float, int]:
    """
    The weights in a month, in seconds, of the scheduled samples that failed, and all probes.

    Only the time around outages is played: elsewhere every slot is good and weighs itself.
    """
    spec, lost, sent = a_spec(interval_s=interval_s, deadline_s=30.0), 0.0, 0
    for number, together in enumerate(episodes(down, 12 * interval_s)):

        def answer(at: float, now_down: list[Outage] = together) -> tuple[ErrorClass | None, float]:
            is_down = any(begin <= at < end for begin, end in now_down)
            return (ErrorClass.OVERLOADED if is_down else None), 1.0

        begin = together[0][0] - 2 * interval_s
        for result, state in watch(spec, POLICY, answer, begin, seed=seed * 1000 + number):
            sent += 1
            if result.reason is ProbeReason.SCHEDULED and 0 < result.started_at <= MONTH:
                lost += result.slot_s if result.error else 0.0
            is_calm = result.error is None and state.down_since is None
            if result.started_at > together[-1][1] + 2 * interval_s and is_calm:
                break
    return lost, sent


@pytest.mark.parametrize(
    ("interval_s", "mean_s", "down_share", "months"),
    [
        (900.0, 1800.0, 0.01, 1000),
        (300.0, 1800.0, 0.01, 150),
        (900.0, 1800.0, 0.05, 150),
        (900.0, 7200.0, 0.01, 300),
    ],
)
def test_availability_is_unbiased_although_outages_are_probed_more_and_less(
    interval_s, mean_s, down_share, months
):
    """
    Law 2: confirmations and the back-off of an outage move the estimate by under 0.1 point.

    The tolerance leaves room for chance: three standard errors of the mean difference.
    """
    differences = []
    for month in range(months):
        rng = Random(f"{interval_s}/{mean_s}/{down_share}/{month}")
        down = outages(rng, mean_s=mean_s, down_share=down_share)
        # The phase of the grid is the target's own; the month begins anywhere in it.
        shift = rng.uniform(0, interval_s)
        down = [(begin + shift, end + shift) for begin, end in down]
        truth = sum(max(0.0, min(e, MONTH) - max(b, 0.0)) for b, e in down)
        differences.append((measured_down(down, interval_s, month)[0] - truth) / MONTH)
    mean = sum(differences) / months
    error = (sum((d - mean) ** 2 for d in differences) / months / (months - 1)) ** 0.5

    assert abs(mean) < 0.001
    assert abs(mean) < 3 * error


def test_a_long_outage_costs_fewer_probes_than_the_slots_it_lasts():
    """Back-off: a day that is down all the time is seen by less than half of its 96 slots."""
    sent = measured_down([(0.0, 86_400.0)], 900.0, seed=1)[1]

    assert 24 <= sent - 4 < 60


def test_the_end_of_a_long_outage_is_seen_within_the_longest_back_off():
    """No state is absorbing: after ten hours of failures a success is seen within the hour."""
    spec, end = a_spec(interval_s=900.0), 36_000.0

    def answer(at: float) -> tuple[ErrorClass | None, float]:
        return (ErrorClass.TIMEOUT if 900 < at < end else None), 1.0

    for seed in range(20):
        first = next(
            result.started_at
            for result, _ in watch(spec, POLICY, answer, 0.0, seed=seed)
            if result.started_at > end
        )
        assert first <= end + POLICY.backoff_max_s


def test_an_outage_is_confirmed_half_a_minute_after_its_first_failure():
    """Down stands 30 s after the first failed canary, whatever the interval."""
    spec = a_spec(interval_s=3600.0)

    def answer(at: float) -> tuple[ErrorClass | None, float]:
        return (ErrorClass.OVERLOADED if at > 10_000 else None), 1.0

    seen = watch(spec, POLICY, answer, 0.0, seed=1)
    failed = next(result for result, _ in seen if result.error)
    confirmed, state = next(seen)

    assert (ProbeReason.CONFIRM, 31.0) == (
        confirmed.reason,
        pytest.approx(confirmed.started_at - failed.started_at),
    )
    assert state.down_since == failed.started_at
