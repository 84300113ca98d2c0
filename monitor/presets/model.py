"""How facts about a known brand are written down: each with its source and the day it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from math import ceil
from typing import Any, Final

from monitor.core.spec import QuotaSpec

MEGAPIXEL: Final = 1024 * 1024  # A square of 1024 is sold as one.
_DEFAULT_SIZE: Final = (1024, 1024)  # Of routes that are asked for none.


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a fact was read, in words, and when: an ISO day or month."""

    text: str
    read_on: str

    def __str__(self) -> str:
        return f"{self.text}, read {self.read_on}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """
    A list price of one image.

    Attributes:
        usd: For the first megapixel.
        usd_per_extra_mp: For each further megapixel that is begun; 0 where the size is all one.
        size: Exact (width, height) it holds for; None for any size that *below_px* admits.
        below_px: Number of pixels from which it no longer holds; None for no bound.
        quality: Quality word it holds for; None for any.
    """

    usd: float
    usd_per_extra_mp: float = 0.0
    size: tuple[int, int] | None = None
    below_px: int | None = None
    quality: str | None = None

    def covers(self, size: tuple[int, int] | None, quality: str | None) -> bool:
        """Whether this is the price of one picture of *size* (None: the route's default)."""
        if self.quality not in (None, quality):
            return False
        if self.size is not None:
            return self.size == size
        return self.below_px is None or _pixels(size) < self.below_px

    def of(self, size: tuple[int, int] | None) -> float:
        """Return what one picture of *size* costs, in US dollars."""
        extra = max(0, ceil(_pixels(size) / MEGAPIXEL) - 1)
        # Rounded: 0.05 + 2 * 0.05 is 0.15000000000000002 in binary, and the ledger rounds up.
        return round(self.usd + extra * self.usd_per_extra_mp, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """
    One model as a brand sells it.

    Attributes:
        prices: The first that covers a request is its price.
        batch_share: What a picture of a batch job costs, as a share of its list price; None where
            no such jobs are sold.
        shutdown: First day without it, as published; None when no day is known.
        note: What contradicts or limits these facts, for people.
    """

    id: str
    prices: tuple[Price, ...]
    source: Source
    batch_share: float | None = None
    shutdown: date | None = None
    note: str = ""

    def price(self, size: tuple[int, int] | None, quality: str | None) -> float | None:
        """Return the list price of one picture in US dollars; None when it is not known."""
        listed = next((price for price in self.prices if price.covers(size, quality)), None)
        return listed.of(size) if listed else None

    def batch_price(self, size: tuple[int, int] | None, quality: str | None) -> float | None:
        """Return what one picture of a batch job costs in US dollars; None like *batch_share*."""
        price = self.price(size, quality)
        if price is None or self.batch_share is None:
            return None
        return round(price * self.batch_share, 9)


def _pixels(size: tuple[int, int] | None) -> int:
    width, height = size or _DEFAULT_SIZE
    return width * height


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """
    A known brand: every value can be overridden in the configuration.

    Attributes:
        base_url: As :class:`probes.model.Target` wants it.
        hosts: Further base URLs of the same service by short name, for the key ``host``.
        key_env: Usual name of the environment variable with the key.
        quota: Published limits on generations at its own hosts.
        quota_source: Where those were read; None for *source*.
        free_calls: Authenticated calls that cost nothing, as ``METHOD path`` under the base URL or
            its host; the first is the one that the format makes with *options*.
    """

    id: str
    brand: str
    base_url: str
    format: str
    key_env: str
    source: Source
    models: tuple[Model, ...]
    hosts: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    relay: bool = False
    poll_hosts: tuple[str, ...] = ()
    quota: QuotaSpec = field(default_factory=QuotaSpec)
    quota_source: Source | None = None
    free_calls: tuple[str, ...] = ()
    note: str = ""

    def model(self, model_id: str) -> Model | None:
        """Return the facts about one model; None for one this preset does not know."""
        return next((model for model in self.models if model.id == model_id), None)
