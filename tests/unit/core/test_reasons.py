"""Every place says why, in true sentences with their numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.snapshot import Health, State
from monitor.core.spec import Objective, Policy
from probes.model import ErrorClass
from tests.support.builders import BALANCED, NOW, a_pool, a_spec, a_view, an_order

POLICY = Policy()


def texts(views, before=None, now=NOW, pool=None):
    """Target to its reasons by code."""
    pool = pool or a_pool(*(view.spec.id for view in views))
    order = an_order(pool, BALANCED, {v.spec.id: v for v in views}, before, now, POLICY)
    return {p.target: {r.code: r.text for r in p.reasons} for p in order.places}, order


def test_the_best_place_tells_its_strengths_and_figures():
    """Cheapest, fastest, within the objective, better than the next, and as of when."""
    best = a_view(a_spec("a", price_usd=0.02), latencies=[5.0] * 90, interval_s=40.0)
    other = a_view(a_spec("b", price_usd=0.04), latencies=[6.0] * 90, interval_s=40.0)
    third = a_view(a_spec("c", price_usd=0.04), latencies=[7.0] * 90, interval_s=40.0)
    reasons, _ = texts([best, other, third], now=NOW + 30)

    assert {
        "cheapest": "cheapest of 3 within the SLO",
        "fastest": "fastest of 3 within the SLO, mean 5 s",
        "within_slo": "p95 5 s <= 15 s, n=90 in 1h",
        "availability": "availability 100.0 % (95.9-100.0 %), n=90 in 24h",
        "best_index": "index $0.0303 against $0.0523 of the next",
        "last_sample": "last sample at 11:06:40Z",
    } == reasons["a"]
    assert "index" in reasons["b"]
    assert not {"index", "best_index", "kept"} & reasons["c"].keys()


def test_a_claim_does_not_win_a_race():
    """Fastest is said only where every rival was measured, and equal prices have no cheapest."""
    measured, promised = a_view(a_spec("a")), a_view(a_spec("b"), good=0)
    reasons, _ = texts([measured, promised])

    assert not {"fastest", "cheapest"} & (reasons["a"].keys() | reasons["b"].keys())


def test_without_an_objective_nothing_is_within_it():
    """The words claim no SLO that nobody set."""
    views = [a_view(a_spec("a", price_usd=0.01)), a_view(a_spec("b"))]
    reasons, _ = texts(views, pool=a_pool("a", "b", slo=Objective()))

    assert "cheapest of 2 that are up" == reasons["a"]["cheapest"]
    assert "p95 5 s, n=6 in 1h, estimated" == reasons["a"]["latency"]


def test_a_slow_target_says_by_how_much():
    """The median of the last five, or the p95 with its window; never 15 s > 15 s."""
    recent = a_view(a_spec("a"), latencies=[5.0] * 9 + [15.001] * 3)
    tail = a_view(a_spec("b"), latencies=[5.0] * 27 + [16.0] * 3 + [5.0] * 3)
    reasons, _ = texts([recent, tail])

    assert "median of the last 5 good 15.1 s > 15 s" == reasons["a"]["slow"]
    assert "p95 16 s > 15 s, n=33 in 6h" == reasons["b"]["slow"]
    assert "within_slo" not in reasons["b"].keys() | reasons["a"].keys()


def test_a_missed_objective_shows_the_whole_interval_under_it():
    """The upper bound is what proves it."""
    reasons, _ = texts([a_view(a_spec("a"), good=130, bad=14)])

    assert (
        "availability 90.2 % (84.3-94.1 %), n=144 in 24h: all of it < 99 %"
        == reasons["a"]["below_slo"]
    )
    assert "availability" not in reasons["a"]


@pytest.mark.parametrize(
    ("health", "code", "text"),
    [
        (
            Health(
                state=State.UNUSABLE,
                since=NOW,
                error=ErrorClass.QUOTA_EXHAUSTED,
                retry_at=NOW + 60,
            ),
            "quota_exhausted",
            "waits until 11:07:40Z: daily quota",
        ),
        (
            Health(state=State.UNUSABLE, since=NOW, error=ErrorClass.AUTH),
            "auth",
            "our account is refused: auth",
        ),
        (
            Health(state=State.DOWN, since=NOW, error=ErrorClass.TIMEOUT, detail="2 in a row"),
            "down",
            "2 in a row",
        ),
    ],
)
def test_trouble_comes_first(health, code, text):
    """What keeps a target back is the first thing said of it."""
    order = an_order(
        a_pool("a"), BALANCED, {"a": a_view(a_spec("a"), health=health)}, None, NOW, POLICY
    )
    first = order.places[0].reasons[0]

    assert (code, text) == (first.code, first.text)


def test_a_place_that_is_kept_says_why():
    """Within the margin, or within the dwell time: a worse index is explained, not hidden."""
    views = [a_view(a_spec("a", price_usd=0.10)), a_view(a_spec("b", price_usd=0.11))]
    _, before = texts(views)
    near = [views[0], a_view(a_spec("b", price_usd=0.095))]
    clear = [views[0], a_view(a_spec("b", price_usd=0.01))]
    kept, _ = texts(near, before, NOW + 500)
    held, _ = texts(clear, before, NOW + 5)

    assert kept["a"]["kept"].endswith(" of the next, a gain of no more than 10 %")
    assert held["a"]["kept"].endswith(" of the next, kept until 11:08:40Z")


def test_a_target_that_is_up_with_a_tail_over_the_objective_claims_nothing():
    """A p95 over the limit from too few samples is shown without the words of the SLO."""
    view = a_view(a_spec("a"), latencies=[5.0] * 2 + [99.0] + [5.0] * 3)
    reasons, order = texts([view])

    assert State.HEALTHY is order.places[0].state
    assert "p95 99 s, n=6 in 1h, estimated" == reasons["a"]["latency"]


def test_texts_do_not_tick():
    """Without a new sample the reasons stay the same, so that an answer stays the same bytes."""
    view = a_view(a_spec("a"))

    assert texts([view], now=NOW)[0] == texts([view], now=NOW + 30)[0]


def test_a_place_without_any_sample_still_has_a_reason():
    """Never none: no probe yet, or only one outside the schedule."""
    fresh = a_view(a_spec("a"), good=0)
    reasons, _ = texts([replace(fresh, last=None)])

    assert "no probe yet" == reasons["a"]["no_sample"]
