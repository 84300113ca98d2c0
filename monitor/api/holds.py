"""
Requests that are held open: a bounded number, released together when the server stops.

A held request costs a socket and a few kilobytes, no thread and no turn of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from starlette.types import Receive

from monitor.limits import LONG_POLLS_MAX, STREAMS_MAX


class Seats:
    """
    So many requests of one kind may be held at once.

    Attributes:
        taken: How many are.
    """

    def __init__(self, places: int) -> None:
        """Let *places* requests be held."""
        self._places: Final = places
        self._held: set[asyncio.Event] = set()
        self._is_closing = False

    @property
    def taken(self) -> int:
        """Return how many requests are held."""
        return len(self._held)

    @property
    def are_taken(self) -> bool:
        """Return whether no more can be held."""
        return len(self._held) >= self._places

    @contextmanager
    def seat(self) -> Iterator[asyncio.Event | None]:
        """Give an event that is set when the request must end; None where all seats are taken."""
        if self.are_taken:
            yield None
            return
        wake = asyncio.Event()
        if self._is_closing:
            wake.set()
        self._held.add(wake)
        try:
            yield wake
        finally:
            self._held.discard(wake)

    def close(self) -> None:
        """End all that are held; who comes later is answered without waiting."""
        self._is_closing = True
        for wake in self._held:
            wake.set()


class Holds:
    """The seats of each kind of held request."""

    def __init__(self, *, polls: int = LONG_POLLS_MAX, streams: int = STREAMS_MAX) -> None:
        """Let so many *polls* wait and so many *streams* flow at once."""
        self.polls = Seats(polls)
        self.streams = Seats(streams)

    def close(self) -> None:
        """Release all: the server stops."""
        self.polls.close()
        self.streams.close()


@asynccontextmanager
async def until_gone(receive: Receive, wake: asyncio.Event) -> AsyncIterator[None]:
    """Within this, set *wake* when the client hangs up, so that its seat is free at once."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        wake.set()

    # No task group: what is raised within is not to come out as a group.
    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
