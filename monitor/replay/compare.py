"""The same requests through every router, side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, MutableSequence, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from random import Random
from typing import Final

from monitor.replay.monitored import Monitored, Settings
from monitor.replay.play import Score, Watched, play, watched
from monitor.replay.routers import Cooldown, Latency, Oracle, Router, Static, Strikes, SuccessRate
from monitor.replay.world import World

# Told the share of the work that is done, 0..1.
Progress = Callable[[float], None]
# Told the number of a router, and the share of its requests that is done.
_Tell = Callable[[int, float], None]
_TOLD_EVERY: Final = 500
_LOOK_S: Final = 0.1
# What uptime monitors do by default.
_PLAIN_S: Final = 300.0
_PLAIN_STRIKES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """
    How clients ask.

    Attributes:
        every_s: Mean time between two requests, which come at random.
        deadline_s: Within which they want a picture.
        usd_per_second: What a second of waiting is worth to them.
        billed_share: Share of their failed attempts that is billed, 0..1.
    """

    every_s: float = 60.0
    deadline_s: float = 30.0
    usd_per_second: float = 0.002
    billed_share: float = 0.5

    def requests(self, world: World) -> Iterator[float]:
        """Yield the times of all requests in *world*; the same for every router."""
        rng = Random(f"{world.seed}/requests")
        at = world.begin + rng.expovariate(1 / self.every_s)
        while at < world.end:
            yield at
            at += rng.expovariate(1 / self.every_s)


@dataclass(frozen=True, slots=True)
class Line:
    """What came of one router; *seen* of a monitor's."""

    score: Score
    seen: Watched | None = None

    @property
    def name(self) -> str:
        """The router's name."""
        return self.score.name


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What is compared: it can be sent to another process, which no router can."""

    world: World
    clients: Clients
    monitors: Sequence[Settings]

    @property
    def makers(self) -> Sequence[Callable[[], Router]]:
        """What makes each router, the oracle last."""
        world, clients = self.world, self.clients
        return [
            lambda: Static(world),
            lambda: Cooldown(world),
            lambda: Latency(world, clients.deadline_s),
            lambda: SuccessRate(world),
            lambda: Strikes(world, _PLAIN_S, _PLAIN_STRIKES),
            *(lambda settings=settings: Monitored(world, settings) for settings in self.monitors),
            lambda: Oracle(world, clients.usd_per_second, clients.billed_share),
        ]

    def line(self, number: int, tell: _Tell) -> Line:
        """Play router *number*."""
        router, world, clients = self.makers[number](), self.world, self.clients
        score = play(
            world,
            router,
            _told(clients.requests(world), world, number, tell),
            deadline_s=clients.deadline_s,
            billed_share=clients.billed_share,
        )
        tell(number, 1.0)
        return Line(score, watched(world, router) if isinstance(router, Monitored) else None)


def compare(
    world: World,
    clients: Clients,
    monitors: Sequence[Settings],
    progress: Progress = lambda _: None,
    *,
    processes: int = 1,
) -> list[Line]:
    """
    Play the requests of *clients* in *world* through today's rules, *monitors* and an oracle.

    The oracle comes last. What comes out does not depend on *processes*: no router knows another.
    """
    comparison = _Comparison(world, clients, monitors)
    if processes > 1:
        return _spread(comparison, progress, processes)
    shares = [0.0] * len(comparison.makers)

    def tell(number: int, share: float) -> None:
        shares[number] = share
        progress(sum(shares) / len(shares))

    return [comparison.line(number, tell) for number in range(len(shares))]


def _spread(comparison: _Comparison, progress: Progress, processes: int) -> list[Line]:
    """Play the routers in several processes at a time."""
    # Spawned, for a fork would copy the locks that threads of the caller hold.
    context, count = get_context("spawn"), len(comparison.makers)
    shares = context.Array("d", count, lock=False)
    pool = ProcessPoolExecutor(
        min(processes, count), context, initializer=_begin, initargs=(comparison, shares)
    )
    try:
        # Monitors take longest, and come last but one.
        lines = [pool.submit(_line, number) for number in reversed(range(count))]
        pending: Collection[Future[Line]] = lines
        while pending:
            _, pending = wait(pending, _LOOK_S)
            progress(sum(shares) / count)
        return [line.result() for line in reversed(lines)]
    finally:
        pool.shutdown(cancel_futures=True)


# What a process of ``_spread`` works at, from its begin on.
_work: tuple[_Comparison, _Tell]


def _begin(comparison: _Comparison, shares: MutableSequence[float]) -> None:
    global _work  # noqa: PLW0603 - nothing else outlives a call in such a process
    _work = comparison, shares.__setitem__


def _line(number: int) -> Line:
    comparison, tell = _work
    return comparison.line(number, tell)


def _told(requests: Iterator[float], world: World, number: int, tell: _Tell) -> Iterator[float]:
    for count, at in enumerate(requests):
        if count % _TOLD_EVERY == 0:
            tell(number, (at - world.begin) / (world.end - world.begin))
        yield at


def excess(line: Line, oracle: Line) -> float:
    """Return the share of first attempts wasted beyond those of who knows the truth."""
    return line.score.wasted_ratio - oracle.score.wasted_ratio


def premium(line: Line, oracle: Line) -> float | None:
    """Return how much dearer its pictures are than the oracle's, as a share; None without any."""
    mine, its = line.score.mean_price_usd, oracle.score.mean_price_usd
    return None if mine is None or not its else mine / its - 1
