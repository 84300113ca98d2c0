"""What a changed file changes: names of entries and keys, never a value, so never a secret."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from monitor.config.model import Config
from monitor.config.show import show
from monitor.errors import Problem

_SECTIONS: Final = ("providers", "targets", "pools")
# What is a machine's own, where many run by one file; before the first header stand file and vantage.
_OWN: Final = ("", "[server]", "[log]")
_FIX: Final = "restart the daemon, or change it back"


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of the entries of one section; *changed* has the names of the keys."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two configurations; *other* names what belongs to no entry: ``judging.dwell``."""

    targets: Changes = field(default_factory=Changes)
    pools: Changes = field(default_factory=Changes)
    providers: Changes = field(default_factory=Changes)
    other: tuple[str, ...] = ()


def are_same(one: Config, other: Config) -> bool:
    """Return whether two configurations run alike; they may warn of different things."""
    return replace(one, warnings=(), origins={}) == replace(other, warnings=(), origins={})


def difference(old: Config, new: Config) -> Difference:
    """Return what *new* changes of *old*, with all presets and defaults filled in."""
    before, after = tomllib.loads(show(old)), tomllib.loads(show(new))
    sections = {name: _changes(before, after, name) for name in _SECTIONS}
    providers = sections["providers"]
    rotated = dict(_rotated(old, new))
    known = dict(providers.changed)
    for provider, keys in rotated.items():
        known[provider] = tuple(dict.fromkeys((*known.get(provider, ()), *keys)))
    sections["providers"] = replace(providers, changed=known)
    other = [path for path in _other(before, after) if path.split(".")[0] not in _SECTIONS]
    if old.routes != new.routes:  # Where they lead is a secret, which is not among the values.
        other.append("routes")
    other += [f"order of {name}" for name in _SECTIONS if _is_reordered(before, after, name)]
    return Difference(**sections, other=tuple(dict.fromkeys(other)))


def needs_restart(old: Config, new: Config) -> list[Problem]:
    """Return what *new* says otherwise that cannot change while a daemon runs."""
    pairs = {
        "server.listen": (old.listen, new.listen),
        "store.path": (old.store_path, new.store_path),
    }
    return [
        Problem(path, "cannot change while the daemon runs: needs a restart", _FIX)
        for path, (before, after) in pairs.items()
        if before != after
    ]


def digest(config: Config) -> str:
    """
    Return twelve hex digits that two configurations share when they measure alike.

    Of all presets and defaults filled in; not of vantage, server, log and the store's place, which
    differ from machine to machine. Of keys it is where they are kept and whether they are there.
    """
    section, told = "", hashlib.sha256()
    for line in show(config).split("\n"):
        section = line if line.startswith("[") else section
        if section not in _OWN and (section, line[:7]) != ("[store]", "path = "):
            told.update(line.encode() + b"\n")
    return told.hexdigest()[:12]


def _entries(document: Mapping[str, Any], section: str) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in document.get(section, [])}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], section: str) -> Changes:
    old, new = _entries(before, section), _entries(after, section)
    changed = {name: tuple(_other(old[name], new[name])) for name in old if name in new}
    return Changes(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed={name: keys for name, keys in changed.items() if keys},
    )


def _is_reordered(before: Mapping[str, Any], after: Mapping[str, Any], section: str) -> bool:
    old, new = _entries(before, section), _entries(after, section)
    return [name for name in old if name in new] != [name for name in new if name in old]


def _other(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the path of every key whose value differs, tables followed, lists as one value."""
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _other(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}"


def _rotated(old: Config, new: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield providers of both whose keys have another value."""
    after = {target.provider: target for target in new.targets}
    for provider, target in {target.provider: target for target in old.targets}.items():
        if provider in after:
            keys = tuple(
                key
                for key in ("api_key", "balance_key")
                if getattr(target, key) != getattr(after[provider], key)
            )
            if keys:
                yield provider, keys
