"""
Wire formats by name: the built-in ones, then those of installed plug-ins, imported when used.

A plug-in declares its class under the entry point group ``imgmon.formats``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from probes.model import Format

GROUP: Final = "imgmon.formats"
_BUILT_IN: Final = {
    name: EntryPoint(name=name, value=f"probes.formats.{place}", group=GROUP)
    for name, place in {
        "gemini": "gemini:Gemini",
        "imagen": "imagen:Imagen",
        "openai-images": "openai_images:OpenAIImages",
        "openai-chat": "openai_chat:OpenAIChat",
        "bfl": "bfl:Bfl",
        "gemini-batch": "gemini_batch:GeminiBatch",
    }.items()
}


class FormatError(Exception):
    """A wire format that cannot be had: unknown, defined twice, or broken. Says which and why."""


def formats() -> tuple[str, ...]:
    """Return the names of all wire formats: built-in ones first, then plug-ins by name."""
    plugged = {entry.name for entry in entry_points(group=GROUP)}
    return (*_BUILT_IN, *sorted(plugged - _BUILT_IN.keys()))


@cache  # Looking through what is installed takes milliseconds that a probe would measure.
def load(name: str) -> Format:
    """
    Return the wire format called *name*, the same object every time.

    Raises:
        FormatError: nobody defines it, two define it, or its plug-in cannot be imported.
    """
    found = list(entry_points(group=GROUP, name=name))
    if name in _BUILT_IN:
        found.append(_BUILT_IN[name])
    if not found:
        raise FormatError(f"no wire format {name!r}; known: {', '.join(formats())}")
    if len({entry.value for entry in found}) > 1:
        places = ", ".join(sorted(entry.value for entry in found))
        raise FormatError(f"wire format {name!r} is defined more than once: {places}")
    entry = found[0]
    try:
        made: Any = entry.load()()
        called, sound = made.name, callable(made.exchange) and isinstance(made.options, Mapping)
    except Exception as error:  # A plug-in may raise anything; its name must be told.
        raise FormatError(f"wire format {name!r} ({entry.value}) is broken: {error!r}") from error
    if called != name or not sound:
        raise FormatError(
            f"wire format {name!r} ({entry.value}) is no Format; its name: {called!r}"
        )
    built: Format = made
    return built
