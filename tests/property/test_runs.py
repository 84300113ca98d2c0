"""Good results folded a run at a time make what they make one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.finding import Seen
from monitor.core.runs import in_runs
from monitor.core.snapshot import Totals
from monitor.core.spec import Policy, ProviderSpec
from monitor.engine import Engine, Past
from probes.model import ErrorClass, Limit, LimitPeriod, ProbeKind, ProbeReason
from tests.support.builders import NOW, a_result, a_spec

SPECS = {target: a_spec(target, liveness_s=300.0) for target in ("alpha", "beta")}
USUAL = [{}, {"kind": ProbeKind.BATCH}, {"slot_s": 300.0}, {"reason": ProbeReason.CONFIRM}]
# All that ends a run, or changes what the next one makes.
UNUSUAL = [
    {"error": ErrorClass.TIMEOUT},
    {"error": ErrorClass.SERVER_ERROR, "retry_at": NOW + 9_000.0},
    {"error": ErrorClass.RATE_LIMITED, "retry_at": NOW + 9_000.0},
    {"error": ErrorClass.AUTH},
    {"error": ErrorClass.POLICY_BLOCKED},
    {"error": ErrorClass.OUR_NETWORK},
    {"kind": ProbeKind.LIVENESS, "balance_usd": 9.0},
    {"kind": ProbeKind.LIVENESS, "error": ErrorClass.AUTH},
    {"limits": (Limit(period=LimitPeriod.DAY, requests=500, remaining=9),)},
    {"target_id": "gone"},
]


@st.composite
def histories(draw):
    """Runs of pictures with something between them, in the order they finished; starts may swap."""
    stretch = st.tuples(
        st.lists(st.tuples(st.sampled_from(USUAL), st.integers(-2, 9)), max_size=15),
        st.sampled_from(UNUSUAL),
        st.sampled_from(list(SPECS)),
    )
    found, at = [], NOW
    for pictures, between, target in draw(st.lists(stretch, max_size=8)):
        for changes, minutes in [(between, 1), *pictures]:
            at += minutes * 60.0
            found.append(a_result(at=at, **{"target_id": target} | changes))
    return found


def narrow(result):
    """What a restart reads of a row."""
    return Seen(*(getattr(result, name) for name in Seen._fields))


def restored(results, policy):
    """An engine over *results*."""
    engine = Engine(SPECS, (), policy, {"acme": ProviderSpec(id="acme")})
    engine.restore(results, Past(totals=Totals(), orders={}))
    return engine


@given(
    history=histories(),
    policy=st.builds(
        Policy,
        down_after=st.integers(1, 3),
        up_after=st.integers(1, 3),
        degraded_of=st.integers(1, 12),
    ),
)
def test_a_restart_over_runs_equals_one_over_single_results(history, policy):
    """Law: state, pace, free calls, limits and samples are the same, whatever comes between."""
    # Whole results are never in a run.
    single, runs = restored(history, policy), restored(map(narrow, history), policy)

    for target in SPECS:
        one, other = single._tracked[target], runs._tracked[target]
        assert (one.state, one.pace, one.calls) == (other.state, other.pace, other.calls)
        assert one.history.samples == other.history.samples
        assert one.history.figures(NOW + 9_000.0) == other.history.figures(NOW + 9_000.0)
    assert single._told == runs._told


@given(history=histories())
def test_runs_keep_every_result_and_the_order_of_each_target(history):
    """Law: nothing is lost or overtakes a result of its own target; what is alone keeps its order."""
    runs = list(in_runs(map(narrow, history)))
    flat = [result for run in runs for result in run]

    for target in {result.target_id for result in history}:
        assert [narrow(r) for r in history if r.target_id == target] == [
            r for r in flat if r.target_id == target
        ]
    alone = [r for r in flat if r.error or r.limits or r.kind is ProbeKind.LIVENESS]
    assert alone == [
        narrow(r) for r in history if r.error or r.limits or r.kind is ProbeKind.LIVENESS
    ]


def test_a_target_that_never_fails_is_not_held_back_for_ever():
    """Two thousand five hundred good results are three runs."""
    good = narrow(a_result())

    assert [1_000, 1_000, 500] == [len(run) for run in in_runs([good] * 2_500)]
