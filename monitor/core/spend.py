"""
The hard daily cap on probe money, per provider and UTC day.

Worst-case cost is reserved before a request leaves and settled after. Both count for the day the
reservation was made, which is the day its stored row starts on, so a ledger rebuilt from the
store agrees. Amounts are whole micro-dollars: costs round up, caps down, and nothing drifts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from math import ceil, floor
from typing import Final

_DAY_S: Final = 86_400
# A wall clock set a month ahead and back must not free a day's cap.
_DAYS_KEPT: Final = 40


def day_start(now: float) -> float:
    """Return the UTC midnight at or before *now*, in seconds since the epoch."""
    return float(_day(now) * _DAY_S)


def _day(at: float) -> int:
    return floor(at / _DAY_S)


def _micros(usd: float) -> Decimal:
    # Of the decimal digits: 0.134 * 1e6 is 134000.00000000001 in binary and would round up.
    return Decimal(str(usd)) * 1_000_000


def _cost(usd: float) -> int:
    assert usd >= 0
    return ceil(_micros(usd))


class DayLedger:
    """Money spent and reserved per provider and UTC day. Not thread-safe: one event loop owns it."""

    def __init__(self, caps: Mapping[str, float | None]) -> None:
        """Take hard caps in US dollars a day by provider id; absent or None means no cap."""
        self._caps = {
            provider: floor(_micros(cap)) for provider, cap in caps.items() if cap is not None
        }
        self._spent: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._reserved: defaultdict[tuple[str, int], int] = defaultdict(int)

    def reserve(self, provider: str, usd: float, now: float) -> bool:
        """Set *usd* aside; False, and nothing set aside, if that could pass today's cap."""
        self._forget(_day(now))
        key, cost, cap = (provider, _day(now)), _cost(usd), self._caps.get(provider)
        if cap is not None and self._spent[key] + self._reserved[key] + cost > cap:
            return False
        self._reserved[key] += cost
        return True

    def settle(self, provider: str, reserved: float, billed: float, reserved_at: float) -> None:
        """
        Replace a reservation by what was billed, even where that is more.

        *reserved* and *reserved_at* are those given to :meth:`reserve`: the money counts for the
        day it was reserved.
        """
        key = (provider, _day(reserved_at))
        # Nothing is left where the wall clock leapt and the day was forgotten meanwhile.
        self._reserved[key] = max(0, self._reserved[key] - _cost(reserved))
        self._spent[key] += _cost(billed)

    def book(self, provider: str, usd: float, at: float) -> None:
        """Count money that a stored probe, started at *at*, has cost."""
        self._spent[provider, _day(at)] += _cost(usd)

    def spent_today(self, provider: str, now: float) -> float:
        """Return the settled money of the UTC day of *now*, in US dollars."""
        return self._spent.get((provider, _day(now)), 0) / 1_000_000

    def _forget(self, today: int) -> None:
        for sums in (self._spent, self._reserved):
            for key in [key for key in sums if key[1] <= today - _DAYS_KEPT]:
                del sums[key]
