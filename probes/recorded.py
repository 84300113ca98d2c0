"""
Plays a recorded reply through the real driver: what would this reply have been classed as?

A recording is ``{"request": ..., "response": {"status", "headers", "body"}}``; a null response
stands for a connection that was refused.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, Final

import httpx

from probes.driver import Driver
from probes.model import Canary, Exchange, Format, Phase, Picture, ProbeResult, Target
from probes.sockets import Clock

DEADLINE_S: Final = 5.0
# Recorded bodies are decoded, so what described their encoding on the wire is no longer true.
STALE_HEADERS: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})

# A recording holds one reply, so what that reply points at is not in it.
_FETCHES: Final = frozenset({Phase.DOWNLOAD, Phase.BODY})


class _Recorded(httpx.AsyncByteStream):
    """A recorded body as a stream."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


def recorded_transport(response: Mapping[str, Any] | None) -> httpx.AsyncBaseTransport:
    """Return a transport that answers every request with *response*; None refuses to connect."""
    body = _body(None if response is None else response.get("body"))

    async def answer(request: httpx.Request) -> httpx.Response:
        if response is None:
            raise httpx.ConnectError("recorded without a response", request=request)
        headers = {
            str(name): str(value)
            for name, value in (response.get("headers") or {}).items()
            if str(name).lower() not in STALE_HEADERS
        }
        stream = _Recorded(body)
        return httpx.Response(int(response["status"]), headers=headers, stream=stream)

    return httpx.MockTransport(answer)


def _body(body: Any) -> bytes:
    """
    Return a recorded body as bytes: text as it is, anything else as JSON, null as nothing.

    Raises:
        ValueError: The recorder put U+FFFD where bytes were no text: what came is lost.
    """
    if body is None:
        return b""
    if isinstance(body, str) and "\N{REPLACEMENT CHARACTER}" in body:
        raise ValueError("the recorded body is damaged: bytes were replaced by U+FFFD")
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def recorded_target(fmt: Format, *, relay: bool = False) -> Target:
    """Return a target without size for replays in *fmt*; *relay* says the host is a gateway."""
    return Target(
        id="recorded",
        provider="recorded",
        format=fmt.name,
        base_url="https://recorded.invalid",
        model="recorded",
        api_key="recorded",
        relay=relay,
        deadline_s=DEADLINE_S,
        allow_private_downloads=True,
    )


class _Watched:
    """A wire format that remembers whether it asked for a result link."""

    def __init__(self, fmt: Format) -> None:
        self.name = fmt.name
        self.options = fmt.options
        self.has_link = False
        self._fmt = fmt

    def exchange(self, target: Target, canary: Canary) -> Exchange:
        """Pass every step through."""
        inner = self._fmt.exchange(target, canary)
        try:
            step = next(inner)
            while True:
                self.has_link = self.has_link or step.phase in _FETCHES
                step = inner.send((yield step))
        except StopIteration as stop:
            picture: Picture = stop.value
            return picture


async def classify_recording(
    document: Mapping[str, Any], fmt: Format, clock: Clock, *, target: Target | None = None
) -> ProbeResult:
    """
    Return the probe result that the recorded reply leads to in the wire format *fmt*.

    Size and colour are not checked: recorded pictures are tiny. A recording that ends in a result
    link is good as far as it goes, and says so. *target* gives settings that the recording lacks
    (``relay``, ``options``); its size is ignored.

    Raises:
        KeyError: *document* has no ``response``.
        ValueError: Its body was damaged in recording.
    """
    watched = _Watched(fmt)
    canary = Canary(prompt="A plain red square.", colour=None)
    driver = Driver(clock=clock, transport=recorded_transport(document["response"]))
    try:
        result = await driver.probe(
            target or recorded_target(fmt), canary, watched, probe_id="recorded"
        )
    finally:
        await driver.aclose()
    if watched.has_link:
        detail = "the recording ends at a result link, which was not followed"
        return replace(result, error=None, latency_s=0.0, detail=detail)
    return result
