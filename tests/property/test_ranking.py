"""Laws of the order, over every mix of evidence."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise, permutations
from math import inf
from statistics import fmean

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.ranking import index_usd, stand
from monitor.core.snapshot import Health, State, Tier
from monitor.core.spec import PROFILES, Basis, Objective, Policy
from monitor.core.standing import SUCCESS_MIN
from tests.support.builders import NOW, a_pool, a_spec, a_view, an_order
from tests.support.strategies import views

NAMES = ("a", "b", "c", "d")
POLICY = Policy()
NUMBER = r"(\d+(?:\.\d+)?)"


@st.composite
def fleets(draw):
    """Views of one to four targets."""
    return {name: draw(views(name)) for name in NAMES[: draw(st.integers(1, 4))]}


anything = st.sampled_from(PROFILES)
costing = st.sampled_from([p for p in PROFILES if p.basis is not Basis.CONFIGURED])


@st.composite
def orders(draw, policy=POLICY, profiles=anything):
    """An order with one or none before it: (views, order before, order, pool, now)."""
    first, second, profile = draw(fleets()), draw(fleets()), draw(profiles)
    slo = Objective(
        availability=draw(st.none() | st.floats(0.5, 0.999)),
        latency_p95_s=draw(st.none() | st.floats(1.0, 30.0)),
    )
    before = None
    if draw(st.booleans()):
        before = an_order(a_pool(*first, slo=slo), profile, first, None, NOW, policy)
    pool = a_pool(*draw(st.permutations(list(second))), slo=slo)
    now = NOW + draw(st.floats(0, 300))
    return second, before, an_order(pool, profile, second, before, now, policy), pool, now


@settings(max_examples=60)
@given(drawn=orders())
def test_an_order_is_a_permutation_sorted_by_tier_and_a_fixed_point(drawn):
    """Nobody is lost or invented, tiers come first, and ranking again changes nothing."""
    fleet, _, order, pool, now = drawn
    ids = [place.target for place in order.places]
    tiers = [place.tier for place in order.places]

    assert sorted(fleet) == sorted(ids)
    assert sorted(tiers) == tiers
    assert order.all_degraded == (tiers[0] > Tier.DOUBTFUL)
    for later in (now, now + POLICY.dwell_s):
        again = an_order(pool, order.profile, fleet, order, later, POLICY)
        # Only a held order may still change, when its dwell time is over.
        assert later > now or ids == [place.target for place in again.places]
        last = an_order(pool, order.profile, fleet, again, later, POLICY)
        assert [p.target for p in again.places] == [p.target for p in last.places]
        assert again.version == last.version


@settings(max_examples=60)
@given(drawn=orders(replace(POLICY, dwell_s=0.0), costing))
def test_nobody_above_is_worse_by_more_than_the_margin(drawn):
    """Inside a tier no target beats one above it, however long the chain of near-equals."""
    places = drawn[2].places
    for i, above in enumerate(places):
        for below in places[i + 1 :]:
            is_clear_gain = below.index_usd < (1 - POLICY.margin) * above.index_usd
            assert above.tier < below.tier or not is_clear_gain


@given(drawn=orders(profiles=st.just(PROFILES[-1])))
def test_the_static_order_is_the_configured_one_but_for_tiers(drawn):
    """Neither index nor margin nor the order before moves anybody inside a tier."""
    _, _, order, pool, _ = drawn
    tiers = {place.target: place.tier for place in order.places}

    assert sorted(pool.targets, key=tiers.__getitem__) == [place.target for place in order.places]


@given(
    bad=st.integers(0, 30),
    more=st.integers(0, 30),
    recent=st.lists(st.booleans(), min_size=1, max_size=10),
    ago=st.floats(0, 600),
)
def test_failures_of_an_outage_that_is_over_change_no_probability(bad, more, recent, ago):
    """However many they were: only what was seen since it was over counts, shrunk to the prior."""
    health = Health(
        state=State.HEALTHY,
        since=NOW,
        over_at=NOW - ago,
        recent=len(recent),
        recent_good=sum(recent),
    )
    one, other = (
        stand(a_view(bad=n, latencies=[5.0] * 2, health=health), a_pool("alpha"), POLICY)
        for n in (bad, bad + more)
    )
    expected = (sum(recent) + 4 * 0.97) / (len(recent) + 4)

    assert expected == one.success_probability == other.success_probability


attempts = st.tuples(
    st.floats(0.0, 0.3),  # Price.
    st.floats(0.1, 60.0),  # Latency.
    st.floats(0.05, 1.0),  # Probability of success.
    st.floats(0.1, 120.0),  # Time to fail.
)


def cost_of(sequence, penalty, worth, billed):
    """Expected cost of trying *sequence* in turn until one delivers."""
    total, reached = 0.0, 1.0
    for price, latency_s, p, fail_s in sequence:
        total += reached * p * (price + worth * latency_s)
        total += reached * (1 - p) * (worth * fail_s + billed * price)
        reached *= 1 - p
    return total + reached * penalty


@given(
    tries=st.lists(attempts, min_size=1, max_size=5),
    penalty=st.floats(0, 10),
    worth=st.sampled_from([0.0005, 0.002, 0.01]),
    billed=st.floats(0, 1),
)
def test_no_permutation_is_cheaper_than_the_order_by_index(tries, penalty, worth, billed):
    """For independent attempts the index order costs least, whatever final failure costs."""
    by_index = sorted(
        tries,
        key=lambda t: index_usd(
            price=t[0],
            latency_s=t[1],
            p=t[2],
            time_to_fail_s=t[3],
            billed_share=billed,
            usd_per_second=worth,
        ),
    )
    least = min(cost_of(sequence, penalty, worth, billed) for sequence in permutations(tries))

    assert cost_of(by_index, penalty, worth, billed) <= least * (1 + 1e-9) + 1e-12


def compared(text):
    """The (left, sign, right) of a stated comparison, None where nothing is compared."""
    found = re.search(rf"{NUMBER} s (<=|>) {NUMBER} s", text)
    return (float(found[1]), found[2], float(found[3])) if found else None


@settings(max_examples=100)
@given(drawn=orders())
def test_every_stated_comparison_is_true(drawn):
    """Whoever recomputes a sentence from its own numbers, or from the figures, agrees."""
    fleet, _, order, pool, _ = drawn
    up = [place for place in order.places if place.tier is Tier.UP]
    for place in order.places:
        said = {reason.code: reason.text for reason in place.reasons}
        assert len(said) == len(place.reasons)
        for text in said.values():
            if (sentence := compared(text)) is not None:
                left, sign, right = sentence
                assert left <= right if sign == "<=" else left > right
                assert pool.slo.latency_p95_s == right
        if "within_slo" in said:
            assert place.latency_p95_s <= pool.slo.latency_p95_s
            assert f"n={place.latency_n} in" in said["within_slo"]
        if "cheapest" in said:
            assert place.price_usd == min(other.price_usd for other in up)
            assert f"cheapest of {len(up)} " in said["cheapest"]
        if "below_slo" in said:
            upper, limit = re.search(rf"-{NUMBER} %\).*< {NUMBER} %", said["below_slo"]).groups()
            assert float(upper) < float(limit)
        if "availability" in said:
            value, lower, upper = map(
                float,
                re.search(rf"{NUMBER} % \({NUMBER}-{NUMBER} %\)", said["availability"]).groups(),
            )
            assert lower <= value <= upper
            assert value <= 100 * place.availability + 1e-9
            assert f"n={place.availability_n} in" in said["availability"]
        if "configured" in said:
            number = pool.targets.index(place.target) + 1
            assert f"number {number} of {len(pool.targets)} as configured" == said["configured"]
        if "lower_bound" in said:
            stated = float(re.search(rf"counted as {NUMBER} %", said["lower_bound"])[1])
            lower = fleet[place.target].windows["24h"].provider.lower
            assert max(SUCCESS_MIN, lower or 0.0) == place.success_probability
            assert stated <= 100 * place.success_probability < stated + 0.1 + 1e-9
            assert ("its lower bound" in said["lower_bound"]) == (
                lower == place.success_probability
            )
        assert (order.profile.basis is Basis.CONFIGURED) == ("configured" in said)
        assert (order.profile.basis is Basis.LOWER_BOUND) == ("lower_bound" in said)
        assert (place.last_sample_at is None) == ("last_sample" not in said)
    assert fleet.keys() == {place.target for place in order.places}


@settings(max_examples=60)
@given(
    latencies=st.lists(
        st.lists(st.integers(1, 20).map(float), max_size=4), min_size=1, max_size=len(NAMES)
    ),
    limit_s=st.none() | st.integers(1, 20).map(float),
)
def test_who_is_called_fastest_is_and_who_is_called_slow_is_not_first(latencies, limit_s):
    """The one with the least mean of those that are up, all of them measured."""
    fleet = {
        name: a_view(a_spec(name), latencies=seconds)
        for name, seconds in zip(NAMES, latencies, strict=False)
    }
    pool = a_pool(*fleet, slo=Objective(latency_p95_s=limit_s))
    places = an_order(pool, PROFILES[1], fleet).places
    means = {
        place.target: fmean(latencies[NAMES.index(place.target)] or [inf])
        for place in places
        if place.tier is Tier.UP
    }
    least = [target for target, mean in means.items() if mean == min(means.values())]
    is_told = len(means) > 1 == len(least) and inf not in means.values()
    for place in places:
        codes = {reason.code for reason in place.reasons}
        assert ("fastest" in codes) == (is_told and place.target in least)
        assert "slow" not in codes or place.tier is not Tier.UP


@settings(max_examples=60)
@given(drawn=orders())
def test_a_comparison_with_the_next_says_what_the_index_says(drawn):
    """Better, or kept in spite of it: the code follows from the numbers."""
    for place, following in pairwise(drawn[2].places):
        said = {reason.code: reason.text for reason in place.reasons}
        codes = {"best_index", "index", "kept"} & said.keys()
        is_compared = drawn[2].profile.basis is not Basis.CONFIGURED
        assert (is_compared and place.tier is following.tier) == bool(codes)
        for code in codes:
            assert (code == "kept") == (place.index_usd > following.index_usd)
            if "a gain of no more than" in said[code]:
                assert following.index_usd >= (1 - POLICY.margin) * place.index_usd
            if code == "best_index":
                mine = [p.index_usd for p in drawn[2].places if p.tier is place.tier]
                assert place.index_usd == min(mine)
            assert f"${place.index_usd:.4f} against ${following.index_usd:.4f}" in said[code]
