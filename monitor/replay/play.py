"""
Requests through a router, and the score: what its clients felt and paid.

A client tries services in the router's order, one after the other, until one gives a picture or
its time is over. Ours is scored beside the others by the same requests and the same luck.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from monitor.core.percentile import nearest_rank
from monitor.core.snapshot import State
from monitor.replay.monitored import Change, Monitored
from monitor.replay.routers import Router
from monitor.replay.world import Service, World, outages

# What a client does before it gives up: three services, two minutes.
ATTEMPTS_MAX: Final = 3
ATTEMPT_S: Final = 60.0
TOTAL_S: Final = 120.0
# A confirmation comes half a minute after the failure that it confirms.
_CONFIRMED_S: Final = 60.0


@dataclass(slots=True)
class Score:
    """
    What came of the requests of one router.

    Attributes:
        requests: How many.
        wasted_at: When first attempts were sent that gave no picture.
        failed: Requests that got no picture at all.
        within: Requests that got one within the client's deadline.
        times: Seconds to each picture.
        spent_usd: What clients paid, failed attempts that are billed included.
        price_usd: The list price of the pictures they got.
        changes: How often the order was another one than at the request before.
    """

    name: str
    requests: int = 0
    wasted_at: list[float] = field(default_factory=list)
    failed: int = 0
    within: int = 0
    times: list[float] = field(default_factory=list)
    spent_usd: float = 0.0
    price_usd: float = 0.0
    changes: int = 0

    def add(self, other: Score) -> None:
        """Take the requests of *other* in, of another world or time."""
        self.requests += other.requests
        self.wasted_at += other.wasted_at
        self.failed += other.failed
        self.within += other.within
        self.times += other.times
        self.spent_usd += other.spent_usd
        self.price_usd += other.price_usd
        self.changes += other.changes

    @property
    def wasted(self) -> int:
        """First attempts that gave no picture."""
        return len(self.wasted_at)

    @property
    def wasted_ratio(self) -> float:
        """Share of requests whose first attempt was wasted, 0..1."""
        return self.wasted / self.requests if self.requests else 0.0

    @property
    def within_ratio(self) -> float:
        """Share of requests with a picture within the deadline, 0..1."""
        return self.within / self.requests if self.requests else 0.0

    @property
    def usd_per_image(self) -> float | None:
        """Dollars paid for each picture; None without any."""
        return self.spent_usd / len(self.times) if self.times else None

    @property
    def mean_price_usd(self) -> float | None:
        """Mean list price of the pictures; None without any."""
        return self.price_usd / len(self.times) if self.times else None

    def quantiles(self, qs: Sequence[float]) -> list[float | None]:
        """Return the nearest-rank quantiles of the time to a picture, in seconds."""
        times = sorted(self.times)
        return [nearest_rank(times, q) for q in qs]


def play(
    world: World,
    router: Router,
    requests: Iterable[float],
    *,
    deadline_s: float,
    billed_share: float,
) -> Score:
    """
    Send *requests* (times, ascending) through *router* and return the score.

    Args:
        world: The truth.
        router: The rule.
        requests: When clients ask, in seconds.
        deadline_s: Within which a client wants its picture.
        billed_share: Share of failed attempts that are billed, 0..1.
    """
    score = Score(router.name)
    before: tuple[int, ...] | None = None
    for number, asked_at in enumerate(requests):
        order = tuple(router.order(asked_at))
        score.changes += before is not None and order != before
        before = order
        score.requests += 1
        is_done, at = False, asked_at
        for index in order[:ATTEMPTS_MAX]:
            left_s = min(ATTEMPT_S, asked_at + TOTAL_S - at)
            if is_done or left_s <= 0:
                break
            answer = world.answer(index, at, number, left_s)
            router.told(index, at, is_good=answer.is_good, took_s=answer.took_s)
            at += answer.took_s
            is_done = answer.is_good
            if index == order[0] and not is_done:
                score.wasted_at.append(asked_at)
            score.spent_usd += world.services[index].price_usd * (1 if is_done else billed_share)
            score.price_usd += world.services[index].price_usd * is_done
        score.failed += not is_done
        if is_done:
            score.times.append(at - asked_at)
            score.within += at - asked_at <= deadline_s
    return score


@dataclass(slots=True)
class Watched:
    """
    How well a monitor saw the outages of a world.

    Attributes:
        delays: Seconds from the begin of each outage that was called down until it was.
        missed: Outages that were over before they were called down.
        false_downs: Times that a service was called down while nothing was wrong with it.
        probes: Canaries sent.
        spent_usd: What they cost, failed ones that are billed included.
        target_days: Targets times days watched.
    """

    delays: list[float] = field(default_factory=list)
    missed: int = 0
    false_downs: int = 0
    probes: int = 0
    spent_usd: float = 0.0
    target_days: float = 0.0

    def add(self, other: Watched) -> None:
        """Take what was seen of another world in."""
        self.delays += other.delays
        self.missed += other.missed
        self.false_downs += other.false_downs
        self.probes += other.probes
        self.spent_usd += other.spent_usd
        self.target_days += other.target_days


def watched(world: World, monitored: Monitored) -> Watched:
    """Return how well *monitored* saw the outages of *world*, which it has watched to its end."""
    found = Watched(
        probes=monitored.probes,
        spent_usd=monitored.spent_usd,
        target_days=len(world.services) * world.days,
    )
    for index, outage in outages(world.services):
        called = _called_down(monitored.changes[index], outage.begin, outage.end)
        if called is None:
            found.missed += 1
        else:
            found.delays.append(called - outage.begin)
    for service, changes in zip(world.services, monitored.changes, strict=True):
        found.false_downs += sum(
            change.state is State.DOWN and not _was_unusual(service, change.at)
            for change in changes
        )
    return found


def _was_unusual(service: Service, at: float) -> bool:
    """Whether anything was wrong with *service* at *at*, or while what was told then was sent."""
    return any(s.begin <= at < s.end + ATTEMPT_S + _CONFIRMED_S for s in service.spells)


def _called_down(changes: Sequence[Change], begin: float, end: float) -> float | None:
    """Return when a service was first called down in [begin, end); *begin* if it was before."""
    state = State.UNKNOWN
    for change in changes:
        if change.at >= end:
            break
        if change.at >= begin and change.state is State.DOWN:
            return change.at
        if change.at < begin:
            state = change.state
    return begin if state is State.DOWN else None
