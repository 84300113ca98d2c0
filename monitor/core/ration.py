"""
Whom the money goes to when a cap cannot pay for every slot: the doubtful and the first, then all.

Nobody is left out: every target keeps a floor, unless the money does not even reach for that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from monitor.core.snapshot import Order, State, TargetView
from monitor.core.spend import CapUse, Period, Scope, micros, period_start

# Share of its slots that a target keeps before others get all of theirs.
FLOOR: Final = 0.25
# Clients call these places of an order first.
_FIRST_PLACES: Final = 2
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """
    What one target would spend at its full rate.

    Attributes:
        comes_first: Its state is in doubt, or clients call it first.
    """

    target_id: str
    provider: str
    price_usd: float
    interval_s: float
    comes_first: bool


def wishes(views: Mapping[str, TargetView], orders: Iterable[Order]) -> Iterator[Wish]:
    """Yield what each target would spend, and whether it comes first: in doubt, or called first."""
    first = {
        place.target
        for order in orders
        if order.profile.name == order.pool.profile
        for place in order.places[:_FIRST_PLACES]
    }
    for target_id, view in views.items():
        if view.health.state is not State.UNUSABLE:
            yield Wish(
                target_id=target_id,
                provider=view.spec.provider,
                price_usd=view.spec.price_usd,
                interval_s=view.spec.interval_s,
                comes_first=target_id in first or view.health.state is not State.HEALTHY,
            )


def shares(wishes: Iterable[Wish], uses: Collection[CapUse], now: float) -> Mapping[str, float]:
    """
    Return the share of its slots, above 0 and at most 1, that each target can be paid for.

    What is left of a cap is spread over the rest of its day or month, so that it lasts: each target
    under it keeps the floor, what is left goes to those that come first, the remainder to the
    others. The scarcest of its caps decides. Targets that no cap limits are not named.
    """
    found: dict[str, float] = {}
    if not uses:  # Nobody is asked where nothing is capped.
        return found
    under: defaultdict[tuple[Scope, str], list[Wish]] = defaultdict(list)
    for wish in wishes:
        if wish.price_usd > 0:
            under[Scope.GLOBAL, ""].append(wish)
            under[Scope.PROVIDER, wish.provider].append(wish)
            under[Scope.TARGET, wish.target_id].append(wish)
    for use in uses:
        for target_id, share in _of_cap(under[use.cap.scope, use.cap.id], use, now):
            found[target_id] = min(share, found.get(target_id, 1.0))
    return found


def _of_cap(under: Sequence[Wish], use: CapUse, now: float) -> Iterable[tuple[str, float]]:
    rest_s = _period_end(use.cap.period, now) - now
    wanted = {w.target_id: micros(w.price_usd) * rest_s / w.interval_s for w in under}
    first = sum(wanted[w.target_id] for w in under if w.comes_first)
    others = sum(wanted.values()) - first
    left = max(0, use.cap.micros - use.booked_micros)
    # One canary more or less is chance, not need.
    if first + others <= left + max((micros(w.price_usd) for w in under), default=0):
        return
    floors = FLOOR * (first + others)
    spare = left - floors
    if spare < 0:  # A cap that is used up refuses by itself; a share of nothing has no weight.
        high = low = max(FLOOR * left / floors, FLOOR / 100)
    else:
        high = min(1.0, FLOOR + spare / first) if first else 1.0
        spare -= (high - FLOOR) * first if first else 0.0
        low = min(1.0, FLOOR + spare / others) if others else 1.0
    for wish in under:
        yield wish.target_id, high if wish.comes_first else low


def _period_end(period: Period, now: float) -> float:
    start = period_start(period, now)
    if period is Period.DAY:
        return start + _DAY_S
    first = datetime.fromtimestamp(start, UTC)
    # 32 days after the first of a month is in the next one, whatever its length.
    return period_start(period, (first + timedelta(days=32)).timestamp())
