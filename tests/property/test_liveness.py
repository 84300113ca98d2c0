"""Laws of free calls: they explain, and change no figure, state or order."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.liveness import FreeCalls, heard, show
from monitor.core.sketch import LATENCY_BUCKETS_S
from monitor.core.snapshot import LifeSign, Liveness, TargetView
from monitor.core.spec import Policy, ProviderSpec
from monitor.engine import Engine, Past
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import Limit, LimitPeriod, ProbeKind, ProbeReason, ProbeResult
from tests.support.builders import NOW, a_pool, a_result, a_spec
from tests.support.strategies import errors, latencies

TARGETS = ("alpha", "beta")
SPECS = {name: a_spec(name, liveness_s=300.0) for name in TARGETS}
POOLS = (a_pool(*TARGETS),)
PROVIDERS = {"acme": ProviderSpec(id="acme")}
# What a refusal tells of: a free call's is its own limit, not that of pictures.
TOLD = Limit(period=LimitPeriod.DAY, requests=20, remaining=0)
KINDS = st.sampled_from([ProbeKind.LIVENESS, ProbeKind.CANARY, ProbeKind.MANUAL])


@st.composite
def a_history(draw) -> list[ProbeResult]:
    """Up to forty probes of all kinds, some minutes apart, some in the same minute."""
    made, at = [], NOW
    for number in range(draw(st.integers(0, 40))):
        at += draw(st.sampled_from([0.0, 30.0, 299.0, 600.0, 4_000.0]))
        kind, error = draw(KINDS), draw(errors)
        is_free = kind is ProbeKind.LIVENESS
        made.append(
            a_result(
                error, at, probe_id=str(number), target_id=draw(st.sampled_from(TARGETS)),
                kind=kind, reason=draw(st.sampled_from(ProbeReason)),
                latency_s=draw(latencies) if error is None else None,
                cost_usd=0.0 if is_free else 0.04,
                retry_at=draw(st.none() | st.just(at + 700.0)) if error else None,
                shutdown_on=draw(st.sampled_from([None, "2026-12-01"])) if is_free else None,
                balance_usd=draw(st.none() | st.floats(-5.0, 500.0)) if is_free else None,
                limits=(TOLD,) if draw(st.booleans()) and not (is_free and error is None) else (),
            )
        )  # fmt: skip
    return made


def told(history: list[ProbeResult]) -> Engine:
    """An engine that was told all of it, with a tick after each probe."""
    engine = Engine(SPECS, POOLS, Policy())
    for result in history:
        engine.accept(result)
        engine.tick(result.started_at + 600.0)
    return engine


def without_liveness(view: TargetView) -> TargetView:
    """The view but for the one part that free calls may change."""
    return replace(view, liveness=Liveness())


@given(history=a_history())
def test_free_calls_change_no_figure_no_state_no_quota_and_no_order(history):
    """Any of them, put anywhere into any history, leave all else as it was."""
    now = max((r.started_at for r in history), default=NOW) + 600.0
    paid = [r for r in history if r.kind is not ProbeKind.LIVENESS]
    with_calls, without = (Engine(SPECS, POOLS, Policy(), PROVIDERS) for _ in range(2))
    for result in history:
        with_calls.accept(result)
    for result in paid:
        without.accept(result)
    one, other = with_calls.tick(now), without.tick(now)

    for name in TARGETS:
        assert without_liveness(one.targets[name]) == without_liveness(other.targets[name])
    assert (one.orders, one.quotas) == (other.orders, other.quotas)
    assert one.totals.latency_counts == other.totals.latency_counts
    assert one.totals.latency_sum_s == other.totals.latency_sum_s
    assert sum(one.totals.spend_usd.values()) == sum(other.totals.spend_usd.values())
    assert len(history) == sum(one.totals.probes.values())
    drawn = {k: n for k, n in one.totals.probes.items() if k.kind != ProbeKind.LIVENESS}
    assert other.totals.probes == drawn


@settings(max_examples=30)
@given(history=a_history())
def test_a_restart_changes_nothing_with_free_calls_among_the_rows(history):
    """Views, orders and totals of a new engine over the stored rows are those of the old one."""
    now = max((r.started_at for r in history), default=NOW) + 600.0
    old = told(history)
    before = old.tick(now)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "imgmon.db"
        writer, reader = Writer(path), Reader(path)
        writer.start()
        for result in history:
            writer.submit_probe(result, "acme", "here")
        writer.close()
        new = Engine(SPECS, POOLS, Policy())
        totals = reader.totals(LATENCY_BUCKETS_S)
        new.restore(reader.replay(0.0), Past(totals=totals, orders=before.orders))
        reader.close()
    after = new.tick(now)

    assert before.targets == after.targets
    assert before.totals.probes == after.totals.probes
    assert before.totals.spend_usd == after.totals.spend_usd
    assert before.totals.latency_counts == after.totals.latency_counts
    assert before.totals.latency_sum_s == after.totals.latency_sum_s


@given(history=a_history(), later=st.floats(0.0, 1e6))
def test_the_signal_is_never_green_without_an_answer(history, later):
    """Ok and failing rest on a call, whose class it names; facts come with the age of an answer."""
    calls = FreeCalls()
    for result in history:
        calls = heard(calls, result)
    now = max((r.started_at for r in history), default=NOW) + later
    signal = show(calls, now, interval_s=300.0, policy=Policy())
    answered = [r for r in history if r.kind is ProbeKind.LIVENESS and r.error is None]

    assert (signal.state is LifeSign.FAILING) == (signal.error is not None)
    assert signal.state is not LifeSign.OK or answered
    assert (signal.answered_at is None) == (not answered)
    if answered:
        assert answered[-1].started_at == signal.answered_at
        assert answered[-1].shutdown_on == signal.shutdown_on
        assert answered[-1].balance_usd == signal.balance_usd
