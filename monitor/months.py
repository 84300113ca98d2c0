"""
Freezes the figures of calendar months once they are over.

A frozen month needs no row of a probe any more: those may be pruned, and what was signed stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import structlog

from monitor.clock import Clock
from monitor.core.months import MonthFigures, is_over, month_figures, month_of
from monitor.core.slo import latency_threshold
from monitor.core.spec import PoolSpec, TargetSpec
from monitor.errors import StoreError
from monitor.store import months as rows
from monitor.store.reader import Reader
from monitor.store.writer import Writer

log = structlog.get_logger("imgmon.months")
# Starting has more urgent work than what can wait for days.
_FIRST_LOOK_S: Final = 1.0
# How often to look whether a month is over, and how soon again when the store refused.
_LOOK_S: Final = 3_600.0
_RETRY_S: Final = 60.0


class Months:
    """The calendar months of all targets."""

    def __init__(
        self,
        specs: Mapping[str, TargetSpec],
        pools: Sequence[PoolSpec],
        *,
        reader: Reader,
        writer: Writer,
        clock: Clock,
    ) -> None:
        """Figure the months of the targets in *specs*, by id."""
        self._specs = specs
        self._pools = pools
        self._reader = reader
        self._writer = writer
        self._clock = clock

    async def run(self) -> None:
        """Freeze every month that is over, for ever: also those that passed while we were off."""
        wait_s = _FIRST_LOOK_S
        while True:
            await asyncio.sleep(wait_s)
            wait_s = _LOOK_S
            try:
                await self.freeze()
            except StoreError as error:
                wait_s = _RETRY_S
                log.warning("months.not_frozen", error=str(error))
            except Exception:  # A bug must not leave months unfrozen in silence.
                log.exception("months.failed")

    async def freeze(self) -> int:
        """
        Freeze every month that is over and is not frozen; return how many were.

        Raises StoreError when the store cannot be read or written.
        """
        count = 0
        for target_id, month in await asyncio.to_thread(self._due):
            figures = await asyncio.to_thread(self._figured, target_id, month, is_final=True)
            asked = self._writer.ask(partial(rows.freeze, month=figures))
            if await asyncio.wrap_future(asked):
                count += 1
                n = figures.figures.n
                log.info("month.frozen", target=target_id, month=month, samples=n)
        return count

    def of(self, target_id: str) -> tuple[MonthFigures, ...]:
        """
        Return the months of a target, oldest first: frozen ones, then those that may still change.

        The running month is always among them. Raises StoreError when the store cannot be read.
        """
        # In this order: one that is frozen in between is found twice rather than not at all.
        unfrozen = self._reader.ask(partial(rows.open_months, target_id=target_id))
        final = self._reader.ask(partial(rows.frozen, target_id=target_id))
        rest = {*unfrozen, month_of(self._clock.wall())} - {month.month for month in final}
        return (*final, *(self._figured(target_id, month) for month in sorted(rest)))

    def _due(self) -> list[tuple[str, str]]:
        """Return the (target, month) that are over and not frozen, found in one reading."""
        now = self._clock.wall()
        return self._reader.ask(
            lambda session: [
                (target_id, month)
                for target_id in self._specs
                for month in rows.open_months(session, target_id)
                if is_over(month, now)
            ]
        )

    def _figured(self, target_id: str, month: str, *, is_final: bool = False) -> MonthFigures:
        spec = self._specs[target_id]
        return month_figures(
            month,
            spec,
            self._reader.ask(partial(rows.evidence, target_id=target_id, month=month)),
            threshold_s=latency_threshold(spec, self._pools),
            now=self._clock.wall(),
            is_final=is_final,
        )
