"""Shares of good samples: their Wilson interval, and how they are published."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from math import sqrt
from typing import Final, overload

from monitor.core.snapshot import Ratio

Z: Final = 1.959964  # Two-sided 95 % of the normal distribution.


def wilson(good: int, n: int) -> Ratio:
    """
    Return *good* / *n* with its 95 % score interval (Wilson, JASA 22, 1927).

    The interval speaks of this window's samples; as a forecast it would be too narrow, because
    outages cluster. All None when *n* is 0: no data is neither up nor down.
    """
    assert 0 <= good <= n
    if n == 0:
        return Ratio(n=0, value=None, lower=None, upper=None)
    value = good / n
    shrink = 1 + Z * Z / n
    centre = (value + Z * Z / (2 * n)) / shrink
    half = Z / shrink * sqrt(value * (1 - value) / n + Z * Z / (4 * n * n))
    # At 0 and 1 rounding could leave the value an ulp outside its own interval.
    return Ratio(
        n=n,
        value=value,
        lower=max(0.0, min(value, centre - half)),
        upper=min(1.0, max(value, centre + half)),
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
