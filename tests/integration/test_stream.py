"""The log of events as server-sent events: each once, in order, over cuts and restarts."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from random import Random

import httpx
import pytest
from fastapi import FastAPI

from monitor import tokens
from monitor.api.holds import Holds
from monitor.api.stream import EventStream, Log
from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.core.events import Event, EventKind
from monitor.limits import STREAM_PAGE, STREAMS_MAX
from monitor.store.history import History
from monitor.store.reader import Reader
from monitor.tokens import Scope
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.builders import NOW
from tests.support.daemon import client, configuration, running, until
from tests.support.serving import served

pytestmark = pytest.mark.anyio


@pytest.fixture
async def daemon(tmp_path) -> AsyncIterator[Daemon]:
    """A daemon that nothing happens to by itself: it has no keys, so that nothing is probed."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db", environ={})
        async with running(config) as daemon:
            assert daemon.writer.flush(5)
            yield daemon


def may() -> None:
    """Allow to read on."""


def log_some(daemon: Daemon, count: int, text: str = "") -> None:
    """Store *count* events."""
    for number in range(count):
        data = {"number": number, "text": text}
        daemon.writer.submit_event(Event(kind=EventKind.MODEL_CHANGED, at=NOW, data=data))
    assert daemon.writer.flush(20)


async def frames(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Fields of each frame as they come; a comment is the field of no name."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields
            fields = {}


@asynccontextmanager
async def streaming(base: str, query: str = "", **headers: str):
    """The frames of one stream."""
    async with (
        httpx.AsyncClient(base_url=base) as http,
        http.stream("GET", f"/v1/stream{query}", headers=headers, timeout=20) as response,
    ):
        assert "text/event-stream; charset=utf-8" == response.headers["content-type"]
        yield frames(response)


async def take(stream: AsyncIterator[dict[str, str]], count: int) -> list[dict[str, str]]:
    """The next frames that hold an event."""
    taken: list[dict[str, str]] = []
    while len(taken) < count:
        fields = await anext(stream)
        taken += [fields] if "data" in fields else []
    return taken


async def test_a_stream_tells_what_the_log_holds_and_then_what_comes(daemon):
    """From an id on, over several pages, then live; each event as /v1/events has it."""
    log_some(daemon, 2 * STREAM_PAGE + 1)
    newest = daemon.history.newest_id()
    since = newest - 2 * STREAM_PAGE - 1
    async with served(daemon.api()) as (_, base), streaming(base, f"?since_id={since}") as stream:
        told = await take(stream, 2 * STREAM_PAGE + 1)
        log_some(daemon, 2)
        told += await take(stream, 2)
    async with client(daemon) as http:
        events = (await http.get(f"/v1/events?since_id={since}&limit=1000")).json()["events"]

    assert events == [json.loads(fields["data"]) for fields in told]
    assert [str(event["id"]) for event in events] == [fields["id"] for fields in told]
    assert {"model_changed"} == {fields["event"] for fields in told}


async def test_a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice(daemon):
    """Cut after any event, it goes on by Last-Event-ID, which goes before the address it had."""
    log_some(daemon, 12)
    newest = daemon.history.newest_id()
    heard: list[int] = []
    last = str(newest - 12)
    async with served(daemon.api()) as (server, base):
        for count in (1, 5, 2, 4):
            async with streaming(base, "?since_id=0", **{"Last-Event-ID": last}) as stream:
                heard += [int(fields["id"]) for fields in await take(stream, count)]
                last = str(heard[-1])
        await until(lambda: server.front.holds.streams.taken == 0)

    assert list(range(newest - 11, newest + 1)) == heard


async def test_without_an_id_a_stream_begins_now_and_says_where_that_is(daemon):
    """The first frame sets the id that a browser comes back with, so that no gap can open."""
    log_some(daemon, 3)
    newest = daemon.history.newest_id()
    async with served(daemon.api()) as (_, base), streaming(base) as stream:
        first = await anext(stream)
        log_some(daemon, 1)
        (event,) = await take(stream, 1)

    assert {"retry": "5000", "id": str(newest)} == first
    assert str(newest + 1) == event["id"]


async def test_silence_is_filled_with_comments(daemon):
    """A proxy that cuts what is silent sees life; no event is made up."""
    app, holds = FastAPI(), Holds()
    app.state.holds = holds

    @app.get("/v1/stream")
    async def get_stream():
        events = Log(daemon.history, daemon.clock)
        return EventStream(events, holds.streams, daemon.history.newest_id(), may, alive_s=0.1)

    async with served(app) as (_, base), streaming(base) as stream:
        await anext(stream)
        silence = [await anext(stream), await anext(stream)]

    assert [{"": "alive"}] * 2 == silence


async def test_a_stopping_server_ends_its_streams(daemon):
    """The answer ends as it should, and the reader comes back to the next daemon."""
    async with served(daemon.api()) as (server, base), streaming(base) as stream:
        await anext(stream)
        server.stop()
        rest = [fields async for fields in stream]

    assert [] == rest


async def test_too_many_streams_are_refused_with_another_way(daemon):
    """A bounded number of sockets; who is left out can page through the log."""
    app = daemon.api()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost"
    ) as http:
        with ExitStack() as seats:
            for _ in range(STREAMS_MAX):
                seats.enter_context(app.state.holds.streams.seat())
            answer = await http.get("/v1/stream")

    assert (503, "5") == (answer.status_code, answer.headers["retry-after"])
    assert "/v1/events" in answer.json()["detail"]


async def test_an_id_that_is_none_is_pointed_at(daemon):
    """In the header as in the query."""
    async with client(daemon) as http:
        header = await http.get("/v1/stream", headers={"Last-Event-ID": "yesterday"})
        query = await http.get("/v1/stream?since_id=-1")

    pointers = [a.json()["errors"][0]["pointer"] for a in (header, query)]
    assert (["header/Last-Event-ID", "query/since_id"], 422) == (pointers, header.status_code)


async def test_a_reader_that_falls_asleep_is_cut_and_goes_on_where_it_was(daemon):
    """It costs a page of memory and its seat for a while; nothing is lost by the cut."""
    log_some(daemon, 400, "x" * 30_000)
    newest = daemon.history.newest_id()
    app, holds = FastAPI(), Holds()
    app.state.holds = holds

    @app.get("/v1/stream")
    async def get_stream(since_id: int):
        events = Log(daemon.history, daemon.clock)
        return EventStream(events, holds.streams, since_id, may, send_s=0.2)

    async with served(app) as (_, base):
        with socket.socket() as sleeper:
            sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sleeper.setblocking(False)
            host, port = base.removeprefix("http://").split(":")
            await asyncio.get_running_loop().sock_connect(sleeper, (host, int(port)))
            request = f"GET /v1/stream?since_id={newest - 400} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(sleeper, request.encode())
            await until(lambda: holds.streams.taken == 1)
            await until(lambda: holds.streams.taken == 0)
        async with streaming(base, f"?since_id={newest - 400}") as stream:
            told = await take(stream, 400)

    assert list(range(newest - 399, newest + 1)) == [int(fields["id"]) for fields in told]


async def test_a_log_that_cannot_be_read_is_said_before_and_ends_a_stream_after(daemon, tmp_path):
    """A problem while there is a status to say it with; else the end, after which it is asked again."""
    config = daemon.config
    unread = Daemon(config, clock=SystemClock(), rng=Random(1))
    unread.history = History(Reader(tmp_path / "none.db"))
    async with client(unread) as http:
        refused = await http.get("/v1/stream")
    app, holds = FastAPI(), Holds()

    @app.get("/v1/stream")
    async def get_stream():
        return EventStream(Log(unread.history, unread.clock), holds.streams, 0, may)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost"
    ) as http:
        ended = await http.get("/v1/stream")
    await unread.driver.aclose()

    assert (503, "application/problem+json") == (
        refused.status_code, refused.headers["content-type"],
    )  # fmt: skip
    assert "retry: 5000\nid: 0\n\n" == ended.text


async def test_a_stream_ends_with_its_token(tmp_path):
    """Revoked while it flows: it ends, and its reader is refused when it comes back."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db", environ={})
        async with running(replace(config, listen=("0.0.0.0", 0))) as daemon:
            text = tokens.create(config.tokens_path, "wall", [Scope.READ], now=0.0)
            daemon.tokens.load()
            headers = {"Authorization": f"Bearer {text}"}
            async with served(daemon.api()) as (_, base):
                async with streaming(base, **headers) as stream:
                    assert "id" in await anext(stream)
                    tokens.revoke(config.tokens_path, "wall")
                    daemon.tokens.load()
                    assert [] == [fields async for fields in stream if "data" in fields]
                async with httpx.AsyncClient() as http:
                    again = await http.get(f"{base}/v1/stream", headers=headers)

    assert 401 == again.status_code
