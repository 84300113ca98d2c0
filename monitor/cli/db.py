"""``imgmon db``: verify, back up, prune and upgrade the store."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress

from monitor import logs
from monitor.cli import STORE_BAD
from monitor.cli.common import ConfigProblem, config_option, read_config
from monitor.clock import SystemClock
from monitor.core.retention import Cutoffs, cutoffs
from monitor.errors import StoreError
from monitor.secrets import Redactor
from monitor.store.backup import back_up
from monitor.store.lock import StoreLock
from monitor.store.migrations import STEPS, schema_version
from monitor.store.pruning import prunable, sorts
from monitor.store.reader import Reader
from monitor.store.verify import checks
from monitor.store.writer import Writer
from monitor.upkeep import Upkeep

json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="JSON instead of sentences."
)


@click.group()
def command() -> None:
    """Verify, back up, prune or upgrade the store; a daemon may be running, but for an upgrade."""


@command.command()
@config_option
@json_option
def verify(path: Path, as_json: bool) -> None:
    """
    Check the file, its roll-ups against its rows, and its ledger against the bills.

    Changes nothing. Exit code 1 when something is wrong.
    """
    store = _store(path)
    with _told(), closing(Reader(store)) as reader, reader.snapshot() as connection:
        done, wrong = 0, list[dict[str, str]]()
        with _bar() as bar:
            asked = checks(connection)
            task = bar.add_task("verifying", total=len(asked))
            for name, check in asked:
                bar.update(task, description=name)
                wrong += [{"check": name, "problem": text} for text in check()]
                done += 1
                bar.advance(task)
    if as_json:
        click.echo(json.dumps({"store": str(store), "checks": done, "problems": wrong}, indent=2))
    else:
        for problem in wrong:
            click.echo(f"{problem['check']}: {problem['problem']}")
        click.echo(f"{store}: {done} checks, {len(wrong) or 'no'} problems.")
    if wrong:
        raise SystemExit(STORE_BAD)


@command.command()
@click.argument("to", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace DEST if it is there.")
@config_option
@json_option
def backup(to: Path, force: bool, path: Path, as_json: bool) -> None:
    """Copy the store to the file DEST, as of now, and check the copy."""
    store = _store(path)
    with _told():
        _back_up(store, to, replaces=force)
    size = to.stat().st_size
    _say({"store": str(store), "backup": str(to), "bytes": size}, as_json, f"{to}: {size} bytes.")


@command.command()
@click.option("--dry-run", is_flag=True, help="Count what would go, and change nothing.")
@config_option
@json_option
def prune(dry_run: bool, path: Path, as_json: bool) -> None:
    """
    Remove rows that are older than store.keep_probes and store.keep_free_calls.

    A daemon does so by itself once an hour. Totals stay; room that is freed is used for new rows.
    """
    config = read_config(path)
    store, clock = _store(path), SystemClock()
    with _told(), closing(Reader(store)) as reader:
        with reader.snapshot() as connection:
            if (version := schema_version(connection, store)) != len(STEPS):
                raise StoreError(f"{store} has schema version {version}; run imgmon db upgrade")
            cut = cutoffs(config.retention, clock.wall())
            counts = {sort.name: prunable(connection, sort) for sort in sorts(cut)}
        removed = 0
        if not dry_run:
            with closing(Writer(store)) as writer, _bar() as bar:
                writer.start()
                upkeep = Upkeep(store, writer, reader, retention=config.retention, clock=clock)
                task = bar.add_task("pruning", total=sum(counts.values()))
                removed = asyncio.run(upkeep.prune(partial(bar.advance, task)))
    text = f"{sum(counts.values())} rows may go." if dry_run else f"{removed} rows are gone."
    _say(_pruned(store, cut, counts, removed), as_json, text)


@command.command()
@config_option
@json_option
def upgrade(path: Path, as_json: bool) -> None:
    """
    Bring the store to the schema of this imgmon, with a backup beside it first.

    A daemon does so by itself when it starts, without a backup. None may be running.
    """
    store = _store(path)
    kept: Path | None = None
    with _told(), StoreLock(store):
        with closing(Reader(store)) as reader, reader.snapshot() as connection:
            version = schema_version(connection, store)
        if version < len(STEPS):
            kept = store.with_name(f"{store.name}.v{version}")
            _back_up(store, kept, replaces=False)
            with closing(Writer(store)) as writer:
                writer.start()
    text = (
        f"{store}: from schema version {version} to {len(STEPS)}; {kept} is what it was."
        if kept
        else f"{store} has schema version {version}, the newest."
    )
    said = {"store": str(store), "from": version, "to": len(STEPS), "backup": kept and str(kept)}
    _say(said, as_json, text)


def _store(path: Path) -> Path:
    config = read_config(path)
    logs.configure("auto", "error", Redactor(config.secrets), sys.stderr)
    store = config.store_path
    if not store.exists():
        raise ConfigProblem(f"there is no store {store} yet; imgmon run makes it")
    return store


@contextmanager
def _told() -> Iterator[None]:
    """End the command with what cannot be done, exit code 2."""
    try:
        yield
    except (StoreError, sqlite3.Error) as error:
        raise ConfigProblem(str(error)) from error


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar on a terminal, else nothing."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


def _back_up(store: Path, to: Path, *, replaces: bool) -> None:
    with _bar() as bar:
        task = bar.add_task("copying", total=None)
        back_up(
            store,
            to,
            replaces=replaces,
            told=lambda left, pages: bar.update(task, total=pages, completed=pages - left),
        )


def _pruned(store: Path, cut: Cutoffs, counts: dict[str, int], removed: int) -> dict[str, Any]:
    return {
        "store": str(store),
        "before": {"probes": cut.probes, "free_calls": cut.free_calls, "ledger": cut.ledger},
        "may_go": counts,
        "removed": removed,
    }


def _say(values: dict[str, Any], as_json: bool, text: str) -> None:
    click.echo(json.dumps(values, indent=2) if as_json else text)
