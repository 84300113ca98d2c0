"""The demo's customers: two clients that draw pictures by the published order and report each attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import Final

from monitor import tokens
from monitor.app import Daemon
from monitor.client import (
    AllFailed,
    AsyncPriorityClient,
    Attempt,
    ErrorClass,
    Failover,
    Failure,
    Settings,
)
from monitor.clock import Clock
from monitor.runner import Probeable
from monitor.tokens import Scope
from probes.canary import draw_canary
from probes.driver import Driver
from probes.model import ProbeKind, ProbeReason, ProbeResult

# Who they are, and whose keys they hold.
_CUSTOMERS: Final = {"shop": ("google", "google-free", "openai"), "studio": ("bfl", "laozhang")}
_PAUSE_S: Final = (2.0, 4.0)
# The demo runs ten times faster than in life, and so do its customers' limits of time.
_DEADLINE_S, _ATTEMPT_S, _COOLDOWN_S = 9.0, 3.5, 3.0
_SETTINGS: Final = Settings(cache_dir=None, refresh_s=0.5, report_s=0.5)


class _NoPictureError(Exception):
    """An attempt that brought no picture."""

    def __init__(self, result: ProbeResult, now: float) -> None:
        assert result.error is not None
        super().__init__(result.error.value)
        wait_s = None if result.retry_at is None else max(0.0, result.retry_at - now)
        self.failure = Failure(ErrorClass(result.error.value), wait_s)


async def draw_pictures(daemon: Daemon, seed: int) -> None:
    """Draw pictures as customers of *daemon* do, each with a token of its own, until cancelled."""
    host, port = daemon.config.listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked, not bound
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    driver = Driver(clock=daemon.clock)
    try:
        async with asyncio.TaskGroup() as group:
            for name, providers in _CUSTOMERS.items():
                token = tokens.create(
                    daemon.config.tokens_path,
                    name,
                    [Scope.READ, Scope.REPORT],
                    now=daemon.clock.wall(),
                )
                daemon.tokens.load()  # By itself it looks once a second, and refuses until then.
                client = AsyncPriorityClient(
                    url,
                    daemon.config.pools[0].id,
                    static_order=list(daemon.probeables),
                    token=token,
                    settings=_SETTINGS,
                )
                served = {
                    target: probeable
                    for target, probeable in daemon.probeables.items()
                    if probeable.spec.provider in providers
                }
                rng = Random(f"{seed}/{name}")
                group.create_task(_customer(client, driver, served, daemon.clock, rng))
    finally:
        await driver.aclose()


async def _customer(
    client: AsyncPriorityClient,
    driver: Driver,
    served: Mapping[str, Probeable],
    clock: Clock,
    rng: Random,
) -> None:
    async def draw(attempt: Attempt) -> ProbeResult:
        wanted = served[attempt.target]
        result = await driver.probe(
            wanted.target,
            draw_canary(rng),
            wanted.format,
            probe_id="",
            kind=ProbeKind.MANUAL,
            reason=ProbeReason.MANUAL,
        )
        if result.error is not None:
            raise _NoPictureError(result, clock.wall())
        return result

    failover = Failover(
        client,
        deadline_s=_DEADLINE_S,
        attempt_deadline_s=_ATTEMPT_S,
        targets=served,
        cooldown_s=_COOLDOWN_S,
        classify=lambda error: error.failure if isinstance(error, _NoPictureError) else None,
    )
    async with client:
        while True:
            # A customer whose request failed everywhere comes again, too.
            with suppress(AllFailed, _NoPictureError):
                await failover.acall(draw)
            await asyncio.sleep(rng.uniform(*_PAUSE_S))
