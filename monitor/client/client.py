"""
The order of a pool, always at hand: refreshed behind the application's back, never in its way.

:class:`PriorityClient` runs a daemon thread, :class:`AsyncPriorityClient` a task of the running loop.
"""

from __future__ import annotations

import _thread
import asyncio
import atexit
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from types import TracebackType
from typing import Any, Final, Self

from monitor.client.background import Background, Settings, Status
from monitor.client.clock import Clock, SystemClock
from monitor.client.errors import ErrorClass
from monitor.client.order import Order, Place, Source, static_places
from monitor.client.talk import logger

_CLOSE_S: Final = 2.0
# Between two attempts to start a thread or task that ended: order() must not try each time.
_RESTART_S: Final = 5.0


class _Loop(asyncio.SelectorEventLoop):
    """
    A loop that asks for names in its own thread.

    asyncio's pool of threads would be waited for at the interpreter's end, as long as a resolver
    hangs; this thread serves nobody else and is not.
    """

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Return the addresses of *host*."""
        return socket.getaddrinfo(host, port, **options)


async def _here(work: Callable[[], None]) -> None:
    work()


async def _in_a_thread(work: Callable[[], None]) -> None:
    await asyncio.to_thread(work)


def _start(thread: threading.Thread, ended: threading.Event) -> None:
    try:
        thread.start()
    except RuntimeError:  # No more threads, or the interpreter ends: tried again later.
        ended.set()


class _Runner:
    """Where a background runs; knows how to stop it from anywhere, and forgets it after a fork."""

    def __init__(self, background: Background) -> None:
        self.background = background
        self.is_closed = False
        self.reset()
        _runners.add(self)

    def reset(self) -> None:
        """Start anew: in a child process neither thread nor loop lives on, and locks may be held."""
        self.lock = threading.Lock()
        self.next_start = 0.0
        self.running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self.thread: threading.Thread | None = None
        self.ended = threading.Event()
        self.task: asyncio.Task[None] | None = None

    def may_start(self, *, anew: bool = False) -> bool:
        """Return whether it is time to start, or *anew*; and leave it alone for a while then."""
        now = self.background.clock.monotonic()
        if self.is_closed or (now < self.next_start and not anew):
            return False
        self.next_start = now + _RESTART_S
        return True

    def ensure_thread(self) -> None:
        """Start the thread if none runs; at most once every few seconds."""
        if self.thread is not None and self.thread.is_alive():
            return
        # Another thread of the application is at it: its start is ours.
        if not self.lock.acquire(blocking=False):
            return
        try:
            if (self.thread is None or not self.thread.is_alive()) and self.may_start():
                self.ended = threading.Event()
                self.thread = threading.Thread(
                    target=self._run, args=(self.ended,), name="imgmon-client", daemon=True
                )
                # Thread.start waits until the thread runs, on a busy machine for milliseconds. One
                # that is not waited for does that for us.
                _thread.start_new_thread(_start, (self.thread, self.ended))
        except RuntimeError as error:  # No more threads, or the interpreter ends.
            logger.warning("the order is not refreshed: %s", error)
        finally:
            self.lock.release()

    def ensure_task(self) -> None:
        """Start the task if a loop runs here and none has it."""
        if self.task is not None and not self.task.done() and not self.task.get_loop().is_closed():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        # A loop of its own for each call is a usual thing; it need not wait for its start.
        if self.may_start(anew=self.task is None or self.task.get_loop() is not loop):
            self.task = loop.create_task(self._main(_in_a_thread), name="imgmon-client")

    def _run(self, ended: threading.Event) -> None:
        try:
            with asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(self._main(_here))
        finally:
            ended.set()

    async def _main(self, offload: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        stop = asyncio.Event()
        self.running = asyncio.get_running_loop(), stop
        if self.is_closed:
            stop.set()
        await self.background.main(stop, offload, _CLOSE_S / 2)

    def stop(self) -> None:
        """Ask what runs to end; returns at once."""
        self.is_closed = True
        if self.running is not None:
            loop, event = self.running
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:
                return  # That loop is closed already.

    def close(self, timeout_s: float) -> None:
        """Stop, wait for the thread for *timeout_s* at most, give up what was not sent."""
        self.stop()
        if self.thread is not None and self.ended.wait(timeout_s) and self.thread.ident is not None:
            self.thread.join(timeout_s)
        self.background.reports.drop_all()


_runners: weakref.WeakSet[_Runner] = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    clock = SystemClock()
    ends = clock.monotonic() + _CLOSE_S  # Of all of them together.
    runners = list(_runners)
    for runner in runners:
        runner.stop()
    for runner in runners:
        runner.close(max(0.0, ends - clock.monotonic()))


def _after_fork() -> None:
    for runner in list(_runners):
        runner.reset()
        runner.background.reports.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Client:
    """What both kinds share."""

    def __init__(
        self,
        url: str,
        pool: str,
        *,
        static_order: Sequence[str | Place],
        profile: str | None = None,
        token: str | None = None,
        settings: Settings | None = None,
        verify: ssl.SSLContext | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        """
        Read the last good order from disk; nothing is asked before the first :meth:`order`.

        Args:
            url: Where the daemon answers: ``http://127.0.0.1:8720``.
            pool: The pool whose order is wanted.
            static_order: Targets to call, best first, while no daemon was ever reached: ids, or
                places with whatever else your code reads of them.
            profile: What a second is worth to you; None takes the pool's own.
            token: Of the daemon, for reports and for reading where it asks for one. Without one no
                reports are sent.
            settings: Time limits, cache folder, bounds.
            verify: How an https daemon is verified; None by httpx's own list of authorities.
            clock: Another clock, for tests.
            rng: Another source of jitter, for tests.

        Raises:
            ValueError: An argument cannot work; nothing raises after this.
        """
        background = Background(
            url,
            pool,
            static_order=static_places(static_order),
            profile=profile,
            token=token,
            settings=settings or Settings(),
            verify=verify,
            clock=clock,
            rng=rng,
        )
        self._background = background
        self._runner = _Runner(background)
        # The thread knows the runner alone, so that one whose client nobody holds any more ends. It
        # is not waited for: that may be on anybody's path.
        self._finalizer = weakref.finalize(self, self._runner.stop)
        self._finalizer.atexit = False

    def __repr__(self) -> str:
        order = self._background.held.order()
        kind = type(self).__name__
        return f"<{kind} {self._background.url} pool={self._background.pool} {order.source}>"

    @property
    def clock(self) -> Clock:
        """The clock that measures attempts."""
        return self._background.clock

    @property
    def static_order(self) -> tuple[Place, ...]:
        """The application's own order."""
        return self._background.held.static

    @property
    def status(self) -> Status:
        """How the background does: source and age of the order, failures, reports."""
        return self._background.status

    def order(self) -> Order:
        """Return the newest order known; never blocks, never raises, never empty."""
        self._ensure()
        return self._background.held.order()

    def report(
        self, target: str, error: ErrorClass | None, latency_s: float, attempt: int = 1
    ) -> None:
        """
        Queue what became of a request that ended now; never blocks, never raises.

        Args:
            target: Its id.
            error: None for a picture.
            latency_s: From its start to the verified picture or to the failure.
            attempt: Its place in the fall-through, from 1.
        """
        self._background.reports.add(target, error, latency_s, attempt)
        self._ensure()

    def _ensure(self) -> None:
        raise AssertionError("each kind has its own")


class PriorityClient(_Client):
    """The order of a pool, refreshed by a daemon thread; for any number of threads, across forks."""

    def _ensure(self) -> None:
        self._runner.ensure_thread()

    def wait_live(self, timeout_s: float) -> bool:
        """Wait until the daemon answered, for a start that wants to; return whether it did."""
        ends = self.clock.monotonic() + timeout_s
        pause = threading.Event()
        while self.order().source is not Source.LIVE:
            if self.clock.monotonic() >= ends:
                return False
            pause.wait(0.01)
        return True

    def close(self) -> None:
        """Send what reports wait, end the thread; two seconds at most. The order stays readable."""
        self._runner.close(_CLOSE_S)

    def __enter__(self) -> Self:
        self.order()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncPriorityClient(_Client):
    """
    The order of a pool, refreshed by a task of the running loop.

    It belongs to the loop that it is first asked in and moves on when that one is closed. For several
    loops at once take a :class:`PriorityClient`, whose ``order`` is as good to call from them.
    """

    def _ensure(self) -> None:
        self._runner.ensure_task()

    async def wait_live(self, timeout_s: float) -> bool:
        """Wait until the daemon answered, for a start that wants to; return whether it did."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.order().source is not Source.LIVE:  # noqa: ASYNC110 - no event of this loop's
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        return True

    async def aclose(self) -> None:
        """Send what reports wait, end the task; two seconds at most. The order stays readable."""
        self._runner.stop()
        task = self._runner.task
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait({task}, timeout=_CLOSE_S)
            task.cancel()
        self._background.reports.drop_all()

    async def __aenter__(self) -> Self:
        self.order()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
