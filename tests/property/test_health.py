"""Laws of the state machine, over every sequence of results."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.health import RELAPSE_S, RELAPSES_MAX, HealthState, fold, judge, successes_wanted
from monitor.core.snapshot import State
from monitor.core.spec import Policy
from probes.model import ErrorClass, Outcome, ProbeKind
from tests.support.builders import NOW, a_result, a_spec
from tests.support.strategies import results
from tests.support.watching import watch

POLICY = Policy()
FAILED = {State.SUSPECT, State.DEGRADED, State.DOWN, State.UNUSABLE}


@st.composite
def sequences(draw):
    """Up to thirty results, a minute apart."""
    return [draw(results(NOW + 60.0 * i)) for i in range(draw(st.integers(0, 30)))]


def after(sequence):
    """The state after all of them."""
    state = HealthState()
    for result in sequence:
        state = fold(state, result, POLICY)
    return state


@given(sequence=sequences(), later=st.floats(0, 1e6))
def test_a_published_state_is_complete(sequence, later):
    """What is not healthy names a class, a waiting time is ahead, and memory is bounded."""
    now = NOW + 60.0 * len(sequence) + later
    state = after(sequence)
    health = judge(state, now, spec=a_spec(), policy=POLICY)

    assert (health.state in FAILED) == (health.error is not None)
    assert health.retry_at is None or health.retry_at > now
    assert health.since is None or health.since <= now
    assert len(state.recent) <= POLICY.degraded_of


@given(sequence=sequences())
def test_enough_successes_bring_any_target_back(sequence):
    """No state is absorbing: degraded_of pictures in a row are health."""
    end = NOW + 60.0 * len(sequence)
    goods = [a_result(None, end + 60.0 * i) for i in range(POLICY.degraded_of)]
    state = after([*sequence, *goods])
    health = judge(state, end + 60.0 * POLICY.degraded_of, spec=a_spec(), policy=POLICY)

    assert State.HEALTHY is health.state


@given(sequence=sequences())
def test_failures_in_a_row_are_down(sequence):
    """Fast down, from whatever state, also underneath a refusal of our account."""
    fails = [r for r in sequence if r.kind is not ProbeKind.LIVENESS]
    fails = [r for r in fails if r.outcome in {Outcome.GOOD, Outcome.BAD}][-POLICY.down_after :]
    is_run = len(fails) == POLICY.down_after and all(r.outcome is Outcome.BAD for r in fails)

    assert not is_run or after(sequence).state is State.DOWN


@given(sequence=sequences())
def test_void_and_free_results_could_as_well_not_have_been(sequence):
    """Leaving them out changes nothing but the count of policy blocks."""
    telling = [
        r for r in sequence if r.outcome is not Outcome.VOID and r.kind is not ProbeKind.LIVENESS
    ]
    one, other = after(sequence), after(telling)

    assert (one.state, one.since, one.block, one.recent) == (
        other.state,
        other.since,
        other.block,
        other.recent,
    )


@given(sequence=sequences())
def test_a_healthy_target_has_just_succeeded(sequence):
    """Green needs evidence: the last good or bad result was a picture."""
    last = [
        r.outcome
        for r in sequence
        if r.kind is not ProbeKind.LIVENESS and r.outcome in {Outcome.GOOD, Outcome.BAD}
    ][-1:]

    assert after(sequence).state is not State.HEALTHY or [Outcome.GOOD] == last


# Outages as (failures, minutes of calm after it): from a flutter to a day without any.
outages = st.lists(st.tuples(st.integers(2, 4), st.integers(0, 90)), min_size=1, max_size=8)


def lived(outages, policy=POLICY):
    """The states after each result of *outages*, which end as soon as they may; a minute each."""
    state, at, states = HealthState(), NOW, []
    for failures, calm in outages:
        for _ in range(failures):
            state, at = fold(state, a_result(ErrorClass.TIMEOUT, at), policy), at + 60.0
            states.append(state)
        while state.down_since is not None:
            state, at = fold(state, a_result(None, at), policy), at + 60.0
            states.append(state)
        at += 60.0 * calm
    return states


def goods_wanted(outages, policy=POLICY):
    """How many successes each of *outages* took."""
    states = lived(outages, policy)
    return [s.good_run for before, s in pairwise(states) if before.down_since and not s.down_since]


@given(outages=outages)
def test_each_relapse_within_an_hour_wants_a_success_more_up_to_a_bound(outages):
    """A calm hour makes it two again; the outage before decides, however it came to be."""
    expected, relapses = [], 0
    for number, _ in enumerate(outages):
        # A calm begins with the success that proves the end: a minute earlier.
        is_relapse = number > 0 and 60.0 * (outages[number - 1][1] + 1) <= RELAPSE_S
        relapses = relapses + 1 if is_relapse else 0
        expected.append(POLICY.up_after + min(relapses, RELAPSES_MAX))

    assert expected == goods_wanted(outages)


@given(sequence=sequences(), relapses=st.integers(0, 9), more=st.integers(0, 9))
def test_more_relapses_never_end_an_outage_sooner(sequence, relapses, more):
    """What is up again after more of them is up again after fewer; only that differs."""
    calm = HealthState(relapses=relapses, down_since=NOW, bad_run=2, error=ErrorClass.TIMEOUT)
    worse = HealthState(
        relapses=relapses + more, down_since=NOW, bad_run=2, error=ErrorClass.TIMEOUT
    )
    assert successes_wanted(calm, POLICY) <= successes_wanted(worse, POLICY)
    for result in sequence:
        calm, worse = fold(calm, result, POLICY), fold(worse, result, POLICY)
        if worse.down_since is None:
            break
        assert calm.good_run == worse.good_run
    assert worse.down_since is not None or calm.over_at is not None


@given(sequence=sequences(), apart_s=st.sampled_from([60.0, RELAPSE_S, 1.01 * RELAPSE_S]))
def test_without_relapses_nothing_is_held_back(sequence, apart_s):
    """Two successes in a row end an outage, unless it began within an hour of the end of another."""
    state = HealthState()
    for number, result in enumerate(sequence):
        at = NOW + apart_s * number
        later = a_result(result.error, at, kind=result.kind, retry_at=result.retry_at)
        state = fold(state, later, POLICY)
        assert 0 == state.relapses or apart_s <= RELAPSE_S
        assert state.relapses or state.down_since is None or state.good_run < POLICY.up_after


@settings(max_examples=30, deadline=None)
@given(
    outages=st.lists(st.tuples(st.integers(2, 9), st.integers(1, 59)), max_size=6),
    interval_s=st.sampled_from([60.0, 900.0, 3_600.0]),
    seed=st.integers(0, 1000),
)
def test_a_target_that_heals_comes_back_within_a_bounded_time(outages, interval_s, seed):
    """Whatever it did before: the wait for the next probe, then so many slots at most as successes."""
    spans, at = [], NOW
    for length, calm in outages:
        spans.append((at, at + 300.0 * length))
        at += 300.0 * length + 60.0 * calm
    healed_at = spans[-1][1] if spans else NOW
    most = POLICY.up_after + RELAPSES_MAX

    def answer(at: float) -> tuple[ErrorClass | None, float]:
        return (ErrorClass.TIMEOUT if any(b <= at < e for b, e in spans) else None), 1.0

    back_at = None
    for result, state in watch(a_spec(interval_s=interval_s), POLICY, answer, NOW - 1.0, seed=seed):
        if result.started_at >= healed_at:
            back_at = result.started_at if state.down_since is None else back_at
        if back_at is not None:
            break
        assert result.started_at < healed_at + 10 * POLICY.backoff_max_s
    # A back-off of an hour may pass at twice its length, and confirmations come by the slot at least.
    assert back_at - healed_at <= 2.5 * POLICY.backoff_max_s + 1.5 * most * interval_s
