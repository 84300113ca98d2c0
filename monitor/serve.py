"""A daemon and its HTTP API in one process, until a signal ends both."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from monitor import systemd
from monitor.api.server import Server, bind, build_server
from monitor.app import Daemon

Beside = Callable[[Daemon], Coroutine[Any, Any, None]]


async def serve(build: Callable[[], Daemon], beside: Beside | None = None) -> None:
    """
    Run a daemon and its API until SIGINT or SIGTERM, or until *beside* returns.

    Raises:
        MonitorError: The address is taken, or the store cannot be used.
    """
    daemon = build()
    with bind(*daemon.config.listen) as listener:
        server = build_server(daemon.api())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.stop)
        try:
            await daemon.start()
            async with asyncio.TaskGroup() as group:
                group.create_task(_served(server, listener))
                group.create_task(
                    _watched(lambda: daemon.publisher.is_fresh(daemon.clock.wall()), server)
                )
                if beside is not None:
                    group.create_task(_beside(beside, daemon, server))
        finally:
            systemd.tell("STOPPING=1")
            await daemon.stop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


async def _served(server: Server, listener: socket.socket) -> None:
    """Serve until stopped; systemd holds back who needs us until then."""
    systemd.tell("READY=1")
    await server.serve(sockets=[listener])


async def _watched(is_fresh: Callable[[], bool], server: Server) -> None:
    """
    Keep systemd's watchdog quiet while orders are fresh, where it watches.

    A loop that hangs comes by no more; one whose orders grow stale does, and says nothing.
    """
    limit_s = systemd.watchdog_s()
    while limit_s is not None and not server.stopping.is_set():
        if is_fresh():
            systemd.tell("WATCHDOG=1")
        try:
            async with asyncio.timeout(limit_s / 3):
                await server.stopping.wait()
        except TimeoutError:
            pass


async def _beside(beside: Beside, daemon: Daemon, server: Server) -> None:
    """Run *beside* until it returns or the server stops; either ends both."""
    companion = asyncio.create_task(beside(daemon))
    stopped = asyncio.create_task(server.stopping.wait())
    try:
        await asyncio.wait({companion, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.stop()
        stopped.cancel()
        companion.cancel()
        results = await asyncio.gather(companion, stopped, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]


def run_until_stopped(build: Callable[[], Daemon], beside: Beside | None = None) -> None:
    """Run :func:`serve` on a uvloop event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(build, beside))
