"""``imgmon incidents``: what failed, from when to when, straight from the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
from rich import box
from rich.table import Table

from monitor.api.incidents import incident_document
from monitor.cli.common import ConfigProblem, config_option, read_config, show_tables
from monitor.clock import SystemClock
from monitor.config import Config
from monitor.core.incidents import Incident
from monitor.core.words import span, utc
from monitor.errors import StoreError
from monitor.store.history import PAGE_MAX, History, StoredIncident
from monitor.store.reader import Reader


@click.command()
@config_option
@click.option("--open", "only_open", is_flag=True, help="Only those that last.")
@click.option("--target", help="Only those of one target.")
@click.option(
    "--limit", type=click.IntRange(1, PAGE_MAX), default=50, show_default=True, help="At most."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
def command(path: Path, *, only_open: bool, target: str | None, limit: int, as_json: bool) -> None:
    """
    List incidents, the newest first.

    The store is only read, with or without a daemon on it, and nothing is sent.
    """
    found = stored_incidents(read_config(path), target, only_open=only_open, limit=limit)
    if as_json:
        documents = [incident_document(one.incident, one.group_targets) for one in found]
        click.echo(json.dumps(documents, indent=2))
    elif found:
        show_tables(_table(found, SystemClock().wall()))
    else:
        which = "open incident" if only_open else "incident"
        click.echo(f"There is no {which}{f' of {target}' if target else ''}.")


def stored_incidents(
    config: Config, target: str | None, *, only_open: bool, limit: int
) -> Sequence[StoredIncident]:
    """Return the newest incidents; none where there is no store yet."""
    if not config.store_path.exists():
        return ()
    with closing(Reader(config.store_path)) as reader:
        try:
            page, _ = History(reader).incidents(
                target=target, is_open=True if only_open else None, limit=limit
            )
        except StoreError as error:
            raise ConfigProblem(str(error)) from error
    return page


def _table(found: Sequence[StoredIncident], now: float) -> Table:
    table = Table(title="Incidents", box=box.SIMPLE, title_justify="left")
    for heading in ("target", "whose", "error", "since", "until", "lasted", "failures", "notes"):
        table.add_column(heading, overflow="fold", no_wrap=heading in {"whose", "error"})
    for one in found:
        incident = one.incident
        table.add_row(
            incident.target,
            "our account" if incident.scope.value == "monitor_account" else "provider",
            incident.failures.error.value,
            utc(incident.started_at, now),
            _until(incident, now),
            _lasted(incident, now),
            str(incident.failures.count),
            _notes(one),
        )
    return table


def _until(incident: Incident, now: float) -> str:
    if incident.is_open:
        return "open"
    return "not seen" if incident.ended_at is None else utc(incident.ended_at, now)


def _lasted(incident: Incident, now: float) -> str:
    """Return at least and at most how long it lasted, as far as that is known."""
    least = max(0.0, incident.failures.last_at - incident.started_at)
    if incident.is_open:
        return span(max(least, now - incident.started_at))
    if incident.ended_at is None:
        return f"{span(least)} at least"
    return f"{span(least)} to {span(incident.ended_at - incident.started_at)}"


def _notes(one: StoredIncident) -> str:
    notes = []
    if relapses := one.incident.relapses:
        notes.append("1 relapse" if relapses == 1 else f"{relapses} relapses")
    others = [target for target in one.group_targets if target != one.incident.target]
    if others:
        notes.append(f"with {', '.join(others)} ({one.incident.upstream})")
    return "; ".join(notes)
