"""
What a caller will not have: an order without the targets beyond its limits, still never empty.

The places that stay keep the order they had; ranks, reasons and ``all_degraded`` are those of the
shorter list, so that "cheapest of 2" counts what is listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from monitor.api import encode
from monitor.core.ranking import build_order, standings_of
from monitor.core.snapshot import Order, Place, Reason, TargetView
from monitor.core.words import exact, seconds
from monitor.publisher import Body, Published


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What a caller asks for.

    Attributes:
        max_price_usd: Of one picture; None for any.
        max_p95_s: Of the 95th percentile; None for any. One that is not known is beyond it.
        exclude: Ids of targets or providers that are not to be called.
    """

    max_price_usd: float | None = None
    max_p95_s: float | None = None
    exclude: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return self != Limits()

    def against(self, place: Place, view: TargetView) -> Reason | None:
        """Return why *place* is beyond these limits, None where it is within."""
        if self.exclude & {place.target, view.spec.provider}:
            return Reason(code="excluded", text="excluded by the caller")
        if self.max_price_usd is not None and place.price_usd > self.max_price_usd:
            text = f"price ${exact(place.price_usd)} > ${exact(self.max_price_usd)}"
            return Reason(code="max_price", text=text)
        if self.max_p95_s is None:
            return None
        if place.latency_p95_s is None:
            return Reason(code="max_p95", text="no p95 is known")
        if place.latency_p95_s > self.max_p95_s:
            text = f"p95 {seconds(place.latency_p95_s, up=True)} > {exact(self.max_p95_s)} s"
            return Reason(code="max_p95", text=text)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """
    An order within limits.

    Attributes:
        are_met: False when no target is within the limits, so that others are listed.
        left_out: Target to why it is not listed.
    """

    order: Order
    are_met: bool
    left_out: Mapping[str, Reason]


def limited(current: Published, order: Order, limits: Limits) -> Limited:
    """
    Return *order* without the targets beyond *limits*.

    When none is within them, those are listed that are not excluded, and when all are excluded, all:
    an empty order would leave a failover client without anything to try.
    """
    views = current.snapshot.targets
    beyond = {
        place.target: reason
        for place in order.places
        if (reason := limits.against(place, views[place.target])) is not None
    }
    are_met = len(beyond) < len(order.places)
    if not are_met:
        beyond = {target: why for target, why in beyond.items() if why.code == "excluded"}
    if len(beyond) == len(order.places):
        beyond = {}
    pool = replace(order.pool, targets=tuple(t for t in order.pool.targets if t not in beyond))
    kept = tuple(place for place in order.places if place.target not in beyond)
    shorter = build_order(
        pool,
        order.profile,
        standings_of(pool, views, current.snapshot.policy),
        # Nobody in it beats anybody above, so nobody moves: only what is said of them changes.
        replace(order, places=kept),
        current.snapshot.made_at,
        current.snapshot.policy,
    )
    return Limited(
        order=replace(shorter, version=order.version, changed_at=order.changed_at),
        are_met=are_met,
        left_out=beyond,
    )


def limited_body(current: Published, order: Order, limits: Limits, view: str) -> Body:
    """Return the answer for *limits*: the published one with fewer targets, and why."""
    found = limited(current, order, limits)
    key = encode.priority_key(order.pool.id, order.profile.name, view)
    # Times and versions are those of the published bytes, so that it changes when they do.
    document: dict[str, Any] = json.loads(current.bodies[key].data) | {"limits_met": found.are_met}
    if view == "ids":
        return encode.body(document | {"targets": [place.target for place in found.order.places]})
    return encode.body(
        document
        | {
            "all_degraded": found.order.all_degraded,
            "limits": {
                "max_price_usd": limits.max_price_usd,
                "max_p95_s": limits.max_p95_s,
                "exclude": sorted(limits.exclude),
            },
            "left_out": list(_left_out(found)),
            "targets": [
                encode.place_document(place, current.snapshot.targets[place.target])
                for place in found.order.places
            ],
        }
    )


def _left_out(found: Limited) -> Iterator[dict[str, str]]:
    for target, reason in found.left_out.items():
        yield {"target": target, "code": reason.code, "text": reason.text}
