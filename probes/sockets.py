"""
Sockets under the transport: name resolution timed apart, checked addresses, and the timeline.

Owns where a probe's time goes and which address is connected to. Knows httpcore, not httpx.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final, Protocol

import httpcore

from probes.model import Phase

# RFC 8305 lets a client wait at most this long for one address before it tries the next. It ends
# up in the connect phase only: latency starts at the first byte sent.
ADDRESS_TRY_S: Final = 2.0
ADDRESSES_MAX: Final = 8


class Clock(Protocol):
    """Two readings that are never mixed; ``monitor.clock`` fits."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch (UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never steps back."""
        ...


class Timeline:
    """
    Where one probe's time goes: one phase runs at a time, and each phase's seconds add up.

    Attributes:
        seconds: Finished stretches by phase.
        current: The phase that runs now or ran last: where a failure struck.
        first_sent_at: Monotonic time of the first request byte; None before.
        has_connected: Whether a connection was opened, and none reused from before.
    """

    def __init__(self, clock: Clock) -> None:
        """Start with no phase running."""
        self.seconds: dict[Phase, float] = {}
        self.current: Phase | None = None
        self.first_sent_at: float | None = None
        self.has_connected = False
        self._clock = clock
        self._since: float | None = None
        self._whole: Phase | None = None

    def enter(self, phase: Phase) -> None:
        """End the running phase and start *phase*; inside a whole phase do nothing."""
        if self._whole is None:
            self.leave()
            self.current, self._since = phase, self._clock.monotonic()

    def leave(self) -> None:
        """End the running phase, if any; inside a whole phase do nothing."""
        if self._whole is None and self._since is not None and self.current is not None:
            spent = self._clock.monotonic() - self._since
            self.seconds[self.current] = self.seconds.get(self.current, 0.0) + spent
            self._since = None

    def enter_whole(self, phase: Phase) -> None:
        """Book everything as *phase* until :meth:`leave_whole`, connecting included."""
        self.enter(phase)
        self._whole = phase

    def leave_whole(self) -> None:
        """End the whole phase, if any."""
        self._whole = None
        self.leave()

    def sending(self) -> None:
        """Note that request bytes leave now."""
        if self.first_sent_at is None:
            self.first_sent_at = self._clock.monotonic()
        self.enter(Phase.SEND)

    async def trace(self, event: str, _: Any) -> None:
        """Follow httpcore's trace events; asynchronous because httpcore awaits it."""
        match event:
            case "connection.start_tls.started":
                self.enter(Phase.TLS)
            case "proxy.start_tls.started":
                self.first_sent_at = None  # What was sent so far was CONNECT, to the proxy.
                self.enter(Phase.TLS)
            case "http11.send_request_headers.started":
                self.sending()
            case "http11.send_request_body.complete" | "http11.receive_response_headers.started":
                self.enter(Phase.FIRST_BYTE)
            case "http11.receive_response_headers.complete":
                self.enter(Phase.BODY)
            case "http11.receive_response_body.complete":
                self.leave()


# A pool outlives a probe when connections are kept, so the backend finds the probe's timeline here.
timeline_now: ContextVar[Timeline] = ContextVar("timeline_now")


async def resolve(host: str, port: int) -> list[str]:
    """Return the host's addresses, without doubles, in the order the resolver prefers."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} does not resolve: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:ADDRESSES_MAX]


class ResolvingBackend(httpcore.AsyncNetworkBackend):
    """
    Opens sockets to addresses it has resolved itself, so that DNS is timed apart.

    The address that *check* accepted is the one connected to: a name that changes its address
    between check and connect gains nothing.
    """

    def __init__(
        self,
        check: Callable[[str], None] = lambda _: None,
        resolver: Callable[[str, int], Awaitable[list[str]]] = resolve,
    ) -> None:
        """Call *check* with every resolved address; it raises Refused to forbid the host."""
        self._check = check
        self._resolve = resolver
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature; always None here
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve *host*, check every address, connect to the first that answers."""
        timeline = timeline_now.get()
        timeline.has_connected = True
        timeline.enter(Phase.DNS)
        addresses = await self._resolve(host, port)
        timeline.enter(Phase.CONNECT)
        for address in addresses:
            self._check(address)
        *others, last = addresses
        for address in others:
            try:
                return await self._open(address, port, ADDRESS_TRY_S, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._open(last, port, timeout, local_address, socket_options)

    async def _open(self, *how: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.connect_tcp(*how))


class _Stream(httpcore.AsyncNetworkStream):
    """A TCP stream that is closed when its TLS handshake does not finish."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._inner.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            # httpcore closes on errors but not on cancellation, which is how our deadline comes:
            # every hung handshake would keep its socket for ever.
            await self._inner.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
