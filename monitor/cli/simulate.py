"""``imgmon simulate``: the provider simulator alone."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import click

from monitor.clock import SystemClock
from probes.simulator.app import Simulator
from probes.simulator.faults import FaultPlan, PlanError
from probes.simulator.plans import calm_plan, demo_plan
from probes.simulator.server import serve


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
def command(host: str, port: int, plan_name: str, seed: int, scale: float) -> None:
    """
    Serve every provider's wire format on one port, each under its own prefix.

    The official SDKs work against it: point their base URL at http://HOST:PORT/openai/v1,
    /gemini, /laozhang/v1 and so on; any key that does not start with "invalid" is good.
    """
    try:
        plan = _plan(plan_name, seed, scale)
    except PlanError as error:
        raise click.UsageError(f"{plan_name}: {error}") from error
    click.echo(f"provider simulator on http://{host}:{port} (plan {plan_name}, seed {seed})")
    asyncio.run(_serve(plan, host, port))


def _plan(name: str, seed: int, scale: float) -> FaultPlan:
    if name == "demo":
        return demo_plan(scale=scale, seed=seed)
    if name == "calm":
        return calm_plan(seed=seed)
    return FaultPlan.load(Path(name))


async def _serve(plan: FaultPlan, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    serving = asyncio.ensure_future(serve(Simulator(plan, SystemClock()), host, port))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving
