"""Where time enters the client; the two readings are never mixed."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time stamps, monotonic time measures."""

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
