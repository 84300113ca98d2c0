"""The daily cap is hard, per provider, and of the UTC day."""

from __future__ import annotations

from monitor.core.spend import DayLedger, day_start
from tests.support.builders import NOW

DAY = 86_400.0


def test_a_cap_is_used_to_the_last_cent_and_not_beyond():
    """Ten probes of ten cents fit into a dollar; binary fractions make it neither 9 nor 11."""
    ledger = DayLedger({"acme": 1.0})

    assert [True] * 10 + [False] == [ledger.reserve("acme", 0.1, NOW) for _ in range(11)]


def test_what_was_not_billed_is_free_again():
    """A reservation is the worst case; settling gives back the rest."""
    ledger = DayLedger({"acme": 0.1})
    ledger.reserve("acme", 0.1, NOW)
    ledger.settle("acme", 0.1, 0.04, NOW)

    assert 0.04 == ledger.spent_today("acme", NOW)
    assert (True, False) == (ledger.reserve("acme", 0.06, NOW), ledger.reserve("acme", 0.01, NOW))


def test_a_surprise_on_the_bill_is_booked_whole():
    """More billed than reserved counts, and stops what comes after."""
    ledger = DayLedger({"acme": 0.1})
    ledger.reserve("acme", 0.1, NOW)
    ledger.settle("acme", 0.1, 0.3, NOW)

    assert 0.3 == ledger.spent_today("acme", NOW)
    assert not ledger.reserve("acme", 0.0001, NOW)


def test_providers_have_their_own_caps_and_some_have_none():
    """One provider's cap never stops another's probes."""
    ledger = DayLedger({"acme": 0.0, "free": None})

    assert [False, True, True] == [
        ledger.reserve(provider, 5.0, NOW) for provider in ("acme", "free", "unheard-of")
    ]


def test_midnight_utc_opens_a_new_day():
    """The day of a cap is the UTC day."""
    ledger = DayLedger({"acme": 0.1})
    midnight = day_start(NOW) + DAY
    ledger.book("acme", 0.1, midnight - 1)

    assert not ledger.reserve("acme", 0.1, midnight - 1)
    assert 0.0 == ledger.spent_today("acme", midnight)
    assert ledger.reserve("acme", 0.1, midnight)


def test_a_probe_over_midnight_counts_for_the_day_it_was_reserved():
    """Its stored row starts on that day, so a rebuilt ledger says the same."""
    ledger = DayLedger({"acme": 0.1})
    before, after = day_start(NOW) + DAY - 1, day_start(NOW) + DAY + 1
    ledger.reserve("acme", 0.1, before)
    is_new_day_free = ledger.reserve("acme", 0.1, after)
    ledger.settle("acme", 0.1, 0.1, before)

    assert is_new_day_free
    assert (0.1, 0.0) == (ledger.spent_today("acme", before), ledger.spent_today("acme", after))


def test_a_ledger_rebuilt_from_rows_goes_on_where_the_old_one_was():
    """A restart frees nothing."""
    ledger = DayLedger({"acme": 0.1})
    ledger.book("acme", 0.07, NOW - 10)

    assert (True, False) == (ledger.reserve("acme", 0.03, NOW), ledger.reserve("acme", 0.01, NOW))


def test_a_leap_of_the_clock_breaks_nothing():
    """A day long forgotten can still be settled, and a month ahead and back frees no cap."""
    ledger = DayLedger({"acme": 0.1})
    ledger.reserve("acme", 0.1, NOW)
    ledger.reserve("acme", 0.1, NOW + 30 * DAY)
    still_full = not ledger.reserve("acme", 0.1, NOW)
    ledger.reserve("acme", 0.1, NOW + 50 * DAY)
    ledger.settle("acme", 0.1, 0.1, NOW)

    assert still_full
    assert 0.1 == ledger.spent_today("acme", NOW)
