"""``imgmon batches``: the batch jobs under way, and their end on request."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from monitor import logs
from monitor.api.encode import timestamp
from monitor.app import Daemon
from monitor.cli import PROVIDER_BAD
from monitor.cli.common import ConfigProblem, config_option, read_config, show_tables
from monitor.clock import SystemClock
from monitor.config import Config
from monitor.core.batch import Job, Stage
from monitor.core.words import span
from monitor.errors import StoreError, StoreHeldError
from monitor.secrets import Redactor
from monitor.store import batches as rows
from monitor.store.reader import Reader
from monitor.store.writer import Writer


@click.group(invoke_without_command=True)
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
@click.pass_context
def command(context: click.Context, path: Path, as_json: bool) -> None:
    """
    List the batch jobs under way, from the store; or cancel one.

    Without a subcommand the store is only read, and nothing is sent.
    """
    context.obj = path
    if context.invoked_subcommand is not None:
        return
    jobs = open_jobs(read_config(path))
    now = SystemClock().wall()
    if as_json:
        click.echo(json.dumps([_json(job) for job in jobs], indent=2))
    elif jobs:
        show_tables(_table(jobs, now))
    else:
        click.echo("No batch job is under way.")


@command.command()
@click.argument("job_id", metavar="JOB")
@click.option(
    "--config", "own", type=click.Path(path_type=Path), help="Configuration file, as above."
)
@click.pass_obj
def cancel(path: Path, job_id: str, own: Path | None) -> None:
    """
    Cancel JOB, given by its probe's id or the provider's name of it.

    Its result says nothing of the provider; its money stays booked. A running daemon does it at its
    next turn; without one it is done now. Exit code 1 when the provider could not be reached.
    """
    config = read_config(own or path)
    jobs = open_jobs(config)
    job = next((job for job in jobs if job_id in (job.probe_id, job.name)), None)
    if job is None:
        under_way = ", ".join(job.probe_id for job in jobs) or "none"
        raise ConfigProblem(f"No batch job {job_id} is under way; there are: {under_way}.")
    logs.configure("auto", "error", Redactor(config.secrets), sys.stderr)
    try:
        left = asyncio.run(_cancel_now(config, job))
    except StoreHeldError:
        request(config, job)
        click.echo(f"{job.probe_id}: the running daemon cancels it within seconds.")
        return
    except StoreError as error:
        raise ConfigProblem(str(error)) from error
    if left is None:
        click.echo(f"{job.probe_id}: cancelled and deleted.")
        return
    what = "cancelled, but not deleted" if left.stage is Stage.OVER else "not cancelled"
    click.echo(f"{job.probe_id}: {what} yet; the daemon goes on with it when it runs.")
    raise SystemExit(PROVIDER_BAD)


def open_jobs(config: Config) -> list[Job]:
    """Return the jobs whose result is not known yet, oldest first."""
    if not config.store_path.exists():
        return []
    with closing(Reader(config.store_path)) as reader:
        try:
            return [job for job in reader.batch_jobs() if job.stage is Stage.OPEN]
        except StoreError as error:
            raise ConfigProblem(str(error)) from error


def request(config: Config, job: Job) -> None:
    """Note in the store of a running daemon that *job* is to be cancelled."""
    now = SystemClock().wall()
    with closing(Writer(config.store_path)) as writer:
        writer.start()
        writer.ask(lambda c: rows.request_cancel(c, job.probe_id, now)).result()


async def _cancel_now(config: Config, job: Job) -> Job | None:
    """Cancel and delete *job* without a daemon; return it as it is left, None when it is closed."""
    clock = SystemClock()
    daemon = Daemon(config, clock=clock, rng=random.Random())
    try:
        await daemon.open()
        now = clock.wall()
        asked = daemon.writer.ask(lambda c: rows.request_cancel(c, job.probe_id, now))
        await asyncio.wrap_future(asked)
        return await daemon.batches.settle(job.probe_id)
    finally:
        await daemon.stop()


def _table(jobs: Sequence[Job], now: float) -> Table:
    table = Table(title="Batch jobs under way", box=box.SIMPLE, title_justify="left")
    for heading in ("job", "target", "state", "since", "left", "looks", "the provider's name"):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        table.add_row(
            job.probe_id,
            job.target_id,
            _state(job),
            span(max(0.0, now - job.created_at)),
            span(max(0.0, job.deadline_at - now)),
            str(job.polls),
            job.name or "",
        )
    return table


def _state(job: Job) -> str:
    if job.cancel_requested_at is not None:
        return "to be cancelled"
    if job.name is None:
        return "in doubt" if job.doubt else "being created"
    return job.state.value if job.state else "adopted"


def _json(job: Job) -> dict[str, Any]:
    return {
        "probe": job.probe_id,
        "target": job.target_id,
        "provider": job.provider,
        "name": job.name,
        "state": job.state.value if job.state else None,
        "is_in_doubt": job.doubt is not None,
        "created_at": timestamp(job.created_at),
        "deadline_at": timestamp(job.deadline_at),
        "next_look_at": timestamp(job.next_at),
        "looks": job.polls,
        "price_usd": job.price_usd,
        "cancel_requested_at": timestamp(job.cancel_requested_at),
    }
