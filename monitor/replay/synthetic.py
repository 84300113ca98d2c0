"""
Worlds drawn by seed, fitted to what public monitors saw of 232 services in 70 000 service-days.

Outages have heavy tails, come back within the hour, and often befall several services at once;
between them a request fails alone now and then, and services are slow for hours without failing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from math import exp, log
from random import Random
from typing import Final

from monitor.replay.world import Service, Spell, World

_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3_600.0, 86_400.0
# (share, value): half of all outages are shorter than 29 min, 5 % longer than 3.6 h.
_OUTAGE_MIN: Final = (
    (0.0, 5), (0.10, 9), (0.25, 14), (0.50, 29), (0.75, 46), (0.90, 90), (0.95, 218),
    (0.99, 4_464), (1.0, 10_080),
)  # fmt: skip
# From the end of one to the begin of the next: 31 % come back within an hour.
_BETWEEN_H: Final = (
    (0.0, 0.15), (0.10, 0.3), (0.25, 0.6), (0.31, 1.0), (0.48, 6), (0.50, 7.8), (0.62, 24),
    (0.75, 78), (0.90, 404), (1.0, 2_000),
)  # fmt: skip
# A quarter of all begins are shared, then by half of the others.
_SHARED: Final = 0.25
_SHARED_WITH: Final = 0.5
# A fifth fails only partly.
_BROWN_OUT: Final = 0.2
_BROWN_OUT_FAILURE: Final = (0.2, 0.6)
# Slow for some hours every few days.
_SLOW_BETWEEN_S: Final = 3 * _DAY_S
_SLOW_S: Final = (_HOUR_S, 6 * _HOUR_S)
_SLOWDOWN: Final = (1.5, 3.0)
_STEPS_USD: Final = (0.005, 0.010)
_FIRST_USD: Final = 0.03
_LATENCY_S: Final = (5.0, 12.0)


def synthetic(*, services: int, days: float, seed: int, begin: float = 0.0) -> World:
    """Return a world of so many services and days; the same *seed* gives the same world."""
    assert services >= 1
    assert days > 0
    rng, end = Random(seed), begin + days * _DAY_S
    drawn: list[list[Spell]] = [[] for _ in range(services)]
    for index in range(services):
        for outage in _outages(rng, begin, end):
            hit = [index]
            if rng.random() < _SHARED:
                hit += [i for i in range(services) if i != index and rng.random() < _SHARED_WITH]
            for i in hit:
                drawn[i].append(outage)
    price, made = _FIRST_USD, []
    for index in range(services):
        made.append(
            Service(
                id=f"service-{index + 1}",
                price_usd=round(price, 3),
                latency_s=rng.uniform(*_LATENCY_S),
                spells=laid_out([*drawn[index], *_slow(rng, begin, end)]),
            )
        )
        price += rng.uniform(*_STEPS_USD)
    return World(tuple(made), begin, end, seed)


def _outages(rng: Random, begin: float, end: float) -> list[Spell]:
    # Not all begin with an outage: a point in time falls into a gap by the length of it.
    at, found = begin + rng.random() * _draw(_BETWEEN_H, rng, least=0.5) * _HOUR_S, []
    while at < end:
        length_s = _draw(_OUTAGE_MIN, rng) * _MINUTE_S
        failure = rng.uniform(*_BROWN_OUT_FAILURE) if rng.random() < _BROWN_OUT else 1.0
        found.append(Spell(begin=at, end=at + length_s, failure=failure))
        at += length_s + _draw(_BETWEEN_H, rng) * _HOUR_S
    return found


def _slow(rng: Random, begin: float, end: float) -> list[Spell]:
    at, found = begin + rng.expovariate(1 / _SLOW_BETWEEN_S), []
    while at < end:
        length_s = rng.uniform(*_SLOW_S)
        found.append(Spell(begin=at, end=at + length_s, slowdown=rng.uniform(*_SLOWDOWN)))
        at += length_s + rng.expovariate(1 / _SLOW_BETWEEN_S)
    return found


def _draw(quantiles: Sequence[tuple[float, float]], rng: Random, *, least: float = 0.0) -> float:
    """Draw from a distribution by its quantiles, straight lines in the logarithm between them."""
    share = rng.uniform(least, 1.0)
    at = max(1, bisect_left([q for q, _ in quantiles], share))
    (low, a), (high, b) = quantiles[at - 1], quantiles[at]
    return exp(log(a) + (share - low) / (high - low) * (log(b) - log(a)))


def laid_out(spells: Sequence[Spell]) -> tuple[Spell, ...]:
    """Return *spells* without overlaps: where two meet, the worse failure and slowdown hold."""
    edges = sorted({edge for spell in spells for edge in (spell.begin, spell.end)})
    waiting = sorted(spells, key=lambda spell: spell.begin, reverse=True)
    there: list[Spell] = []
    found: list[Spell] = []
    for begin, end in pairwise(edges):
        there = [spell for spell in there if spell.end > begin]
        while waiting and waiting[-1].begin <= begin:
            there.append(waiting.pop())
        if not there:
            continue
        failure, slowdown = max(s.failure for s in there), max(s.slowdown for s in there)
        last = found[-1] if found else None
        if last and last.end == begin and (last.failure, last.slowdown) == (failure, slowdown):
            found[-1] = Spell(begin=last.begin, end=end, failure=failure, slowdown=slowdown)
        else:
            found.append(Spell(begin=begin, end=end, failure=failure, slowdown=slowdown))
    return tuple(found)
