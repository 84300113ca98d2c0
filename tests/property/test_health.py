"""Laws of the state machine, over every sequence of results."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.health import HealthState, fold, judge
from monitor.core.snapshot import State
from monitor.core.spec import Policy
from probes.model import Outcome, ProbeKind
from tests.support.builders import NOW, a_result, a_spec
from tests.support.strategies import results

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
