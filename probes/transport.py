"""
The wire under the driver: httpx over a connection pool with our own sockets.

Owns what httpx and httpcore raise and how a body is read under a cap. httpx types stay in here,
in the driver and in the link checks; nothing here knows wire formats or pictures.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import httpcore
import httpx

from probes.model import ErrorClass, Phase, Refused, Verdict
from probes.sockets import ResolvingBackend

# A 4K PNG is 15-30 MB, base64 adds a third, batch answers carry it twice.
REPLY_BYTES_MAX: Final = 96 * 1024 * 1024
# Pictures in base64 hold none of these; what is between them costs up to 80 bytes once parsed, and
# the parser lets nobody else run. A megabyte streamed in crumbs of ten letters has 1.5 million.
JSON_MARKS: Final = (b",", b"[", b"{", b"\n", b"\r")
JSON_MARKS_MAX: Final = 4_000_000


def _user_agent() -> str:
    try:
        return f"imgmon/{version('imgmon')}"
    except PackageNotFoundError:
        return "imgmon/0"  # Run from a bare checkout.


BASE_HEADERS: Final = {"user-agent": _user_agent(), "accept": "*/*", "accept-encoding": "gzip"}


class _Body(httpx.AsyncByteStream):
    """A response body as httpx wants it, straight from httpcore."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class PoolTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over an httpcore pool with our own backend; never retries, reads no environment."""

    def __init__(
        self, ssl_context: ssl.SSLContext, backend: ResolvingBackend, proxy: str | None = None
    ) -> None:
        """Share *ssl_context*; *proxy* is an ``http://`` URL, None connects directly."""
        if proxy is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context, network_backend=backend, retries=0
            )
        else:
            self._pool = httpcore.AsyncHTTPProxy(
                proxy, ssl_context=ssl_context, network_backend=backend, retries=0
            )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send once; raises httpcore's exceptions, which :func:`refusal` knows as well."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        response = await self._pool.handle_async_request(
            httpcore.Request(
                request.method,
                url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


def bare_client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """Return a client that adds nothing: no redirects, cookies, environment or own timeouts."""
    return httpx.AsyncClient(
        transport=transport,
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(None),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


_E = ErrorClass
# First match along the exception's ancestry, so a more specific row wins. httpcore's classes are
# raised by our transport, httpx's by its client and by transports that tests and replays bring.
EXCEPTIONS: Final[dict[type[BaseException], ErrorClass]] = {
    TimeoutError: _E.TIMEOUT,
    httpx.TimeoutException: _E.TIMEOUT,
    httpcore.TimeoutException: _E.TIMEOUT,
    httpx.NetworkError: _E.CONNECTION,
    httpcore.NetworkError: _E.CONNECTION,
    httpx.ProxyError: _E.CONNECTION,
    httpcore.ProxyError: _E.CONNECTION,
    OSError: _E.CONNECTION,
    ssl.SSLError: _E.CONNECTION,
    httpx.RemoteProtocolError: _E.PROTOCOL,
    httpcore.RemoteProtocolError: _E.PROTOCOL,
    httpx.DecodingError: _E.PROTOCOL,
    zlib.error: _E.PROTOCOL,
    httpx.TooManyRedirects: _E.PROTOCOL,
    httpx.UnsupportedProtocol: _E.PROTOCOL,
    httpcore.UnsupportedProtocol: _E.PROTOCOL,
    httpx.InvalidURL: _E.PROTOCOL,
    httpx.HTTPStatusError: _E.PROTOCOL,
    # We broke the protocol: a key with a line feed or a typographic quote in it, for example.
    UnicodeEncodeError: _E.BAD_REQUEST,
    httpx.LocalProtocolError: _E.BAD_REQUEST,
    httpcore.LocalProtocolError: _E.BAD_REQUEST,
    # Our own pool and our own misuse say nothing of the provider.
    httpx.PoolTimeout: _E.MONITOR_FAULT,
    httpcore.PoolTimeout: _E.MONITOR_FAULT,
    httpx.StreamError: _E.MONITOR_FAULT,
    httpx.CookieConflict: _E.MONITOR_FAULT,
}
# How httpcore words a peer that hung up; it has no class of its own for that.
HUNG_UP: Final = ("disconnected", "peer closed connection")


def error_class(error: BaseException) -> ErrorClass | None:
    """Return what *error* means; None when it is nothing that the wire raises."""
    known = next((EXCEPTIONS[kind] for kind in type(error).__mro__ if kind in EXCEPTIONS), None)
    if known is _E.PROTOCOL and any(words in str(error).lower() for words in HUNG_UP):
        return _E.CONNECTION
    return known


def refusal(error: Exception, phase: Phase | None) -> Refused:
    """
    Return the verdict on what the wire raised during *phase*.

    Faults of ours show only the exception's type: h11 quotes the header it rejects, key included.
    """
    found = error_class(error) or _E.MONITOR_FAULT
    detail = type(error).__name__
    if found not in {_E.BAD_REQUEST, _E.MONITOR_FAULT} and str(error):
        detail = f"{detail}: {error}"
    is_placed = found in {_E.CONNECTION, _E.TIMEOUT}
    return Refused(Verdict(error=found, detail=detail, phase=phase if is_placed else None))


def off_protocol(detail: str, **more: Any) -> Refused:
    """Return a ``protocol`` refusal."""
    return Refused(Verdict(error=_E.PROTOCOL, detail=detail, **more))


class ByteCount:
    """Bytes a probe has received, under one cap for all its replies."""

    def __init__(self, most: int = REPLY_BYTES_MAX) -> None:
        """Allow *most* bytes."""
        self.total = 0
        self._most = most

    @property
    def left(self) -> int:
        """Bytes that may still come."""
        return self._most - self.total

    def add(self, count: int) -> None:
        """Count bytes; raises Refused past the cap."""
        self.total += count
        if self.total > self._most:
            raise off_protocol(f"replies exceed {self._most} bytes")


async def read_raw(response: httpx.Response, count: ByteCount) -> bytes:
    """Return the body as it came, still in its content encoding."""
    assert isinstance(response.stream, httpx.AsyncByteStream)
    chunks = []
    # Not aiter_bytes(): its decoders have no bound, and "gzip, gzip" turns 64 kB into 64 GB.
    async for chunk in response.stream:
        count.add(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


async def decoded(
    raw: bytes, encoding: str, count: ByteCount, *, is_picture: bool = False
) -> bytes:
    """
    Return *raw* without its content encoding; only gzip is asked for and understood.

    What is no picture will be parsed as JSON: Refused (``protocol``) when that would take gigabytes.
    """
    body = await _without_encoding(raw, encoding.strip().lower(), count)
    # Counting what is short costs more than it saves.
    is_long = len(body) > JSON_MARKS_MAX and not is_picture
    if is_long and sum(map(body.count, JSON_MARKS)) > JSON_MARKS_MAX:
        raise off_protocol(f"a reply of {len(body)} bytes in more than {JSON_MARKS_MAX} pieces")
    return body


async def _without_encoding(raw: bytes, encoding: str, count: ByteCount) -> bytes:
    if encoding in {"", "identity"} or not raw:
        return raw
    if encoding not in {"gzip", "x-gzip"}:
        raise off_protocol(f"content-encoding {encoding[:40]!r} was not asked for")
    count.add(-len(raw))
    try:
        body = await asyncio.to_thread(_gunzip, raw, count.left + 1)
    except zlib.error as error:
        raise refusal(error, None) from error
    count.add(len(body))
    return body


def _gunzip(raw: bytes, most: int) -> bytes:
    """Return at most *most* (> 0) bytes of *raw* unzipped."""
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    body = member.decompress(raw, most)
    if not member.eof and len(body) < most:
        raise zlib.error("gzip data is cut")
    return body
