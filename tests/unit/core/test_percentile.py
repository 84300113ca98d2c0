"""Percentiles are samples, and their bounds say no more than the samples can."""

from __future__ import annotations

import pytest

from monitor.core.percentile import nearest_rank, quantile, quantile_bounds


def test_a_dead_provider_has_no_p95():
    """Without samples there is no value and no bound, never zero."""
    figures = quantile([], 0.95)

    assert (None, None, None) == (figures.value, figures.lower, figures.upper)


@pytest.mark.parametrize(
    ("n", "q", "rank"),
    [(1, 0.95, 1), (19, 0.95, 19), (20, 0.95, 19), (100, 0.95, 95), (100, 0.07, 7), (10, 1, 10)],
)
def test_nearest_rank_is_the_rank_of_the_definition(n, q, rank):
    """The rank is ceil(q * n), also where binary fractions would overshoot."""
    assert rank == nearest_rank(range(1, n + 1), q)


@pytest.mark.parametrize(("q", "n"), [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299)])
def test_an_upper_bound_needs_enough_samples(q, n):
    """The maximum bounds a quantile from above only from a known number of samples on."""
    assert (None, n) == (quantile_bounds(n - 1, q)[1], quantile_bounds(n, q)[1])


def test_a_lower_bound_of_the_median_needs_five_samples():
    """The minimum of four samples may be above the median once in sixteen times."""
    assert (None, 1) == (quantile_bounds(4, 0.5)[0], quantile_bounds(5, 0.5)[0])


def test_bounds_agree_with_published_ranks():
    """For the median of 100, one-sided 95 % bounds are the 42nd and the 59th sample."""
    assert (42, 59) == quantile_bounds(100, 0.5)


def test_bounds_of_many_samples_close_in_on_the_quantile():
    """Fifty thousand samples pin a p99 within a tenth of a percent of the ranks."""
    lower, upper = quantile_bounds(50_000, 0.99)

    assert 49_450 < lower < 49_500 < upper < 49_550


def test_a_quantile_carries_the_samples_at_its_bounds():
    """Value and bounds are all samples that happened."""
    values = [float(v) for v in range(1, 101)]
    figures = quantile(values, 0.5)

    assert (50.0, 42.0, 59.0) == (figures.value, figures.lower, figures.upper)
