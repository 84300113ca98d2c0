"""
What changes without failing: model version, picture, price, end of a model. A fold over good answers.

A value is taken for a change when two answers in a row differ from the known one and agree with each
other, so one odd picture is none. What is known is thereby the value that two answers in a row last
had, wherever a replay begins. Sizes in bytes vary with every picture: they change when two in a row
leave the band from half to twice the median of the last twelve.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Final

from monitor.core.events import EventKind
from probes.model import Outcome, ProbeKind, ProbeResult

# Pictures whose median a size is held against, and how far from it is another size.
SIZES: Final = 12
SIZE_BAND: Final = 2.0
# Bills are told in rounded dollars, and by the token they vary a little.
PRICE_BAND: Final = 0.05


@dataclass(frozen=True, slots=True)
class Settled:
    """The value that two answers in a row had, and one that differs and has come once."""

    value: str | None = None
    other: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """
    How the answers of a target look.

    Attributes:
        dimensions: Of the picture, such as ``512x512``.
        sizes: Bytes of the last pictures, at most ``SIZES``, newest last.
        odd_size: Of the newest picture, if it was outside of the band.
        billed_usd: What is billed where that is not the list price, else None.
        odd_price_usd: What the newest answer billed, if that is neither.
        shutdown_on: ISO day from which the model will be gone.
    """

    model: Settled = field(default_factory=Settled)
    dimensions: Settled = field(default_factory=Settled)
    format: Settled = field(default_factory=Settled)
    sizes: tuple[int, ...] = ()
    odd_size: int | None = None
    billed_usd: float | None = None
    odd_price_usd: float | None = None
    shutdown_on: str | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """A change, with what was and what is."""

    kind: EventKind
    data: dict[str, Any]


def look(looks: Looks, result: ProbeResult, price_usd: float) -> tuple[Looks, tuple[Drift, ...]]:
    """
    Return *looks* after *result*, and what has changed with it; failures and void ones show nothing.

    *price_usd* is the list price, also what a result costs that was not told its bill.
    """
    if result.outcome is not Outcome.GOOD:
        return looks, ()
    if result.kind is ProbeKind.LIVENESS:
        return _announced(looks, result.shutdown_on)
    model, model_change = _settle(looks.model, result.model_version)
    if model != looks.model:
        looks = replace(looks, model=model)
    looks, output = _pictured(looks, result)
    looks, price = _billed(looks, result.cost_usd, price_usd)
    found = (
        (EventKind.MODEL_CHANGED, model_change),
        (EventKind.OUTPUT_CHANGED, output),
        (EventKind.PRICE_CHANGED, price),
    )
    return looks, tuple(Drift(kind, data) for kind, data in found if data)


def _announced(looks: Looks, day: str | None) -> tuple[Looks, tuple[Drift, ...]]:
    """A day is told by a list of models, so once is enough; an answer that tells none takes none back."""
    if day is None or day == looks.shutdown_on:
        return looks, ()
    data = _change(looks.shutdown_on, day)
    return replace(looks, shutdown_on=day), (Drift(EventKind.SHUTDOWN_ANNOUNCED, data),)


def _pictured(looks: Looks, result: ProbeResult) -> tuple[Looks, dict[str, Any]]:
    """Return *looks* after a picture, and by aspect how it differs from those before."""
    image = result.image
    if image is None:
        return looks, {}
    dimensions, dimensions_change = _settle(looks.dimensions, f"{image.width}x{image.height}")
    picture_format, format_change = _settle(looks.format, image.format)
    looks = replace(looks, dimensions=dimensions, format=picture_format)
    looks, size_change = _sized(looks, image.size_bytes)
    changes = {
        "dimensions": dimensions_change,
        "format": format_change,
        "size_bytes": size_change,
    }
    return looks, {aspect: change for aspect, change in changes.items() if change}


def _settle(known: Settled, value: str | None) -> tuple[Settled, dict[str, Any]]:
    """Return what is known after *value* (None: not told), and the change if there was one."""
    if value is None:
        return known, {}
    if value == known.value:
        return Settled(value), {}
    if value != known.other:
        return replace(known, other=value), {}
    return Settled(value), _change(known.value, value) if known.value is not None else {}


def _sized(looks: Looks, size: int) -> tuple[Looks, dict[str, Any]]:
    if len(looks.sizes) == SIZES:
        usual = median(looks.sizes)
        side, odd = _side(size, usual), looks.odd_size
        if side and odd is not None and _side(odd, usual) == side:
            # The median of the others says nothing of what comes from here on.
            return replace(looks, sizes=(odd, size), odd_size=None), _change(round(usual), size)
        if side and odd is None:
            return replace(looks, odd_size=size), {}
    late = (size,) if looks.odd_size is None else (looks.odd_size, size)
    return replace(looks, sizes=(*looks.sizes, *late)[-SIZES:], odd_size=None), {}


def _side(size: int, usual: float) -> int:
    """Return 1 if *size* is above the band around *usual*, -1 if it is below, else 0."""
    return int(size > usual * SIZE_BAND) - int(size < usual / SIZE_BAND)


def _billed(looks: Looks, cost: float, listed: float) -> tuple[Looks, dict[str, Any]]:
    known = listed if looks.billed_usd is None else looks.billed_usd
    billed = None if _is_near(cost, listed) else cost
    if _is_near(cost, known):
        # The list may have been brought up to the bill meanwhile.
        if billed is None and looks.billed_usd is not None:
            looks = replace(looks, billed_usd=None)
        return looks if looks.odd_price_usd is None else replace(looks, odd_price_usd=None), {}
    odd = looks.odd_price_usd
    if odd is None or not _is_near(cost, odd):
        return replace(looks, odd_price_usd=cost), {}
    looks = replace(looks, billed_usd=billed, odd_price_usd=None)
    return looks, _change(known, cost) | {"list_usd": listed}


def _is_near(one: float, other: float) -> bool:
    return abs(one - other) <= PRICE_BAND * max(one, other)


def _change(before: Any, after: Any) -> dict[str, Any]:
    return {"before": before, "after": after}
