"""
Counts and sums of client reports by minute, and of these by hour, by day and of all time.

A commit counts what it brings, which is all that a state follows from; sums are made of many commits
at once. They are the very sums that SQL makes of the rows (``imgmon db verify`` compares the two),
but made once for all lengths of span: four groupings in SQL cost ten times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from monitor.core.sketch import Sketch

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
EVER_S: Final = 0  # The span of all time, which begins at 0.


class Key(NamedTuple):
    """What is counted; *at* is the start of its span, *error* is empty for pictures."""

    span_s: int
    at: int
    target: str
    client: str
    error: str


class Count(NamedTuple):
    """The reports of one key: how many, and the start of the newest of them, wall time."""

    n: int
    newest_at: float


Counts = Mapping[Key, Count]


@dataclass(slots=True)
class Tally:
    """
    The sum of the reports of one key.

    Attributes:
        n: How many.
        latency_us: Sum of the latencies of pictures, whole microseconds.
        latency: Those latencies.
    """

    n: int = 0
    latency_us: int = 0
    latency: Sketch = field(default_factory=Sketch)

    def add(self, other: Tally) -> None:
        """Count all that *other* has counted, too."""
        self.n += other.n
        self.latency_us += other.latency_us
        self.latency.merge(other.latency)


Tallies = dict[Key, Tally]


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
