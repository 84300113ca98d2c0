"""Laws of keeping orders: they are what building them anew at every tick would give."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.orders import Orders
from monitor.core.snapshot import Health, State
from monitor.core.spec import PROFILES, Objective, Policy
from tests.support.builders import NOW, a_pool, a_spec, a_view, an_order
from tests.support.strategies import views

NAMES = ("a", "b", "c")
POOLS = (
    replace(a_pool("a", "b"), id="two", profiles=PROFILES),
    replace(a_pool("c", "a", slo=Objective()), id="other", profiles=PROFILES[:2]),
)
POLICY = Policy()
CLOSE = (0.0400, 0.0410, 0.0300)  # US dollars: some are within the margin of others, some are not.
FORWARD = (0.0, 0.25, 5.0, POLICY.dwell_s - 5.0, POLICY.dwell_s, 3_600.0, 43_200.0, 86_400.0)


def rivals(name):
    """Views of a target that is up or suspect, at a price that is close to those of the others."""
    healths = st.sampled_from([Health(state=s, since=NOW) for s in (State.HEALTHY, State.SUSPECT)])
    return st.builds(
        lambda price, health: a_view(a_spec(name, price_usd=price), good=30, health=health),
        st.sampled_from(CLOSE),
        healths,
    )


@st.composite
def ticks(draw):
    """What each tick sees: its time, and views of which those that did not change are the same."""
    views_of = draw(st.sampled_from([views, rivals]))
    seen, now, found = {name: draw(views_of(name)) for name in NAMES}, NOW, []
    for _ in range(draw(st.integers(1, 8))):
        now += draw(st.sampled_from([*FORWARD, -1.0, -POLICY.dwell_s, -86_400.0]))
        learned = draw(st.sampled_from([(), (), ("a",), ("b", "c"), NAMES]))
        seen = seen | {name: draw(views_of(name)) for name in learned}
        found.append((now, seen))
    return found


@settings(max_examples=150)
@given(ticks())
def test_a_kept_order_is_the_one_that_would_be_built(drawn):
    """However views change and the clock moves: places, reasons, versions and times are the same."""
    kept, anew = Orders(POOLS, POLICY), {}
    for now, seen in drawn:
        told = list(kept.build(seen, now))
        for pool in POOLS:
            for profile in pool.profiles:
                key = pool.id, profile.name
                anew[key] = an_order(pool, profile, seen, anew.get(key), now, POLICY)

        assert [order for _, order in told] == list(kept.current.values())
        assert anew.keys() == kept.current.keys()
        for key, order in anew.items():
            assert replace(order, valid_until=0.0) == replace(kept.current[key], valid_until=0.0)
            assert kept.current[key].valid_until == pytest.approx(order.valid_until, abs=1e-3)


@given(st.data())
def test_what_nothing_decides_anew_is_kept(data):
    """With the same views and no dwell running, the places are not made again."""
    seen = {name: data.draw(views(name)) for name in NAMES}
    kept = Orders(POOLS, POLICY)
    for now in (NOW, NOW + POLICY.dwell_s):
        list(kept.build(seen, now))
    before = dict(kept.current)
    list(kept.build(seen, NOW + POLICY.dwell_s + 5.0))

    assert all(kept.current[key].places is order.places for key, order in before.items())


@pytest.mark.parametrize(
    ("at", "first"),
    [(5.25, "b"), (POLICY.dwell_s, "a"), (-1.0, "a")],
    ids=["within the dwell", "after it", "the clock set back before it"],
)
def test_an_order_that_the_dwell_holds_turns_when_it_is_over(at, first):
    """By time alone, from the very same views: nothing has to be learned for it."""

    def at_price(price):
        return a_view(a_spec("a", price_usd=price), good=30)

    rest = {name: a_view(a_spec(name, price_usd=0.03), good=30) for name in ("b", "c")}
    kept, dear, cheap = Orders(POOLS, POLICY), rest | {"a": at_price(0.04)}, at_price(0.02)
    list(kept.build(dear, NOW))
    list(kept.build(rest | {"a": cheap}, NOW + 5.0))
    held = kept.current["two", "balanced"].places[0]
    list(kept.build(rest | {"a": cheap}, NOW + at))

    assert "b" == held.target
    assert first == kept.current["two", "balanced"].places[0].target
