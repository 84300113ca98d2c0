"""
Runs a wire format's exchange over HTTP, once, and says what came of it.

Owns the total deadline, the byte cap, which client sends what, and the price that is booked. Knows
no schedule, store or metric; never retries and never follows a redirect of an API call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from itertools import count
from ssl import SSLContext
from typing import Final

import httpx

from probes.batch import BatchJob
from probes.downloads import (
    REDIRECTS_MAX,
    check_address,
    check_api_url,
    check_link,
    next_hop,
    parsed,
)
from probes.image import BadPicture, RecentPictures, inspect
from probes.model import (
    Alive,
    Canary,
    Format,
    LivenessFormat,
    Phase,
    Picture,
    ProbeKind,
    ProbeReason,
    ProbeResult,
    Refused,
    Reply,
    Send,
    Target,
    Verdict,
)
from probes.run import Label, Run, result_of
from probes.sockets import Clock, ResolvingBackend, Timeline, timeline_now
from probes.steps import Found, advance, begin
from probes.transport import (
    BASE_HEADERS,
    PoolTransport,
    bare_client,
    decoded,
    off_protocol,
    read_raw,
    refusal,
)

# Polls per exchange: a deadline of 300 s at the 0.5 s default is 600.
SENDS_MAX: Final = 2000
# JSON and base64 of a body this long take under a millisecond; a longer one would stall the loop
# for everybody's timings, so it is read in a thread.
INLINE_BYTES_MAX: Final = 64 * 1024
# A front end answers a free call at once; one that takes longer is in trouble.
FREE_CALL_S_MAX: Final = 15.0
# A look at a finished job carries its picture, twice: such answers were seen to take a minute.
BATCH_CALL_S_MAX: Final = 120.0


@dataclass(slots=True, kw_only=True)
class _Wired(Run):
    """A run with the clients that it sends with."""

    api: httpx.AsyncClient
    links: httpx.AsyncClient
    deadline: float  # On the event loop's clock.


class Driver:
    """
    Sends canaries and free calls. One driver serves any number of probes at once, on one event loop.

    Environment variables (proxies, netrc) are not read, or a canary would measure something else
    than the configuration says.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        ssl_context: SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        recent: RecentPictures | None = None,
        fresh_connections: bool = True,
        proxy: str | None = None,
    ) -> None:
        """
        Build what all probes share.

        Args:
            clock: Stamps and measures.
            ssl_context: Trust settings; by default certifi's list, or SSL_CERT_FILE where set.
                Built once, because that takes 25 ms.
            transport: Answers every request instead of the network, result links included.
            recent: Earlier pictures, to notice repeats.
            fresh_connections: Connect anew for each probe, so that samples compare.
            proxy: ``http://`` URL of a proxy that all requests go through. The names of result
                links are then resolved by the proxy, which has to refuse private ones itself.
        """
        self._clock = clock
        self._recent = RecentPictures() if recent is None else recent
        self._proxy = proxy
        self._transport = transport
        self._shared: httpx.AsyncClient | None = None
        if transport is None:
            self._ssl_context = ssl_context or httpx.create_ssl_context()
        if transport is not None or not fresh_connections:
            self._shared = bare_client(transport or self._pool(ResolvingBackend()))

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        if self._shared is not None:
            await self._shared.aclose()

    async def probe(
        self,
        target: Target,
        canary: Canary,
        fmt: Format,
        *,
        probe_id: str,
        kind: ProbeKind = ProbeKind.CANARY,
        reason: ProbeReason = ProbeReason.SCHEDULED,
        slot_s: float = 0.0,
    ) -> ProbeResult:
        """
        Send *canary* to *target* in the wire format *fmt* and return what came of it.

        A provider's trouble is a value, never an exception; a fault inside *fmt* is
        ``monitor_fault`` with the exception's type as detail, for the caller to log.
        """
        assert kind is not ProbeKind.LIVENESS, "a free call is no generation"

        async def draw(run: _Wired) -> None:
            picture = await self._play(run, fmt, lambda: fmt.exchange(target, canary), Picture)
            run.found = picture
            await self._verify(run, canary, picture)

        label = Label(probe_id=probe_id, kind=kind, reason=reason, slot_s=slot_s)
        result, _ = await self._attempt(target, draw, label)
        return result

    async def liveness(
        self,
        target: Target,
        fmt: LivenessFormat,
        *,
        probe_id: str,
        reason: ProbeReason = ProbeReason.SCHEDULED,
        slot_s: float = 0.0,
    ) -> ProbeResult:
        """
        Make the free call of *fmt* for *target* and return what came of it; it costs nothing.

        Troubles are those of :meth:`probe`. The deadline is the target's, at most 15 s.
        """

        async def call(run: _Wired) -> None:
            run.found = await self._play(run, fmt, lambda: fmt.liveness(target), Alive)

        label = Label(probe_id=probe_id, kind=ProbeKind.LIVENESS, reason=reason, slot_s=slot_s)
        within = replace(target, deadline_s=min(target.deadline_s, FREE_CALL_S_MAX))
        result, _ = await self._attempt(within, call, label)
        return result

    async def call(
        self,
        target: Target,
        fmt: Format,
        make: Callable[[], Generator[Send, Reply, Found]],
        wanted: type[Found],
        label: Label,
        *,
        canary: Canary | None = None,
    ) -> tuple[ProbeResult, Found | None]:
        """
        Make one short call of a batch queue; return what came of it, and what it found.

        Nothing is found when the call failed, and the result says why. What is found of a job that
        is over is in the result too: its verdict, or whether its picture is that of *canary*. The
        deadline is the target's, at most 120 s.
        """

        async def call(run: _Wired) -> None:
            run.found = found = await self._play(run, fmt, make, wanted)
            if isinstance(found, BatchJob) and found.verdict is not None:
                raise Refused(found.verdict)
            if isinstance(found, BatchJob) and found.picture is not None:
                assert canary is not None, "a picture is checked"
                await self._verify(run, canary, found.picture)

        within = replace(target, deadline_s=min(target.deadline_s, BATCH_CALL_S_MAX))
        result, found = await self._attempt(within, call, label)
        return result, found if isinstance(found, wanted) else None

    async def _attempt(
        self, target: Target, work: Callable[[_Wired], Awaitable[None]], label: Label
    ) -> tuple[ProbeResult, object]:
        """
        Do *work*, which raises Refused or fills its run.

        Return the result under *label* and what was found.
        """
        started_at, started = self._clock.wall(), self._clock.monotonic()
        timeline = Timeline(self._clock)
        verdict: Verdict | None = None
        token = timeline_now.set(timeline)
        try:
            async with AsyncExitStack() as stack:
                run = await self._start(target, timeline, stack)
                try:
                    await work(run)
                except Refused as refused:
                    verdict = refused.verdict
                    if isinstance(refused, BadPicture):
                        run.facts = refused.facts
        finally:
            timeline.leave()
            timeline_now.reset(token)
        ended = self._clock.monotonic()
        result = result_of(run, verdict, label, started_at=started_at, started=started, ended=ended)
        return result, run.found

    async def reaches(self, url: str, deadline_s: float) -> bool:
        """
        Return whether the host at *url* answers a HEAD within *deadline_s* seconds, whatever it says.

        Over the same sockets and trust as probes, without credentials.
        """
        token = timeline_now.set(Timeline(self._clock))
        try:
            async with asyncio.timeout(deadline_s), AsyncExitStack() as stack:
                client = self._shared
                if client is None:
                    pool = self._pool(ResolvingBackend())
                    client = await stack.enter_async_context(bare_client(pool))
                request = client.build_request("HEAD", url, headers=BASE_HEADERS)
                request.extensions["trace"] = timeline_now.get().trace
                response = await client.send(request, stream=True)
                await response.aclose()
        except Exception:  # noqa: BLE001 - whatever went wrong, there was no answer
            return False
        finally:
            timeline_now.reset(token)
        return True

    async def _start(self, target: Target, timeline: Timeline, stack: AsyncExitStack) -> _Wired:
        """Return a run with its clients, closed with *stack* unless they are shared."""
        api = links = self._shared
        if api is None:
            api = await stack.enter_async_context(bare_client(self._pool(ResolvingBackend())))
        if links is None or self._transport is None:
            is_checked = not target.allow_private_downloads and self._proxy is None
            backend = ResolvingBackend(check_address) if is_checked else ResolvingBackend()
            links = await stack.enter_async_context(bare_client(self._pool(backend)))
        deadline = asyncio.get_running_loop().time() + target.deadline_s
        return _Wired(target=target, timeline=timeline, api=api, links=links, deadline=deadline)

    def _pool(self, backend: ResolvingBackend) -> httpx.AsyncBaseTransport:
        return PoolTransport(self._ssl_context, backend, self._proxy)

    async def _play(
        self,
        run: _Wired,
        fmt: Format,
        make: Callable[[], Generator[Send, Reply, Found]],
        wanted: type[Found],
    ) -> Found:
        """Play what *make* gives to its end; raises Refused."""
        steps = begin(fmt, make)
        try:
            step = advance(fmt, steps, None, wanted)
            for sent in count():
                if not isinstance(step, Send):
                    return step
                if sent == SENDS_MAX:
                    break
                reply = await self._answer(run, step)
                if len(reply.body) <= INLINE_BYTES_MAX:
                    step = advance(fmt, steps, reply, wanted)
                else:
                    # Outside the deadline: time in here is ours, not the provider's.
                    run.timeline.enter(Phase.DECODE)
                    step = await asyncio.to_thread(advance, fmt, steps, reply, wanted)
                    run.timeline.leave()
        finally:
            # A thread may still be inside after a cancellation; a plug-in may refuse to stop.
            with suppress(ValueError, RuntimeError):
                steps.close()
        raise off_protocol(f"no result after {SENDS_MAX} requests")

    async def _answer(self, run: _Wired, send: Send) -> Reply:
        """Send one step's request and return its reply; raises Refused."""
        timeline = run.timeline
        if send.phase in {Phase.QUEUE, Phase.DOWNLOAD}:
            timeline.enter_whole(send.phase)
        try:
            async with asyncio.timeout_at(run.deadline) as limit:
                if send.after_s > 0:
                    timeline.enter(Phase.QUEUE)
                    await asyncio.sleep(send.after_s)
                    timeline.leave()
                fetch = self._download if send.is_download else self._call
                response, received_at, raw = await fetch(run, send)
        except Refused:
            raise
        except Exception as error:
            # What we cannot name becomes monitor_fault: void, visible, and no crash.
            if isinstance(error, TimeoutError) and limit.expired():
                error = TimeoutError(f"no result within {run.target.deadline_s:g} s")
            raise refusal(error, timeline.current) from error
        finally:
            timeline.leave_whole()
        run.last_byte_at = self._clock.monotonic()
        encoding = response.headers.get("content-encoding", "")
        is_picture = send.is_download and response.is_success
        return Reply(
            status=response.status_code,
            headers=dict(response.headers),
            body=await decoded(raw, encoding, run.count, is_picture=is_picture),
            received_at=received_at,
            request=send,
        )

    async def _call(self, run: _Wired, send: Send) -> tuple[httpx.Response, float, bytes]:
        """Send an API request, with its credentials, to a configured host only."""
        url = parsed(send.url)
        check_api_url(url, run.target)
        headers = httpx.Headers(BASE_HEADERS)
        body = None
        if send.json is not None:
            headers["content-type"] = "application/json"
            body = json.dumps(send.json, separators=(",", ":")).encode()
        headers.update(send.headers)
        # Built here and not by the client, which would add what earlier replies left in it.
        request = httpx.Request(send.method, url, headers=headers, content=body)
        return await self._fetch(run, run.api, request)

    async def _download(self, run: _Wired, send: Send) -> tuple[httpx.Response, float, bytes]:
        """Fetch a result link without credentials, every hop checked anew."""
        url: httpx.URL | None = parsed(send.url)
        for _ in range(REDIRECTS_MAX + 1):
            assert url is not None
            check_link(url, allow_private=run.target.allow_private_downloads)
            request = httpx.Request(send.method, url, headers=BASE_HEADERS)
            answer = await self._fetch(run, run.links, request)
            url = next_hop(url, answer[0].status_code, answer[0].headers)
            if url is None:
                return answer
        raise off_protocol(f"result link redirects more than {REDIRECTS_MAX} times")

    async def _fetch(
        self, run: _Wired, client: httpx.AsyncClient, request: httpx.Request
    ) -> tuple[httpx.Response, float, bytes]:
        """Send exactly one request; return the response, when it came, and its raw body."""
        request.extensions["trace"] = run.timeline.trace
        run.status = None
        response = await client.send(request, stream=True)
        try:
            received_at = self._clock.wall()
            run.status, run.http_version = response.status_code, response.http_version
            run.is_accepted = run.is_accepted or response.is_success
            return response, received_at, await read_raw(response, run.count)
        finally:
            await response.aclose()

    async def _verify(self, run: _Wired, canary: Canary, picture: Picture) -> None:
        """Raise BadPicture unless it is the picture that was asked for."""
        run.timeline.enter(Phase.DECODE)
        run.facts = await asyncio.to_thread(
            inspect, picture.data, size=run.target.size, colour=canary.colour
        )
        if self._recent.is_repeat(run.target.id, run.facts.sha256, canary.prompt):
            raise BadPicture("the same bytes already answered another prompt", run.facts)
