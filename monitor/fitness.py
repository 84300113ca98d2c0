"""Whether this process was fit to measure while a probe ran (law 8)."""

from __future__ import annotations

from monitor.clock import Clock
from monitor.lag import LagMeter
from monitor.limits import CLOCK_STEP_VOID_S, LOOP_LAG_VOID_S


class Fitness:
    """Watches our own event loop and clocks."""

    def __init__(self, lag: LagMeter, clock: Clock) -> None:
        """Judge by what *lag* measures and *clock* shows."""
        self._lag = lag
        self._clock = clock

    def trouble(self, started: float, wall_started: float) -> str | None:
        """
        Return why what happened since says nothing about a provider, or None.

        *started* and *wall_started* are the monotonic and the wall time of its start.
        """
        late = self._lag.worst_since(started)
        if late > LOOP_LAG_VOID_S:
            return f"the monitor's event loop stalled for {late:.1f} s"
        # Each clock against itself; only the two durations are compared.
        wall_s = self._clock.wall() - wall_started
        step = wall_s - (self._clock.monotonic() - started)
        if abs(step) > CLOCK_STEP_VOID_S:
            return f"the machine's wall clock stepped by {step:+.1f} s"
        return None
