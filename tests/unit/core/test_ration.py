"""Whom scarce money goes to."""

from __future__ import annotations

import pytest

from monitor.core.ration import FLOOR, Wish, shares, wishes
from monitor.core.snapshot import Health, State
from monitor.core.spend import Cap, CapUse, Period, Scope, micros
from probes.model import ErrorClass
from tests.support.builders import BALANCED, NOW, a_pool, a_spec, a_view, an_order

MIDNIGHT = 1_795_046_400.0  # 2026-11-19 00:00Z.
NOON = MIDNIGHT + 43_200


def a_wish(target="a", *, comes_first=False, interval_s=864.0, price_usd=0.1, provider="p"):
    """A target that wants a hundred canaries a day for ten dollars."""
    return Wish(
        target_id=target,
        provider=provider,
        price_usd=price_usd,
        interval_s=interval_s,
        comes_first=comes_first,
    )


def a_use(usd, booked=0.0, scope=Scope.GLOBAL, scope_id="", period=Period.DAY):
    """A cap of so many dollars, used so far."""
    cap = Cap(scope=scope, id=scope_id, period=period, micros=micros(usd))
    return CapUse(cap, micros(booked))


def test_who_is_in_doubt_or_called_first_comes_first():
    """The first two places of a pool's own order, whoever is not healthy; who is refused wants nothing."""
    healths = {
        "down": Health(state=State.DOWN, since=NOW, error=ErrorClass.TIMEOUT, detail="2 failures"),
        "gone": Health(state=State.UNUSABLE, since=NOW, error=ErrorClass.MODEL_GONE),
    }
    names = ("first", "second", "third", *healths)
    views = {
        name: a_view(a_spec(name, price_usd=0.01 * n), health=healths.get(name))
        for n, name in enumerate(names, 1)
    }
    order = an_order(a_pool(*names), BALANCED, views)
    wanted = {wish.target_id: wish.comes_first for wish in wishes(views, [order])}

    assert {"first": True, "second": True, "third": False, "down": True} == wanted


def test_nobody_is_asked_where_nothing_is_capped():
    """Every tick would pay for it."""
    asked = iter([a_wish()])

    assert {} == shares(asked, [], MIDNIGHT)
    assert 1 == len(list(asked))


def test_money_that_reaches_limits_nobody():
    """Nor does one canary too few for the rest of the day: that is the phase of the slots."""
    wished = [a_wish("a"), a_wish("b")]

    assert {} == shares(wished, [a_use(20.0)], MIDNIGHT)
    assert {} == shares(wished, [a_use(19.9)], MIDNIGHT)
    assert {} == shares(wished, [a_use(20.0, booked=10.1)], NOON)


def test_scarce_money_is_spread_over_the_rest_of_the_day():
    """Half of what is wanted: every other slot, from now to midnight."""
    wished = [a_wish("a"), a_wish("b")]

    assert {"a": 0.5, "b": 0.5} == pytest.approx(shares(wished, [a_use(10.0)], MIDNIGHT))
    assert {"a": 0.5, "b": 0.5} == pytest.approx(shares(wished, [a_use(15.0, 10.0)], NOON))


def test_the_doubtful_and_the_first_are_paid_before_the_others():
    """They get all of their slots, the others share the rest."""
    wished = [a_wish("a", comes_first=True), a_wish("b"), a_wish("c")]

    assert {"a": 1.0, "b": 0.5, "c": 0.5} == pytest.approx(shares(wished, [a_use(20.0)], MIDNIGHT))


def test_everybody_keeps_a_floor():
    """What comes first takes nothing of the others' quarter."""
    wished = [a_wish("a", comes_first=True), a_wish("b")]
    found = shares(wished, [a_use(8.0)], MIDNIGHT)

    assert {"a": 0.55, "b": FLOOR} == pytest.approx(found)


def test_money_that_does_not_reach_for_the_floor_is_shared_alike():
    """And what is spent leaves a share that is not zero: the cap itself refuses."""
    wished = [a_wish("a", comes_first=True), a_wish("b")]
    little, nothing = (shares(wished, [a_use(2.0, spent)], MIDNIGHT) for spent in (0.0, 3.0))

    assert {"a": 0.1, "b": 0.1} == pytest.approx(little)
    assert {"a": FLOOR / 100, "b": FLOOR / 100} == pytest.approx(nothing)


def test_only_those_that_come_first_and_only_others_share_too():
    """A cap whose targets are all alike has nobody to prefer."""
    first = [a_wish("a", comes_first=True), a_wish("b", comes_first=True)]

    assert {"a": 0.6, "b": 0.6} == pytest.approx(shares(first, [a_use(12.0)], MIDNIGHT))


def test_the_scarcest_cap_decides_and_covers_only_its_own():
    """A target under three caps gets the least share; free targets need no money."""
    wished = [
        a_wish("a"),
        a_wish("b"),
        a_wish("c", provider="q"),
        a_wish("free", price_usd=0.0),
    ]
    uses = [
        a_use(27.0),
        a_use(10.0, scope=Scope.PROVIDER, scope_id="p"),
        a_use(3.0, scope=Scope.TARGET, scope_id="b"),
    ]
    found = shares(wished, uses, MIDNIGHT)

    assert {"a": 0.5, "b": 0.3, "c": 0.9} == pytest.approx(found)


@pytest.mark.parametrize(
    ("now", "days"),
    [(1_793_491_200.0, 30), (1_796_083_200.0, 31), (1_801_440_000.0, 28)],
    ids=["November", "December", "February"],
)
def test_a_month_has_its_own_number_of_days(now, days):
    """The cap of a calendar month is spread over just that month."""
    half = a_use(10.0 * days / 2, period=Period.MONTH)

    assert {"a": 0.5} == pytest.approx(shares([a_wish("a")], [half], now))
