"""
Care of the file beside the daemon's work: whether a large one is whole, and that it does not grow.

None of it holds up a probe: a file is read for damage by a connection of its own, and old rows go in
slices of a few dozen milliseconds, between which the writer does all other work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection

from monitor.clock import Clock
from monitor.core.retention import DAY_S, ROWS_FIRST, Retention, cutoffs, resized
from monitor.errors import StoreError
from monitor.store.opening import checkpoint
from monitor.store.pruning import Sort, prune, sorts
from monitor.store.reader import Reader
from monitor.store.writer import Writer

log = structlog.get_logger("imgmon.upkeep")

# The first minute of a daemon is for its probes.
_FIRST_S: Final = 60.0
_PRUNE_EVERY_S: Final = 3_600.0
# The writer is left alone for so many times as long as a slice has taken.
_REST: Final = 4.0


class Upkeep:
    """Looks after the store of *writer*; never raises, and never blames a provider."""

    def __init__(
        self, path: Path, writer: Writer, reader: Reader, *, retention: Retention, clock: Clock
    ) -> None:
        """Wire the parts, all of the file at *path*."""
        self._path = path
        self._writer = writer
        self._reader = reader
        self._retention = retention
        self._clock = clock
        self._wall_lead = clock.wall() - clock.monotonic()
        self._rows = ROWS_FIRST
        self._is_stopping = False
        self.problem: str | None = None
        self.pruned = 0
        self.slowest_s = 0.0
        self.oldest_at: float | None = None

    async def run(self) -> None:
        """Read a large file for damage, then remove old rows once an hour."""
        await asyncio.sleep(_FIRST_S)
        await self.check()
        while True:
            try:
                await self.prune()
                self.oldest_at = await asyncio.to_thread(self._reader.oldest_generation_at)
            except StoreError as error:
                log.warning("prune.failed", error=str(error))
            await asyncio.sleep(_PRUNE_EVERY_S)

    def stop(self) -> None:
        """End what is under way within milliseconds."""
        self._is_stopping = True

    async def check(self) -> None:
        """Read a file for damage that the start did not read; note what is found."""
        if self._writer.is_checked:
            return
        try:
            damage = await asyncio.to_thread(self._reader.damage, lambda: self._is_stopping)
        except StoreError as error:
            damage = str(error)
        if damage is not None:
            self.problem = f"the store is damaged ({damage}); stop and restore a backup"
            log.error("store.damaged", detail=damage)

    async def prune(self, told: Callable[[int], None] = lambda _: None) -> int:
        """
        Remove all rows that are too old, slice by slice; return how many.

        *told* is called with the rows that went in each slice.

        Raises:
            StoreError: the store cannot be written.
        """
        wall, monotonic = self._clock.wall(), self._clock.monotonic()
        if abs(wall - monotonic - self._wall_lead) > DAY_S:
            # Rows cannot be brought back: a clock that leapt is not believed before a restart.
            log.warning("prune.left_out", detail="the wall clock has leapt by more than a day")
            return 0
        before = self.pruned
        for sort in sorts(cutoffs(self._retention, wall)):
            while not self._is_stopping and await self._slice(sort, told):
                pass
        if self.pruned > before:
            log.info("prune.done", rows=self.pruned - before, slowest_s=self.slowest_s)
        return self.pruned - before

    async def _slice(self, sort: Sort, told: Callable[[int], None]) -> bool:
        """Remove some rows of *sort* and leave the writer alone for a while; False for the last."""
        count, times = self._rows, list[float]()
        work = partial(self._timed, sort, count, times)
        future = self._writer.ask(work)
        # Called by the writer's thread as soon as the slice is committed.
        future.add_done_callback(lambda _: times.append(self._clock.monotonic()))
        removed = await asyncio.wrap_future(future)
        took_s = times[1] - times[0]
        self.pruned += removed
        told(removed)
        self.slowest_s = max(self.slowest_s, took_s)
        if removed == count:
            self._rows = resized(count, took_s)
        if removed:
            # A commit that finds a long log moves it itself, which takes longer than the slice.
            await asyncio.to_thread(checkpoint, self._path)
        await asyncio.sleep(took_s * _REST)
        return removed == count

    def _timed(self, sort: Sort, count: int, times: list[float], connection: Connection) -> int:
        times.append(self._clock.monotonic())
        return prune(connection, sort, count)
