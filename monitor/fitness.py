"""Whether this process and its network were fit to measure while a probe ran (law 8)."""

from __future__ import annotations

from dataclasses import replace

from monitor.clock import Clock
from monitor.lag import LagMeter
from monitor.limits import CLOCK_STEP_VOID_S, LOOP_LAG_VOID_S
from monitor.network import NetworkWatch
from probes.model import ErrorClass, ProbeResult


class Fitness:
    """Watches our own event loop, clocks and network."""

    def __init__(self, lag: LagMeter, clock: Clock, network: NetworkWatch | None = None) -> None:
        """Judge by what *lag* measures, *clock* shows and *network* knows, None for nothing."""
        self._lag = lag
        self._clock = clock
        self._network = network

    async def judged(
        self, result: ProbeResult, base_url: str, started: float, wall_started: float
    ) -> ProbeResult:
        """
        Return *result*, or a void one in its place if our own trouble explains it.

        Takes seconds at most. To be called before a result is stored: no verdict is rewritten.

        Args:
            result: What came of a probe or call.
            base_url: Of the provider.
            started: Monotonic time of its start.
            wall_started: Wall time of the same moment.
        """
        error, why = ErrorClass.MONITOR_FAULT, self.trouble(started, wall_started)
        if why is None and self._network is not None:
            error, why = ErrorClass.OUR_NETWORK, await self._network.excuse(result, base_url)
        if why is None:
            return result
        return replace(result, error=error, latency_s=None, detail=why, retry_at=None)

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
