"""
Answers, healthy and broken, as they go over the socket.

Knows no vendor and no plan. The broken ones need the connection itself, which
:class:`probes.simulator.server.ExposedProtocol` puts into the scope.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

TRANSPORT: Final = "imgmon.transport"
JSON_TYPE: Final = "application/json; charset=UTF-8"
# Nobody waits longer than this; a forgotten connection must not live for ever.
HANG_S_MAX: Final = 600.0
_DRIP_PIECES: Final = 120
# close() with unsent data discarded and a TCP RST instead of a FIN.
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


def json_reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return *body* as the vendors send it: JSON that says it is UTF-8."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, status, {"content-type": JSON_TYPE, **(headers or {})})


def html_page(status: int) -> Response:
    """Return a page such as a proxy or a content network shows in front of an API."""
    page = f"<!DOCTYPE html><html><head><title>{status}</title></head><body>Edge</body></html>"
    return Response(page, status, media_type="text/html")


def garbage(seed: int) -> Response:
    """Return bytes that say they are JSON and are not."""
    return Response(b'{"data": [{"\xff\xfe %d' % seed, 200, {"content-type": JSON_TYPE})


class CutBody(Response):
    """Announces the whole body, sends half of it and hangs up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send and hang up."""
        await send(_start(self))
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        transport_of(scope).close()
        await _gone(receive)


class SlowDrip(Response):
    """Sends the body in many small pieces with a pause before each."""

    def __init__(self, whole: Response, pause_s: float, closing: asyncio.Event) -> None:
        """Drip *whole*, waiting *pause_s* seconds each time, until *closing*."""
        super().__init__(whole.body, whole.status_code)
        self.raw_headers = whole.raw_headers
        self._pause_s, self._closing = pause_s, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Drip."""
        await send(_start(self))
        body = bytes(self.body)
        size = max(1, -(-len(body) // _DRIP_PIECES))
        for at in range(0, len(body), size):
            if await happened(self._closing, self._pause_s):
                break
            piece = {"type": "http.response.body", "body": body[at : at + size], "more_body": True}
            await send(piece)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        transport_of(scope).close()
        await _gone(receive)


class Reset(Response):
    """Answers with a TCP reset."""

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,  # noqa: ARG002 - the ASGI signature
    ) -> None:
        """Abort the connection."""
        abort(transport_of(scope))
        await _gone(receive)


class Hang(Response):
    """Answers nothing until the caller gives up or *closing* happens."""

    def __init__(self, closing: asyncio.Event) -> None:
        """Hang until *closing*."""
        super().__init__()
        self._closing = closing

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,  # noqa: ARG002 - the ASGI signature
    ) -> None:
        """Wait, then drop the connection."""
        gone = asyncio.ensure_future(_gone(receive))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait(
                {gone, closing}, timeout=HANG_S_MAX, return_when=asyncio.FIRST_COMPLETED
            )
            if not gone.done():
                abort(transport_of(scope))
            await gone
        finally:
            closing.cancel()


async def happened(event: asyncio.Event, within_s: float) -> bool:
    """Wait up to *within_s* seconds for *event*; return whether it happened."""
    if within_s <= 0:
        return event.is_set()
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except TimeoutError:
        return False
    return True


def transport_of(scope: Scope) -> asyncio.Transport:
    """Return the connection of a request; it must be served by our own server."""
    transport: asyncio.Transport | None = scope.get("extensions", {}).get(TRANSPORT)
    assert transport is not None, "this fault needs probes.simulator.server"
    return transport


def abort(transport: asyncio.Transport) -> None:
    """Reset the connection under *transport*."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        # On a duplicate, which shares the option: the socket objects that asyncio and uvloop show
        # do not offer the same methods.
        with socket.socket(fileno=os.dup(sock.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()


async def _gone(receive: Receive) -> None:
    """Return once the connection is lost."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _start(response: Response) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": response.status_code,
        "headers": response.raw_headers,
    }
