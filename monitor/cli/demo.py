"""``imgmon demo``: simulator with scripted faults, daemon, and the order as a live table."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console, RenderableType
from rich.live import Live

from monitor import logs
from monitor.app import Daemon
from monitor.cli import demo_config
from monitor.cli.common import ConfigProblem
from monitor.cli.demo_clients import draw_pictures
from monitor.cli.sources import liveness_out, order_out
from monitor.cli.table import order_view
from monitor.clock import SystemClock
from monitor.config.listen import listening
from monitor.core.snapshot import Totals
from monitor.errors import MonitorError
from monitor.secrets import Redactor
from monitor.serve import run_until_stopped
from probes.model import ProbeKind

_REFRESH_S = 0.5
_PLAIN_REFRESH_S = 5.0
# Of a pipe or a file: room for the reasons beside the figures.
_PLAIN_COLUMNS = 118


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address of the API; everybody who reaches it may read the demo.",
)
@click.option("--port", default=8720, show_default=True, type=click.IntRange(1, 65535))
@click.option("--simulator-port", default=8721, show_default=True, type=click.IntRange(1, 65535))
@click.option("--seed", default=1, show_default=True)
@click.option("--seconds", type=float, default=None, help="Stop by itself after this long.")
def command(host: str, port: int, simulator_port: int, seed: int, seconds: float | None) -> None:
    """
    Run everything locally, without keys: nothing leaves this machine.

    Times run ten times faster than in life. An outage of the first target begins after 35 s and
    ends after 65 s; a slow period and an exhausted free quota follow. Outage and slow period come
    again every five minutes. Two clients draw by the order, and report. Ctrl-C stops it all.
    """
    with tempfile.TemporaryDirectory(prefix="imgmon-demo-") as folder:
        config = demo_config.read(port, simulator_port, Path(folder) / "imgmon.db")
        try:
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            config = listening(config, place, public_read=True)
            with (
                (Path(folder) / "demo.log").open("w") as stream,
                simulator(simulator_port, seed),
            ):
                logs.configure("json", "info", Redactor(config.secrets), stream)
                click.echo(demo_config.welcome(port, simulator_port, stream.name))
                run_until_stopped(
                    config,
                    lambda config: Daemon(config, clock=SystemClock(), rng=random.Random(seed)),
                    beside=lambda daemon: play(daemon, seconds, seed),
                )
        except MonitorError as error:
            raise ConfigProblem(str(error)) from error
    click.echo("The demo has stopped; its files are gone.")


@contextmanager
def simulator(port: int, seed: int) -> Iterator[None]:
    """Run the simulator in a process of its own, so that painting pictures delays no probe."""
    command_line = [sys.executable, "-m", "monitor", "simulate", "--plan", "demo", "--with-parent"]
    command_line += ["--port", str(port), "--seed", str(seed)]
    # Its own session: Ctrl-C is for the daemon, which drains its probes first. Its input ends with
    # us, however we end, so it never stays behind.
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command_line,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _wait_until_up(process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_up(process: subprocess.Popen[str]) -> None:
    """Wait for the line it says when it listens; MonitorError with its own words if it ends."""
    assert process.stdout is not None
    assert process.stderr is not None
    # Ours and nobody else's: another simulator may answer on that port.
    if not process.stdout.readline():
        said = process.stderr.read().strip().splitlines()
        raise MonitorError(f"the simulator did not start: {said[-1] if said else 'no word'}")


def sums(totals: Totals) -> str:
    """Return what was sent and paid for, free calls apart."""
    counts = totals.probes.items()
    free = sum(n for key, n in counts if key.kind == ProbeKind.LIVENESS)
    drawn = sum(n for _, n in counts) - free
    spent = sum(totals.spend_usd.values())
    return f"{drawn} probes, ${spent:.2f} at list price; {free} free calls"


async def play(daemon: Daemon, seconds: float | None, seed: int) -> None:
    """Show the demo's order while its customers draw by it."""
    async with asyncio.TaskGroup() as group:
        customers = group.create_task(draw_pictures(daemon, seed))
        await watch(daemon, seconds)
        customers.cancel()


async def watch(daemon: Daemon, seconds: float | None) -> None:
    """Show the demo's order: live on a terminal, else as text every few seconds."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_COLUMNS)
    clock = daemon.clock
    started = clock.monotonic()
    pool = daemon.config.pools[0]

    def is_over() -> bool:
        return seconds is not None and clock.monotonic() - started >= seconds

    def view() -> RenderableType:
        current = daemon.publisher.current
        assert current is not None, "the daemon publishes before it serves"
        snapshot = current.snapshot
        return order_view(
            order_out(snapshot, pool.id, pool.profile),
            liveness_out(snapshot),
            width=console.width,
            elapsed_s=clock.monotonic() - started,
            caption=sums(snapshot.totals),
        )

    if not console.is_terminal:
        while not is_over():
            console.print(view())
            console.file.flush()  # Whoever reads a pipe wants it now.
            await asyncio.sleep(_PLAIN_REFRESH_S)
        return
    with Live(view(), console=console, auto_refresh=False) as live:
        while not is_over():
            await asyncio.sleep(_REFRESH_S)
            live.update(view(), refresh=True)
