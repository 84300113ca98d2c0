"""The FastAPI application and the uvicorn server it runs in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from monitor.api import (
    description,
    incident_routes,
    months,
    operate_routes,
    orders,
    page_routes,
    probe_routes,
    problems,
    reload_routes,
    report_routes,
    routes,
    stream,
)
from monitor.api.access import Gate
from monitor.api.counting import Counted
from monitor.api.front import Front
from monitor.api.holds import Holds
from monitor.errors import MonitorError
from monitor.version import __version__


def build_api(sources: routes.Sources) -> FastAPI:
    """Return the application over *sources*."""
    app = FastAPI(
        title="imgmon",
        version=__version__,
        summary="Measured health of image-generation APIs and the order to call them in.",
        docs_url=None,  # FastAPI's page loads its script from a CDN; ours calls out to nobody.
        redoc_url=None,
        dependencies=[Depends(problems.only_known_parameters)],
    )
    description.install(app)
    problems.install(app)
    app.add_middleware(Gate, access=sources.access)
    app.add_middleware(Counted, answers=sources.answers)  # Around the gate: refusals count too.
    holds = app.state.holds = Holds()
    app.include_router(orders.build(sources, holds))
    app.include_router(routes.build(sources))
    app.include_router(months.build(sources))
    app.include_router(incident_routes.build(sources))
    app.include_router(report_routes.build(sources))
    app.include_router(operate_routes.build(sources))
    app.include_router(reload_routes.build(sources))
    app.include_router(stream.build(sources, holds.streams))
    app.include_router(page_routes.build(sources))
    app.include_router(probe_routes.build(sources))

    @app.get("/docs", include_in_schema=False)
    async def get_docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app))

    return app


def docs_page(app: FastAPI) -> str:
    """Return the reference of all routes as one page without a script."""
    rows = []
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            parameters = ", ".join(
                f"<code>{escape(p['name'])}</code>"
                for p in operation.get("parameters", [])
                if p["in"] != "header"
            )
            rows.append(
                f"<tr><td><code>{method.upper()} {escape(path)}</code></td>"
                f"<td>{escape(operation.get('description', ''))}</td><td>{parameters}</td></tr>"
            )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>imgmon API</title>"
        "<meta name=viewport content='width=device-width'><style>"
        ":root{color-scheme:light dark}body{font:16px/1.5 system-ui;max-width:64rem;"
        "margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}td code{white-space:nowrap}td,th{text-align:left;vertical-align:top;"
        "padding:.4rem 1rem .4rem 0;border-bottom:1px solid #8884}</style>"
        f"<h1>imgmon {escape(__version__)}</h1><p>Machine-readable: "
        "<a href=/openapi.json>openapi.json</a>, <a href=/metrics>metrics</a>, "
        "<a href=/v1/pools>pools</a>, <a href=/v1/targets>targets</a>, "
        "<a href=/>status page</a>.</p>"
        "<table><tr><th>Route</th><th>Gives</th><th>Parameters</th></tr>"
        f"{''.join(rows)}</table></html>"
    )


class Server(uvicorn.Server):
    """
    uvicorn without its signal handling: the composition root owns signals.

    Attributes:
        front: What it serves.
        stopping: Set once :meth:`stop` was called.
    """

    def __init__(self, config: uvicorn.Config, front: Front) -> None:
        """Serve *front* as *config* says."""
        super().__init__(config)
        self.front = front
        self.stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone; uvicorn would raise them again after serving."""
        yield

    def stop(self) -> None:
        """Finish the requests under way, release those that wait, and stop serving."""
        self.should_exit = True
        self.front.close()
        self.stopping.set()


def build_server(app: FastAPI) -> Server:
    """Return a server for *app*; one process, one worker, no access log."""
    front = Front(app)
    return Server(
        uvicorn.Config(
            front,
            http="httptools",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        ),
        front,
    )


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket, taken before anything is started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay only over what is said to be TCP: else each answer after the first
    # of a connection waits 40 ms for the peer to acknowledge its headers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise MonitorError(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            "stop what listens there or set another [server] listen"
        ) from error
    listener.listen(1024)
    return listener
