"""One exchange with the daemon, bounded in time and bytes; and what is said of it in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from random import Random
from typing import Any, Final

import httpx

from monitor.client.clock import Clock

logger: Final = logging.getLogger("imgmon.client")
_BACK_OFF_S: Final = 0.5
_SAME_LINE_S: Final = 300.0

# What httpx imports at its first request. In the background that would be 100 ms of work beside the
# first calls of the application, each of which may wait 5 ms for the interpreter's lock.
for _name in ("httpcore", "anyio._backends._asyncio", "h11"):
    with suppress(ImportError):
        import_module(_name)


class NotUnderstoodError(Exception):
    """An answer that is not taken; the text says why."""


async def exchange(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    timeout_s: float,
    bytes_max: int,
    **request: Any,
) -> tuple[int, httpx.Headers, bytes]:
    """
    Return status, headers and body of one request.

    Raises:
        TimeoutError: It is not over after *timeout_s*, however lively it drips.
        NotUnderstoodError: The body is longer than *bytes_max*, or compressed though we asked for
            it as it is: what a few bytes unpack to is not for us to find out.
        httpx.HTTPError: It went wrong on the wire.
    """
    async with asyncio.timeout(timeout_s), http.stream(method, path, **request) as response:
        coding = response.headers.get("content-encoding", "identity")
        if coding.lower() != "identity":
            raise NotUnderstoodError(
                f"the answer is compressed ({coding[:20]}), asked was identity"
            )
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > bytes_max:
                raise NotUnderstoodError(f"the answer is over {bytes_max} bytes")
        return response.status_code, response.headers, bytes(body)


def back_off_s(failures: int, rng: Random, longest_s: float) -> float:
    """Return the pause after so many failures in a row: doubling, bounded, with jitter."""
    return float(min(longest_s, _BACK_OFF_S * 2 ** min(failures, 16)) * rng.uniform(0.5, 1.0))


def headers(token: str | None, agent: str) -> Mapping[str, str]:
    """Return the headers of every request."""
    own = {"User-Agent": agent, "Accept": "application/json", "Accept-Encoding": "identity"}
    return own if token is None else {**own, "Authorization": f"Bearer {token}"}


class Log:
    """Warnings of each subject at most every five minutes, with a count of those left out."""

    def __init__(self, clock: Clock) -> None:
        """Nothing is said yet."""
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}

    def warning(self, subject: str, text: str) -> None:
        """Say *text*, unless *subject* was warned of lately."""
        now = self._clock.monotonic()
        at, left_out = self._said.get(subject, (-_SAME_LINE_S, 0))
        if now - at < _SAME_LINE_S:
            self._said[subject] = (at, left_out + 1)
            return
        self._said[subject] = (now, 0)
        logger.warning("%s%s", text, f" ({left_out} more like this)" if left_out else "")

    def over(self, subject: str, text: str) -> None:
        """Say that what *subject* was warned of is over."""
        if self._said.pop(subject, None) is not None:
            logger.info("%s", text)
