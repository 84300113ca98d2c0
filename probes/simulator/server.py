"""
Serves the simulator over real sockets: in a thread for tests, in a coroutine for the command line.

Owns what needs the connection itself: it puts the transport into the scope for TCP resets.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Generator
from types import TracebackType
from typing import Final, Self

import anyio
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from probes.simulator.app import ACCOUNTS, Simulator
from probes.simulator.faults import Fault, FaultPlan
from probes.simulator.wire import TRANSPORT
from probes.simulator.world import Clock, Incoming

_STOP_S_MAX: Final = 10.0


class ExposedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the connection in the scope's extensions."""

    def on_message_begin(self) -> None:
        """Start a scope."""
        super().on_message_begin()
        # Not among the extensions that the ASGI types know.
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item] # ours


class Server(uvicorn.Server):
    """
    A uvicorn server that leaves signals alone and lets hanging requests go when it stops.

    Set ``should_exit`` to stop it.
    """

    def __init__(self, app: Simulator) -> None:
        """Prepare to serve *app*."""
        super().__init__(
            uvicorn.Config(
                app,
                http=ExposedProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        self._app = app

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the program that runs us."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go of requests that wait, then stop."""
        self._app.world.closing.set()
        await super().shutdown(sockets)


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a listening socket; raises OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=256)


async def serve(app: Simulator, listener: socket.socket) -> None:
    """Serve *app* on *listener* until cancelled; stops cleanly."""
    server = Server(app)
    running = asyncio.ensure_future(server.serve([listener]))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        server.should_exit = True
        # anyio's scopes cancel again at every await: shield what takes a tenth of a second.
        with anyio.CancelScope(shield=True):
            await running
        raise


class SimulatorServer:
    """
    A simulator on a port of its own, in a thread: ``with SimulatorServer(plan, clock) as s:``.

    Attributes:
        app: The application; its ``world`` may be looked at from the test.
        url: Scheme, host and port.
    """

    def __init__(
        self, plan: FaultPlan, clock: Clock, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Prepare to play *plan*; port 0 takes any free one."""
        self.app = Simulator(plan, clock)
        self.url = ""
        self._host, self._port = host, port
        self._server = Server(self.app)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start serving; returns once requests are accepted."""
        sock = listen(self._host, self._port)
        host, port = sock.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        # The socket listens already, so requests wait in its backlog until the loop runs.
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve([sock])), name="simulator", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving; hanging requests are reset."""
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join(_STOP_S_MAX)
        assert not self._thread.is_alive(), "the simulator did not stop"

    def base(self, account: str) -> str:
        """Return the root of *account*, without the version part of its paths."""
        assert account in ACCOUNTS, f"no account {account!r}"
        return f"{self.url}/{account}"

    def set_fault(self, account: str, fault: Fault | None) -> None:
        """Replace the live fault of *account*; None clears it."""
        assert account in ACCOUNTS, f"no account {account!r}"
        if fault is None:
            self.app.world.player.live.pop(account, None)
        else:
            self.app.world.player.live[account] = fault

    @property
    def requests(self) -> list[Incoming]:
        """Requests so far, oldest first; the newest 10 000."""
        return list(self.app.world.requests)
