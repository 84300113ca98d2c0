"""
Announced times in which a target is not probed, once or every week.

A weekly time is what a clock on the wall of its zone shows: on the night that clocks go forward
the hour that they skip is no maintenance, and the hour that they repeat is so twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import floor
from typing import Final
from zoneinfo import ZoneInfo

_DAY_S: Final = 86_400
# An end farther away is not looked for: weekly times may follow on one another for ever.
_END_S_MAX: Final = 400.0 * _DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """
    A stretch of the local clock that comes back every week.

    Attributes:
        weekday: Of its begin, Monday is 0.
        start_s, end_s: Seconds on the local clock after that day's 00:00; the end is later and may
            be on the next day.
    """

    weekday: int
    start_s: int
    end_s: int
    zone: ZoneInfo

    def __post_init__(self) -> None:
        assert 0 <= self.weekday <= 6
        assert 0 <= self.start_s < self.end_s <= 2 * _DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Times from *since* until before *until* (None for no bound), or the weekly ones in them."""

    since: float | None
    until: float | None
    weekly: Weekly | None = None


Rules = tuple[Maintenance, ...]


def stretches(rules: Rules, since: float, until: float) -> list[tuple[float, float]]:
    """Return the maintenance in ``since <= t < until`` as (begin, end), ascending and apart."""
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(found for rule in rules for found in _stretches(rule, since, until)):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


def maintenance_s(rules: Rules, since: float, until: float) -> float:
    """Return the seconds of maintenance in ``since <= t < until``."""
    if not rules:
        return 0.0
    if until - since > _DAY_S:
        return sum(end - begin for begin, end in stretches(rules, since, until))
    # Each pair of samples asks for the time between them: look a day up, rather than make it anew.
    days = range(floor(since / _DAY_S), floor(until / _DAY_S) + 1)
    return sum(
        max(0.0, min(end, until) - max(begin, since))
        for day in days
        for begin, end in _of_day(rules, day)
    )


@lru_cache(maxsize=4_096)
def _of_day(rules: Rules, day: int) -> list[tuple[float, float]]:
    """Return the maintenance on one day of UTC, counted from that of the epoch."""
    return stretches(rules, day * _DAY_S, (day + 1) * _DAY_S)


def maintenance_end(rules: Rules, at: float) -> float | None:
    """
    Return when the maintenance that holds at *at* ends; None when none holds.

    One that begins as another ends is the same. An end is at most 400 days away.
    """
    if not rules:
        return None
    found = stretches(rules, at, at + _DAY_S)
    if not found or found[0][0] > at:
        return None
    if found[0][1] < at + _DAY_S:
        return found[0][1]
    return stretches(rules, at, at + _END_S_MAX)[0][1]


def _stretches(rule: Maintenance, since: float, until: float) -> Iterator[tuple[float, float]]:
    since = since if rule.since is None else max(since, rule.since)
    until = until if rule.until is None else min(until, rule.until)
    if since >= until:
        return
    found: Iterable[tuple[float, float]] = [(since, until)]
    if rule.weekly is not None:
        found = _weekly(rule.weekly, since, until)
    for begin, end in found:
        if max(begin, since) < min(end, until):
            yield max(begin, since), min(end, until)


def _weekly(weekly: Weekly, since: float, until: float) -> Iterator[tuple[float, float]]:
    """Yield every stretch that may touch the time from *since* to *until*."""
    # A local day begins at most 14 hours before that of UTC and a stretch ends two days later.
    day = datetime.fromtimestamp(since, UTC).date() - timedelta(days=3)
    day += timedelta(days=(weekly.weekday - day.weekday()) % 7)
    last = datetime.fromtimestamp(until, UTC).date() + timedelta(days=1)
    while day <= last:
        yield from _on(day, weekly)
        day += timedelta(days=7)


def _on(day: date, weekly: Weekly) -> Iterator[tuple[float, float]]:
    """
    Yield the one or two stretches of real time in which the local clock shows that of *day*.

    Local time is UTC plus an offset that changes at most once in these days: before the change
    the stretch lies by the one offset, after it by the other.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    start, end = midnight + weekly.start_s, midnight + weekly.end_s
    # Offsets are less than a day, so the change is looked for far enough on both sides.
    early, late = int(start) - 2 * _DAY_S, int(end) + 2 * _DAY_S
    before, after = _offset(early, weekly.zone), _offset(late, weekly.zone)
    while before != after and late - early > 1:
        middle = (early + late) // 2
        early, late = (middle, late) if _offset(middle, weekly.zone) == before else (early, middle)
    if before == after:
        yield start - before, end - before
    else:
        yield start - before, min(end - before, late)
        yield max(start - after, late), end - after


def _offset(at: float, zone: ZoneInfo) -> float:
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    assert offset is not None
    return offset.total_seconds()
