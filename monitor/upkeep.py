"""
Care of the file beside the daemon's work: whether a large one is whole.

Starting is not held up by it; what is found is a problem of the daemon's, and an error in the log.
"""

from __future__ import annotations

import asyncio

import structlog

from monitor.errors import StoreError
from monitor.store.reader import Reader
from monitor.store.writer import Writer

log = structlog.get_logger("imgmon.upkeep")


class Upkeep:
    """Looks after the store of *writer*; never raises, and never blames a provider."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Wire the parts."""
        self._writer = writer
        self._reader = reader
        self._is_stopping = False
        self.problem: str | None = None

    async def run(self) -> None:
        """Read a large file for damage."""
        await self.check()

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
