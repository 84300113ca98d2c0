"""A raw HTTP server on loopback that does on the wire exactly what a test's script says."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Received:
    """One request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class WireServer:
    """
    What came in, and where to reach it.

    Attributes:
        hang_up: Set when the server closes; scripts that never answer wait for it.
    """

    base_url: str = ""
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    hang_up: asyncio.Event = field(default_factory=asyncio.Event)


Script = Callable[[Received, asyncio.StreamWriter, WireServer], Awaitable[None]]


def response(
    body: bytes = b"",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    length: int | None = None,
) -> bytes:
    """Return the bytes of a response; *length* overrides the true content length."""
    lines = [f"HTTP/1.1 {status} Any", f"content-length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering(*answers: bytes | Callable[[WireServer], bytes]) -> Script:
    """Return a script that writes one of *answers* per request, the last one again and again."""

    async def script(_: Received, writer: asyncio.StreamWriter, server: WireServer) -> None:
        answer = answers[min(len(server.requests), len(answers)) - 1]
        writer.write(answer if isinstance(answer, bytes) else answer(server))

    return script


async def hanging(_: Received, writer: asyncio.StreamWriter, server: WireServer) -> None:
    """Never answer."""
    await server.hang_up.wait()


def cut_after(data: bytes, *, reset: bool = False) -> Script:
    """Return a script that writes *data* and then closes, or resets, the connection."""

    async def script(_: Received, writer: asyncio.StreamWriter, server: WireServer) -> None:
        writer.write(data)
        await writer.drain()
        if reset:
            writer.transport.abort()
        else:
            writer.close()

    return script


def dripping(head: bytes, drop: bytes = b" ") -> Script:
    """Return a script that writes *head* and then a drop every 20 ms, without end."""

    async def script(_: Received, writer: asyncio.StreamWriter, server: WireServer) -> None:
        writer.write(head)
        while not server.hang_up.is_set():
            writer.write(drop)
            await writer.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(server.hang_up.wait(), 0.02)

    return script


@asynccontextmanager
async def serving(
    script: Script, ssl_context: ssl.SSLContext | None = None
) -> AsyncIterator[WireServer]:
    """Serve *script* on 127.0.0.1 for the length of the block."""
    state = WireServer()
    open_now: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now[task] = writer
        state.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                received = await _read(reader)
                state.requests.append(received)
                await script(received, writer, state)
                await writer.drain()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        del open_now[task]

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=ssl_context)
    state.port = server.sockets[0].getsockname()[1]
    state.base_url = f"http{'s' if ssl_context else ''}://127.0.0.1:{state.port}"
    try:
        yield state
    finally:
        state.hang_up.set()
        server.close()
        for writer in open_now.values():
            writer.close()
        # Not left to wait_closed(), which waits for connections from Python 3.12 on only.
        await asyncio.gather(*open_now)
        await server.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body)


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server context and the certificate file it shows, valid for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl binary to make a certificate with")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-keyout", str(key), "-out", str(certificate),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
