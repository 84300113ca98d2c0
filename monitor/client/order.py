"""
An order as the client holds it: read from the daemon's bytes, checked as a whole, or refused.

Values alone: no I/O, no clock.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NoReturn

SCHEMA: Final = 1
# 2000 targets of 800 bytes are 1.6 MB; more is no order.
BODY_BYTES_MAX: Final = 4 * 1024 * 1024
PLACES_MAX: Final = 2_000
_TEXT_MAX: Final = 2_000
_SLUG: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Source(StrEnum):
    """
    Where an order comes from.

    ``live``: the daemon confirmed it at its last turn. ``memory``: it did so earlier and does not
    answer now. ``disk``: an earlier process was told it. ``static``: the application's own.
    """

    LIVE = "live"
    MEMORY = "memory"
    DISK = "disk"
    STATIC = "static"


class OrderError(ValueError):
    """A body that is no order of this pool; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    One target of an order. Of a static order only *target* need be known.

    Attributes:
        tier: 1 up, 2 doubtful, 3 waiting, 4 down, 5 unusable; 0 where nobody knows.
        usable: Whether the monitor's own account may call it now.
        scope: ``monitor_account`` when a limit concerns only the monitor's key, else None.
        retry_at: When it is worth a call again by the daemon's clock, seconds since the epoch.
        price_usd: Of one picture; None where unknown.
        latency_p95_s: Of good probes; None where unknown.
        reason: The first reason of its place, in words.
    """

    target: str
    provider: str = ""
    model: str = ""
    base_url: str = ""
    format: str = ""
    tier: int = 0
    state: str = "unknown"
    usable: bool = True
    scope: str | None = None
    retry_at: float | None = None
    price_usd: float | None = None
    latency_p95_s: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    What a daemon decided, as checked.

    Attributes:
        is_stale: The daemon itself says that its figures no longer move.
        valid_until: By the daemon's clock; None where it did not say.
    """

    pool: str
    profile: str
    version: int
    all_degraded: bool
    our_network_suspect: bool | None
    is_stale: bool
    valid_until: float | None
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    The targets of a pool, best first, and how far they can be trusted.

    Attributes:
        version: Of the daemon's decision; None for a static order. Starts anew with a new store.
        age_s: Seconds since a daemon confirmed it; None for a static order.
        is_stale: The daemon said so, or the time it gave its verdicts has passed. The order is
            still the best known.
        at: The moment this was asked for by the daemon's clock, seconds since the epoch.
    """

    pool: str
    profile: str | None
    version: int | None
    source: Source
    age_s: float | None
    is_stale: bool
    all_degraded: bool
    our_network_suspect: bool | None
    at: float
    places: tuple[Place, ...]

    @property
    def targets(self) -> tuple[str, ...]:
        """The ids of the targets, best first."""
        return tuple(place.target for place in self.places)

    def wait_s(self, place: Place) -> float:
        """Return the seconds until the retry time of *place*, 0 when there is none ahead."""
        return max(0.0, place.retry_at - self.at) if place.retry_at is not None else 0.0


def slug(value: object, what: str) -> str:
    """Return *value* if it is an id; raises ValueError with *what* it should have been."""
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        raise ValueError(f"{what} is {value!r}; it takes letters, digits, '.', '_' and '-'")
    return value


def static_places(order: Iterable[str | Place]) -> tuple[Place, ...]:
    """
    Return the application's own order, best first, each target once.

    Raises:
        ValueError: An id is none, or nothing is listed.
    """
    if isinstance(order, str):
        raise ValueError(f"static_order is a list of target ids, not the text {order!r}")  # noqa: TRY004
    places = [one if isinstance(one, Place) else Place(target=one) for one in order]
    if not places:
        raise ValueError("static_order is empty; list the targets to call while no daemon answers")
    first: dict[str, Place] = {}
    for place in places:
        first.setdefault(slug(place.target, "a target of static_order"), place)
    return tuple(first.values())


def parse_time(value: Any) -> float | None:
    """Return RFC 3339 text as seconds since the epoch, None for None; ValueError for the rest."""
    if value is None:
        return None
    moment = datetime.fromisoformat(_text(value, "a time"))
    if moment.tzinfo is None:
        raise OrderError(f"the time {value!r} has no zone")
    return moment.timestamp()


def read_order(body: bytes, pool: str, profile: str | None) -> Decision:
    """
    Return the order in *body*, all of it or nothing.

    Args:
        body: What the daemon answered.
        pool: The pool asked for; another one is refused.
        profile: The profile asked for; None takes the pool's own.

    Raises:
        OrderError: It is no order, not of this schema, pool or profile, or not in bounds.
    """
    try:
        document = json.loads(body.decode(), parse_constant=_refuse_constant)
        return _decision(document, pool, profile)
    except OrderError:
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        raise OrderError(f"not an order: {str(error)[:200]}") from error


def _decision(document: Any, pool: str, profile: str | None) -> Decision:
    if not isinstance(document, dict):
        raise OrderError("not an order: no JSON object")
    if document.get("schema") != SCHEMA:
        raise OrderError(f"schema {document.get('schema')!r}; this client reads {SCHEMA}")
    if document.get("pool") != pool:
        raise OrderError(f"the order of pool {document.get('pool')!r}, asked was {pool!r}")
    named = _text(document.get("profile"), "profile")
    if profile is not None and named != profile:
        raise OrderError(f"the order of profile {named!r}, asked was {profile!r}")
    version = document.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise OrderError(f"version is {version!r}, not a whole number")
    targets = document.get("targets")
    if not isinstance(targets, list) or not 0 < len(targets) <= PLACES_MAX:
        raise OrderError(f"targets is no list of 1 to {PLACES_MAX} places")
    places = tuple(_place(one) for one in targets)
    suspect = document.get("our_network_suspect")
    if len({place.target for place in places}) < len(places):
        raise OrderError("a target is listed twice")
    return Decision(
        pool=pool,
        profile=named,
        version=version,
        all_degraded=document.get("all_degraded") is True,
        our_network_suspect=suspect if isinstance(suspect, bool) else None,
        is_stale=document.get("stale") is True,
        valid_until=parse_time(document.get("valid_until")),
        places=places,
    )


def _place(document: Any) -> Place:
    if not isinstance(document, dict):
        raise OrderError("a place is no JSON object")
    target = document.get("target")
    usable = document.get("usable")
    if not isinstance(usable, bool):
        raise OrderError(f"usable of target {target!r} is {usable!r}, not true or false")
    return Place(
        target=slug(target, "a target"),
        provider=_text(document.get("provider"), "provider"),
        model=_text(document.get("model"), "model"),
        base_url=_text(document.get("base_url"), "base_url"),
        format=_text(document.get("format", ""), "format"),
        tier=int(_number(document, "tier") or 0),
        state=_text(document.get("state"), "state"),
        usable=usable,
        scope=None if (scope := document.get("scope")) is None else _text(scope, "scope"),
        retry_at=parse_time(document.get("retry_at")),
        price_usd=_number(document, "price_usd"),
        latency_p95_s=_number(document, "latency_p95_s"),
        reason=_first_reason(document.get("reasons")),
    )


def _first_reason(reasons: Any) -> str:
    first = reasons[0] if isinstance(reasons, list) and reasons else None
    text = first.get("text") if isinstance(first, Mapping) else None
    return text[:_TEXT_MAX] if isinstance(text, str) else ""


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise OrderError(f"{what} is {str(value)[:100]!r}, not a text of up to {_TEXT_MAX}")
    return value


def _number(document: Mapping[str, Any], key: str) -> float | None:
    value = document.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise OrderError(f"{key} is {str(value)[:100]!r}, not a number")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise OrderError(f"{name} is no JSON")
