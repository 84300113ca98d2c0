"""
How failover clients choose without this monitor: the rules that ours is measured against.

Each sees only what its own requests or probes tell it, and gives an order for the next request.
Services are known by their index in the world; the configured order is that of price.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from monitor.core.standing import SUCCESS_MIN, index_usd
from monitor.replay.world import FAILURE_MEDIAN_S, World

# The usual circuit breaker: so many failures within a minute rest a service for a minute.
COOLDOWN_FAILURES: Final = 3
COOLDOWN_WITHIN_S: Final = 60.0
COOLDOWN_S: Final = 60.0
# Weight of the newest of the latencies; a failure counts as one that took the whole deadline.
EWMA_WEIGHT: Final = 0.2
# The newest requests to each service that its success rate is of.
RATE_OF: Final = 50
# Attempts of plain probers are numbered apart from those of clients and of this monitor.
_PROBES: Final = 1 << 41
_PROBE_S: Final = 60.0


class Router(Protocol):
    """A rule that says in which order to try services, and learns from what came of it."""

    name: str

    def order(self, now: float) -> Sequence[int]:
        """Return the indices of all services, first the one to call."""
        ...

    def told(self, index: int, at: float, *, is_good: bool, took_s: float) -> None:
        """Learn what came of an attempt that was sent at *at*; called when it has ended."""
        ...


class Static:
    """The configured order, whatever happens; the other rules change it."""

    name = "static order"

    def __init__(self, world: World) -> None:
        """Know the services and prices of *world*, and nothing of its truth."""
        services = world.services
        self.by_price = sorted(range(len(services)), key=lambda i: services[i].price_usd)

    def order(self, now: float) -> Sequence[int]:  # noqa: ARG002 - the others look at it
        """Return the services by price."""
        return self.by_price

    def told(self, index: int, at: float, *, is_good: bool, took_s: float) -> None:
        """Learn nothing."""


class Cooldown(Static):
    """The configured order, those last that failed three times within the last minute."""

    name = "cooldown"

    def __init__(self, world: World) -> None:
        """Begin with all of them."""
        super().__init__(world)
        self._failures = [deque[float](maxlen=COOLDOWN_FAILURES) for _ in self.by_price]
        self._until = [float("-inf")] * len(self.by_price)

    def order(self, now: float) -> Sequence[int]:
        """Return those that rest last: a client that has nobody else still tries them."""
        return sorted(self.by_price, key=lambda i: self._until[i] > now)

    def told(self, index: int, at: float, *, is_good: bool, took_s: float) -> None:
        """Rest a service after too many failures."""
        if is_good:
            return
        ended, failures = at + took_s, self._failures[index]
        failures.append(ended)
        if len(failures) == COOLDOWN_FAILURES and ended - failures[0] <= COOLDOWN_WITHIN_S:
            self._until[index] = ended + COOLDOWN_S


class Latency(Static):
    """The lowest moving average of latency first; who was never called is taken as the best."""

    name = "EWMA latency"

    def __init__(self, world: World, deadline_s: float) -> None:
        """Count a failure as *deadline_s*."""
        super().__init__(world)
        self._deadline_s = deadline_s
        self._mean: list[float | None] = [None] * len(self.by_price)

    def order(self, now: float) -> Sequence[int]:  # noqa: ARG002 - a moving average has no clock
        """Return the services by their mean."""
        return sorted(self.by_price, key=lambda i: self._mean[i] or 0.0)

    def told(self, index: int, at: float, *, is_good: bool, took_s: float) -> None:  # noqa: ARG002
        """Move the mean of a service."""
        took_s, mean = took_s if is_good else self._deadline_s, self._mean[index]
        self._mean[index] = took_s if mean is None else mean + EWMA_WEIGHT * (took_s - mean)


class SuccessRate(Static):
    """The highest share of good answers among the newest requests first; none yet is all good."""

    name = "success rate"

    def __init__(self, world: World) -> None:
        """Begin without any request."""
        super().__init__(world)
        self._newest = [deque[bool](maxlen=RATE_OF) for _ in self.by_price]

    def order(self, now: float) -> Sequence[int]:  # noqa: ARG002 - counts have no clock
        """Return the services by their rate."""
        return sorted(self.by_price, key=lambda i: -self._rate(i))

    def _rate(self, index: int) -> float:
        newest = self._newest[index]
        return sum(newest) / len(newest) if newest else 1.0

    def told(self, index: int, at: float, *, is_good: bool, took_s: float) -> None:  # noqa: ARG002
        """Count an answer."""
        self._newest[index].append(is_good)


class Strikes(Static):
    """The configured order, those last that a plain prober calls down: n failures in a row."""

    def __init__(self, world: World, interval_s: float, strikes: int) -> None:
        """Probe each service every *interval_s*; *strikes* failures end it, one success mends it."""
        super().__init__(world)
        self.name = f"{interval_s / 60:g} min, {strikes} strikes"
        self.probes = 0
        self._world = world
        self._interval_s = interval_s
        self._strikes = strikes
        self._run = [0] * len(self.by_price)
        # Evenly apart, as probers spread them.
        apart_s = interval_s / len(self.by_price)
        self._next = [world.begin + apart_s * i for i in range(len(self.by_price))]

    def order(self, now: float) -> Sequence[int]:
        """Return the services by price, those down last."""
        for index in self.by_price:
            while self._next[index] <= now:
                number = _PROBES + self.probes
                answer = self._world.answer(index, self._next[index], number, _PROBE_S)
                self.probes += 1
                self._run[index] = 0 if answer.is_good else self._run[index] + 1
                self._next[index] += self._interval_s
        return sorted(self.by_price, key=lambda i: self._run[i] >= self._strikes)


class Oracle(Static):
    """Whoever knows the truth of the moment, but not the luck of the attempt."""

    name = "oracle"

    def __init__(self, world: World, usd_per_second: float, billed_share: float) -> None:
        """Know *world*, the value of a second of waiting and the share of failures billed."""
        super().__init__(world)
        self._world = world
        self._usd_per_second = usd_per_second
        self._billed_share = billed_share
        self._costs: dict[
            tuple[int, float | None], float
        ] = {}  # By service and begin of its spell.

    def order(self, now: float) -> Sequence[int]:
        """Return the services by what a picture of each is expected to cost now."""
        return sorted(self.by_price, key=lambda i: self._cost(i, now))

    def _cost(self, index: int, now: float) -> float:
        service = self._world.services[index]
        spell = service.spell(now)
        key = index, spell.begin if spell else None
        if key not in self._costs:
            self._costs[key] = index_usd(
                price=service.price_usd,
                latency_s=service.latency_at(now),
                p=max(SUCCESS_MIN, 1 - service.failure_at(now)),
                time_to_fail_s=FAILURE_MEDIAN_S,
                billed_share=self._billed_share,
                usd_per_second=self._usd_per_second,
            )
        return self._costs[key]
