"""Numbers in words keep what they say true."""

from __future__ import annotations

import pytest

from monitor.core import words
from tests.support.builders import NOW


@pytest.mark.parametrize(
    ("value", "cut", "raised"),
    [
        (8.949, "8.94 s", "8.95 s"),
        (15.04, "15 s", "15.1 s"),
        (1234.0, "1230 s", "1240 s"),
        (0.051, "0.051 s", "0.051 s"),
        (0.0, "0 s", "0 s"),
    ],
)
def test_durations_have_three_digits_rounded_to_the_asked_side(value, cut, raised):
    """A duration is cut, or raised where it is said to exceed something."""
    assert (cut, raised) == (words.seconds(value), words.seconds(value, up=True))


def test_shares_are_cut_and_limits_are_exact():
    """A measured 99.96 % is not 100 %, and a limit shows all its digits."""
    assert ("99.9", "100.0") == (words.percent(0.9996), words.percent(1.0))
    assert ("99.95", "100") == (words.exact_percent(0.9995), words.exact_percent(1.0))
    assert ("15", "0.25") == (words.exact(15.0), words.exact(0.25))


def test_a_time_of_another_day_shows_its_date():
    """Clock times alone are only for today."""
    assert "11:06:40Z" == words.utc(NOW, NOW)
    assert words.utc(NOW - 86_400, NOW).startswith("2026-11-17 ")


def test_amounts_go_to_a_hundredth_of_a_cent():
    """Canaries cost fractions of a cent."""
    assert "$0.0512" == words.usd(0.05123)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0s"), (0.3, "1s"), (0.1 + 0.2 + 59.7, "1m"), (90, "1m 30s"), (3599.5, "1h"),
        (3600, "1h"), (13_760.4, "3h 50m"), (86_399, "1d"), (90_001, "1d 2h"), (172_800, "2d"),
    ],
)  # fmt: skip
def test_spans_have_two_units_and_are_raised(value, text):
    """What takes a second more than an hour is not said to take an hour."""
    assert text == words.span(value)
