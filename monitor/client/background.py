"""
What runs behind a client: the refresher and the reports, in one event loop.

A thread of ours or a task of the application's loop runs it (client.py). In both, time limits hold
for a whole exchange and closing ends one that hangs, which blocking sockets cannot offer.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit

import httpx

from monitor.client.clock import Clock, SystemClock
from monitor.client.disk import Disk
from monitor.client.held import Held
from monitor.client.order import Place, Source, slug
from monitor.client.refresh import Question, Refresher
from monitor.client.reports import Counts, Reports
from monitor.client.talk import Log, headers, logger

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# The guard below caught what nobody foresaw: go on, but not in a hurry.
_AFTER_A_BUG_S: Final = 30.0
Offload = Callable[[Callable[[], None]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    How a client behaves; the README says what each is for.

    Attributes:
        cache_dir: Folder of the last good order; None keeps it in memory alone.
        refresh_s: Least time between two questions.
        wait_s: Length of a long poll; 0 for plain polls.
        timeout_s: Of one exchange, beyond what it may wait.
        report_s: Time between two batches of reports.
        reports_max: Reports that may wait, a batch on its way included; the oldest is dropped.
    """

    cache_dir: str | Path | None = "~/.cache/imgmon"
    refresh_s: float = 5.0
    wait_s: float = 30.0
    timeout_s: float = 5.0
    report_s: float = 5.0
    reports_max: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what could not work."""
        for name in ("refresh_s", "timeout_s", "report_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it takes seconds above 0")
        if not 0 <= self.wait_s <= 60:
            raise ValueError(f"wait_s is {self.wait_s}; a daemon waits 0 to 60 seconds")
        if self.reports_max < 1:
            raise ValueError(f"reports_max is {self.reports_max}; one report at least can wait")


@dataclass(frozen=True, slots=True)
class Status:
    """
    How the background does, for a health page.

    Attributes:
        failures: Questions in a row that brought nothing.
        last_error: What went wrong with the last of them; empty when nothing did.
    """

    source: Source
    version: int | None
    age_s: float | None
    failures: int
    last_error: str
    reports: Counts


class Background:
    """Everything of a client but the thread or task it runs in."""

    def __init__(
        self,
        url: str,
        pool: str,
        *,
        static_order: tuple[Place, ...],
        profile: str | None,
        token: str | None,
        settings: Settings,
        verify: ssl.SSLContext | None,
        clock: Clock | None,
        rng: Random | None,
    ) -> None:
        """Read the last order from disk; nothing is asked yet. ValueError for wrong arguments."""
        self.url, self.pool = checked_url(url), slug(pool, "pool")
        self.settings = settings
        self._headers = headers(token, "imgmon-client")
        # Made here, because reading the authorities takes milliseconds; plain http needs none.
        is_tls = self.url.startswith("https:")
        plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._verify = verify or (httpx.create_ssl_context() if is_tls else plain)
        clock, rng = clock or SystemClock(), rng or Random()
        says = Log(clock)
        question = Question(
            pool=self.pool,
            profile=None if profile is None else slug(profile, "profile"),
            refresh_s=settings.refresh_s,
            wait_s=settings.wait_s,
            timeout_s=settings.timeout_s,
        )
        self.clock = clock
        self.held = Held(self.pool, static_order, clock, question.overdue_s)
        disk = None
        if settings.cache_dir is not None:
            try:
                disk = Disk(Path(settings.cache_dir), self.url, self.pool, question.profile)
                self.held.told = disk.load(clock)
            except RuntimeError as error:  # No home directory: a container's user may have none.
                says.warning("disk", f"the order is kept in memory alone: {error}")
        self._refresher = Refresher(self.held, question, disk, clock=clock, rng=rng, log=says)
        self.reports = Reports(
            clock, rng, says, limit=settings.reports_max, is_on=token is not None
        )

    @property
    def status(self) -> Status:
        """How it does."""
        order = self.held.order()
        return Status(
            source=order.source,
            version=order.version,
            age_s=order.age_s,
            failures=self._refresher.failures,
            last_error=self._refresher.last_error,
            reports=self.reports.counts,
        )

    async def main(self, stop: asyncio.Event, offload: Offload, flush_s: float) -> None:
        """Refresh and report until *stop* is set; then send what waits, for *flush_s* at most."""
        work = asyncio.create_task(go_on(lambda: self._work(offload)))
        try:
            await stop.wait()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(flush_s), self._http() as http:
                await self.reports.flush(http, flush_s)

    async def _work(self, offload: Offload) -> None:
        s = self.settings
        async with self._http() as http, asyncio.TaskGroup() as group:
            group.create_task(self._refresher.run(http, offload))
            group.create_task(self.reports.run(http, s.report_s, s.timeout_s))

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url,
            headers=self._headers,
            verify=self._verify,
            # A proxy of the environment cannot reach what listens on this machine alone.
            trust_env=urlsplit(self.url).hostname not in _LOOPBACK,
        )


async def go_on(run: Callable[[], Awaitable[None]]) -> None:
    """Run *run* for good, whatever it raises: an order that is no longer renewed would be silent."""
    while True:
        try:
            await run()
        except Exception:  # noqa: BLE001 - it is logged with its trace, and the loop goes on
            logger.exception("a fault of the client itself; it goes on in %.0f s", _AFTER_A_BUG_S)
        await asyncio.sleep(_AFTER_A_BUG_S)


def checked_url(url: str) -> str:
    """Return the daemon's address without a trailing slash; ValueError says what is wrong with it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url is {url!r}; write for example http://127.0.0.1:8720")
    if parts.username or parts.password:
        raise ValueError("url holds a user or password; give the daemon's token as token=")
    if parts.query or parts.fragment:
        raise ValueError(f"url is {url!r}; it takes no query and no fragment")
    return url.rstrip("/")
