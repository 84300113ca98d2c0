"""The configuration once read: plain values, ready to be wired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitor.core.retention import Retention
from monitor.core.spec import Policy, PoolSpec, ProviderSpec, SpendCap, TargetSpec
from monitor.secrets import Reference
from probes.model import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """
    Everything the monitor is told.

    Attributes:
        targets: As the driver needs them, with keys; the key is empty where it is missing.
        specs: Target id to what the monitor knows of it, in file order.
        spend_cap: On all probes together.
        listen: Host and port of the API.
        store_path: The SQLite file.
        retention: How long its rows are kept.
        log_format: ``auto``, ``json`` or ``console``.
        secrets: Every value that must not be shown, for redaction.
        key_references: Provider id to where its key is kept.
        balance_references: Provider id to where its token for the balance is kept.
        origins: ``targets.ID.KEY`` or ``providers.ID.KEY`` to where a value that the file does not
            give comes from.
        warnings: What is odd but no error, one sentence each.
        source: Name of the file, for messages.
    """

    targets: tuple[Target, ...]
    specs: Mapping[str, TargetSpec]
    pools: tuple[PoolSpec, ...]
    providers: Mapping[str, ProviderSpec]
    spend_cap: SpendCap | None
    policy: Policy
    listen: tuple[str, int]
    public_read: bool
    store_path: Path
    retention: Retention
    log_format: str
    log_level: str
    vantage: str
    source: str
    secrets: tuple[str, ...] = field(repr=False)
    key_references: Mapping[str, Reference]
    balance_references: Mapping[str, Reference]
    origins: Mapping[str, str]
    warnings: tuple[str, ...]


def cost_per_day(config: Config) -> float:
    """Return what all canaries cost in a day at their worst-case prices, in US dollars."""
    return sum(spec.price_usd * 86_400 / spec.interval_s for spec in config.specs.values())
