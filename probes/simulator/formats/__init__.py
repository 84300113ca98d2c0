"""The server twin of each wire format: routes that speak one vendor's language."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from probes.simulator.world import Incoming, World

Handler = Callable[[Incoming], Awaitable[Response]]

# Prompts are short; this leaves room for batch jobs and reference pictures.
BODY_BYTES_MAX = 8 * 1024 * 1024


def route(world: World, account: str, method: str, path: str, handler: Handler) -> Route:
    """Return a route that records each request of *account* and hands it to *handler*."""

    async def endpoint(request: Request) -> Response:
        raw = bytearray()
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > BODY_BYTES_MAX:
                return PlainTextResponse("request too large", 413)
        try:
            body = json.loads(raw) if raw else None
        except (ValueError, RecursionError):
            body = None
        incoming = Incoming(
            account=account,
            method=request.method,
            path=request.url.path,
            query=dict(request.query_params),
            headers=dict(request.headers),
            params={name: str(value) for name, value in request.path_params.items()},
            json=body,
            origin=f"{request.url.scheme}://{request.headers.get('host', 'localhost')}",
        )
        world.record(incoming)
        return await handler(incoming)

    return Route(path, endpoint, methods=[method])
