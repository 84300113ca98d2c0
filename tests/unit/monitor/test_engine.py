"""What the engine publishes of claims, budgets, gaps and maintenance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.gaps import Gap
from monitor.core.maintenance import Maintenance
from monitor.core.slo import BUDGET_S
from monitor.core.snapshot import GapReason, Totals
from monitor.core.spec import Objective, Policy
from monitor.core.verdict import ClaimKind, Verdict
from monitor.engine import Engine, Past
from probes.model import ErrorClass
from tests.support.builders import NOW, a_pool, a_result, a_spec

CLAIM = Objective(availability=0.97, latency_p95_s=12.0)


def an_engine(*, windows=None, pool=None, **changes):
    """An engine over one target."""
    policy = Policy(windows=windows) if windows else Policy()
    return Engine({"alpha": a_spec(**changes)}, [pool or a_pool()], policy)


def view(engine, now=NOW):
    """What is published of the target."""
    return engine.tick(now).targets["alpha"]


def fed(engine, good, bad=0, *, interval_s=600.0):
    """The engine after *bad* failures and then *good* canaries, the last one just now."""
    count = good + bad
    for slot in range(count):
        error = ErrorClass.TIMEOUT if slot < bad else None
        at = NOW - (count - 1 - slot) * interval_s
        engine.accept(a_result(error, at, slot_s=interval_s))
    return engine


def test_every_window_has_a_verdict_on_every_claim():
    """A clean day attains 97 % over a day, and over an hour nothing is decided yet."""
    shown = view(fed(an_engine(claim=CLAIM), 144))

    assert set(Policy().windows) == set(shown.claims) == set(shown.windows)
    assert [Verdict.ATTAINED] * 2 == [v.verdict for v in shown.claims["24h"]]
    assert [Verdict.UNDETERMINED] * 2 == [v.verdict for v in shown.claims["1h"]]
    assert list(ClaimKind) == [v.kind for v in shown.claims["7d"]]


def test_a_target_without_a_claim_has_no_verdict_and_no_budget():
    """Its latency SLI is that of its pool."""
    shown = view(fed(an_engine(), 10))

    assert {()} == set(shown.claims.values())
    assert shown.budget is None
    assert (15.0, 10) == (
        shown.windows["24h"].latency_threshold_s, shown.windows["24h"].fast,
    )  # fmt: skip


def test_a_budget_has_windows_of_its_own_where_none_of_its_length_is_configured():
    """They are not published, and how far back figures reach says so."""
    engine = fed(an_engine(claim=CLAIM, windows={"5m": 300.0, "day": 86_400.0}), 141, 3)
    shown = view(engine)

    assert ["5m", "day"] == list(shown.windows) == list(engine.windows_of("alpha"))
    assert {} == engine.windows_of("gone")
    assert BUDGET_S == engine.remembers_s
    assert 1 - (3 / 144) / 0.03 == pytest.approx(shown.budget.remaining)
    assert ["6h", "1d", "3d"] == list(shown.budget.burns)
    assert shown.budget.burns["6h"].rate is None  # Its failures are older.
    assert (3 / 144) / 0.03 == pytest.approx(shown.budget.burns["3d"].rate)
    assert 86_400.0 == an_engine(windows={"day": 86_400.0}).remembers_s


def test_a_batch_queue_burns_over_days():
    """What is younger than a job's deadline is not decided yet."""
    shown = view(an_engine(claim=CLAIM, is_batch=True))

    assert ["1d", "3d"] == list(shown.budget.burns)
    assert ["24h", "7d", "30d"] == list(shown.windows)
    assert ["24h", "7d", "30d"] == list(an_engine(is_batch=True).windows_of("alpha"))


def test_a_restart_changes_no_claim_budget_or_gap():
    """Results and gaps of before are folded as they were when they were new."""
    gaps = [Gap("alpha", NOW - 60.0 * n, GapReason.SPEND_CAP, 600.0) for n in range(5)]
    gaps.append(Gap("gone", NOW, GapReason.MISSED, 600.0))
    live = fed(an_engine(claim=CLAIM), 30, 4)
    for gap in gaps:
        live.gap(gap)
    again = an_engine(claim=CLAIM)
    results = [
        a_result(ErrorClass.TIMEOUT if slot < 4 else None, NOW - (33 - slot) * 600.0)
        for slot in range(34)
    ]
    again.restore(results, Past(totals=Totals(), orders={}), sorted(gaps, key=lambda g: g.at))

    assert view(live) == view(again)
    assert 5 == view(again).windows["1h"].gaps[GapReason.SPEND_CAP].slots


def test_a_restart_forgets_no_relapse():
    """The rows tell how often an outage came back, and so how many successes end it."""
    bad = ErrorClass.TIMEOUT
    errors = [bad, bad, None, None, bad, bad, None, None]
    results = [a_result(error, NOW - 60.0 * (8 - n)) for n, error in enumerate(errors)]
    live, again = an_engine(), an_engine()
    for result in results:
        live.accept(result)
    again.restore(results, Past(totals=Totals(), orders={}))

    assert "2 of 3 successes that end the outage" in view(again).health.detail
    assert ", after 1 relapse: timeout" in view(again).health.detail
    assert view(live).health == view(again).health


def test_a_window_says_since_when_it_is_filled():
    """Three hours after the first canary a day's window is three hours old; a gap counts too."""
    engine = fed(an_engine(), 19)
    assert NOW - 3 * 3600.0 == view(engine).windows["24h"].since

    engine.gap(Gap("alpha", NOW - 4 * 3600.0, GapReason.MISSED, 600.0))
    assert NOW - 4 * 3600.0 == view(engine).windows["24h"].since
    assert view(an_engine()).windows["24h"].since is None


def test_confirmations_wait_for_the_end_of_maintenance():
    """A failure just before it is confirmed as it ends, and not within it."""
    rules = (Maintenance(since=NOW + 20.0, until=NOW + 7200.0),)
    engine, free = an_engine(maintenance=rules), an_engine()
    for each in (engine, free):
        each.accept(a_result(ErrorClass.TIMEOUT, NOW))

    assert NOW + 35.0 == free.extra_due("alpha", NOW + 600.0)
    assert NOW + 7200.0 == engine.extra_due("alpha", NOW + 600.0)
    assert an_engine(maintenance=rules).extra_due("alpha", NOW + 600.0) is None


def test_maintenance_is_said_in_the_figures():
    """Two hours of the last day, which coverage does not ask for."""
    rules = (Maintenance(since=NOW - 7200.0, until=NOW),)
    spec = replace(a_spec(), maintenance=rules)
    figures = view(Engine({"alpha": spec}, [a_pool()], Policy())).windows

    assert (7200.0, 3600.0) == (figures["24h"].maintenance_s, figures["1h"].maintenance_s)
