"""
The log of events as server-sent events: every one once, in order, from any id on.

A stream reads the stored log at its reader's pace, a page at a time, so that a slow reader costs no
memory; one that takes nothing is cut and goes on where it was by its ``Last-Event-ID``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from starlette.types import Message, Receive, Scope, Send

from monitor.api.holds import Seats, until_gone
from monitor.api.incidents import event_document
from monitor.api.problems import ProblemOut
from monitor.api.routes import Sources
from monitor.clock import Clock
from monitor.errors import StoreError
from monitor.limits import STREAM_ALIVE_S, STREAM_LOOK_S, STREAM_PAGE, STREAM_SEND_S_MAX
from monitor.store.history import History, StoredEvent

log = structlog.get_logger("imgmon.api")

EVENT_STREAM: Final = "text/event-stream"
_RETRY_S: Final = 5
_Id = Annotated[int | None, Query(ge=0, le=2**63 - 1)]
_LastEventId = Annotated[int | None, Header(ge=0, le=2**63 - 1, alias="Last-Event-ID")]
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}},
    503: {"model": ProblemOut, "description": "Too many streams, or the log cannot be read."},
}


def build(sources: Sources, seats: Seats) -> APIRouter:
    """Return the router over *sources*; each stream takes one of *seats*."""
    router = APIRouter()
    events = Log(sources.history, sources.clock)

    @router.get("/v1/stream", response_class=Response, responses=_RESPONSES, tags=["incidents"])
    async def get_stream(
        request: Request, since_id: _Id = None, last_event_id: _LastEventId = None
    ) -> Response:
        """
        The events of `/v1/events` as they come, from after an id on; without one, from now on.

        A reconnecting reader's `Last-Event-ID` goes before `since_id`.
        """
        if seats.are_taken:
            raise HTTPException(
                503, "Too many streams; ask /v1/events?since_id= instead.", {"Retry-After": "5"}
            )
        try:
            newest = await events.newest_id()
        except StoreError as error:
            raise HTTPException(503, str(error), {"Retry-After": "5"}) from error
        given = last_event_id if last_event_id is not None else since_id
        check = partial(sources.access.check_reading, request.headers.get("Authorization"))
        return EventStream(events, seats, newest if given is None else given, check)

    return router


class Log:
    """The stored log, asked for its newest id once for all streams."""

    def __init__(self, history: History, clock: Clock) -> None:
        """Read *history*, which runs in threads."""
        self._history = history
        self._clock = clock
        self._lock = asyncio.Lock()
        self._newest = 0
        self._looked_at = float("-inf")

    async def newest_id(self) -> int:
        """Return the newest id, as of half a second ago at most."""
        async with self._lock:
            if self._clock.monotonic() - self._looked_at >= STREAM_LOOK_S:
                self._newest = await asyncio.to_thread(self._history.newest_id)
                self._looked_at = self._clock.monotonic()
        return self._newest

    async def after(self, since_id: int) -> tuple[StoredEvent, ...]:
        """Return a page of the events after *since_id*, oldest first; empty without any."""
        if since_id >= await self.newest_id():
            return ()
        return await asyncio.to_thread(self._history.events, since_id, STREAM_PAGE)


class EventStream(Response):
    """An answer that goes on until its reader hangs up, falls asleep, or the server stops."""

    media_type = EVENT_STREAM

    def __init__(
        self,
        events: Log,
        seats: Seats,
        since_id: int,
        check: Callable[[], None],
        *,
        send_s: float = STREAM_SEND_S_MAX,
        alive_s: float = STREAM_ALIVE_S,
    ) -> None:
        """
        Tell what *events* hold after *since_id*; a send may take *send_s*, silence *alive_s*.

        *check* raises an HTTPException once the reader may not read any more.
        """
        # A proxy that gathers the answer before it passes it on would hold back every event.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._log = events
        self._seats = seats
        self._since_id = since_id
        self._check = check
        self._send_s = send_s
        self._alive_s = alive_s

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send frames for as long as there is somebody who reads them."""
        start: Message = {
            "type": "http.response.start", "status": self.status_code, "headers": self.raw_headers,
        }  # fmt: skip
        await send(start)
        with self._seats.seat() as wake:
            if wake is not None:
                async with until_gone(receive, wake):
                    try:
                        async with aclosing(self._frames(wake)) as frames:
                            async for text in frames:
                                async with asyncio.timeout(self._send_s):
                                    await send(_chunk(text))
                    except TimeoutError:
                        # Cut, not ended: the end would wait for the same reader. It reconnects, and
                        # goes on after the last id that it was told.
                        return
                    except HTTPException:
                        pass  # Its token was revoked: an end, and a refusal when it comes back.
                    except StoreError as error:
                        log.warning("stream.ended", error=str(error))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _frames(self, wake: asyncio.Event) -> AsyncGenerator[str]:
        """Yield events as they come until *wake* is set, and a sign of life when none come."""
        # An id without data tells no event, but where to go on: before the first one too.
        yield f"retry: {_RETRY_S * 1000}\nid: {self._since_id}\n\n"
        silent_s = 0.0
        while not wake.is_set():
            self._check()
            page = await self._log.after(self._since_id)
            for stored in page:
                yield frame(stored)
                self._since_id, silent_s = stored.id, 0.0
            if page:
                continue
            try:
                async with asyncio.timeout(STREAM_LOOK_S):
                    await wake.wait()
            except TimeoutError:
                silent_s += STREAM_LOOK_S
            if silent_s >= self._alive_s:
                yield ": alive\n\n"
                silent_s = 0.0


def frame(stored: StoredEvent) -> str:
    """Return one event as it goes over the wire; JSON has no bare line break."""
    document = event_document(stored.id, stored.event)
    data = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return f"id: {stored.id}\nevent: {stored.event.kind.value}\ndata: {data}\n\n"


def _chunk(text: str) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}
