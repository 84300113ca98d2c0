"""
Asks the daemon for the order, again and again: long polls where it knows them, entity tags in any case.

An answer is taken whole or not at all; whatever goes wrong, what is held stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from random import Random
from typing import Final

import httpx

from monitor.client.clock import Clock
from monitor.client.disk import Disk
from monitor.client.errors import retry_after_s
from monitor.client.held import Held, Told
from monitor.client.order import BODY_BYTES_MAX, OrderError, parse_time, read_order
from monitor.client.talk import Log, NotUnderstoodError, back_off_s, exchange

_RETRY_S_MAX: Final = 30.0
_RETRY_AFTER_S_MAX: Final = 60.0
# A file that says "confirmed an hour ago" of an order that stood all day would age too fast.
_SAVE_AGAIN_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """
    What is asked, and how patiently.

    Attributes:
        refresh_s: Least time between two questions while all is well.
        wait_s: How long the daemon may hold an answer until something changes; 0 for plain polls.
        timeout_s: Of an exchange, beyond what it may wait.
    """

    pool: str
    profile: str | None
    refresh_s: float
    wait_s: float
    timeout_s: float

    @property
    def overdue_s(self) -> float:
        """An order that was not confirmed for so long is no longer live: a whole turn is missed."""
        return 2 * (self.refresh_s + self.timeout_s) + self.wait_s


class Refresher:
    """The only writer of *held*."""

    def __init__(
        self,
        held: Held,
        question: Question,
        disk: Disk | None,
        *,
        clock: Clock,
        rng: Random,
        log: Log,
    ) -> None:
        """Ask *question*; keep good answers in *held* and, where there is one, in *disk*."""
        self.failures = 0
        self.last_error = ""
        self._held = held
        self._question = question
        self._disk = disk
        self._clock, self._rng, self._log = clock, rng, log
        self._wait_s = question.wait_s
        self._saved: Told | None = None

    async def run(
        self, http: httpx.AsyncClient, offload: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> None:
        """Ask for good; *offload* runs what may wait for a disk."""
        while True:
            started = self._clock.monotonic()
            pause_s = await self.turn(http)
            if pause_s is None:
                await self._save(offload)
                spent_s = self._clock.monotonic() - started
                pause_s = self._question.refresh_s * self._rng.uniform(0.9, 1.1) - spent_s
            await asyncio.sleep(max(0.0, pause_s))

    async def turn(self, http: httpx.AsyncClient) -> float | None:
        """Ask once; return None when the daemon answered, else the seconds to leave it alone."""
        told, wait_s = self._held.told, 0.0
        path = f"/v1/pools/{self._question.pool}/priority"
        params: dict[str, str | int] = {}
        if self._question.profile is not None:
            params["profile"] = self._question.profile
        # Only a daemon that confirmed what we hold may keep us waiting for what comes next.
        if told is not None and self._held.is_answered and self._wait_s > 0:
            wait_s = self._wait_s
            params |= {"wait": f"{wait_s:g}", "version": told.decision.version}
        tags = {}
        # What a proxy or a file holds may be no header: asking with it would fail for good.
        if told is not None and told.etag and told.etag.isascii() and told.etag.isprintable():
            tags = {"If-None-Match": told.etag}
        try:
            status, headers, body = await exchange(
                http, "GET", path, self._question.timeout_s + wait_s, BODY_BYTES_MAX,
                params=params, headers=tags,
            )  # fmt: skip
            if status in (400, 422) and wait_s:
                self._wait_s = 0.0  # It knows no long polls; the next question is a plain one.
            self._take(status, headers, body, is_tagged=bool(tags))
        except (httpx.HTTPError, NotUnderstoodError, OrderError, TimeoutError, OSError) as error:
            return self._failed(error)
        self.failures, self.last_error = 0, ""
        self._log.over("order", "the daemon answers again")
        return None

    def _take(self, status: int, headers: httpx.Headers, body: bytes, *, is_tagged: bool) -> None:
        now = self._clock.monotonic()
        if status not in (200, 304) or (status == 304 and not is_tagged):
            raise Refused(status, retry_after_s(headers.get("retry-after", ""), self._clock.wall()))
        ahead_s = server_ahead_s(headers.get("date"), self._clock)
        if status == 304:
            valid_until = told_time(headers.get("x-imgmon-valid-until"))
            self._held.renew(at=now, server_ahead_s=ahead_s, valid_until=valid_until)
            return
        decision = read_order(body, self._question.pool, self._question.profile)
        self._held.confirm(
            Told(
                decision=decision,
                body=body,
                etag=headers.get("etag"),
                confirmed_at=now,
                server_ahead_s=ahead_s,
            )
        )

    def _failed(self, error: Exception) -> float:
        self._held.is_answered = False
        self.failures += 1
        self.last_error = f"{type(error).__name__}: {str(error)[:300]}"
        self._log.warning(
            "order", f"no new order of pool {self._question.pool}, the last one stays: "
            f"{self.last_error}"
        )  # fmt: skip
        asked_s = error.retry_after_s if isinstance(error, Refused) else None
        pause_s = back_off_s(self.failures, self._rng, _RETRY_S_MAX)
        return max(pause_s, min(asked_s or 0.0, _RETRY_AFTER_S_MAX))

    async def _save(self, offload: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        told, saved, disk = self._held.told, self._saved, self._disk
        if told is None or disk is None:
            return
        is_same = saved is not None and saved.body == told.body
        if is_same and saved is not None and told.confirmed_at - saved.confirmed_at < _SAVE_AGAIN_S:
            return
        self._saved = told  # Also when it fails: a full disk is tried again with the next change.
        try:
            await offload(lambda: disk.save(told, self._clock))
        except OSError as error:
            self._log.warning("disk", f"the order is not kept in {disk.path}: {error}")


class Refused(NotUnderstoodError):  # noqa: N818 - an answer, not a fault of ours
    """A status that brings no order."""

    def __init__(self, status: int, asked_s: float | None) -> None:
        """Say *status*; *asked_s* is how long the daemon asks to be left alone, None if not."""
        super().__init__(f"the daemon answers {status}")
        self.retry_after_s = asked_s


def server_ahead_s(date: str | None, clock: Clock) -> float:
    """Return the daemon's wall clock minus our monotonic one; without a date ours is believed."""
    try:
        server = parsedate_to_datetime(date).timestamp() if date else clock.wall()
    except (ValueError, TypeError, OverflowError):
        server = clock.wall()
    return server - clock.monotonic()


def told_time(value: str | None) -> float | None:
    """Return the time in a header, None where there is none that can be read."""
    try:
        return parse_time(value)
    except ValueError:
        return None
