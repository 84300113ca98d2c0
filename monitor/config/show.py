"""The effective configuration as TOML that can be loaded again; keys stay references."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from monitor.config.maintenance import maintenance_values
from monitor.config.model import Config, cost_words
from monitor.config.notify import route_values
from monitor.config.providers import quota_values
from monitor.config.values import duration_value
from monitor.core.spec import Objective, SpendCap, TargetSpec
from monitor.secrets import MASK
from probes.model import Target


def _server(config: Config) -> dict[str, object]:
    host, port = config.listen
    return {
        "listen": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "public_read": config.public_read,
        **({"hosts": list(config.hosts)} if config.hosts else {}),
        "tokens": str(config.tokens_path),
    }


def show(config: Config) -> str:
    """Return *config* as TOML: presets filled in with their source and day, keys masked."""
    policy = config.policy
    judging = {}
    for f in fields(policy):
        if f.name != "windows":
            value = getattr(policy, f.name)
            is_time = f.name.endswith("_s")
            judging[f.name.removesuffix("_s")] = duration_value(value) if is_time else value
    lines = [
        f"# {config.source}; {cost_words(config)}",
        f"vantage = {toml(config.vantage)}",
        *_table("[server]", _server(config)),
        *_table("[store]", _store(config)),
        *_table("[reports]", {"per_client_per_minute": config.reports_per_minute}),
        *_table("[log]", {"format": config.log_format, "level": config.log_level}),
        *_table("[windows]", {name: duration_value(s) for name, s in policy.windows.items()}),
        *_table("[judging]", judging),
    ]
    if config.reference_hosts:
        lines += _table("[network]", {"reference_hosts": config.reference_hosts})
    if config.spend_cap is not None:
        lines += _table("[spend_cap]", _limits(config.spend_cap))
    by_provider = {target.provider: target for target in config.targets}
    for provider_id in config.providers:
        lines += _provider(config, provider_id, by_provider.get(provider_id))
    for target in config.targets:
        lines += _target(config, target, config.specs[target.id])
    for pool in config.pools:
        profiles = [{"name": p.name, "usd_per_second": p.usd_per_second} for p in pool.profiles]
        values = {"id": pool.id, "profile": pool.profile, "slo": _objective(pool.slo)}
        lines += _table("[[pools]]", values | {"profiles": profiles})
    for values in maintenance_values(config.specs):
        lines += _table("[[maintenance]]", values)
    for outlet in config.routes:
        values = route_values(outlet)
        comments = dict.fromkeys(outlet.references, MASK if outlet.place else "not available")
        lines += _table("[[routes]]", values, comments)
    return "\n".join(lines)


def _store(config: Config) -> dict[str, Any]:
    return {
        "path": str(config.store_path),
        "keep_probes": duration_value(config.retention.probes_s),
        "keep_free_calls": duration_value(config.retention.free_calls_s),
        "keep_reports": duration_value(config.retention.reports_s),
    }


def _provider(config: Config, provider_id: str, target: Target | None) -> Iterator[str]:
    cap = config.providers[provider_id].spend_cap
    reference = config.key_references.get(provider_id)
    values: dict[str, Any] = {"id": provider_id}
    comments = {}
    if target is not None:
        values |= {
            "base_url": target.base_url,
            "relay": target.relay,
            "poll_hosts": list(target.poll_hosts),
            "allow_private_downloads": target.allow_private_downloads,
        }
        comments["api_key"] = MASK if target.api_key else "not available"
        if (balance := config.balance_references.get(provider_id)) is not None:
            values["balance_key"] = {balance.kind: balance.place}
            comments["balance_key"] = MASK if target.balance_key else "not available"
    else:
        # Nothing is known of what no target uses; a file must name some place all the same.
        values["base_url"] = "http://localhost"
        comments["base_url"] = "no target uses this provider"
    if (zone := config.providers[provider_id].zone) is not None:
        values["zone"] = str(zone)
    if reference is not None:
        values["api_key"] = {reference.kind: reference.place}
    if cap is not None:
        values["spend_cap"] = _limits(cap)
    origins = _origins(config, "providers", provider_id)
    yield from _table("[[providers]]", values, comments | origins)
    quota = quota_values(config.providers[provider_id].quota)
    comments = {key.removeprefix("quota."): origin for key, origin in origins.items()}
    yield from _table("[providers.quota]", quota | {"resets": str(quota["resets"])}, comments)


def _target(config: Config, target: Target, spec: TargetSpec) -> Iterator[str]:
    values: dict[str, Any] = {
        "id": target.id,
        "provider": target.provider,
        "model": target.model,
        "format": target.format,
        "price_usd": target.price_usd,
        "interval": duration_value(spec.interval_s),
        "deadline": duration_value(spec.deadline_s),
        "liveness": "off" if spec.liveness_s is None else duration_value(spec.liveness_s),
        "pools": [pool.id for pool in config.pools if target.id in pool.targets],
        "claim": _objective(spec.claim),
        "options": target.options,
    }
    if spec.is_batch:
        values["poll"] = duration_value(spec.poll_s)
    if spec.upstream is not None:
        values["upstream"] = spec.upstream
    if target.size is not None:
        values["size"] = f"{target.size[0]}x{target.size[1]}"
    if target.quality is not None:
        values["quality"] = target.quality
    if spec.batch_price_usd is not None:
        values["batch_price_usd"] = spec.batch_price_usd
    if spec.spend_cap is not None:
        values["spend_cap"] = _limits(spec.spend_cap)
    return _table("[[targets]]", values, _origins(config, "targets", target.id))


def _origins(config: Config, section: str, entry: str) -> dict[str, str]:
    prefix = f"{section}.{entry}."
    return {
        path.removeprefix(prefix): origin
        for path, origin in config.origins.items()
        if path.startswith(prefix)
    }


def _objective(objective: Objective) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if objective.availability is not None:
        values["availability"] = objective.availability
    if objective.latency_p95_s is not None:
        values["latency_p95"] = duration_value(objective.latency_p95_s)
    return values


def _limits(cap: SpendCap) -> dict[str, float]:
    return {key: usd for key, usd in asdict(cap).items() if usd is not None}


def _table(
    header: str, values: Mapping[str, Any], comments: Mapping[str, str] | None = None
) -> Iterator[str]:
    yield from ("", header)
    for key, value in values.items():
        if value == {}:
            continue
        comment = (comments or {}).get(key)
        yield f"{_key(key)} = {toml(value)}" + (f"  # {comment}" if comment else "")


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if is_bare else toml(key)


def toml(value: Any) -> str:
    """Return *value* (text, number, bool, time, list or mapping of such) as an inline TOML value."""
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for the one control character that JSON leaves alone.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {toml(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)
