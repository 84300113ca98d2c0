"""``imgmon results``: the newest stored probes of one target."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from monitor.api.routes import PAGE_MAX, result_document
from monitor.cli.common import (
    ConfigProblem,
    NothingToRead,
    config_option,
    read_config,
    show_tables,
)
from monitor.clock import SystemClock
from monitor.core.words import utc
from monitor.errors import StoreError
from monitor.store.reader import Reader
from probes.model import Outcome, ProbeKind, ProbeResult

_COLOURS = {
    Outcome.GOOD: "green",
    Outcome.BAD: "red",
    Outcome.UNUSABLE: "magenta",
    Outcome.VOID: "dim",
}


@click.command()
@click.argument("target")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, PAGE_MAX))
@click.option("--kind", type=click.Choice([kind.value for kind in ProbeKind]), default=None)
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
def command(target: str, limit: int, kind: str | None, path: Path, as_json: bool) -> None:
    """
    Print the newest probes of TARGET from the store, newest first.

    The store is only read; a target that is no longer configured keeps its rows. Exit code 3 when
    there is no store yet.
    """
    config = read_config(path)
    if not config.store_path.exists():
        raise NothingToRead(f"nothing is measured yet: no store at {config.store_path}")
    with closing(Reader(config.store_path)) as reader:
        try:
            rows, _ = reader.results(target, None, limit, ProbeKind(kind) if kind else None)
        except StoreError as error:
            raise ConfigProblem(str(error)) from error
    if not rows and target not in config.specs:
        raise ConfigProblem(f"No target {target}; there are: {', '.join(config.specs)}.")
    if as_json:
        click.echo(json.dumps([result_document(row) for row in rows], indent=2))
    elif rows:
        show_tables(_table(rows, target, SystemClock().wall()))
    else:
        click.echo(f"No {kind or 'probe'} of {target} is stored yet.")


def _table(rows: Sequence[ProbeResult], target: str, now: float) -> Table:
    table = Table(title=f"Newest probes of {target}", box=box.SIMPLE, title_justify="left")
    for heading in ("time", "kind", "reason", "result", "latency", "cost"):
        table.add_column(heading, no_wrap=True)
    table.add_column("detail", overflow="fold")
    for row in rows:
        result = row.error.value if row.error else "good"
        table.add_row(
            utc(row.started_at, now),
            row.kind.value,
            row.reason.value,
            f"[{_COLOURS[row.outcome]}]{result}[/]",
            "" if row.latency_s is None else f"{row.latency_s:.2f} s",
            f"${row.cost_usd:.4f}" if row.cost_usd else "",
            escape(_detail(row)),
        )
    return table


def _detail(row: ProbeResult) -> str:
    """Return what is known beyond the class: status, where it struck, and the words of it."""
    status = f"HTTP {row.http_status}" if row.http_status and row.error else ""
    phase = f"in {row.failed_phase.value}" if row.failed_phase else ""
    return ", ".join(filter(None, [status, phase, row.detail]))
