"""The order: tiers at once, the index with a margin, and never empty."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.ranking import index_usd, stand
from monitor.core.snapshot import Health, State, Tier
from monitor.core.spec import PROFILES, Objective, Policy, Profile
from probes.model import ErrorClass
from tests.support.builders import BALANCED, NOW, a_pool, a_spec, a_view, an_order

POLICY = Policy()
*_, FAST, RELIABLE, STATIC = PROFILES
DOWN = Health(state=State.DOWN, since=NOW, error=ErrorClass.TIMEOUT, detail="2 failures")
SUSPECT = Health(state=State.SUSPECT, since=NOW, error=ErrorClass.TIMEOUT, detail="1 failure")
UNKNOWN = Health(state=State.UNKNOWN, since=None, detail="no probe has said anything yet")
REFUSED = Health(state=State.UNUSABLE, since=NOW, error=ErrorClass.AUTH)
GONE = Health(state=State.UNUSABLE, since=NOW, error=ErrorClass.MODEL_GONE)
LIMITED = Health(state=State.UNUSABLE, since=NOW, error=ErrorClass.RATE_LIMITED, retry_at=NOW + 60)


def views_of(**prices_or_views):
    """Views by id: a price makes a healthy view, a view is taken as it is."""
    return {
        target: a_view(a_spec(target, price_usd=v)) if isinstance(v, float) else v
        for target, v in prices_or_views.items()
    }


def order_of(before=None, now=NOW, policy=POLICY, pool=None, profile=BALANCED, **targets):
    """The order of targets given by price or view."""
    return an_order(pool or a_pool(*targets), profile, views_of(**targets), before, now, policy)


def ids(order):
    """The targets, best first."""
    return [place.target for place in order.places]


def a_sick(target, health, price=0.01):
    """A cheap target with a history like all others, judged as *health*."""
    return a_view(a_spec(target, price_usd=price), health=health)


def test_an_order_that_nobody_reads_is_the_same_without_its_reasons():
    """Replays follow thousands of orders: same places, no text."""
    views, pool = views_of(a=0.05, b=0.03, c=a_sick("c", DOWN)), a_pool("a", "b", "c")
    told = an_order(pool, BALANCED, views, None, NOW, POLICY)
    bare = an_order(pool, BALANCED, views, None, NOW, POLICY, explains=False)

    assert all(place.reasons for place in told.places)
    assert replace(told, places=tuple(replace(p, reasons=()) for p in told.places)) == bare


def test_a_healed_target_is_first_again_although_its_windows_hold_the_outage():
    """An outage that is proven over says nothing of the next request; one that is not does."""
    healed = Health(state=State.HEALTHY, since=NOW, over_at=NOW - 60, recent=2, recent_good=2)
    cheap, dear = a_spec("cheap", price_usd=0.03), a_spec("dear", price_usd=0.04)
    pool = a_pool("cheap", "dear", slo=Objective())
    history = {"bad": 40, "latencies": [5.0] * 2}
    back = a_view(cheap, health=healed, **history)
    failing = a_view(cheap, health=replace(healed, over_at=None), **history)
    places = [order_of(cheap=view, dear=a_view(dear), pool=pool).places for view in (back, failing)]

    assert ["cheap", "dear"] == [order[0].target for order in places]
    assert (2 + 4 * 0.97) / (2 + 4) == pytest.approx(places[0][0].success_probability)


def test_the_index_is_the_expected_cost_of_one_image():
    """Price, waiting, and the share of tries that fail: 0.04 + 0.01 + 1/4 * (0.02 + 0.02)."""
    index = index_usd(
        price=0.04,
        latency_s=5.0,
        p=0.8,
        time_to_fail_s=10.0,
        billed_share=0.5,
        usd_per_second=0.002,
    )

    assert 0.06 == pytest.approx(index)


def test_tiers_come_before_the_index():
    """However cheap, a target in trouble is behind every target that is up."""
    order = order_of(
        e=a_sick("e", REFUSED),
        d=a_sick("d", DOWN),
        c=a_sick("c", LIMITED),
        b=a_sick("b", SUSPECT),
        a=0.2,
    )

    assert ["a", "b", "c", "d", "e"] == ids(order)
    assert list(Tier) == [place.tier for place in order.places]
    assert [1, 2, 3, 4, 5] == [place.rank for place in order.places]


def test_usable_means_that_our_account_may_call():
    """A target that is down may be tried; one that refuses our key may not."""
    order = order_of(d=a_sick("d", DOWN), c=a_sick("c", LIMITED), e=a_sick("e", REFUSED))

    assert {"d": True, "c": False, "e": False} == {p.target: p.usable for p in order.places}


def test_a_limit_of_our_key_says_so():
    """Others with their own key may still call; a model that is gone is gone for everybody."""
    order = order_of(
        a=0.1,
        b=a_sick("b", SUSPECT),
        c=a_sick("c", LIMITED),
        d=a_sick("d", DOWN),
        e=a_sick("e", REFUSED),
        f=a_sick("f", GONE),
        g=a_sick("g", UNKNOWN),
    )
    expected = {
        "a": None,
        "b": "provider",
        "c": "monitor_account",
        "d": "provider",
        "e": "monitor_account",
        "f": "provider",
        "g": None,
    }

    assert expected == {place.target: place.scope for place in order.places}


def test_all_bad_is_still_an_order():
    """Nothing is left out, and the order says that nothing good is left."""
    order = order_of(d=a_sick("d", DOWN), c=a_sick("c", LIMITED))

    assert (["c", "d"], True) == (ids(order), order.all_degraded)
    assert not order_of(b=a_sick("b", SUSPECT), d=a_sick("d", DOWN)).all_degraded


def test_the_reliable_order_asks_for_proof():
    """A better share of few samples proves less than a good one of many."""
    proven = a_view(a_spec("proven", price_usd=0.05), good=140, bad=4)
    lucky = a_view(a_spec("lucky", price_usd=0.05), good=12)
    pool = a_pool("lucky", "proven", slo=Objective())
    views = {"proven": proven, "lucky": lucky}
    by_mean, by_bound = (order_of(pool=pool, profile=p, **views) for p in (FAST, RELIABLE))

    assert ["lucky", "proven"] == ids(by_mean)
    assert ["proven", "lucky"] == ids(by_bound)
    assert proven.windows["24h"].provider.lower == by_bound.places[0].success_probability


def test_the_static_order_is_moved_by_tiers_alone():
    """A dearer target keeps its configured place; one in doubt goes behind and comes back."""
    pool, dear, cheap = a_pool("dear", "cheap"), a_view(a_spec("dear", price_usd=0.2)), 0.01
    first = order_of(pool=pool, profile=STATIC, dear=dear, cheap=cheap)
    doubted = order_of(first, pool=pool, profile=STATIC, dear=a_sick("dear", SUSPECT), cheap=cheap)
    again = order_of(doubted, pool=pool, profile=STATIC, dear=dear, cheap=cheap)

    assert ["dear", "cheap"] == ids(first) == ids(again)
    assert ["cheap", "dear"] == ids(doubted)


def test_ties_go_by_price_and_then_by_id():
    """Equal evidence at equal price is ordered by name, so that every daemon agrees."""
    slow_cheap = a_view(a_spec("c", price_usd=0.02), latencies=[15.0] * 144)

    assert ["a", "b"] == ids(order_of(b=0.1, a=0.1))
    free = Profile(name="patient", usd_per_second=0.0)
    assert ["c", "a"] == ids(order_of(a=0.03, c=slow_cheap, profile=free))


def test_the_value_of_time_decides_between_cheap_and_fast():
    """The same evidence makes a different order for a client in a hurry."""
    views = {
        "cheap": a_view(a_spec("cheap", price_usd=0.01), latencies=[14.0] * 50),
        "quick": a_view(a_spec("quick", price_usd=0.04), latencies=[3.0] * 50),
    }
    slowly, hurried = (
        order_of(profile=Profile(name="x", usd_per_second=worth), **views)
        for worth in (0.0005, 0.01)
    )

    assert (["cheap", "quick"], ["quick", "cheap"]) == (ids(slowly), ids(hurried))


def test_near_equals_keep_their_places_and_a_clear_gain_does_not():
    """Less than the margin moves nobody, more than it does, once the dwell time is over."""
    before = order_of(a=0.10, b=0.11)
    later = NOW + POLICY.dwell_s

    assert ["a", "b"] == ids(order_of(before, later, a=0.10, b=0.095))
    assert ["b", "a"] == ids(order_of(before, later, a=0.10, b=0.05))


def test_the_dwell_time_holds_the_order_inside_a_tier():
    """Two changes within the dwell time are one too many."""
    before = order_of(a=0.10, b=0.11)

    assert ["a", "b"] == ids(order_of(before, NOW + POLICY.dwell_s - 1, a=0.10, b=0.01))
    assert ["b", "a"] == ids(order_of(before, NOW - 1, a=0.10, b=0.01))


def test_a_fall_out_of_the_top_is_immediate():
    """A change of tier does not wait for the dwell time."""
    before = order_of(a=0.10, b=0.11)

    assert ["b", "a"] == ids(order_of(before, NOW + 1, a=a_sick("a", DOWN), b=0.11))


def test_the_first_of_a_tier_is_never_a_margin_worse_than_its_best():
    """A chain of near-equals cannot hide a clear gain over the top."""
    before = order_of(a=0.100, b=0.101, c=0.102)
    order = order_of(before, NOW + 1000, a=0.100, b=0.095, c=0.085)

    assert ["c", "a", "b"] == ids(order)


def test_targets_come_and_go_with_the_configuration():
    """A new target takes its place by the index, one that left is forgotten."""
    before = order_of(a=0.10, b=0.11)

    assert ["c", "b", "d"] == ids(order_of(before, NOW + 1, b=0.11, c=0.02, d=0.2))


def test_the_version_grows_only_with_the_decision():
    """Fresh figures alone are no new decision; ids, tiers and retry times are."""
    first = order_of(a=0.10, b=0.11)
    same = order_of(first, NOW + 500, a=0.099, b=0.11)
    fallen = order_of(same, NOW + 600, a=0.1, b=a_sick("b", LIMITED))
    later = replace(LIMITED, retry_at=NOW + 900)
    extended = order_of(fallen, NOW + 700, a=0.1, b=a_sick("b", later))

    orders = (first, same, fallen, extended)
    assert [1, 1, 2, 3] == [order.version for order in orders]
    assert [0, 0, 600, 700] == [order.changed_at - NOW for order in orders]


def test_an_order_is_valid_for_three_slots_of_its_top_three():
    """The slowest of the targets that a client will try bounds how long the verdicts hold."""
    intervals = {"a": 60.0, "b": 900.0, "c": 300.0, "d": 3600.0}
    views = {
        target: a_view(a_spec(target, price_usd=i / 10, interval_s=interval_s))
        for i, (target, interval_s) in enumerate(intervals.items())
    }

    assert NOW + 2700 == order_of(**views).valid_until


def test_one_of_one_does_not_beat_999_of_1000():
    """A little prior keeps a lucky newcomer from the top."""
    pool = a_pool("alpha", slo=Objective())
    lucky = stand(a_view(good=1), pool, POLICY)
    proven = stand(a_view(good=999, bad=1), pool, replace(POLICY, windows={"30d": 2.6e6}))

    assert lucky.success_probability < proven.success_probability
    assert (1 + 4 * 0.97) / 5 == pytest.approx(lucky.success_probability)


def test_evidence_is_the_shortest_window_with_five_verdicts():
    """Enough samples in the last hour speak; else the shortest window that holds them all."""
    pool = a_pool("alpha")
    names = [
        (standing.evidence.name if standing.evidence else None)
        for standing in (
            stand(a_view(good=144), pool, POLICY),
            stand(a_view(good=9, interval_s=3600.0), pool, POLICY),
            stand(a_view(good=2), pool, POLICY),
            stand(a_view(good=0), pool, POLICY),
        )
    ]

    assert ["1h", "6h", "1h", None] == names


def test_without_a_success_latency_is_what_was_promised():
    """The claim, else the pool's objective, else the deadline: never zero."""
    claimed = a_spec(claim=Objective(latency_p95_s=12.0))
    standings = [
        stand(a_view(claimed, good=0), a_pool(), POLICY),
        stand(a_view(good=0), a_pool(), POLICY),
        stand(a_view(good=0, bad=6), a_pool(slo=Objective()), POLICY),
    ]

    assert [12.0, 15.0, 120.0] == [standing.latency_s for standing in standings]
    assert [120.0, 120.0, 5.0] == [standing.time_to_fail_s for standing in standings]


def test_a_dead_target_keeps_a_finite_index_without_a_prior():
    """Zero successes and no prior are one in a thousand; no data is the prior itself."""
    policy = replace(POLICY, prior_weight=0.0)
    dead, new = (
        stand(a_view(good=0, bad=bad), a_pool(), policy).success_probability for bad in (9, 0)
    )

    assert (0.001, policy.prior_success) == (dead, new)


@pytest.mark.parametrize(
    ("latencies", "tier", "window"),
    [
        ([5.0] * 30, Tier.UP, None),
        ([5.0] * 30 + [16.0] * 3, Tier.DOUBTFUL, None),  # The median of the last five.
        ([5.0] * 27 + [16.0] * 3 + [5.0] * 3, Tier.DOUBTFUL, "6h"),  # The p95 of thirty-three.
        ([16.0, 16.0], Tier.UP, None),  # Too few to tell.
        ([5.0] * 9 + [99.0] + [5.0] * 3, Tier.UP, None),  # A p95 of few is their maximum.
        ([15.0] * 30, Tier.UP, None),  # At the objective is within it.
    ],
)
def test_slow_is_a_median_or_a_p95_over_the_objective(latencies, tier, window):
    """One slow answer does not demote; a slow stretch or a fat tail does."""
    standing = stand(a_view(latencies=latencies), a_pool(), POLICY)

    assert tier is standing.tier
    assert (tier is Tier.DOUBTFUL) == (standing.slowness is not None)
    assert standing.slowness is None or window == standing.slowness.window


def test_an_availability_that_provably_misses_the_objective_is_doubtful():
    """Only when even the upper bound is under it: a single failure proves nothing."""
    pool = a_pool("alpha", slo=Objective(availability=0.99))
    one, many = (stand(a_view(good=130, bad=bad), pool, POLICY) for bad in (1, 14))

    assert (Tier.UP, Tier.DOUBTFUL) == (one.tier, many.tier)
    assert stand(a_view(good=0), pool, POLICY).misses_availability is False


def test_the_objective_is_judged_over_a_day_or_the_longest_window():
    """Short windows of a demo stand in for the day."""
    short = a_view(windows={"1m": 60.0, "10m": 600.0})
    names = [stand(v, a_pool(), POLICY).objective.name for v in (a_view(), short)]

    assert ["24h", "10m"] == names


def test_a_place_tells_its_figures_and_how_sure_they_are():
    """A p95 of six samples is marked as estimated; without samples there is none."""
    few = order_of(a=0.1).places[0]
    many = order_of(a=a_view(a_spec("a"), latencies=[5.0] * 80, interval_s=40.0)).places[0]
    none = order_of(a=a_view(a_spec("a"), good=0)).places[0]

    assert (5.0, 6, True) == (few.latency_p95_s, few.latency_n, few.latency_estimated)
    assert (5.0, 80, False) == (many.latency_p95_s, many.latency_n, many.latency_estimated)
    assert (None, 0, False) == (none.latency_p95_s, none.latency_n, none.latency_estimated)
    assert (1.0, 144, NOW) == (few.availability, few.availability_n, few.last_sample_at)
    assert (None, 0, None) == (none.availability, none.availability_n, none.last_sample_at)
