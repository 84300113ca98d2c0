"""``imgmon simulate``: the provider simulator alone."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import click

from monitor.clock import SystemClock
from probes.simulator.app import Simulator
from probes.simulator.faults import FaultPlan, PlanError
from probes.simulator.plans import calm_plan, demo_plan
from probes.simulator.server import listen, serve


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8721, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--plan",
    "plan_name",
    default="demo",
    show_default=True,
    help='"demo", "calm", or a TOML file with a fault plan.',
)
@click.option("--seed", default=1, show_default=True)
@click.option("--scale", default=10.0, show_default=True, help="How many times faster time runs.")
@click.option("--with-parent", is_flag=True, hidden=True, help="Stop when standard input ends.")
def command(
    *, host: str, port: int, plan_name: str, seed: int, scale: float, with_parent: bool
) -> None:
    """
    Serve every provider's wire format on one port, each under its own prefix.

    The official SDKs work against it: point their base URL at http://HOST:PORT/openai/v1,
    /gemini, /laozhang/v1 and so on; any key that does not start with "invalid" is good.
    """
    try:
        plan = _plan(plan_name, seed, scale)
    except PlanError as error:
        raise click.UsageError(f"{plan_name}: {error}") from error
    try:
        listener = listen(host, port)
    except OSError as error:
        raise click.UsageError(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what listens there or give "
            "another --port"
        ) from error
    place = f"http://{host}:{listener.getsockname()[1]}"
    # Whoever started us waits for this line: from here on requests are taken.
    click.echo(f"provider simulator on {place} (plan {plan_name}, seed {seed})")
    sys.stdout.flush()
    asyncio.run(_serve(plan, listener, with_parent=with_parent))


def _plan(name: str, seed: int, scale: float) -> FaultPlan:
    if name == "demo":
        return demo_plan(scale=scale, seed=seed)
    if name == "calm":
        return calm_plan(seed=seed)
    return FaultPlan.load(Path(name))


async def _serve(plan: FaultPlan, listener: socket.socket, *, with_parent: bool) -> None:
    """Serve until SIGINT or SIGTERM, or until the process at the other end of our input is gone."""
    serving = asyncio.ensure_future(serve(Simulator(plan, SystemClock()), listener))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    if with_parent:
        # Nothing is ever written there, so readable means closed.
        loop.add_reader(sys.stdin, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving
