"""A real server on a free port of this machine, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from monitor.api.server import Server, bind, build_server


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[tuple[Server, str]]:
    """Serve *app*; give the server and its address, and stop it at the end."""
    with bind("127.0.0.1", 0) as listener:
        server = build_server(app)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield server, f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            await serving
