"""
Numbers and times as people read them, rounded so that a stated comparison stays true.

A measured value said to be at or under a limit is cut, one said to be over it is raised; limits
are written with all their digits.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from math import ceil


def exact(value: float | Decimal) -> str:
    """Return every digit of *value*, without an exponent or trailing zeros."""
    return format(Decimal(str(value)).normalize(), "f")


def seconds(value: float, *, up: bool = False) -> str:
    """Return a duration with three significant digits, cut (or raised if *up*): ``8.94 s``."""
    number = Decimal(str(value))
    step = Decimal(1).scaleb(number.adjusted() - 2)
    return f"{exact(number.quantize(step, ROUND_CEILING if up else ROUND_FLOOR))} s"


def percent(ratio: float) -> str:
    """Return a share of 0..1 cut to a tenth of a percent, without the sign: ``99.3``."""
    return str((Decimal(str(ratio)) * 100).quantize(Decimal("0.1"), ROUND_FLOOR))


def exact_percent(ratio: float) -> str:
    """Return a configured share of 0..1 in percent with all its digits: ``99.95``."""
    return exact(Decimal(str(ratio)) * 100)


def usd(value: float) -> str:
    """Return an amount of US dollars to a hundredth of a cent: ``$0.0512``."""
    return f"${value:.4f}"


def utc(at: float, now: float) -> str:
    """Return a wall time as ``12:31:04Z``, with its date in front when that is not today's."""
    moment = datetime.fromtimestamp(at, UTC)
    is_today = moment.date() == datetime.fromtimestamp(now, UTC).date()
    return moment.strftime("%H:%M:%SZ" if is_today else "%Y-%m-%d %H:%M:%SZ")


def rfc3339(at: float) -> str:
    """Return a wall time as RFC 3339 in UTC with milliseconds: ``2026-11-25T12:31:04.000Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(value: float) -> str:
    """Return a duration of *value* seconds in its two largest units, raised: ``3h 50m``."""
    whole = ceil(round(value, 6))
    for length, step in ((3_600, 60), (86_400, 3_600)):
        if whole >= length:
            whole = ceil(whole / step) * step
    minutes, s = divmod(whole, 60)
    hours, m = divmod(minutes, 60)
    d, h = divmod(hours, 24)
    parts = zip((d, h, m, s), "dhms", strict=True)
    return " ".join(f"{n}{unit}" for n, unit in parts if n) or "0s"
