"""What the estimators of the benchmark have to hold to, whatever they are compared by."""

from __future__ import annotations

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.health import HealthState, fold
from monitor.core.spec import Policy
from probes.model import ErrorClass
from tests.benchmarks.estimators import estimators, latency_estimators
from tests.support.builders import a_result

heard = st.lists(st.tuples(st.floats(0, 1e3) | st.floats(0, 1e5), st.booleans()), max_size=60)
NAMES = [rule.name for rule in estimators()]


@given(heard)
def test_a_probability_is_one(canaries):
    """Between 0 and 1 after whatever was heard, at once and after a long silence."""
    for rule in estimators():
        at = 0.0
        for apart_s, is_good in canaries:
            at += apart_s
            rule.hear(at, is_good=is_good)
            assert 0 <= rule.p(at) <= 1
        assert 0 <= rule.p(at + 1e7) <= 1


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_a_run_of_failures_demotes_and_a_run_of_pictures_restores(index):
    """Nobody is demoted by pictures alone, nor spared after ten failures, nor held for ever."""
    rule, at, told = estimators()[index], 0.0, []
    for is_good in [True] * 20 + [False] * 10 + [True] * 20:
        at += 900.0
        rule.hear(at, is_good=is_good)
        told.append(rule.is_demoted)

    assert not any(told[:20])
    assert told[29]
    assert not told[-1]


@given(heard)
def test_the_first_rule_is_the_products_own(canaries):
    """What it is compared by must be what the daemon does, relapses and all."""
    rule, state, at = estimators()[0], HealthState(), 0.0
    for apart_s, is_good in canaries:
        at += apart_s
        rule.hear(at, is_good=is_good)
        state = fold(state, a_result(None if is_good else ErrorClass.TIMEOUT, at), Policy())
        assert rule.is_demoted == (state.down_since is not None)


@given(st.lists(st.floats(0.01, 600), min_size=1, max_size=200))
def test_the_median_is_no_more_than_the_p95(latencies):
    """And both are positive, whatever came."""
    for rule in latency_estimators():
        for latency_s in latencies:
            rule.hear(latency_s)
        median, p95 = rule.quantiles()
        assert 0 < median <= p95


def test_a_constant_latency_is_learnt():
    """All of them expect as median what always came."""
    for rule in latency_estimators():
        for _ in range(100):
            rule.hear(7.5)
        assert isclose(7.5, rule.quantiles()[0])
