"""The same requests through every router, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from monitor.replay.monitored import Monitored, Settings
from monitor.replay.play import Score, Watched, play, watched
from monitor.replay.routers import Cooldown, Latency, Oracle, Router, Static, Strikes, SuccessRate
from monitor.replay.world import World

# Told the share of the work that is done, 0..1.
Progress = Callable[[float], None]
_TOLD_EVERY: Final = 500
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


def compare(
    world: World,
    clients: Clients,
    monitors: Sequence[Settings],
    progress: Progress = lambda _: None,
) -> list[Line]:
    """
    Play the requests of *clients* in *world* through today's rules, *monitors* and an oracle.

    The oracle comes last.
    """
    makers: list[Callable[[], Router]] = [
        lambda: Static(world),
        lambda: Cooldown(world),
        lambda: Latency(world, clients.deadline_s),
        lambda: SuccessRate(world),
        lambda: Strikes(world, _PLAIN_S, _PLAIN_STRIKES),
        *(lambda settings=settings: Monitored(world, settings) for settings in monitors),
        lambda: Oracle(world, clients.usd_per_second, clients.billed_share),
    ]
    lines = []
    for number, make in enumerate(makers):
        router = make()
        score = play(
            world,
            router,
            _told(clients.requests(world), world, number, len(makers), progress),
            deadline_s=clients.deadline_s,
            billed_share=clients.billed_share,
        )
        seen = watched(world, router) if isinstance(router, Monitored) else None
        lines.append(Line(score, seen))
    progress(1.0)
    return lines


def _told(
    requests: Iterator[float], world: World, number: int, of: int, progress: Progress
) -> Iterator[float]:
    for count, at in enumerate(requests):
        if count % _TOLD_EVERY == 0:
            progress((number + (at - world.begin) / (world.end - world.begin)) / of)
        yield at


def excess(line: Line, oracle: Line) -> float:
    """Return the share of first attempts wasted beyond those of who knows the truth."""
    return line.score.wasted_ratio - oracle.score.wasted_ratio


def premium(line: Line, oracle: Line) -> float | None:
    """Return how much dearer its pictures are than the oracle's, as a share; None without any."""
    mine, its = line.score.mean_price_usd, oracle.score.mean_price_usd
    return None if mine is None or not its else mine / its - 1
