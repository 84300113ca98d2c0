"""Availability travels with its interval and is never rounded up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.core.availability import floor_ratio, weighted, wilson


def test_a_clean_day_of_144_canaries_proves_974_and_not_999():
    """No failure in 144 samples attains 97.4 %, which is far from three nines."""
    ratio = wilson(144, 144)

    assert 1.0 == ratio.value == ratio.upper
    assert 0.974 <= ratio.lower < 0.975


def test_days_are_pooled_and_never_averaged():
    """Six clean days and ten failures on the seventh are 98.9 %, not the 85.7 % of its days."""
    ratio = wilson(6 * 144, 6 * 144 + 10)

    assert 864 / 874 == ratio.value
    assert 0.988 < ratio.value < 0.989


def test_no_samples_are_neither_up_nor_down():
    """Without samples every figure is None."""
    ratio = wilson(0, 0)

    assert (0, None, None, None) == (ratio.n, ratio.value, ratio.lower, ratio.upper)


@pytest.mark.parametrize(("good", "n"), [(0, 1), (1, 1), (0, 144), (1, 3), (49_999, 50_000)])
def test_the_value_is_inside_its_interval_and_that_inside_0_to_1(good, n):
    """Rounding never leaves a ratio outside its own bounds."""
    ratio = wilson(good, n)

    assert 0 <= ratio.lower <= ratio.value <= ratio.upper <= 1
    assert ratio.lower < ratio.upper


def test_equal_weights_are_plain_counts():
    """Whatever the weight, as long as it is the same for all."""
    minutes = weighted(143 * 600, 144 * 600, 144 * 600**2, 144)

    assert wilson(143, 144) == replace(minutes, weight=144, squares=144)


def test_unequal_weights_are_worth_fewer_samples_than_there_are():
    """Four samples of which one weighs as much as the others together: the interval is wider."""
    even, uneven = wilson(2, 4), weighted(3, 6, 1 + 1 + 1 + 9, 4)

    assert even.value == uneven.value == 0.5
    assert uneven.lower < even.lower
    assert uneven.upper > even.upper


@pytest.mark.parametrize(
    ("value", "published"),
    [(0.999999, 0.99999), (0.995, 0.995), (0.29, 0.29), (2 / 3, 0.66666), (1.0, 1.0), (1e-9, 0.0)],
)
def test_published_availability_is_floored(value, published):
    """Digits are cut, and a number that has no more digits stays what it is."""
    assert published == floor_ratio(value)


def test_the_number_of_digits_is_a_choice_and_none_stays_none():
    """Three digits for a terminal; no value stays no value."""
    assert 0.998 == floor_ratio(0.99899, 3)
    assert floor_ratio(None) is None
