"""
What became of real requests, on its way to the daemon: bounded, batched, repeated until taken.

The request path appends to a queue and nothing more. Each row has an id of its own, so that a batch
that is sent again after a cut connection counts once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Any, Final
from uuid import uuid4

import httpx

from monitor.client.clock import Clock
from monitor.client.errors import ErrorClass, retry_after_s
from monitor.client.talk import Log, NotUnderstoodError, back_off_s, exchange

ROWS_MAX: Final = 1_000  # The route takes no more at once.
_ANSWER_BYTES_MAX: Final = 1024 * 1024
_RETRY_S_MAX: Final = 60.0
# A token that is refused, or a daemon without the route, is mended by a person.
_NEVER: Final = frozenset({401, 403, 404, 405})
_REFUSED_S: Final = 300.0
# The body itself is refused, and would be again.
_WRONG: Final = frozenset({400, 409, 413, 422})


@dataclass(frozen=True, slots=True)
class Counts:
    """
    Reports since the start.

    Attributes:
        waiting: Not yet taken by the daemon.
        sent: Taken by the daemon, duplicates included.
        rejected: Rows it found wrong; the log says why.
        dropped: Lost to a full queue, to a body it refused, or to the end of the process.
    """

    waiting: int = 0
    sent: int = 0
    rejected: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """One attempt: *at* is its start by our wall clock; *error* None for a picture."""

    id: str
    target: str
    at: float
    error: ErrorClass | None
    latency_s: float
    attempt: int

    def row(self) -> dict[str, Any]:
        """Return the row as the route takes it."""
        return {
            "id": self.id,
            "target": self.target,
            "at": rfc3339(self.at),
            "error": self.error,
            "latency_s": round(self.latency_s, 4),
            "attempt": self.attempt,
        }


class Reports:
    """The queue, and the turn that empties it."""

    def __init__(self, clock: Clock, rng: Random, log: Log, *, limit: int, is_on: bool) -> None:
        """
        Start empty.

        Args:
            clock: Ours.
            rng: For jitter.
            log: Rate-limited.
            limit: Most rows held, those on their way included; for the newest the oldest is
                dropped that is not on its way.
            is_on: Whether anything is kept: without a token nothing could be sent.
        """
        self.is_on = is_on
        self._clock, self._rng, self._log = clock, rng, log
        self._limit = limit
        self._failures = 0
        # Half stays to drop from: what is on its way may have been taken and cannot be dropped.
        self._batch_max = max(1, min(ROWS_MAX, limit // 2))
        self.reset()

    def reset(self) -> None:
        """Forget everything: after a fork what waits is the parent's to send."""
        self._lock = threading.Lock()
        self._waiting: deque[Report] = deque()
        self._sending: list[Report] = []
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        """What became of the reports so far."""
        with self._lock:
            return replace(self._counts, waiting=len(self._waiting) + len(self._sending))

    def add(self, target: str, error: ErrorClass | None, latency_s: float, attempt: int) -> None:
        """Queue the outcome of an attempt that ended now; a few microseconds, never raises."""
        if not self.is_on:
            return
        at = self._clock.wall() - latency_s
        report = Report(uuid4().hex, target, at, error, latency_s, attempt)
        with self._lock:
            self._waiting.append(report)
            if len(self._waiting) + len(self._sending) > self._limit:
                self._waiting.popleft()
                self._count(dropped=1)

    def drop_all(self) -> None:
        """Count what waits as dropped and take nothing more: nobody is left to send it."""
        with self._lock:
            self._count(dropped=len(self._waiting) + len(self._sending))
            self._waiting.clear()
            self._sending.clear()
            self.is_on = False

    async def turn(self, http: httpx.AsyncClient, timeout_s: float) -> float:
        """
        Send one batch if any row waits.

        Returns:
            Seconds until the next turn is due; 0 when the daemon answered for good.
        """
        if not (batch := self._take()):
            return 0.0
        body = {
            "sent_at": rfc3339(self._clock.wall()),
            "reports": [report.row() for report in batch],
        }
        try:
            status, headers, answer = await exchange(
                http, "POST", "/v1/reports", timeout_s, _ANSWER_BYTES_MAX, json=body
            )
            self._answered(status, len(batch), answer)
        except (httpx.HTTPError, NotUnderstoodError, TimeoutError, OSError) as error:
            return self._failed(f"{type(error).__name__} {error}", None)
        finally:
            self._put_back()
        if status in _NEVER:
            self._log.warning("reports", f"reports wait, the daemon refuses them with {status}")
            return _REFUSED_S
        if status < 300 or status in _WRONG:
            self._failures = 0
            return 0.0
        wait_s = retry_after_s(headers.get("retry-after", ""), self._clock.wall())
        return self._failed(f"answered {status}", wait_s)

    async def flush(self, http: httpx.AsyncClient, timeout_s: float) -> None:
        """Send all that waits, unless the daemon does not take it."""
        while not self.is_empty and not await self.turn(http, timeout_s):
            pass

    async def run(self, http: httpx.AsyncClient, every_s: float, timeout_s: float) -> None:
        """Send what waits every *every_s* seconds, for good."""
        while True:
            wait_s = await self.turn(http, timeout_s)
            is_behind = len(self._waiting) >= self._batch_max
            await asyncio.sleep(wait_s or (0.0 if is_behind else every_s))

    def _take(self) -> list[Report]:
        with self._lock:
            n = min(self._batch_max, len(self._waiting))
            self._sending = [self._waiting.popleft() for _ in range(n)]
            return list(self._sending)

    def _put_back(self) -> None:
        """Let what was not answered for good wait again, before all others."""
        with self._lock:
            self._waiting.extendleft(reversed(self._sending))
            self._sending.clear()

    def _answered(self, status: int, n: int, answer: bytes) -> None:
        if 200 <= status < 300:
            self._taken(n, answer)
        elif status == 413 and n > 1:
            self._batch_max = n // 2
        elif status in _WRONG:
            words = answer[:300].decode(errors="replace")
            self._drop(n, f"refused with {status}: {words}")

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting and not self._sending

    def _taken(self, n: int, answer: bytes) -> None:
        rejected = rejected_rows(answer)
        if rejected:
            self._log.warning("reports", f"{len(rejected)} of {n} reports rejected: {rejected[0]}")
        self._settle(sent=n - len(rejected), rejected=len(rejected))

    def _drop(self, n: int, why: str) -> None:
        self._log.warning("reports", f"{n} reports dropped, {why}")
        self._settle(dropped=n)

    def _settle(self, **counts: int) -> None:
        with self._lock:
            # Nothing is left of them where the client was closed meanwhile: they count as dropped.
            if self._sending:
                self._sending.clear()
                self._count(**counts)

    def _failed(self, why: str, wait_s: float | None) -> float:
        self._log.warning("reports", f"reports wait, the daemon {why}")
        self._failures += 1
        pause_s = back_off_s(self._failures, self._rng, _RETRY_S_MAX)
        return max(pause_s, min(wait_s or 0.0, _REFUSED_S))

    def _count(self, *, sent: int = 0, rejected: int = 0, dropped: int = 0) -> None:
        c = self._counts
        self._counts = Counts(0, c.sent + sent, c.rejected + rejected, c.dropped + dropped)


def rejected_rows(answer: bytes) -> list[str]:
    """Return why rows of a batch were rejected, as the daemon's answer lists them."""
    try:
        listed = httpx.Response(200, content=answer).json()["rejected"]
        return [str(row["detail"])[:300] for row in listed][:ROWS_MAX]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def rfc3339(at: float) -> str:
    """Return a wall time as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
