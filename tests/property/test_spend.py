"""The cap holds over every sequence of reservations, bills and midnights."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.spend import DayLedger, day_start
from tests.support.builders import NOW

CAP = 1.0
CENTS = st.integers(0, 60).map(lambda cents: cents / 100)
STEPS = st.lists(
    st.tuples(CENTS, st.floats(0.0, 2.0), st.floats(0.0, 40_000.0), st.integers(0, 3)), max_size=40
)


@given(steps=STEPS)
def test_a_day_never_costs_more_than_its_cap_and_the_surprises(steps):
    """Billed above the reservation is the only way past the cap; every day starts afresh."""
    ledger, now, opened = DayLedger({"acme": CAP}), NOW, []
    spent, surprises = Counter(), Counter()
    for usd, share, pause, to_settle in steps:
        now += pause
        if ledger.reserve("acme", usd, now):
            opened.append((usd, share, now))
        for _ in range(min(to_settle, len(opened))):
            reserved, of_it, at = opened.pop(0)
            billed = round(reserved * of_it, 6)
            ledger.settle("acme", reserved, billed, at)
            spent[day_start(at)] += billed
            surprises[day_start(at)] += max(0.0, billed - reserved)
        today = day_start(now)
        open_today = sum(reserved for reserved, _, at in opened if day_start(at) == today)
        assert spent[today] + open_today <= CAP + surprises[today] + 1e-6
        assert abs(spent[today] - ledger.spent_today("acme", now)) < 1e-6


@given(costs=st.lists(CENTS, max_size=60))
def test_a_refusal_is_only_ever_for_the_cap(costs):
    """A reservation fails exactly when it does not fit, counted in whole cents."""
    ledger, cents = DayLedger({"acme": CAP}), 0
    for usd in costs:
        wanted = round(usd * 100)
        fits = cents + wanted <= round(CAP * 100)
        assert fits == ledger.reserve("acme", usd, NOW)
        cents += wanted * fits
