"""
Known brands as data: hosts, formats, limits, free calls, list prices, shutdown days.

Facts age, so each carries its source and the day it was read, and the configuration overrides
them all. Nothing here is a promise of the brand.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from monitor.presets import bfl, google, laozhang, openai
from monitor.presets.model import Model, Preset, Price, Source

__all__ = ["PRESETS", "Model", "Preset", "Price", "Source", "knowing"]

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType({
    preset.id: preset
    for preset in (*google.PRESETS, *openai.PRESETS, *laozhang.PRESETS, *bfl.PRESETS)
})  # fmt: skip


def knowing(model_id: str) -> tuple[str, ...]:
    """Return the ids of the presets that know a model."""
    return tuple(preset.id for preset in PRESETS.values() if preset.model(model_id))
