"""Where time enters: wall time stamps, monotonic time measures, and the two are never subtracted."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings that are never mixed."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch (UTC); may step."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never steps back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        """Return the system's wall time."""
        return time.time()

    def monotonic(self) -> float:
        """Return the system's monotonic time."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told, for tests and replay."""

    def __init__(self, wall: float = 1_795_000_000.0, monotonic: float = 0.0) -> None:
        """Start at *wall* and *monotonic*, in seconds."""
        self._wall, self._monotonic = wall, monotonic

    def wall(self) -> float:
        """Return the wall time last set."""
        return self._wall

    def monotonic(self) -> float:
        """Return the monotonic time last set."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        assert seconds >= 0
        self._wall += seconds
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP would."""
        self._wall += seconds
