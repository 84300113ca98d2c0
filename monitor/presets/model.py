"""How facts about a known brand are written down: each with its source and the day it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any


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
        size: Exact (width, height) it holds for; None for any size that *below_px* admits.
        below_px: Number of pixels from which it no longer holds; None for no bound.
        quality: Quality word it holds for; None for any.
    """

    usd: float
    size: tuple[int, int] | None = None
    below_px: int | None = None
    quality: str | None = None

    def covers(self, size: tuple[int, int] | None, quality: str | None) -> bool:
        """Whether this is the price of one picture of *size* (None: the route's default)."""
        if self.quality not in (None, quality):
            return False
        if self.size is not None:
            return self.size == size
        width, height = size or (1024, 1024)
        return self.below_px is None or width * height < self.below_px


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """
    One model as a brand sells it.

    Attributes:
        prices: The first that covers a request is its price.
        shutdown: First day without it, as published; None when no day is known.
        note: What contradicts or limits these facts, for people.
    """

    id: str
    prices: tuple[Price, ...]
    source: Source
    shutdown: date | None = None
    note: str = ""

    def price(self, size: tuple[int, int] | None, quality: str | None) -> Price | None:
        """Return the list price of one picture; None when it is not known."""
        return next((price for price in self.prices if price.covers(size, quality)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """
    A known brand: every value can be overridden in the configuration.

    Attributes:
        base_url: As :class:`probes.model.Target` wants it.
        hosts: Further base URLs of the same service by short name, for the key ``host``.
        key_env: Usual name of the environment variable with the key.
        requests_per_minute: Published limit on generations; None when none is known.
        requests_per_day: Likewise, for a day.
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
    requests_per_minute: float | None = None
    requests_per_day: float | None = None
    free_calls: tuple[str, ...] = ()
    note: str = ""

    def model(self, model_id: str) -> Model | None:
        """Return the facts about one model; None for one this preset does not know."""
        return next((model for model in self.models if model.id == model_id), None)
