"""The orders of all pools as they stand, each built anew only when it could come out otherwise."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from monitor.core.ranking import build_order
from monitor.core.snapshot import Order, TargetView
from monitor.core.spec import Policy, PoolSpec
from monitor.core.standing import Standing, stand
from monitor.core.values import changed


@dataclass(frozen=True, slots=True)
class _Built:
    """The views an order was built from, when, and for how long from then it is valid."""

    views: tuple[TargetView, ...]
    at: float
    valid_s: float


class Orders:
    """
    The last order of each (pool, profile).

    Attributes:
        current: By (pool, profile); none before its first building.
    """

    def __init__(self, pools: Sequence[PoolSpec], policy: Policy, *, explains: bool = True) -> None:
        """Start without any order; *explains* is that of ``build_order``."""
        self._pools = tuple(pools)
        self._policy = policy
        self._explains = explains
        self.current: dict[tuple[str, str], Order] = {}
        self._views: dict[str, tuple[TargetView, ...]] = {}
        self._built: dict[tuple[str, str], _Built] = {}
        self._standings: dict[str, dict[str, Standing]] = {}  # By pool and target.

    def restore(self, orders: Mapping[tuple[str, str], Order]) -> None:
        """Go on from *orders* of before a restart; of pools and profiles that are gone, not."""
        known = {(pool.id, profile.name) for pool in self._pools for profile in pool.profiles}
        self.current = {key: order for key, order in orders.items() if key in known}

    def build(
        self, views: Mapping[str, TargetView], now: float
    ) -> Iterator[tuple[Order | None, Order]]:
        """Bring one order after another up to date; yield it as it was, None at first, and as it is."""
        for pool in self._pools:
            of = self._same(pool, tuple(views[target] for target in pool.targets))
            standings = None
            for profile in pool.profiles:
                key = (pool.id, profile.name)
                before, built = self.current.get(key), self._built.get(key)
                if before and built and self._stands(before, built, of, now):
                    order = changed(before, valid_until=now + built.valid_s)
                else:
                    standings = standings or self._standing(pool, of)
                    order = build_order(
                        pool, profile, standings, before, now, self._policy, explains=self._explains
                    )
                    self._built[key] = _Built(of, now, order.valid_until - now)
                self.current[key] = order
                yield before, order

    def _same(self, pool: PoolSpec, views: tuple[TargetView, ...]) -> tuple[TargetView, ...]:
        """Return the tuple of last time where it holds the very same views."""
        known = self._views.get(pool.id, ())
        if len(known) == len(views) and all(map(operator.is_, known, views)):
            return known
        self._views[pool.id] = views
        return views

    def _standing(self, pool: PoolSpec, views: Sequence[TargetView]) -> Mapping[str, Standing]:
        """Return where each target of *pool* stands; the very same one while its view is."""
        known = self._standings.get(pool.id, {})
        self._standings[pool.id] = {
            view.spec.id: there
            if (there := known.get(view.spec.id)) and there.view is view
            else stand(view, pool, self._policy)
            for view in views
        }
        return self._standings[pool.id]

    def _stands(
        self, order: Order, built: _Built, views: tuple[TargetView, ...], now: float
    ) -> bool:
        """
        Return whether *order* would come out the same, but for how long it is valid.

        Beside the views, time has a say: the dwell holds an order from the building after its
        change on, and after midnight reasons tell times with their dates. An equal view is the
        same one (``Engine.tick``).
        """
        dwell_s, changed_at = self._policy.dwell_s, order.changed_at
        return (
            built.views is views
            and changed_at < built.at <= now
            and (built.at - changed_at < dwell_s) == (now - changed_at < dwell_s)
            and _day(now) == _day(built.at)
        )


def _day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()
