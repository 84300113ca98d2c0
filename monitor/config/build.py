"""From checked tables to a Config: references, presets, keys, and the rules between entries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from monitor.clock import SystemClock
from monitor.config.file import Tables, decode, read_tables, read_toml, suggestion
from monitor.config.maintenance import with_maintenance
from monitor.config.model import Config
from monitor.config.notify import outlets
from monitor.config.providers import Provider, Providers, WireFormats, spend_cap
from monitor.config.retention import retention
from monitor.config.schema import ObjectiveTable, PoolTable, TargetTable
from monitor.config.timing import Timing, mixed_pools
from monitor.config.values import duration_text, tokens_path
from monitor.core.spec import PROFILES, WINDOWS, Objective, Policy, PoolSpec, Profile, TargetSpec
from monitor.errors import ConfigError, Problem
from monitor.limits import CONFIG_BYTES_MAX, LIVENESS_S_DEFAULT
from monitor.presets import knowing
from monitor.secrets import Redactor, Reference
from probes.model import ErrorClass, Target

_WINDOW_S_MAX: Final = 400 * 86_400.0
_PLACE: Final = re.compile(r"(\w+)(?:\[(\d+)\])?")
_SECTIONS: Final = ("providers", "targets", "pools")
_SPANS: Final = ("dwell", "confirm", "backoff_max", "relapse")  # Keys of [judging] in time.


def load(path: Path, environ: Mapping[str, str], *, today: date | None = None) -> Config:
    """
    Return the configuration in the file at *path*.

    Args:
        path: A TOML file.
        environ: Where keys given as ``{ env = "NAME" }`` are looked up.
        today: Day that shutdown days are compared with; None for the machine's (UTC).

    Raises:
        ConfigError: the file cannot be read or used; holds every problem.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        fix = "start from monitor.example.toml" if isinstance(error, FileNotFoundError) else ""
        problem = Problem("", f"cannot read {path}: {error.strerror}", fix)
        raise ConfigError([problem]) from error
    if today is None:
        today = datetime.fromtimestamp(SystemClock().wall(), UTC).date()
    return parse(decode(raw), environ, str(path), today=today)


def parse(
    text: str, environ: Mapping[str, str], source: str, *, today: date | None = None
) -> Config:
    """
    Return the configuration in *text*; a missing key makes targets unusable, it is no error.

    Args:
        text: TOML.
        environ: As for :func:`load`.
        source: Name of the text, for messages.
        today: As for :func:`load`; None compares no days.

    Raises:
        ConfigError: the text cannot be used; holds every problem, in file order.
    """
    if len(text) > CONFIG_BYTES_MAX:
        decode(text.encode())
    tables, wrong = read_tables(read_toml(text))
    problems: list[Problem] = []
    config = _Builder(tables, environ, today, problems).build(source)
    # An unsound value was left out; that it is missing now is no problem of its own.
    told = {problem.path for problem in wrong}
    problems = wrong + [p for p in problems if told.isdisjoint(_ways_to(p.path))]
    if problems:
        redact = Redactor(config.secrets)
        raise ConfigError(
            Problem(p.path, redact(p.message), redact(p.fix))
            for p in sorted(dict.fromkeys(problems), key=_file_order)
        )
    return config


def _ways_to(path: str) -> set[str]:
    """Return *path* and every path above it below its table."""
    return {path[: m.start()] for m in re.finditer(r"[.\[]", path)} - {""} | {path}


def _file_order(problem: Problem) -> tuple[int, int]:
    place = _PLACE.match(problem.path)
    if place is None or place[1] not in _SECTIONS:
        return (-1, 0)
    return (_SECTIONS.index(place[1]), int(place[2] or -1))


def _objective(table: ObjectiveTable) -> Objective:
    return Objective(availability=table.availability, latency_p95_s=table.latency_p95)


class _Builder:
    """Builds as much as can be built; what cannot be becomes a problem."""

    def __init__(
        self,
        tables: Tables,
        environ: Mapping[str, str],
        today: date | None,
        problems: list[Problem],
    ) -> None:
        self._tables = tables
        self._today = today
        self._environ = environ
        self._problems = problems
        self._warnings: list[str] = []
        self._origins: dict[str, str] = {}
        self._formats = WireFormats()
        self._providers = Providers(
            tables.providers,
            self._formats,
            environ,
            problems=problems,
            warnings=self._warnings,
            origins=self._origins,
        )

    def build(self, source: str) -> Config:
        """Return the configuration, which is sound only if no problem was found."""
        for section in (self._tables.providers, self._tables.targets, self._tables.pools):
            self._check_unique(section)
        windows = self._windows()
        self._check_store()
        providers = self._providers.resolve()
        targets, specs = [], {}
        for index, table in self._tables.targets.items():
            made = self._target(f"targets[{index}]", table, providers)
            if made is not None:
                targets.append(made[0])
                specs[table.id] = made[1]
        specs = with_maintenance(specs, self._tables.rest.maintenance, self._check_reference)
        self._providers.check_limits((p.spec for p in providers.values()), specs.values())
        pools = tuple(self._pool(f"pools[{i}]", t) for i, t in self._tables.pools.items())
        self._warnings.extend(mixed_pools(pools, specs))
        rest = self._tables.rest
        judging = rest.judging.model_dump()
        routes = outlets(
            rest.routes, specs, pools, self._environ,
            check=self._check_reference, problems=self._problems, warnings=self._warnings,
        )  # fmt: skip
        secrets = [s for p in providers.values() for s in p.secrets]
        secrets += [secret for outlet in routes for secret in outlet.secrets]
        return Config(
            targets=tuple(targets),
            specs=specs,
            pools=pools,
            providers={provider_id: p.spec for provider_id, p in providers.items()},
            spend_cap=spend_cap(rest.spend_cap),
            policy=Policy(
                windows=windows,
                **{f"{name}_s": judging.pop(name) for name in _SPANS},
                **judging,
            ),
            listen=rest.server.listen,
            public_read=rest.server.public_read,
            hosts=tuple(rest.server.hosts),
            tokens_path=tokens_path(rest.server.tokens, rest.store.path),
            store_path=Path(rest.store.path),
            retention=retention(rest.store, windows, self._problems),
            reports_per_minute=rest.reports.per_client_per_minute,
            log_format=rest.log.format,
            log_level=rest.log.level,
            vantage=rest.vantage,
            reference_hosts=tuple(rest.network.reference_hosts),
            routes=routes,
            source=source,
            secrets=tuple(dict.fromkeys(secrets)),
            key_references=self._references("api_key"),
            balance_references=self._references("balance_key"),
            origins=self._origins,
            warnings=tuple(self._warnings),
        )

    def _references(self, key: str) -> dict[str, Reference]:
        found = {t.id: getattr(t, key) for t in self._tables.providers.values()}
        return {provider_id: place for provider_id, place in found.items() if place is not None}

    def _problem(self, path: str, message: str, fix: str = "") -> None:
        self._problems.append(Problem(path, message, fix))

    def _check_unique(self, section: Mapping[int, object]) -> None:
        name = next(s for s in _SECTIONS if getattr(self._tables, s) is section)
        first: dict[str, int] = {}
        for index, table in section.items():
            table_id: str = table.id  # type: ignore[attr-defined] # Every list table has one.
            if table_id in first:
                where = f"{name}[{first[table_id]}]"
                self._problem(
                    f"{name}[{index}].id", f"{table_id!r} is {where} already", "rename one"
                )
            first.setdefault(table_id, index)

    def _windows(self) -> Mapping[str, float]:
        windows = self._tables.rest.windows
        if windows is None:
            return WINDOWS
        lengths = list(windows.items())
        for (before, shorter), (name, length) in pairwise(lengths):
            if length <= shorter:
                self._problem(
                    f"windows.{name}", f"must be longer than {before}", "list the shortest first"
                )
        for name, length in lengths:
            if length > _WINDOW_S_MAX:
                self._problem(f"windows.{name}", f"must be at most {duration_text(_WINDOW_S_MAX)}")
        return windows

    def _check_store(self) -> None:
        store = self._tables.rest.store
        if store.path == ":memory:" or store.path.startswith("file:") or "\0" in store.path:
            self._problem("store.path", "must be the name of a file", 'write "imgmon.db"')

    def _target(
        self, path: str, table: TargetTable, providers: Mapping[str, Provider]
    ) -> tuple[Target, TargetSpec] | None:
        """Return the two sides of a target; None when its provider is not sound."""
        provider = providers.get(table.provider)
        name = table.format or (provider.format if provider else None)
        is_batch = name is not None and self._formats.is_batch(name)
        timing = Timing(path, table, self._problems, self._origins, is_batch=is_batch)
        deadline_s = timing.deadline()
        for index, pool in enumerate(table.pools):
            self._check_reference(f"{path}.pools[{index}]", pool, "pools")
        if not self._check_reference(f"{path}.provider", table.provider, "providers"):
            return None
        if provider is None:
            return None
        wire_format = self._format(path, table, provider)
        price_usd = self._price(path, table, provider, is_batch=is_batch)
        poll_s = timing.poll(deadline_s)
        if wire_format is None or price_usd is None:
            return None
        self._check_shutdown(table, provider)
        target = Target(
            id=table.id,
            provider=table.provider,
            format=wire_format,
            base_url=provider.base_url,
            model=table.model,
            api_key=provider.key,
            size=table.size,
            quality=table.quality,
            options=provider.options_for(wire_format, self._formats) | table.options,
            price_usd=price_usd,
            relay=provider.relay,
            poll_hosts=provider.poll_hosts,
            allow_private_downloads=provider.allow_private_downloads,
            deadline_s=deadline_s,
            balance_key=provider.balance_key,
        )
        spec = TargetSpec(
            id=table.id,
            provider=table.provider,
            model=table.model,
            base_url=provider.base_url,
            format=wire_format,
            price_usd=price_usd,
            batch_price_usd=None if is_batch else self._batch_price(table, provider),
            interval_s=table.interval,
            deadline_s=deadline_s,
            liveness_s=self._liveness_s(path, table, provider, wire_format),
            is_batch=is_batch,
            poll_s=poll_s,
            upstream=table.upstream or provider.upstream,
            claim=_objective(table.claim),
            spend_cap=spend_cap(table.spend_cap),
        )
        if provider.key_missing:
            spec = replace(spec, unusable=ErrorClass.AUTH, unusable_detail=provider.key_missing)
        return target, spec

    def _check_reference(self, path: str, name: str, section: str) -> bool:
        known = self._tables.named.get(section)
        if known is None:
            return False
        if name not in known:
            fix = suggestion(name, sorted(known)) or f"add it to [[{section}]]"
            self._problem(path, f"no {section.removesuffix('s')} has the id {name!r}", fix)
        return name in known

    def _liveness_s(
        self, path: str, table: TargetTable, provider: Provider, wire_format: str
    ) -> float | None:
        """Return the seconds between two free calls; None where none are made."""
        lacks = ""
        if not self._formats.has_free_call(wire_format):
            lacks = f"wire format {wire_format!r} has no free call"
        elif not provider.key and not provider.key_missing:
            lacks = f"provider {table.provider!r} has no api_key that a free call could prove"
        if lacks and table.liveness not in (None, "off"):
            self._problem(f"{path}.liveness", lacks, 'drop it, or write "off"')
        every = provider.liveness if table.liveness is None else table.liveness
        if every is None:
            self._origins[f"targets.{table.id}.liveness"] = lacks or "default"
            every = LIVENESS_S_DEFAULT
        return None if every == "off" or lacks else every

    def _format(self, path: str, table: TargetTable, provider: Provider) -> str | None:
        name = table.format or provider.format
        if name is None:
            fix = f"known: {', '.join(self._formats.names)}"
            self._problem(f"{path}.format", f"is required: {provider.spec.id} has none", fix)
            return None
        if table.format is not None and name not in self._formats.names:
            fix = suggestion(name, self._formats.names)
            self._problem(f"{path}.format", f"no wire format {name!r}", fix)
            return None
        self._formats.check_options(f"{path}.options", name, table.options, self._problems)
        return name

    def _price(
        self, path: str, table: TargetTable, provider: Provider, *, is_batch: bool
    ) -> float | None:
        given = table.batch_price_usd if is_batch and table.price_usd is None else table.price_usd
        if given is not None:
            return given
        model = provider.preset and provider.preset.model(table.model)
        price_of = model and (model.batch_price if is_batch else model.price)
        price = price_of(table.size, table.quality) if price_of else None
        if model and price is not None and provider.preset:
            where = f"preset {provider.preset.id}: {model.source}"
            self._origins[f"targets.{table.id}.price_usd"] = where
            return price
        if model and provider.preset:
            kind = "batch price" if is_batch else "price"
            what = f"preset {provider.preset.id} has no {kind} of {table.model} in that size and "
            message = f"is required: {what}quality"
        else:
            elsewhere = knowing(table.model)
            who = f"presets that know it: {', '.join(elsewhere)}" if elsewhere else "no preset does"
            message = f"is required: provider {table.provider!r} knows no {table.model!r} ({who})"
        self._problem(f"{path}.price_usd", message, "set what one picture costs")
        return None

    def _batch_price(self, table: TargetTable, provider: Provider) -> float | None:
        model = provider.preset and provider.preset.model(table.model)
        if table.batch_price_usd is not None or not model or not provider.preset:
            return table.batch_price_usd
        price = model.batch_price(table.size, table.quality)
        if price is not None:
            where = f"preset {provider.preset.id}: {model.source}"
            self._origins[f"targets.{table.id}.batch_price_usd"] = where
        return price

    def _check_shutdown(self, table: TargetTable, provider: Provider) -> None:
        model = provider.preset and provider.preset.model(table.model)
        if not (model and model.shutdown and self._today and model.shutdown <= self._today):
            return
        self._warnings.append(
            f"target {table.id}: {table.model} was to be shut down on {model.shutdown} "
            f"({model.note or model.source})"
        )

    def _pool(self, path: str, table: PoolTable) -> PoolSpec:
        profiles = {profile.name: profile for profile in PROFILES}
        own: set[str] = set()
        for index, profile in enumerate(table.profiles):
            if profile.name in own:
                self._problem(f"{path}.profiles[{index}].name", f"{profile.name!r} comes twice")
            own.add(profile.name)
            profiles[profile.name] = replace(
                profiles.get(profile.name, Profile(name=profile.name, usd_per_second=0.0)),
                usd_per_second=profile.usd_per_second,
            )
        if table.profile not in profiles:
            fix = suggestion(table.profile, list(profiles))
            self._problem(f"{path}.profile", f"no profile {table.profile!r}", fix)
        if table.id not in self._tables.pooled:
            fix = f'add pools = ["{table.id}"] to a target'
            self._problem(path, f"pool {table.id!r} has no targets", fix)
        return PoolSpec(
            id=table.id,
            targets=tuple(_members(table.id, self._tables.targets.values())),
            slo=_objective(table.slo),
            profile=table.profile,
            profiles=tuple(profiles.values()),
        )


def _members(pool: str, targets: Iterable[TargetTable]) -> Iterable[str]:
    return dict.fromkeys(target.id for target in targets if pool in target.pools)
