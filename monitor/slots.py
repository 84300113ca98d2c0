"""Slots that nobody saw to, in this process or between two: what was announced is no miss."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from monitor.core.maintenance import maintenance_end
from monitor.core.snapshot import GapReason
from monitor.core.spec import TargetSpec
from monitor.pauses import Pauses
from monitor.store import seen as rows
from monitor.store.writer import Writer


class Slots:
    """Remembers in the store up to which slot each target was seen to; on the loop alone."""

    def __init__(
        self,
        specs: Mapping[str, TargetSpec],
        *,
        writer: Writer,
        pauses: Pauses,
        gap: Callable[[str, GapReason, float], None],
    ) -> None:
        """Watch the targets of *specs*, by id; *gap* is told of each slot that was missed."""
        self._specs = specs
        self._writer = writer
        self._pauses = pauses
        self._gap = gap

    async def load(self) -> dict[str, tuple[float, int]]:
        """
        Return target id to the length of its slots in seconds and the last one that was seen to.

        Targets that are not watched any more are forgotten: nothing of them is missed.

        Raises:
            StoreError: The file cannot be read or written.
        """
        return await asyncio.wrap_future(self._writer.ask(partial(rows.load, of=self._specs)))

    def seen(self, target_id: str, interval_s: float, slot: int) -> None:
        """Remember the newest slot of a target; a store that refuses makes it a miss."""
        self._writer.ask(partial(rows.save, target_id, interval_s, slot))

    def missed(self, target_id: str, at: float) -> None:
        """Count the slot that began at wall time *at* without a fire."""
        if self._pauses.at(target_id, at) is not None:
            reason = GapReason.PAUSED
        elif maintenance_end(self._specs[target_id].maintenance, at) is not None:
            reason = GapReason.MAINTENANCE
        else:
            reason = GapReason.MISSED
        self._gap(target_id, reason, at)
