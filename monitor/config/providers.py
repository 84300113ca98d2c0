"""Providers: what the file says over what a preset knows, with the key fetched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from typing import Any, Literal

from monitor.config.file import suggestion
from monitor.config.schema import ProviderTable, SpendCapTable
from monitor.core.quota import shortfalls
from monitor.core.spec import ProviderSpec, QuotaSpec, SpendCap, TargetSpec
from monitor.errors import Problem
from monitor.presets import PRESETS, Preset
from monitor.secrets import SecretError, resolve
from probes import registry
from probes.batch import BatchFormat
from probes.model import LivenessFormat


class WireFormats:
    """The wire formats there are, and the options each knows."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name the registry knows."""
        return registry.formats()

    def options(self, name: str) -> frozenset[str] | None:
        """Return the option keys of a format; None when a broken plug-in cannot tell."""
        return _options_of(name)

    def has_free_call(self, name: str) -> bool:
        """Return whether a format has a free call; a broken plug-in has nothing."""
        try:
            return isinstance(registry.load(name), LivenessFormat)
        except registry.FormatError:
            return False  # Told when the daemon loads it, as above.

    def is_batch(self, name: str) -> bool:
        """Return whether a format has a batch queue; a broken plug-in has nothing."""
        try:
            return isinstance(registry.load(name), BatchFormat)
        except registry.FormatError:
            return False

    def check_options(
        self, path: str, name: str, options: Mapping[str, Any], problems: list[Problem]
    ) -> None:
        """Add a problem for each of *options* that the format *name* does not know."""
        known = self.options(name)
        for key in options:
            if known is not None and key not in known:
                fix = suggestion(key, sorted(known))
                problem = Problem(f"{path}.{key}", f"wire format {name!r} has no such option", fix)
                problems.append(problem)


def quota_values(quota: QuotaSpec) -> dict[str, Any]:
    """Return the keys of a quota that say something, as values."""
    values = {f.name: getattr(quota, f.name) for f in fields(quota)}
    return {key: value for key, value in values.items() if value is not None}


def spend_cap(table: SpendCapTable | None) -> SpendCap | None:
    """Return the limits in *table*."""
    return SpendCap(**table.model_dump()) if table else None


@cache
def _options_of(name: str) -> frozenset[str] | None:
    try:
        return frozenset(registry.load(name).options)
    except registry.FormatError:
        return None  # Told when the daemon loads it: a broken plug-in stops its targets only.


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """
    A provider, complete.

    Attributes:
        key: The credential; empty where there is none.
        key_missing: Why there is none although one is configured; empty otherwise.
        own_options: From the file, for every format that knows them.
        liveness: Seconds between free calls, ``off``, or None where the file does not say.
        balance_key: Token that tells a relay's balance; empty where there is none.
        upstream: What its targets share with others unless they say otherwise.
    """

    spec: ProviderSpec
    preset: Preset | None
    base_url: str
    format: str | None
    own_options: Mapping[str, Any]
    relay: bool
    poll_hosts: tuple[str, ...]
    allow_private_downloads: bool
    liveness: float | Literal["off"] | None
    upstream: str | None
    key: str = field(repr=False)
    balance_key: str = field(repr=False)
    key_missing: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every value that must not be shown."""
        return tuple(filter(None, (self.key, self.balance_key)))

    def options_for(self, wire_format: str, formats: WireFormats) -> dict[str, Any]:
        """Return the options that hold for targets of *wire_format*."""
        is_usual = self.preset is not None and self.preset.format == wire_format
        options = dict(self.preset.options) if self.preset and is_usual else {}
        known = formats.options(wire_format)
        return options | {
            key: value for key, value in self.own_options.items() if known is None or key in known
        }


class Providers:
    """Turns the tables of providers into complete ones, noting problems and origins."""

    def __init__(
        self,
        tables: Mapping[int, ProviderTable],
        formats: WireFormats,
        environ: Mapping[str, str],
        *,
        problems: list[Problem],
        warnings: list[str],
        origins: dict[str, str],
    ) -> None:
        """Add to *problems*, *warnings* and *origins* while resolving *tables*."""
        self._tables = tables
        self._formats = formats
        self._environ = environ
        self._problems = problems
        self._warnings = warnings
        self._origins = origins

    def resolve(self) -> dict[str, Provider]:
        """Return the sound providers by id."""
        made = {}
        for index, table in self._tables.items():
            provider = self._resolve(f"providers[{index}]", table)
            if provider is not None:
                made[table.id] = provider
        return made

    def _resolve(self, path: str, table: ProviderTable) -> Provider | None:
        preset = PRESETS.get(table.preset) if table.preset else None
        if table.preset and preset is None:
            fix = suggestion(table.preset, list(PRESETS))
            self._problem(f"{path}.preset", f"no preset {table.preset!r}", fix)
            return None
        base_url = self._base_url(path, table, preset)
        name = table.format or (preset.format if preset else None)
        if name is not None and name not in self._formats.names:
            fix = suggestion(name, self._formats.names)
            self._problem(f"{path}.format", f"no wire format {name!r}", fix)
        elif name is not None:
            self._formats.check_options(f"{path}.options", name, table.options, self._problems)
        key, key_missing = self._key(path, table, preset)
        balance_key = self._balance_key(table)
        if base_url is None or (name is not None and name not in self._formats.names):
            return None
        self._note_origins(table, preset)
        relay = table.relay if table.relay is not None else bool(preset and preset.relay)
        if table.balance_key is not None and not relay:
            fix = "drop it, or set relay = true if it passes requests on"
            self._problem(f"{path}.balance_key", "is only for relays of the one-api family", fix)
        poll_hosts = preset.poll_hosts if preset else ()
        return Provider(
            spec=ProviderSpec(
                id=table.id,
                zone=table.zone,
                spend_cap=spend_cap(table.spend_cap),
                quota=self._quota(table, preset),
            ),
            preset=preset,
            base_url=base_url,
            format=name,
            own_options=table.options,
            relay=relay,
            poll_hosts=poll_hosts if table.poll_hosts is None else tuple(table.poll_hosts),
            allow_private_downloads=table.allow_private_downloads,
            liveness=table.liveness,
            upstream=table.upstream,
            key=key,
            balance_key=balance_key,
            key_missing=key_missing,
        )

    def _problem(self, path: str, message: str, fix: str = "") -> None:
        self._problems.append(Problem(path, message, fix))

    def _base_url(self, path: str, table: ProviderTable, preset: Preset | None) -> str | None:
        if table.host is not None and table.base_url is not None:
            self._problem(f"{path}.host", "must not be given beside base_url", "drop one of them")
        elif table.host is not None:
            hosts = preset.hosts if preset else {}
            if table.host in hosts:
                return hosts[table.host]
            if not hosts:
                self._problem(
                    f"{path}.host", "no preset gives hosts to choose from", "use base_url"
                )
            else:
                fix = suggestion(table.host, list(hosts))
                self._problem(f"{path}.host", f"preset {table.preset!r} has no such host", fix)
        elif table.base_url is not None:
            return table.base_url
        elif preset is not None:
            return preset.base_url
        else:
            self._problem(f"{path}.base_url", "is required without a preset", "add it, or a preset")
        return None

    def _key(self, path: str, table: ProviderTable, preset: Preset | None) -> tuple[str, str]:
        """Return the key and, where it cannot be had, why."""
        if table.api_key is None:
            if preset is not None:
                fix = f'add api_key = {{ env = "{preset.key_env}" }}'
                self._problem(f"{path}.api_key", f"is required by preset {preset.id!r}", fix)
            return "", ""
        try:
            return resolve(table.api_key, self._environ).reveal(), ""
        except SecretError as error:
            self._warnings.append(f"provider {table.id}: {error}; its targets are not probed")
            return "", str(error)

    def _balance_key(self, table: ProviderTable) -> str:
        """Return the token that tells the balance; empty where it cannot be had."""
        if table.balance_key is None:
            return ""
        try:
            return resolve(table.balance_key, self._environ).reveal()
        except SecretError as error:
            self._warnings.append(f"provider {table.id}: {error}; its balance is not told")
            return ""

    def _quota(self, table: ProviderTable, preset: Preset | None) -> QuotaSpec:
        """Return what the file gives over what the preset knows of its own hosts."""
        default, known, where = QuotaSpec(), QuotaSpec(), ""
        if preset is not None and table.base_url is None:  # Another host has limits of its own.
            known = preset.quota
            where = f"preset {preset.id}: {preset.quota_source or preset.source}"
        given = table.quota.model_dump(exclude_none=True)
        for key, value in quota_values(known).items():
            if key not in given:
                is_default = value == getattr(default, key)
                origin = "default" if is_default else where
                self._origins[f"providers.{table.id}.quota.{key}"] = origin
        return replace(known, **given)

    def _note_origins(self, table: ProviderTable, preset: Preset | None) -> None:
        if preset is None:
            return
        given = {
            "base_url": table.base_url is not None,
            "relay": table.relay is not None,
            "poll_hosts": table.poll_hosts is not None,
        }
        for key, is_given in given.items():
            if not is_given:
                self._origins[f"providers.{table.id}.{key}"] = (
                    f"preset {preset.id}: {preset.source}"
                )

    def check_limits(self, providers: Iterable[ProviderSpec], specs: Iterable[TargetSpec]) -> None:
        """Warn where the planned canaries of a provider exceed what its quota leaves them."""
        per_day: dict[str, float] = defaultdict(float)
        for spec in specs:
            per_day[spec.provider] += 86_400 / spec.interval_s
        for provider in providers:
            self._warnings.extend(shortfalls(provider, per_day[provider.id]))
