"""What may go when, and how many rows at once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.retention import (
    DAY_S,
    ROWS_MAX,
    ROWS_MIN,
    SLICE_S_MAX,
    Retention,
    cutoffs,
    resized,
)


def at(text: str) -> float:
    """A UTC time as seconds since the epoch."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("now", "ledger"),
    [
        ("2026-11-25 13:05:00", "2026-09-01"),
        ("2026-02-01 00:00:00", "2025-12-01"),
        ("2026-01-31 23:59:59", "2025-11-01"),
    ],
)
def test_two_calendar_months_of_the_ledger_stay_beside_the_running_one(now, ledger):
    """Whatever their lengths, and over the end of a year."""
    assert at(ledger) == cutoffs(Retention(), at(now)).ledger


@given(now=st.floats(1e9, 4e9), days=st.floats(1, 1000))
def test_whole_utc_days_go_and_nothing_too_young(now, days):
    """Law: a cutoff is a midnight, and at least as long ago as rows are kept."""
    found = cutoffs(Retention(probes_s=days * DAY_S, free_calls_s=DAY_S), now)

    assert 0 == found.probes % DAY_S == found.free_calls % DAY_S
    assert days * DAY_S <= now - found.probes < (days + 1) * DAY_S + 1e-3
    assert DAY_S <= now - found.free_calls <= 2 * DAY_S


def test_slices_shrink_when_they_take_long_and_grow_when_they_do_not():
    """They aim for half of the time they may take; one quick slice at most doubles them."""
    assert 100 == resized(100, SLICE_S_MAX / 2)
    assert 25 == resized(100, SLICE_S_MAX * 2)
    assert 200 == resized(100, 0.001) == resized(100, 0.0)
    assert ROWS_MAX == resized(ROWS_MAX, 0.001)
    assert ROWS_MIN == resized(2, 60.0)
