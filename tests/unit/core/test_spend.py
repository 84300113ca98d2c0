"""Caps are of UTC days and calendar months, whole to the micro-dollar, and say how far they are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.core.spec import ProviderSpec, SpendCap
from monitor.core.spend import (
    Booked,
    Cap,
    Caps,
    CapUse,
    Claim,
    Period,
    Scope,
    decide,
    micros,
    period_start,
    spending,
)
from tests.support.builders import NOW, a_spec

CAPS = Caps(
    overall=SpendCap(usd_per_month=50.0),
    providers={
        "acme": ProviderSpec(id="acme", spend_cap=SpendCap(usd_per_day=2.0, usd_per_month=20.0)),
        "free": ProviderSpec(id="free"),
    },
    targets={
        "alpha": a_spec("alpha", spend_cap=SpendCap(usd_per_day=0.1)),
        "beta": a_spec("beta", provider="free"),
        "gamma": a_spec("gamma", provider="nowhere"),
    },
)


def at(*when: int) -> float:
    """Seconds since the epoch of a UTC time."""
    return datetime(*when, tzinfo=UTC).timestamp()


def a_use(cap: int, booked: int, scope: Scope = Scope.GLOBAL) -> CapUse:
    """A daily cap and what is booked against it, in micro-dollars."""
    return CapUse(Cap(scope=scope, id="", period=Period.DAY, micros=cap), booked)


def asked(cost: int, *uses: CapUse):
    """The refusing cap and the marks of a claim of *cost* micro-dollars."""
    claim = Claim(
        probe_id="p", target_id="t", provider="p", micros=cost, at=NOW,
        caps=tuple(use.cap for use in uses),
    )  # fmt: skip
    decision = decide(claim, uses, ())
    return decision.refused_by, [mark.value for mark, _ in decision.marks]


@pytest.mark.parametrize(
    ("usd", "expected"),
    [(0.0, 0), (0.134, 134_000), (0.1 + 0.2, 300_001), (1e-9, 1), (0.0132, 13_200), (1.0, 1_000_000)],
)  # fmt: skip
def test_costs_are_whole_micro_dollars_rounded_up(usd, expected):
    """Of the decimal digits: 0.134 is not a micro-dollar more for being binary."""
    assert expected == micros(usd)


@pytest.mark.parametrize(
    ("period", "when", "start"),
    [
        (Period.DAY, (2026, 11, 22, 23, 59, 59), (2026, 11, 22)),
        (Period.DAY, (2026, 11, 23), (2026, 11, 23)),
        (Period.MONTH, (2026, 11, 30, 23, 59, 59), (2026, 11, 1)),
        (Period.MONTH, (2028, 2, 29, 12, 0, 0), (2028, 2, 1)),
        (Period.MONTH, (2027, 1, 1), (2027, 1, 1)),
    ],
)
def test_periods_begin_at_midnight_utc(period, when, start):
    """A day, and the first of its month."""
    assert at(*start) == period_start(period, at(*when))


def test_a_target_is_under_its_own_caps_its_providers_and_the_global_one():
    """The narrowest first; caps round down, and no cap is no limit."""
    assert ["target alpha per day", "provider acme per day", "provider acme per month",
            "global per month"] == [str(cap) for cap in CAPS.of("alpha")]  # fmt: skip
    assert [100_000, 2_000_000, 20_000_000, 50_000_000] == [c.micros for c in CAPS.of("alpha")]
    assert [["global per month"]] * 2 == [
        [str(cap) for cap in CAPS.of(target)] for target in ("beta", "gamma")
    ]
    assert set(CAPS.of("alpha")) == set(CAPS.all())


def test_a_cap_is_used_to_the_last_micro_dollar_and_not_beyond():
    """The first cap that would be passed refuses."""
    narrow, wide = a_use(100, 60, Scope.TARGET), a_use(1000, 60)

    assert (None, ["near", "reached"]) == asked(40, narrow, wide)
    assert (narrow, ["reached"]) == asked(41, narrow, wide)
    assert (None, []) == asked(10**9)


@pytest.mark.parametrize(
    ("booked", "cost", "marks"),
    [(0, 79, []), (0, 80, ["near"]), (79, 1, ["near"]), (99, 1, ["near", "reached"]),
     (90, 20, ["near", "reached"]), (10, 95, ["reached"]), (120, 1, ["near", "reached"])],
)  # fmt: skip
def test_marks_tell_of_80_and_of_100_percent(booked, cost, marks):
    """With the claim counted when it is granted; what does not fit has reached its cap."""
    assert marks == asked(cost, a_use(100, booked))[1]


def test_a_cap_of_nothing_is_used_up_from_the_start():
    """No probe fits, and its ratio is one."""
    use = a_use(0, 0)

    assert (use, ["near", "reached"]) == asked(1, use)
    assert (1.0, 0.25) == (use.ratio, a_use(100, 25).ratio)


def test_what_is_booked_counts_for_its_target_its_provider_and_all():
    """Also for targets that are no longer configured; providers without probes show zero."""
    rows = [
        Booked(provider="acme", target_id="alpha", day_micros=50_000, month_micros=70_000),
        Booked(provider="acme", target_id="gone", day_micros=1_000_000, month_micros=5_000_000),
    ]
    found = spending(rows, CAPS)

    assert {"acme": 1.05, "free": 0.0} == found.today_usd
    assert {
        "global per month": 5_070_000,
        "provider acme per day": 1_050_000,
        "provider acme per month": 5_070_000,
        "target alpha per day": 50_000,
    } == {str(use.cap): use.booked_micros for use in found.caps}
