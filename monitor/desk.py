"""
Takes in what clients report: stores it, and hands what it means to the engine.

Several bodies are committed together: the writer does all that waits for it in one transaction. What
was accepted is on disk before anybody hears of it; the sums that figures are made of follow it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from monitor.clock import Clock
from monitor.core.hearsay import HORIZON_S
from monitor.core.reports import Report, ReportFigures, skew_of
from monitor.core.reports import why_not as _why_not
from monitor.engine import Engine
from monitor.errors import MonitorError, StoreError
from monitor.limits import (
    REPORT_FIGURES_S_MAX,
    REPORT_FIGURES_S_MIN,
    REPORT_FIGURES_SHARE,
    REPORT_SUMS_S,
    REPORTS_A_COMMIT_MAX,
    REPORTS_WAITING_MAX,
)
from monitor.steps import step_aside
from monitor.store import reports as rows
from monitor.store.reader import Reader
from monitor.store.summing import sum_up
from monitor.store.writer import Writer

log = structlog.get_logger("imgmon.reports")

_MINUTE_S: Final = 60.0
# A large body is taken in steps of a fraction of a millisecond, between which readers are served.
_SLICE: Final = 200


class BusyError(MonitorError):
    """Nothing was taken; *retry_after_s* says when to come again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        """Say why not, and in how many seconds to try again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not taken: its place, which field is wrong, and why."""

    index: int
    id: str | None
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a body; *skew_s* by how much the client's clock is behind ours."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejected, ...]
    skew_s: float


@dataclass(slots=True)
class DeskCounts:
    """Rows since the start of the process that are in no table."""

    duplicates: int = 0
    rejected: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Allowance:
    """What one client may still send: a bucket that fills within a minute."""

    left: float
    at: float = field(default=0.0)


_Waiting = tuple[rows.Body, asyncio.Future[rows.Stored]]


class ReportDesk:
    """Where reports come in. Its methods run on the loop."""

    def __init__(
        self,
        targets: Collection[str],
        engine: Engine,
        writer: Writer,
        reader: Reader,
        *,
        clock: Clock,
        per_client_per_minute: int,
        on_step: Callable[[str], None],
    ) -> None:
        """
        Wire the parts.

        Args:
            targets: Ids of those that are configured.
            engine: Told what reports mean.
            writer: Stores them.
            reader: Of the same file.
            clock: Time of receipt, and of limits.
            per_client_per_minute: Rows that one client may send.
            on_step: Called with the id of a target whose state a report may have moved.
        """
        self._targets = targets
        self._engine = engine
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._per_minute = per_client_per_minute
        self._on_step = on_step
        self._allowances: dict[str, _Allowance] = {}
        self._waiting = 0
        self._bodies: deque[_Waiting] = deque()
        self._come = asyncio.Event()
        self._is_changed = True
        self._unsummed = asyncio.Event()
        self._summing = asyncio.Lock()
        self.counts = DeskCounts()

    async def take(
        self, client: str, sent_at: float, reports: Sequence[tuple[int, Report]], bad: int = 0
    ) -> Receipt:
        """
        Store *reports* (place in the body, and row), and return once they are on disk.

        Args:
            client: Name of the token they came with.
            sent_at: Wall time of sending by the client's clock; each ``at`` is moved by its skew.
            reports: At most 1000.
            bad: Rows of the body that are not among them, for the limit.

        Raises:
            BusyError: Too much waits, or the client has sent too much; nothing was taken.
            StoreError: The store cannot be written; nothing was taken.
        """
        now, count = self._clock.wall(), len(reports) + bad
        self._admit(client, count)
        skew_s = skew_of(sent_at, now)
        good: list[Report] = []
        rejected: list[Rejected] = []
        for place, (index, told) in enumerate(reports):
            if place % _SLICE == 0:
                await step_aside()
            report = told._replace(at=told.at + skew_s) if skew_s else told
            why = _why_not(report, self._targets, now)
            if why is None:
                good.append(report)
            else:
                rejected.append(Rejected(index, report.id, *why))
        stored = await self._store(client, good, now, skew_s)
        self.counts.duplicates += stored.duplicates
        self.counts.rejected += len(rejected) + bad
        return Receipt(stored.accepted, stored.duplicates, tuple(rejected), skew_s)

    def _admit(self, client: str, count: int) -> None:
        """Take *count* from what the client may send; BusyError where that is not enough."""
        self._check_room(count)
        now = self._clock.monotonic()
        allowance = self._allowances.setdefault(client, _Allowance(self._per_minute, now))
        rate = self._per_minute / _MINUTE_S
        allowance.left = min(self._per_minute, allowance.left + (now - allowance.at) * rate)
        allowance.at = now
        # A full bucket lets any one body pass, or a small limit would never let a large one.
        if allowance.left < min(count, self._per_minute):
            self.counts.refused += count
            raise BusyError(
                f"{client!r} may send {self._per_minute} reports a minute",
                max(1.0, (min(count, self._per_minute) - allowance.left) / rate),
            )
        allowance.left -= count

    def _check_room(self, count: int) -> None:
        if self._waiting + count > REPORTS_WAITING_MAX:
            self.counts.refused += count
            raise BusyError(f"{self._waiting} reports wait for the store", 1.0)

    async def _store(
        self, client: str, reports: Sequence[Report], now: float, skew_s: float
    ) -> rows.Stored:
        if not reports:
            return rows.Stored(0, 0)
        text, count = await _text_of(reports), len(reports)
        body = rows.Body(client=client, count=count, text=text, received_at=now, skew_s=skew_s)
        self._check_room(len(reports))  # Others may have come while this one was read.
        done: asyncio.Future[rows.Stored] = asyncio.get_running_loop().create_future()
        self._bodies.append((body, done))
        self._waiting += len(reports)
        self._come.set()
        return await done

    async def commit(self) -> None:
        """
        Commit what waits, in groups, until cancelled; what waits then is not taken.

        Whoever hangs up changes nothing: what is on its way is stored, and told.
        """
        try:
            while True:
                await self._come.wait()
                self._come.clear()
                while self._bodies:
                    group = self._group()
                    await self._commit(group)
                    self._waiting -= sum(body.count for body, _ in group)
        finally:
            for _, done in self._bodies:
                _fail(done, StoreError("the daemon stops"))
            self._bodies.clear()
            self._waiting = 0

    def _group(self) -> list[_Waiting]:
        """Take the oldest bodies that wait, as many as one commit holds, and at least one."""
        group, count = [self._bodies.popleft()], 0
        while self._bodies:
            count += group[-1][0].count
            if count + self._bodies[0][0].count > REPORTS_A_COMMIT_MAX:
                break
            group.append(self._bodies.popleft())
        return group

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        work = partial(rows.store, bodies=[body for body, _ in group])
        try:
            stored, minutes = await asyncio.wrap_future(self._writer.ask(work))
        except StoreError as error:
            for _, done in group:
                _fail(done, error)
            return
        except asyncio.CancelledError:
            for _, done in group:
                _fail(done, StoreError("the daemon stops"))
            raise
        if minutes:
            self._is_changed = True
            self._unsummed.set()
            for target in self._engine.reported(minutes, self._clock.wall()):
                self._on_step(target)
        for (_, done), one in zip(group, stored, strict=True):
            if not done.done():
                done.set_result(one)

    async def sum_up(self) -> None:
        """Keep the sums a few seconds behind the rows, until cancelled."""
        while True:
            await self._unsummed.wait()
            await asyncio.sleep(REPORT_SUMS_S)
            with suppress(StoreError):  # The books say what is wrong with the file.
                await self._sum_up()

    async def _sum_up(self) -> None:
        async with self._summing:  # Or who comes second would take what is under way for done.
            if not self._unsummed.is_set():
                return
            self._unsummed.clear()
            try:
                await asyncio.to_thread(sum_up, self._writer)
            except (StoreError, asyncio.CancelledError):
                self._unsummed.set()
                raise

    async def stop(self) -> None:
        """Sum up what came last, if the store can be written: who reads the file finds it complete."""
        with suppress(StoreError):
            await self._sum_up()

    def restore(self) -> None:
        """
        Hear again what was said in the last hour, so that a restart forgets no failure.

        Runs in the thread that replays the store. What a process that was killed did not sum up is
        summed up first.

        Raises:
            StoreError: The store cannot be read or written.
        """
        now = self._clock.wall()
        sum_up(self._writer)
        with self._reader.snapshot() as connection:
            told = rows.minutes(connection, now - 2 * HORIZON_S)
        self._engine.reported(told, now)

    async def run(self) -> None:
        """Keep the figures of reports up to date."""
        while True:
            begun = self._clock.monotonic()
            with suppress(StoreError):  # The books say what is wrong with the file.
                await self.renew()
            pause_s = (self._clock.monotonic() - begun) / REPORT_FIGURES_SHARE
            await asyncio.sleep(min(max(pause_s, REPORT_FIGURES_S_MIN), REPORT_FIGURES_S_MAX))

    async def renew(self) -> None:
        """
        Read the figures anew, unless there never was a report.

        Raises:
            StoreError: The file cannot be read, or what is new not summed up.
        """
        if not self._is_changed and not self._engine.reports.totals:
            return
        self._is_changed = False
        await self._sum_up()
        self._engine.reports = await asyncio.to_thread(self._figures)

    def _figures(self) -> ReportFigures:
        alone = self._engine.failing_alone()
        with self._reader.snapshot() as connection:
            return rows.figures(connection, self._windows_of, self._clock.wall(), alone)

    def _windows_of(self, target: str) -> Mapping[str, float]:
        return self._engine.windows_of(target)


async def _text_of(reports: Sequence[Report]) -> str:
    """Return *reports* as the store takes them."""
    parts = []
    for first in range(0, len(reports), _SLICE):
        parts.append(rows.text_of(reports[first : first + _SLICE])[1:-1])
        await step_aside()
    return f"[{','.join(parts)}]"


def _fail(done: asyncio.Future[rows.Stored], error: StoreError) -> None:
    if not done.done():
        done.set_exception(error)
