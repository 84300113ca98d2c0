"""Exact percentiles of stored samples, with the bounds that their number can support."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, exp, floor, lgamma, log, log1p, sqrt
from typing import Final

from monitor.core.snapshot import Quantile

# Below and above this many standard deviations a binomial holds less than 1e-13 of its mass for
# every share used here, far under the tolerance of the comparison.
_REACH_SD: Final = 12.0
_TOLERANCE: Final = 1e-9


def nearest_rank(sorted_values: Sequence[float], q: float) -> float | None:
    """
    Return the smallest sample that at least a share *q* of the samples do not exceed.

    Definition 1 of Hyndman & Fan, "Sample Quantiles in Statistical Packages", The American
    Statistician 50(4), 1996: rank = ceil(q * n). Never interpolated, so the answer happened.

    Args:
        sorted_values: Samples in ascending order, in any unit.
        q: Share in (0, 1].

    Returns:
        A sample in the unit of *sorted_values*; None without samples.
    """
    assert 0 < q <= 1, f"q must be in (0, 1], got {q}"
    n = len(sorted_values)
    return sorted_values[_rank(n, q) - 1] if n else None


def _rank(n: int, q: float) -> int:
    # 0.07 * 100 is 7.000000000000001: without rounding, ceil would ask for the eighth sample.
    return ceil(round(q * n, 9))


def quantile_bounds(n: int, q: float, confidence: float = 0.95) -> tuple[int | None, int | None]:
    """
    Return the ranks (from 1) of the samples that bound the true *q*-quantile from each side.

    Each bound alone holds with *confidence*, whatever the distribution: the number of samples
    at or under the quantile is Binomial(n, q) (Conover, "Practical Nonparametric Statistics",
    3.2). The sums are exact up to rounding (relative error about 1e-9).

    Returns:
        (lower, upper); None where *n* samples cannot support the bound: an upper bound of p95
        needs n >= 59, of p99 n >= 299.
    """
    assert n >= 0
    assert 0 < q < 1
    assert 0.5 < confidence <= 0.999
    if n == 0:
        return None, None
    # Start far in the left tail rather than at 0, where the probabilities would underflow.
    k = max(0, floor(n * q - _REACH_SD * sqrt(n * q * (1 - q))))
    ways = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    mass = exp(ways + k * log(q) + (n - k) * log1p(-q))
    below, lower = mass, k  # below = P(at most k samples are at or under the quantile)
    while below < confidence - _TOLERANCE:
        if below <= 1 - confidence + _TOLERANCE:
            lower = k + 1
        mass *= (n - k) / (k + 1) * q / (1 - q)
        k += 1
        below += mass
    return lower or None, k + 1 if k < n else None


def quantile(sorted_values: Sequence[float], q: float) -> Quantile:
    """Return the nearest-rank *q*-quantile of ascending samples with its one-sided 95 % bounds."""
    n = len(sorted_values)
    if not n:
        return Quantile(value=None, lower=None, upper=None)
    rank, lower, upper = _ranks(n, q)
    return Quantile(
        value=sorted_values[rank - 1],
        lower=None if lower is None else sorted_values[lower - 1],
        upper=None if upper is None else sorted_values[upper - 1],
    )


@lru_cache(maxsize=16_384)
def _ranks(n: int, q: float) -> tuple[int, int | None, int | None]:
    return _rank(n, q), *quantile_bounds(n, q)
