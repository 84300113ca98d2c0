"""A daemon and its HTTP API in one process, until a signal ends both; and its reloads."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, Final, TypeVar

import structlog
import uvloop

from monitor import systemd
from monitor.api.server import Server, bind, build_server
from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.config import Config
from monitor.errors import MonitorError
from monitor.limits import RELOAD_DRAIN_S_MAX, RELOAD_DRAIN_S_MORE
from monitor.reloading import ReloadRefusedError, Reloads

log = structlog.get_logger("imgmon.serve")

Build = Callable[[Config], Daemon]
Read = Callable[[], Config]
_SWITCH_S: Final = 0.0001
_GARBAGE_MIN: Final = 20_000

Beside = Callable[[Daemon], Coroutine[Any, Any, None]]
T = TypeVar("T")
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)


async def serve(
    config: Config, build: Build, read: Read | None = None, beside: Beside | None = None
) -> None:
    """
    Run a daemon and its API until SIGINT or SIGTERM, or until *beside* returns.

    Args:
        config: What is run first.
        build: Makes a daemon, not yet started.
        read: What a reload asks for the configuration of now; without it there are none.
        beside: Runs for as long as the daemon; one that is given is for those without reloads.

    Raises:
        MonitorError: The address is taken, or the store cannot be used.
    """
    clock = SystemClock()
    reloads = Reloads(config, clock, read)
    with bind(*config.listen) as listener:
        service = _Service(config, build, reloads)
        server = service.server
        loop = asyncio.get_running_loop()
        for number in _ENDING:
            loop.add_signal_handler(number, server.stop)
        if read is not None:
            loop.add_signal_handler(signal.SIGHUP, service.hung_up)
        try:
            await service.daemon.start()
            settle()
            async with asyncio.TaskGroup() as group:
                group.create_task(_served(server, listener))
                group.create_task(_watched(service.is_fresh, server))
                group.create_task(service.reload())
                if beside is not None:
                    group.create_task(_beside(beside, service.daemon, server))
        finally:
            gc.unfreeze()
            systemd.tell("STOPPING=1")
            await service.daemon.stop()
            for number in (*_ENDING, signal.SIGHUP):
                loop.remove_signal_handler(number)
    if service.failure is not None:
        raise service.failure


class _Service:
    """
    The daemon of the moment, and how the next one takes its place.

    Attributes:
        failure: Why there is no daemon any more, and the server was stopped.
    """

    def __init__(self, config: Config, build: Build, reloads: Reloads) -> None:
        self._build = build
        self._reloads = reloads
        self.daemon = self._made(config)
        self.server = build_server(self.daemon.api())
        self.failure: MonitorError | None = None
        self._signalled: set[asyncio.Task[None]] = set()

    def is_fresh(self) -> bool:
        """Return whether orders are fresh."""
        return self.daemon.publisher.is_fresh(self.daemon.clock.wall())

    def hung_up(self) -> None:
        """Begin a reload that nobody waits for: what comes of it is logged."""
        task = asyncio.get_running_loop().create_task(self._signal())
        self._signalled.add(task)
        task.add_done_callback(self._signalled.discard)

    async def _signal(self) -> None:
        systemd.tell_reloading(self.daemon.clock.monotonic())
        try:
            await self._reloads.begin()
        except ReloadRefusedError as error:
            log.warning("reload.refused", detail=str(error))
        except MonitorError as error:
            log.error("reload.refused", detail=str(error))  # noqa: TRY400 - its words say all
        if not self._reloads.is_under_way:
            systemd.tell("READY=1")

    async def reload(self) -> None:
        """Exchange the daemon whenever a reload asks for it, until the server stops."""
        stopping = self.server.stopping
        while True:
            config = await _first(self._reloads.asked(), stopping)
            if config is None:
                return
            await self._exchange(config)
            settle()  # A daemon is a knot of references, and holds every sample: it goes now.

    async def _exchange(self, config: Config) -> None:
        """Put a daemon of *config* in the place of the one that runs, or go on as before."""
        old = self.daemon
        systemd.tell_reloading(old.clock.monotonic())
        log.info("reload.begun", **asdict(self._reloads.last.difference))
        try:
            new = self._made(config)
        except Exception as error:  # noqa: BLE001 - a plug-in of a wire format may raise anything
            self._ended(old.config, error)
            return
        # Until nothing is under way any more all requests are answered as ever.
        await _first(old.drain(_grace_s(old)), self.server.stopping)
        if self.server.stopping.is_set():
            return
        await self.server.front.shut()
        await old.stop()
        problem: Exception | None = None
        try:
            await self._start(new, old)
        except Exception as error:  # noqa: BLE001 - whatever it is, what ran before still can
            problem = error
            try:
                await self._start(self._made(old.config), old)
            except MonitorError as fatal:
                self.failure = fatal
                self.server.stop()
                return
        self.server.front.exchange(self.daemon.api())
        self._ended(self.daemon.config, problem)

    def _made(self, config: Config) -> Daemon:
        daemon = self._build(config)
        daemon.reloads = self._reloads
        return daemon

    async def _start(self, new: Daemon, old: Daemon) -> None:
        """Start *new* where *old* has stopped; what was begun is undone where that fails."""
        self.daemon = new
        try:
            await new.start(old)
        except BaseException:
            await new.stop()
            raise

    def _ended(self, config: Config, problem: Exception | None) -> None:
        """Note, log and tell what came of a reload; *config* is what runs now."""
        if problem is None:
            self._reloads.ended(config)
            log.info("reload.done", targets=len(config.specs), pools=len(config.pools))
        else:
            words = str(problem) if isinstance(problem, MonitorError) else type(problem).__name__
            self._reloads.ended(problem=f"{words}; the configuration of before runs on")
            log.error("reload.failed", detail=words, exc_info=problem)
        systemd.tell("READY=1")


def settle() -> None:
    """
    Let go of garbage, and set aside what is left: modules, routes and samples, which stay.

    Each full look for garbage would go through them and hold up all readers for 0.1 s.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _grace_s(daemon: Daemon) -> float:
    """Return how long a probe under way may take to its end, in seconds."""
    deadlines = (p.spec.deadline_s for p in daemon.probeables.values() if not p.spec.is_batch)
    return min(RELOAD_DRAIN_S_MAX, max(deadlines, default=0.0) + RELOAD_DRAIN_S_MORE)


async def _first(work: Coroutine[Any, Any, T], stopping: asyncio.Event) -> T | None:
    """Return what *work* gives; None when the server stops before it does."""
    wanted = asyncio.create_task(work)
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({wanted, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return await wanted if wanted.done() else None
    finally:
        wanted.cancel()
        stopped.cancel()
        await asyncio.gather(wanted, stopped, return_exceptions=True)


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
    try:
        await _first(beside(daemon), server.stopping)
    finally:
        server.stop()


def run_until_stopped(
    config: Config, build: Build, read: Read | None = None, beside: Beside | None = None
) -> None:
    """Run :func:`serve` on a uvloop event loop."""
    # Readers of the order must not wait 5 ms, Python's own, for a thread that sums or stores.
    sys.setswitchinterval(_SWITCH_S)
    # What a body of reports makes is no reason to look for garbage: it is gone when the body is.
    gc.set_threshold(_GARBAGE_MIN, 20, 20)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, build, read, beside))
