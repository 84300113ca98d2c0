"""Announced maintenance: from its tables to the targets that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from monitor.config.schema import MaintenanceTable
from monitor.config.values import weekly_text
from monitor.core.maintenance import Maintenance, Weekly
from monitor.core.spec import TargetSpec

_UTC: Final = ZoneInfo("UTC")


def with_maintenance(
    specs: Mapping[str, TargetSpec],
    tables: Sequence[MaintenanceTable],
    check: Callable[[str, str, str], bool],
) -> dict[str, TargetSpec]:
    """
    Return *specs*, each with the maintenance that names it or its provider, in file order.

    *check* is told path, name and section of every reference and notes those that lead nowhere.
    """
    found = dict(specs)
    for index, table in enumerate(tables):
        for section, names in (("targets", table.targets), ("providers", table.providers)):
            for number, name in enumerate(names):
                check(f"maintenance[{index}].{section}[{number}]", name, section)
        rule = _rule(table)
        for target_id, spec in found.items():
            is_named = target_id in table.targets or spec.provider in table.providers
            if is_named and rule not in spec.maintenance:
                found[target_id] = replace(spec, maintenance=(*spec.maintenance, rule))
    return found


def maintenance_values(specs: Mapping[str, TargetSpec]) -> list[dict[str, Any]]:
    """Return tables that :func:`with_maintenance` reads as the maintenance of *specs*."""
    targets: dict[Maintenance, list[str]] = {}
    for target_id, spec in specs.items():
        for rule in spec.maintenance:
            targets.setdefault(rule, []).append(target_id)
    return [_values(rule, names) for rule, names in targets.items()]


def _values(rule: Maintenance, targets: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"targets": targets}
    for key, at in (("from", rule.since), ("until", rule.until)):
        if at is not None:
            values[key] = datetime.fromtimestamp(at, UTC)
    if (weekly := rule.weekly) is not None:
        values["weekly"] = weekly_text(weekly.weekday, weekly.start_s, weekly.end_s)
        values["zone"] = weekly.zone.key
    return values


def _rule(table: MaintenanceTable) -> Maintenance:
    weekly = None
    if table.weekly is not None:
        weekday, start_s, end_s = table.weekly
        zone = table.zone or _UTC
        weekly = Weekly(weekday=weekday, start_s=start_s, end_s=end_s, zone=zone)
    return Maintenance(since=table.since, until=table.until, weekly=weekly)
