"""
The loop of each route: read the events on, send what is due, note what became of it.

Routes know nothing of one another: one that hangs or refuses holds up no other, and none of them the
store, the schedule or a probe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

import structlog

from monitor.clock import Clock
from monitor.config.notify import Outlet
from monitor.core.notify import Memory, due
from monitor.errors import StoreError
from monitor.limits import (
    NOTIFY_GIVE_UP_S,
    NOTIFY_LOOK_S,
    NOTIFY_REFUSALS_MAX,
    NOTIFY_RETRY_S_MAX,
    NOTIFY_RETRY_S_MIN,
    NOTIFY_SEND_S,
)
from monitor.notify.channels import Attempt, Channel, channel_of, client
from monitor.outbox_metrics import OutboxFigures
from monitor.secrets import Redactor
from monitor.store import outbox
from monitor.store.outbox import Backlog, Delivery
from monitor.store.reader import Reader
from monitor.store.writer import Writer

log = structlog.get_logger("imgmon.notify")

RESULTS: Final = ("sent", "failed", "given_up")
_TIDY_S: Final = 3_600.0
# Between two looks at the store while it refuses.
_STORE_RETRY_S: Final = 5.0


@dataclass(slots=True)
class _Line:
    """
    What is known of one route in this process.

    Attributes:
        memory, read_to: As the store has them; None before they were read.
        failures: In a row, whatever the message.
        rests_until: Monotonic time before which nothing is sent.
    """

    outlet: Outlet
    channel: Channel | None
    memory: Memory | None = None
    read_to: int = 0
    failures: int = 0
    rests_until: float = field(default=float("-inf"))


class Notifier:
    """Tells the configured routes; a route without a place gathers what it would send."""

    def __init__(
        self,
        outlets: Sequence[Outlet],
        reader: Reader,
        writer: Writer,
        *,
        clock: Clock,
        rng: Random,
        look_s: float = NOTIFY_LOOK_S,
        retry_s: float = NOTIFY_RETRY_S_MIN,
    ) -> None:
        """
        Wire the parts; nothing is opened before :meth:`run`.

        Args:
            outlets: The routes, and where they lead.
            reader: Of the store that has the events.
            writer: Of the same store.
            clock: Tells what is due.
            rng: Of the jitter between attempts.
            look_s: Seconds between two looks at the events.
            retry_s: Seconds after a first failure.
        """
        self._outlets = tuple(outlets)
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._rng = rng
        self._look_s = look_s
        self._retry_s = retry_s
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._backlog = Backlog(0, None)
        self._counts = {(o.route.id, result): 0 for o in outlets for result in RESULTS}

    async def run(self) -> None:
        """Tell every route what there is, until :meth:`stop`; ends at once without a route."""
        if not self._outlets:
            return
        async with AsyncExitStack() as resources:
            http = client()
            resources.push_async_callback(http.aclose)
            redact = Redactor(secret for o in self._outlets for secret in o.secrets)
            lines = [
                _Line(o, channel_of(o, http, self._clock, redact) if o.place else None)
                for o in self._outlets
            ]
            self._tasks = [
                asyncio.create_task(self._route(line), name=f"route {line.outlet.route.id}")
                for line in lines
            ]
            self._tasks.append(asyncio.create_task(self._care(), name="outbox"))
            await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Let what is being sent end, for as long as one attempt may take, and send no more."""
        self._stopping.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=NOTIFY_SEND_S)
            for task in late:
                task.cancel()

    def figures(self) -> OutboxFigures:
        """Return what waits, as last read, and what became of all attempts of this process."""
        oldest = self._backlog.oldest_at
        oldest_s = 0.0 if oldest is None else max(0.0, self._clock.wall() - oldest)
        return OutboxFigures(self._backlog.pending, oldest_s, dict(self._counts))

    async def _route(self, line: _Line) -> None:
        while not self._stopping.is_set():
            wait_s = self._look_s
            try:
                await self._advance(line)
                if line.channel is not None and await self._send_next(line, line.channel):
                    wait_s = 0.0
            except StoreError as error:
                wait_s = max(self._look_s, _STORE_RETRY_S)
                log.warning("notify.store", route=line.outlet.route.id, error=str(error))
            except Exception:  # A bug must not silence a route for good.
                log.exception("notify.failed", route=line.outlet.route.id)
                wait_s = _STORE_RETRY_S
            await self._pause(wait_s)

    async def _advance(self, line: _Line) -> None:
        """Read the events on where there are any, or where time has made something due."""
        route, now = line.outlet.route, self._clock.wall()
        if line.memory is not None and due(line.memory, route, now) == (line.memory, ()):
            newest = await asyncio.to_thread(
                self._reader.ask, lambda session: outbox.newest_event(session.connection())
            )
            if newest <= line.read_to:
                return
        asked = self._writer.ask(partial(outbox.advance, route=route, now=now))
        memory, line.read_to = await asyncio.wrap_future(asked)
        line.memory = memory

    async def _send_next(self, line: _Line, channel: Channel) -> bool:
        """Send the next message that may be; return whether there was one."""
        route, now = line.outlet.route.id, self._clock.wall()
        if self._clock.monotonic() < line.rests_until:
            return False
        delivery = await asyncio.to_thread(
            self._reader.ask, partial(outbox.next_delivery, route_id=route, now=now)
        )
        if delivery is None:
            return False
        attempt = await channel.send(delivery.message)
        await self._note(line, delivery, attempt)
        return True

    async def _note(self, line: _Line, delivery: Delivery, attempt: Attempt) -> None:
        """Keep what became of an attempt; nothing is marked done before it was sent."""
        now, route = self._clock.wall(), line.outlet.route.id
        if attempt.is_sent:
            work = partial(outbox.sent, delivery=delivery, now=now)
            result, line.failures = "sent", 0
        else:
            wait_s = self._wait_s(delivery.attempts, attempt)
            line.failures += 1
            line.rests_until = self._clock.monotonic() + self._wait_s(line.failures - 1, attempt)
            if _is_over(delivery, attempt, now):
                result = "given_up"
                work = partial(outbox.give_up, delivery=delivery, error=attempt.words, now=now)
            else:
                result, next_at = "failed", now + wait_s
                work = partial(
                    outbox.failed, delivery=delivery, error=attempt.words, next_at=next_at
                )
        self._counts[route, result] += 1
        await asyncio.wrap_future(self._writer.ask(work))
        fields: dict[str, object] = {
            "route": route,
            "message": delivery.message.key,
            "answer": attempt.words,
        }
        fields |= {"notices": len(delivery.message.notices), "attempt": delivery.attempts + 1}
        write = {"sent": log.info, "failed": log.warning, "given_up": log.error}[result]
        write(f"notify.{result}", **fields)

    def _wait_s(self, failures: int, attempt: Attempt) -> float:
        """Return when to try again after so many *failures* in a row before this one."""
        wait_s = min(NOTIFY_RETRY_S_MAX, self._retry_s * 2.0 ** min(failures, 32))
        # Half of it by chance: routes that failed together do not come back together.
        return max(attempt.retry_after_s or 0.0, wait_s * (0.5 + self._rng.random() / 2))

    async def _care(self) -> None:
        """Keep the figures of the outbox, and forget what was done long ago."""
        tidied_at = float("-inf")
        routes = [o.route.id for o in self._outlets]
        while not self._stopping.is_set():
            try:
                if self._clock.monotonic() - tidied_at >= _TIDY_S:
                    tidied_at = self._clock.monotonic()
                    work = partial(outbox.tidy, routes=routes, now=self._clock.wall())
                    if gone := await asyncio.wrap_future(self._writer.ask(work)):
                        log.warning("notify.routes_gone", messages=gone)
                await self.look()
            except StoreError as error:
                log.warning("notify.store", error=str(error))
            await self._pause(_STORE_RETRY_S)

    async def look(self) -> None:
        """Read what waits, for the figures."""
        self._backlog = await asyncio.to_thread(self._reader.ask, outbox.backlog)

    async def _pause(self, seconds: float) -> None:
        """Wait; stopping ends it."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _is_over(delivery: Delivery, attempt: Attempt, now: float) -> bool:
    is_refused = attempt.is_refused and delivery.attempts + 1 >= NOTIFY_REFUSALS_MAX
    return is_refused or now - delivery.message.made_at >= NOTIFY_GIVE_UP_S
