"""Numbers and times of a report, rounded so that none flatters: shares are cut, times raised."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Final

from monitor.core.availability import Ratio, floor_ratio
from monitor.core.words import span

UNKNOWN: Final = "unknown"
_LONG_S: Final = 600.0
_HUNDREDTH: Final = Decimal("0.01")


def percent(ratio: float | None, digits: int = 3) -> str:
    """Return a share of 0..1 in percent, cut, never rounded up: ``99.305 %``."""
    return UNKNOWN if ratio is None else f"{_cut(ratio, digits)} %"


def share(ratio: float | None) -> str:
    """Return a share of failures in percent, raised: ``0.70 %``."""
    return UNKNOWN if ratio is None else f"{_raised(ratio, 2)} %"


def interval(ratio: Ratio) -> str:
    """Return the 95 % interval, widened to the digits shown: ``98.60 to 99.88 %``."""
    if ratio.lower is None or ratio.upper is None:
        return UNKNOWN
    return f"{_cut(ratio.lower, 2)} to {_raised(ratio.upper, 2)} %"


def _cut(ratio: float, digits: int) -> str:
    return f"{Decimal(repr(floor_ratio(ratio, digits + 2))) * 100:.{digits}f}"


def _raised(ratio: float, digits: int) -> str:
    # The floor of the negative, and no negative zero.
    return f"{-Decimal(repr(floor_ratio(-ratio, digits + 2))) * 100 + 0:.{digits}f}"


def count(n: int) -> str:
    """Return a number with its thousands apart."""
    return f"{n:,}"


def duration(value_s: float | None) -> str:
    """Return a duration, raised to hundredths of a second; from ten minutes on as ``1h 5m``."""
    if value_s is None:
        return UNKNOWN
    if value_s >= _LONG_S:
        return span(value_s)
    return f"{Decimal(repr(value_s)).quantize(_HUNDREDTH, ROUND_CEILING)} s"


def at_least(value_s: float) -> str:
    """Return a duration in its two largest units, cut: what lasted over 1h 59m is not over 2h."""
    step = 3_600 if value_s >= 86_400 else 60 if value_s >= 3_600 else 1
    return span(value_s // step * step)


def hours(value_s: float) -> str:
    """Return hours to a tenth."""
    return f"{value_s / 3600:,.1f}"


def moment(at: float) -> str:
    """Return a wall time as ``2026-10-01 00:00:00Z``, cut to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
