"""
What really happens to the services of one pool, whoever asks: the truth of a replay.

Luck belongs to the attempt and not to who makes it: every rule that sends the same attempt meets
the same answer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from statistics import NormalDist
from typing import Final

_NORMAL: Final = NormalDist()
_MASK: Final = (1 << 64) - 1
# Failed requests end sooner than pictures come: median 8 s, 95 % within 42 s (a public set of
# image requests, n = 80 000).
FAILURE_MEDIAN_S: Final = 8.0
FAILURE_SPREAD: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """
    A time in which a service is not as usual: from *begin* until before *end*, in seconds.

    Attributes:
        failure: Probability that a request fails, 0..1.
        slowdown: Factor on the latency of what succeeds.
    """

    begin: float
    end: float
    failure: float = 0.0
    slowdown: float = 1.0

    @property
    def is_outage(self) -> bool:
        """Whether more requests fail than succeed."""
        return self.failure > 0.5


@dataclass(frozen=True, kw_only=True)
class Service:
    """
    One service of the pool.

    Attributes:
        latency_s: Median time to a picture, in seconds.
        latency_spread: Standard deviation of its natural logarithm.
        failure: Probability that a request fails for no reason of its time, 0..1.
        spells: In order of time, none overlapping another.
    """

    id: str
    price_usd: float
    latency_s: float = 8.0
    latency_spread: float = 0.35
    failure: float = 0.003
    spells: tuple[Spell, ...] = ()

    def __post_init__(self) -> None:
        assert all(s.begin < s.end for s in self.spells)
        assert all(a.end <= b.begin for a, b in zip(self.spells, self.spells[1:], strict=False))

    @cached_property
    def _begins(self) -> tuple[float, ...]:
        return tuple(spell.begin for spell in self.spells)

    def spell(self, at: float) -> Spell | None:
        """Return what is unusual at *at*, None when nothing is."""
        index = bisect_right(self._begins, at) - 1
        return self.spells[index] if index >= 0 and at < self.spells[index].end else None

    def is_down(self, at: float) -> bool:
        """Whether it is in an outage at *at*."""
        spell = self.spell(at)
        return spell is not None and spell.is_outage

    def failure_at(self, at: float) -> float:
        """Return the probability that a request fails at *at*."""
        spell = self.spell(at)
        return self.failure if spell is None else max(self.failure, spell.failure)

    def latency_at(self, at: float) -> float:
        """Return the median time to a picture at *at*, in seconds."""
        spell = self.spell(at)
        return self.latency_s * (spell.slowdown if spell else 1.0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt comes to: a picture or not, after so many seconds."""

    is_good: bool
    took_s: float


@dataclass(frozen=True, slots=True)
class World:
    """The services of a pool from *begin* until *end*; *seed* decides all luck."""

    services: tuple[Service, ...]
    begin: float
    end: float
    seed: int

    def answer(self, index: int, at: float, attempt: int, deadline_s: float) -> Answer:
        """
        Return what service *index* answers to attempt number *attempt*, sent at *at*.

        What is not there after *deadline_s* has failed.
        """
        service = self.services[index]
        luck = _mix(self.seed, index, attempt)
        pace = _NORMAL.inv_cdf(_unit(_mix(luck, 1, 0)))
        if _unit(luck) < service.failure_at(at):
            took_s = exp(log(FAILURE_MEDIAN_S) + FAILURE_SPREAD * pace)
            return Answer(is_good=False, took_s=min(took_s, deadline_s))
        took_s = exp(log(service.latency_at(at)) + service.latency_spread * pace)
        return Answer(is_good=took_s <= deadline_s, took_s=min(took_s, deadline_s))

    @property
    def days(self) -> float:
        """Its length in days."""
        return (self.end - self.begin) / 86_400


def luck(seed: int, one: int, other: int) -> float:
    """Return a number in (0, 1), drawn by the three alone."""
    return _unit(_mix(seed, one, other))


def _mix(seed: int, one: int, other: int) -> int:
    """Return 64 bits that depend on every bit of the three (splitmix64, Steele et al., 2014)."""
    x = (seed * 0x9E3779B97F4A7C15 + one * 0xD1B54A32D192ED03 + other * 0x8CB92BA72F3D8DD7) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def _unit(bits: int) -> float:
    """Return *bits* as a number in (0, 1)."""
    return ((bits >> 11) + 0.5) / (1 << 53)


def outages(services: Sequence[Service]) -> list[tuple[int, Spell]]:
    """
    Return every outage with the index of its service, in order of time.

    Spells that follow upon one another are one outage, as bad as the worst of them.
    """
    found: list[tuple[int, Spell]] = []
    for index, service in enumerate(services):
        merged: list[Spell] = []
        for spell in filter(lambda spell: spell.is_outage, service.spells):
            if merged and merged[-1].end == spell.begin:
                worst = max(merged[-1].failure, spell.failure)
                merged[-1] = Spell(begin=merged[-1].begin, end=spell.end, failure=worst)
            else:
                merged.append(spell)
        found += ((index, spell) for spell in merged)
    return sorted(found, key=lambda one: one[1].begin)
