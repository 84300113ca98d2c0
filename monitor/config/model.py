"""The configuration once read: plain values, ready to be wired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitor.config.notify import Outlet
from monitor.core.plan import MONTH_DAYS, Cap, Plan, plan
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
        public_read: Reading asks for no token wherever it is listened on.
        hosts: Further names by which a daemon that listens on loopback may be called.
        tokens_path: The file of hashed tokens.
        store_path: The SQLite file.
        retention: How long its rows are kept.
        reports_per_minute: How many one client may send.
        log_format: ``auto``, ``json`` or ``console``.
        reference_hosts: URLs of hosts that tell whether our own network is up.
        routes: Whom to tell of what.
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
    hosts: tuple[str, ...]
    tokens_path: Path
    store_path: Path
    retention: Retention
    reports_per_minute: int
    log_format: str
    log_level: str
    vantage: str
    reference_hosts: tuple[str, ...]
    routes: tuple[Outlet, ...]
    source: str
    secrets: tuple[str, ...] = field(repr=False)
    key_references: Mapping[str, Reference]
    balance_references: Mapping[str, Reference]
    origins: Mapping[str, str]
    warnings: tuple[str, ...]


def plan_of(config: Config) -> Plan:
    """Return what probing as configured costs, finds and proves."""
    return plan(tuple(config.specs.values()), config.policy, _caps_of(config), config.providers)


def _caps_of(config: Config) -> list[Cap]:
    """Return every cap on canaries that *config* sets, by day and by month."""
    specs = config.specs.values()
    limits = [("all probes", config.spend_cap, frozenset(config.specs))]
    limits += [
        (f"provider {p.id}", p.spend_cap, frozenset(s.id for s in specs if s.provider == p.id))
        for p in config.providers.values()
    ]
    limits += [(f"target {s.id}", s.spend_cap, frozenset({s.id})) for s in specs]
    return [
        Cap(name=name, targets=targets, usd=usd, days=days)
        for name, cap, targets in limits
        if cap is not None
        for usd, days in ((cap.usd_per_day, 1), (cap.usd_per_month, MONTH_DAYS))
        if usd is not None
    ]


def cost_words(config: Config) -> str:
    """Return what the canaries cost a day at list price, and what caps and quotas leave of it."""
    targets = plan_of(config).targets
    listed = f"${sum(target.usd_per_day for target in targets):.2f}"
    left = f"${sum(target.left_usd_per_day for target in targets):.2f}"
    words = f"canaries cost up to {listed} a day"
    return words if left == listed else f"{words}, of which caps and quotas leave {left}"
