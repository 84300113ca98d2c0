"""How late our own event loop and schedule are: what voids a probe instead of blaming a provider."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from monitor.clock import Clock

BEAT_S: Final = 0.1
_KEPT_S: Final = 600.0


class LagMeter:
    """
    Remembers how late things were, by monotonic time, for the last ten minutes.

    Attributes:
        beat_at: Monotonic time of the last beat; None before the first.
    """

    def __init__(self, clock: Clock) -> None:
        """Read *clock*."""
        self._clock = clock
        self._late: deque[tuple[float, float]] = deque()
        self.beat_at: float | None = None

    def note(self, late_s: float) -> None:
        """Record that something ran *late_s* seconds late, just now."""
        now = self._clock.monotonic()
        while self._late and self._late[0][0] < now - _KEPT_S:
            self._late.popleft()
        if late_s > 0:
            self._late.append((now, late_s))

    def worst_since(self, since: float) -> float:
        """Return the longest delay noted at or after *since* (monotonic), in seconds; in any thread."""
        # A copy: a scrape asks in a thread while the loop notes.
        return max((late for at, late in tuple(self._late) if at >= since), default=0.0)

    def worst_recent(self, within_s: float = 60.0) -> float:
        """Return the longest delay of the last *within_s* seconds."""
        return self.worst_since(self._clock.monotonic() - within_s)

    async def beat(self) -> None:
        """Measure the loop for ever: how much later than asked a short sleep returns."""
        while True:
            before = self._clock.monotonic()
            await asyncio.sleep(BEAT_S)
            self.beat_at = self._clock.monotonic()
            self.note(self.beat_at - before - BEAT_S)
