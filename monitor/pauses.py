"""
Targets that an operator paused: no canary of the schedule is sent, until a time or until told.

Free calls go on, and so do probes that an operator asks for. A pause is a fact in the store, so a
restart knows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from monitor.core.pause import Pause
from monitor.store import pauses as rows
from monitor.store.writer import Writer


class Pauses:
    """The pauses there are, in the store and beside it in memory; on the loop alone."""

    def __init__(self, writer: Writer) -> None:
        """Keep them in the file of *writer*; none before :meth:`load`."""
        self._writer = writer
        self._of: dict[str, Pause] = {}

    async def load(self) -> None:
        """
        Take over what the store holds.

        Raises:
            StoreError: It cannot be read.
        """
        self._of = await asyncio.wrap_future(self._writer.ask(rows.load))

    async def set(self, target_id: str, pause: Pause) -> None:
        """
        Pause a target, in place of any pause it is in; stored when this returns.

        Raises:
            StoreError: The store cannot be written; nothing changes.
        """
        await asyncio.wrap_future(self._writer.ask(partial(rows.save, target_id, pause)))
        self._of[target_id] = pause

    async def end(self, target_id: str) -> None:
        """
        End the pause of a target, if it is in one; stored when this returns.

        Raises:
            StoreError: The store cannot be written; nothing changes.
        """
        await asyncio.wrap_future(self._writer.ask(partial(rows.remove, target_id)))
        self._of.pop(target_id, None)

    def at(self, target_id: str, now: float) -> Pause | None:
        """Return the pause that a target is in at *now*; None for none."""
        pause = self._of.get(target_id)
        return pause if pause is not None and pause.holds(now) else None

    def all(self, now: float) -> Mapping[str, Pause]:
        """Return target id to pause of all that are paused at *now*."""
        return {target: pause for target, pause in self._of.items() if pause.holds(now)}
