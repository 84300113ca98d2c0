"""A whole daemon against the simulator, in one process over real sockets, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx

from monitor.app import Daemon
from monitor.clock import Clock, SystemClock
from monitor.config import Config, parse
from probes.driver import Driver
from probes.model import Outcome, ProbeReason
from probes.simulator.server import SimulatorServer

KEY = "test-key-0123456789abcdef"

PROVIDERS = """
[store]
path = "{store}"

# Which target is known first is chance; the dwell time would keep that order for two minutes.
[judging]
dwell = "1ms"
{judging}

[[providers]]
id = "google"
preset = "google-gemini"
base_url = "{gemini}"
api_key = {{ env = "KEY" }}
liveness = "{liveness}"

[[providers]]
id = "openai"
preset = "openai"
base_url = "{openai}/v1"
api_key = {{ env = "KEY" }}
liveness = "{liveness}"
{openai_cap}

[[targets]]
id = "flash"
provider = "google"
model = "gemini-3.1-flash-image"
size = "512x512"
price_usd = 0.039
interval = "{interval}"
pools = ["image"]

[[targets]]
id = "flare"
provider = "openai"
model = "gpt-image-2.5-flare"
size = "512x512"
quality = "low"
price_usd = 0.05
interval = "{interval}"
pools = ["image"]

[[pools]]
id = "image"
slo = {{ availability = 0.9, latency_p95 = "5s" }}
"""


def configuration_text(
    simulator: SimulatorServer,
    store: Path,
    *,
    interval: str = "7d",  # No slot fires during a test unless it asks for one.
    openai_cap: str = "",
    liveness: str = "off",  # Likewise.
    judging: str = "",
) -> str:
    """Two targets at the simulator, in one pool, as TOML."""
    return PROVIDERS.format(
        store=store,
        gemini=simulator.base("gemini"),
        openai=simulator.base("openai"),
        interval=interval,
        openai_cap=openai_cap,
        liveness=liveness,
        judging=judging,
    )


def configuration(
    simulator: SimulatorServer, store: Path, *, environ: dict[str, str] | None = None, **parts: str
) -> Config:
    """The same, read; *parts* as for :func:`configuration_text`."""
    text = configuration_text(simulator, store, **parts)
    return parse(text, {"KEY": KEY} if environ is None else environ, "test")


@asynccontextmanager
async def running(
    config: Config, seed: int = 1, driver: Driver | None = None, clock: Clock | None = None
) -> AsyncIterator[Daemon]:
    """A started daemon; stopped, drained and closed at the end."""
    daemon = Daemon(config, clock=clock or SystemClock(), rng=Random(seed), driver=driver)
    try:
        await daemon.start()
        yield daemon
    finally:
        await daemon.stop()


@asynccontextmanager
async def client(daemon: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    """The daemon's API in process."""
    transport = httpx.ASGITransport(daemon.api(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for *condition*; the limit only turns a hang into a failure."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is another task's, not an event
            await asyncio.sleep(0.01)


async def measured(daemon: Daemon, target: str, reason: ProbeReason) -> None:
    """Send a canary to *target*; again while this machine stood still and the result is void."""
    for _ in range(10):
        result = await daemon.runner.run(target, reason=reason)
        if result is None or result.outcome is not Outcome.VOID:
            return
    raise AssertionError(f"each canary to {target} was void")


def finished(daemon: Daemon) -> int:
    """How many probes the published snapshot counts."""
    current = daemon.publisher.current
    return sum(current.snapshot.totals.probes.values()) if current else 0
