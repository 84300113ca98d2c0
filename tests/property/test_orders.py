"""Laws of keeping orders: they are what building them anew at every tick would give."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.orders import Orders
from monitor.core.spec import PROFILES, Objective, Policy
from tests.support.builders import NOW, a_pool, an_order
from tests.support.strategies import views

NAMES = ("a", "b", "c")
POOLS = (
    replace(a_pool("a", "b"), id="two", profiles=PROFILES),
    replace(a_pool("c", "a", slo=Objective()), id="other", profiles=PROFILES[:2]),
)
POLICY = Policy()
FORWARD = (0.0, 0.25, 5.0, POLICY.dwell_s - 5.0, POLICY.dwell_s, 3_600.0, 43_200.0, 86_400.0)


@st.composite
def ticks(draw):
    """What each tick sees: its time, and views of which those that did not change are the same."""
    seen, now, found = {name: draw(views(name)) for name in NAMES}, NOW, []
    for _ in range(draw(st.integers(1, 8))):
        now += draw(st.sampled_from([*FORWARD, -1.0, -POLICY.dwell_s, -86_400.0]))
        learned = draw(st.sampled_from([(), (), ("a",), ("b", "c"), NAMES]))
        seen = seen | {name: draw(views(name)) for name in learned}
        found.append((now, seen))
    return found


@settings(max_examples=60)
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
