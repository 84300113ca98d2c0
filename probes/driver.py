"""
Runs a wire format's exchange over HTTP, once, and says what came of it.

Owns the total deadline, the byte cap, which client sends what, and the price that is booked. Knows
no schedule, store or metric; never retries and never follows a redirect of an API call.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from ssl import SSLContext
from typing import Final

import httpx

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
    Canary,
    ErrorClass,
    Exchange,
    Format,
    ImageFacts,
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
from probes.sockets import Clock, ResolvingBackend, Timeline, timeline_now
from probes.transport import (
    BASE_HEADERS,
    ByteCount,
    PoolTransport,
    bare_client,
    decoded,
    off_protocol,
    read_raw,
    refusal,
)

# Polls per exchange: a deadline of 300 s at the 0.5 s default is 600.
SENDS_MAX: Final = 2000
DETAIL_CHARS: Final = 200
BODY_HEAD_CHARS: Final = 300
LIMITS_MAX: Final = 8  # Kept of what an answer tells of request limits; four kinds are known.
# JSON and base64 of a body this long take under a millisecond; a longer one would stall the loop
# for everybody's timings, so it is read in a thread.
INLINE_BYTES_MAX: Final = 64 * 1024


@dataclass(slots=True)
class _Run:
    """What one probe has seen so far."""

    target: Target
    timeline: Timeline
    api: httpx.AsyncClient
    links: httpx.AsyncClient
    deadline: float  # On the event loop's clock.
    count: ByteCount = field(default_factory=ByteCount)
    status: int | None = None  # Of the latest request; None while it is unanswered.
    http_version: str | None = None
    is_accepted: bool = False  # Something was answered 2xx: the work may be billed.
    last_byte_at: float | None = None
    facts: ImageFacts | None = None


class Driver:
    """
    Sends canaries. One driver serves any number of probes at once, on one event loop.

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
        ``monitor_fault`` with the exception's type as detail, for the caller to log. A
        ``liveness`` probe may return any bytes: they are not looked at, and it costs nothing.
        """
        started_at, started = self._clock.wall(), self._clock.monotonic()
        timeline = Timeline(self._clock)
        picture: Picture | None = None
        verdict: Verdict | None = None
        token = timeline_now.set(timeline)
        try:
            async with AsyncExitStack() as stack:
                run = await self._start(target, timeline, stack)
                try:
                    picture = await self._play(run, canary, fmt)
                    if kind is not ProbeKind.LIVENESS:
                        await self._verify(run, canary, picture)
                except Refused as refused:
                    verdict = refused.verdict
                    if isinstance(refused, BadPicture):
                        run.facts = refused.facts
        finally:
            timeline.leave()
            timeline_now.reset(token)
        return _result(
            run, picture, verdict, probe_id=probe_id, kind=kind, reason=reason, slot_s=slot_s,
            started_at=started_at, started=started, ended=self._clock.monotonic(),
        )  # fmt: skip

    async def _start(self, target: Target, timeline: Timeline, stack: AsyncExitStack) -> _Run:
        """Return a run with its clients, closed with *stack* unless they are shared."""
        api = links = self._shared
        if api is None:
            api = await stack.enter_async_context(bare_client(self._pool(ResolvingBackend())))
        if links is None or self._transport is None:
            is_checked = not target.allow_private_downloads and self._proxy is None
            backend = ResolvingBackend(check_address) if is_checked else ResolvingBackend()
            links = await stack.enter_async_context(bare_client(self._pool(backend)))
        deadline = asyncio.get_running_loop().time() + target.deadline_s
        return _Run(target, timeline, api, links, deadline)

    def _pool(self, backend: ResolvingBackend) -> httpx.AsyncBaseTransport:
        return PoolTransport(self._ssl_context, backend, self._proxy)

    async def _play(self, run: _Run, canary: Canary, fmt: Format) -> Picture:
        """Play the exchange to its end; raises Refused."""
        exchange = _begin(fmt, run.target, canary)
        try:
            step = _advance(fmt, exchange, None)
            for sent in count():
                if isinstance(step, Picture):
                    return step
                if sent == SENDS_MAX:
                    break
                reply = await self._answer(run, step)
                if len(reply.body) <= INLINE_BYTES_MAX:
                    step = _advance(fmt, exchange, reply)
                else:
                    # Outside the deadline: time in here is ours, not the provider's.
                    run.timeline.enter(Phase.DECODE)
                    step = await asyncio.to_thread(_advance, fmt, exchange, reply)
                    run.timeline.leave()
        finally:
            # A thread may still be inside after a cancellation; a plug-in may refuse to stop.
            with suppress(ValueError, RuntimeError):
                exchange.close()
        raise off_protocol(f"no result after {SENDS_MAX} requests")

    async def _answer(self, run: _Run, send: Send) -> Reply:
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

    async def _call(self, run: _Run, send: Send) -> tuple[httpx.Response, float, bytes]:
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

    async def _download(self, run: _Run, send: Send) -> tuple[httpx.Response, float, bytes]:
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
        self, run: _Run, client: httpx.AsyncClient, request: httpx.Request
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

    async def _verify(self, run: _Run, canary: Canary, picture: Picture) -> None:
        """Raise BadPicture unless it is the picture that was asked for."""
        run.timeline.enter(Phase.DECODE)
        run.facts = await asyncio.to_thread(
            inspect, picture.data, size=run.target.size, colour=canary.colour
        )
        if self._recent.is_repeat(run.target.id, run.facts.sha256, canary.prompt):
            raise BadPicture("the same bytes already answered another prompt", run.facts)


def _begin(fmt: Format, target: Target, canary: Canary) -> Exchange:
    try:
        return fmt.exchange(target, canary)
    except Exception as error:
        raise _format_fault(fmt, type(error).__name__) from error


def _advance(fmt: Format, exchange: Exchange, reply: Reply | None) -> Send | Picture:
    """Give the wire format its reply; return what it wants next, or the picture."""
    step: object
    try:
        step = next(exchange) if reply is None else exchange.send(reply)
    except StopIteration as stop:
        step = stop.value
    except Refused:
        raise
    except Exception as error:
        # A fault in a format or plug-in stops this probe, not the daemon. Its message may quote
        # the reply or the key, so only the type is kept.
        raise _format_fault(fmt, type(error).__name__) from error
    if isinstance(step, Send) or (isinstance(step, Picture) and isinstance(step.data, bytes)):
        return step
    raise _format_fault(fmt, f"neither a send nor a picture but {type(step).__name__}")


def _format_fault(fmt: Format, what: str) -> Refused:
    detail = f"{what} in wire format {fmt.name!r}"
    return Refused(Verdict(error=ErrorClass.MONITOR_FAULT, detail=detail))


def _result(
    run: _Run,
    picture: Picture | None,
    verdict: Verdict | None,
    *,
    probe_id: str,
    kind: ProbeKind,
    reason: ProbeReason,
    slot_s: float,
    started_at: float,
    started: float,
    ended: float,
) -> ProbeResult:
    """Put together what the exchange told; *verdict* is None when the picture is good."""
    told = verdict or Verdict(error=ErrorClass.MONITOR_FAULT)  # Its class is unread when good.
    shown = picture or Picture(data=b"")
    timeline = run.timeline
    # Transports without trace events (replays) have no first byte; the start stands in for it.
    begun = started if timeline.first_sent_at is None else timeline.first_sent_at
    latency_s = max(0.0, (run.last_byte_at or started) - begun)
    return ProbeResult(
        probe_id=probe_id,
        target_id=run.target.id,
        started_at=started_at,
        duration_s=max(0.0, ended - started),
        latency_s=None if verdict else latency_s,
        error=verdict.error if verdict else None,
        kind=kind,
        reason=reason,
        slot_s=slot_s,
        detail=told.detail[:DETAIL_CHARS],
        code=_cut(told.code),
        finish_reason=_cut(shown.finish_reason or told.finish_reason),
        retry_at=told.retry_at,
        http_status=run.status if told.http_status is None else told.http_status,
        failed_phase=told.phase,
        body_head=_cut(told.body_head, BODY_HEAD_CHARS),
        phases=timeline.seconds,
        cost_usd=_cost(run, kind, picture, verdict),
        received_bytes=run.count.total,
        image=run.facts,
        model_version=_cut(shown.model_version),
        request_id=_cut(shown.request_id or told.request_id),
        server_s=shown.server_s,
        http_version=run.http_version,
        reused=timeline.first_sent_at is not None and not timeline.has_connected,
        limits=(shown.limits or told.limits)[:LIMITS_MAX],
    )


def _cut(text: str | None, chars: int = DETAIL_CHARS) -> str | None:
    """Return the start of *text*: a plug-in's words may be of any length, and rows are kept."""
    return text[:chars] if text else None


def _cost(run: _Run, kind: ProbeKind, picture: Picture | None, verdict: Verdict | None) -> float:
    """
    Return what to book, in USD: the amount told, else the list price if it may be billed.

    A generation is billed once it was accepted, picture or not, and may be billed when the request
    left and no answer came back.
    """
    told = picture.cost_usd if picture else verdict.cost_usd if verdict else None
    if told is not None:
        return told
    if kind is ProbeKind.LIVENESS:
        return 0.0
    is_unanswered = run.timeline.first_sent_at is not None and (
        run.status is None
        or (verdict is not None and verdict.error in {ErrorClass.TIMEOUT, ErrorClass.CONNECTION})
    )
    is_billed = verdict is None or run.is_accepted or is_unanswered
    return run.target.price_usd if is_billed else 0.0
