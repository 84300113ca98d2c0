"""Shares of good samples: their Wilson interval, and how they are published."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from math import sqrt
from typing import Final, overload

Z: Final = 1.959964  # Two-sided 95 % of the normal distribution.


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """
    A measured share of *n* samples with its 95 % Wilson interval; all None when *n* is 0.

    Attributes:
        weight: Sum of the weights of all samples.
        squares: Sum of their squares.
    """

    n: int
    value: float | None
    lower: float | None
    upper: float | None
    weight: int = 0
    squares: int = 0


def wilson(good: int, n: int) -> Ratio:
    """
    Return *good* / *n* with its 95 % score interval (Wilson, JASA 22, 1927).

    The interval speaks of this window's samples; as a forecast it would be too narrow, because
    outages cluster. All None when *n* is 0: no data is neither up nor down.
    """
    assert 0 <= good <= n
    return weighted(good, n, n, n)


def weighted(good: int, total: int, squares: int, n: int) -> Ratio:
    """
    Return the weighted share of good ones among *n* samples, with its 95 % score interval.

    Weights that differ are worth fewer samples than there are: (sum of w)^2 / sum of w^2 (Kish,
    "Survey Sampling", 1965, 11.7), which is *n* when all are equal.

    Args:
        good: Sum of the weights of good samples.
        total: Sum of all weights.
        squares: Sum of their squares.
        n: Number of samples, at least 1 unless *total* is 0.
    """
    if total == 0:
        return Ratio(n=0, value=None, lower=None, upper=None)
    value, effective = good / total, total * total / squares
    shrink = 1 + Z * Z / effective
    centre = (value + Z * Z / (2 * effective)) / shrink
    variance = value * (1 - value) / effective + Z * Z / (4 * effective * effective)
    half = Z / shrink * sqrt(variance)
    # At 0 and 1 rounding could leave the value an ulp outside its own interval.
    return Ratio(
        n=n,
        value=value,
        lower=max(0.0, min(value, centre - half)),
        upper=min(1.0, max(value, centre + half)),
        weight=total,
        squares=squares,
    )


@overload
def floor_ratio(value: float, digits: int = 5) -> float: ...
@overload
def floor_ratio(value: None, digits: int = 5) -> None: ...


def floor_ratio(value: float | None, digits: int = 5) -> float | None:
    """Return *value* cut to *digits* decimals, never rounded up to a claim it does not attain."""
    if value is None:
        return None
    # On the decimal digits of the float: 0.29 * 100 is 28.999999999999996 in binary.
    return float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR))
