"""
Sums of client reports by minute, and from these by hour, by day and of all time.

They are the very sums that SQL makes of the rows (``imgmon db verify`` compares the two), but made of
what a commit brings, once for all lengths of span: four groupings in SQL cost ten times as much.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import floor
from typing import Final, NamedTuple

from monitor.core.reports import Report
from monitor.core.sketch import Sketch

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
EVER_S: Final = 0  # The span of all time, which begins at 0.


class Key(NamedTuple):
    """What a sum is of; *at* is the start of its span, *error* is empty for pictures."""

    span_s: int
    at: int
    target: str
    client: str
    error: str


@dataclass(slots=True)
class Tally:
    """
    The sum of the reports of one key.

    Attributes:
        n: How many.
        latency_us: Sum of the latencies of pictures, whole microseconds.
        latency: Those latencies.
        newest_at: Start of the newest of them all, wall time.
    """

    n: int = 0
    latency_us: int = 0
    latency: Sketch = field(default_factory=Sketch)
    newest_at: float = float("-inf")

    def add(self, other: Tally) -> None:
        """Count all that *other* has counted, too."""
        self.n += other.n
        self.latency_us += other.latency_us
        self.latency.merge(other.latency)
        self.newest_at = max(self.newest_at, other.newest_at)


Tallies = dict[Key, Tally]


def by_minute(told: Iterable[tuple[str, Iterable[Report]]]) -> Tallies:
    """Return the sums by minute of what clients told: (client, its reports)."""
    groups: dict[Key, list[Report]] = {}
    for client, reports in told:
        for report in reports:
            error = "" if report.error is None else report.error.value
            minute = int(report.at // MINUTE_S) * MINUTE_S
            groups.setdefault(Key(MINUTE_S, minute, report.target, client, error), []).append(
                report
            )
    return {key: _tally(key, reports) for key, reports in groups.items()}


def _tally(key: Key, reports: list[Report]) -> Tally:
    # The time to a failure is no latency.
    known = [r.latency_s for r in reports if r.latency_s is not None] if not key.error else []
    return Tally(
        n=len(reports),
        # Halves go up, as in SQLite's round.
        latency_us=sum(floor(value * 1e6 + 0.5) for value in known),
        latency=Sketch(known),
        newest_at=max(report.at for report in reports),
    )


def rolled_up(minutes: Tallies) -> Tallies:
    """Return *minutes* with what they add to their hours, days and to all time."""
    found, finer = dict(minutes), minutes
    for span_s in (HOUR_S, DAY_S, EVER_S):
        coarser: Tallies = {}
        for key, tally in finer.items():
            at = key.at // span_s * span_s if span_s else 0
            coarser.setdefault(key._replace(span_s=span_s, at=at), Tally()).add(tally)
        found |= coarser
        finer = coarser
    return found
