"""Hypothesis strategies of the core's values, shared by all property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from monitor.core.snapshot import Health, State, TargetView
from monitor.core.spec import Objective
from monitor.core.window import Sample
from probes.model import ErrorClass, Outcome, ProbeKind, ProbeResult
from tests.support.builders import NOW, a_result, a_sample, a_spec, a_view

latencies = st.floats(0.001, 300.0)
ratios = st.floats(0.0, 1.0)
errors = st.sampled_from([None, *ErrorClass])


@st.composite
def samples(draw: Any, ats: st.SearchStrategy[float]) -> Sample:
    """A sample of any outcome at one of *ats*."""
    outcome = draw(st.sampled_from(Outcome))
    return a_sample(
        draw(ats),
        outcome,
        is_timeout=outcome is Outcome.BAD and draw(st.booleans()),
        latency_s=draw(latencies) if outcome is Outcome.GOOD else None,
        duration_s=draw(latencies),
        slot_s=draw(st.sampled_from([0.0, 10.0, 60.0])),
    )


@st.composite
def results(draw: Any, at: float) -> ProbeResult:
    """A result of any class and kind at *at*, sometimes with a retry time."""
    error = draw(errors)
    retry_at = draw(st.none() | st.floats(at, at + 200_000)) if error else None
    kind = draw(st.sampled_from(ProbeKind))
    return a_result(error, at, kind=kind, retry_at=retry_at)


@st.composite
def healths(draw: Any) -> Health:
    """A judged state as :func:`monitor.core.health.judge` makes them."""
    state = draw(st.sampled_from(State))
    if state in {State.HEALTHY, State.UNKNOWN}:
        recent = draw(st.integers(0, 10))
        return Health(
            state=state,
            since=NOW,
            detail="no probe has said anything yet",
            over_at=draw(st.none() | st.floats(NOW - 90_000.0, NOW)),
            recent=recent,
            recent_good=draw(st.integers(0, recent)),
        )
    if state is State.UNUSABLE:
        error = draw(st.sampled_from([ErrorClass.RATE_LIMITED, ErrorClass.QUOTA_EXHAUSTED]))
        if draw(st.booleans()):
            return Health(state=state, since=NOW, error=error, retry_at=NOW + draw(latencies))
        error = draw(st.sampled_from([ErrorClass.AUTH, ErrorClass.MODEL_GONE]))
        return Health(state=state, since=NOW, error=error)
    return Health(state=state, since=NOW, error=ErrorClass.TIMEOUT, detail="1 failure: timeout")


@st.composite
def views(draw: Any, target: str) -> TargetView:
    """A view of *target* with any state, price, claim and history of up to 70 samples."""
    claimed = draw(st.none() | latencies)
    return a_view(
        a_spec(
            target,
            price_usd=draw(st.floats(0.0, 0.3)),
            interval_s=draw(st.floats(1.0, 3600.0)),
            claim=Objective(latency_p95_s=claimed),
        ),
        bad=draw(st.integers(0, 10)),
        latencies=draw(st.lists(st.floats(0.5, 40.0), max_size=60)),
        health=draw(healths()),
        interval_s=draw(st.sampled_from([60.0, 600.0])),
    )
