"""
Worlds of what was recorded: outages of real services in files, and a monitor's own history.

A file of outages is a CSV with the columns ``service``, ``state`` (``up``, ``down``, ``degraded``),
``start`` and ``end`` in seconds since the epoch, plain or gzipped; further columns are ignored.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path
from statistics import median, stdev
from typing import Final

from monitor.errors import MonitorError
from monitor.replay.synthetic import laid_out
from monitor.replay.world import Service, Spell, World
from probes.model import Outcome, ProbeResult

# A degraded service answers, but slowly: as much slower as hours of slow answers were seen to be.
_DEGRADED_SLOWDOWN: Final = 2.5
_COLUMNS: Final = ("service", "state", "start", "end")
_STATES: Final = frozenset({"up", "down", "degraded"})


class TraceError(MonitorError):
    """A trace cannot be read, or holds nothing to replay."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is recorded of one service: watched from *begin* until *end*, with its *spells*."""

    service: str
    begin: float
    end: float
    spells: tuple[Spell, ...]

    @property
    def down_share(self) -> float:
        """Share of its time that it was down, 0..1."""
        down_s = sum(s.end - s.begin for s in self.spells if s.is_outage)
        return down_s / (self.end - self.begin)


def read_outages(path: Path) -> list[Record]:
    """
    Return what a file of outages tells of each service, in order of first mention.

    Raises:
        TraceError: The file is no such file; says which line and why.
    """
    rows: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as text:
            reader = csv.DictReader(text)
            missing = [c for c in _COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise TraceError(
                    f"{path}: has no column {missing[0]!r}; needs {', '.join(_COLUMNS)}"
                )
            for number, row in enumerate(reader, start=2):
                rows[row["service"]].append(_row(path, number, row))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: cannot be read: {error}") from error
    records = [record for service, of in rows.items() if (record := _record(service, of))]
    if not records:
        raise TraceError(f"{path}: tells of no service for any length of time")
    return records


def _row(path: Path, number: int, row: dict[str, str]) -> tuple[str, float, float]:
    try:
        state, begin, end = row["state"], float(row["start"]), float(row["end"])
    except (TypeError, ValueError) as error:
        raise TraceError(f"{path}, line {number}: {error}") from error
    if state not in _STATES:
        raise TraceError(f"{path}, line {number}: state {state!r} is none of {sorted(_STATES)}")
    if not begin <= end < float("inf"):
        raise TraceError(f"{path}, line {number}: ends before it starts")
    return state, begin, end


def _record(service: str, rows: Sequence[tuple[str, float, float]]) -> Record | None:
    begin, end = min(row[1] for row in rows), max(row[2] for row in rows)
    spells = [
        Spell(begin=b, end=e, failure=1.0)
        if state == "down"
        else Spell(begin=b, end=e, slowdown=_DEGRADED_SLOWDOWN)
        for state, b, e in rows
        if state != "up" and b < e
    ]
    return Record(service, begin, end, laid_out(spells)) if begin < end else None


def world_of(
    records: Sequence[Record],
    prices_usd: Sequence[float],
    *,
    seed: int,
    begin: float | None = None,
    end: float | None = None,
) -> World:
    """
    Return the world in which *records* are one pool, over the time that all of them were watched.

    Raises:
        TraceError: There is no such time.
    """
    begin = max(record.begin for record in records) if begin is None else begin
    end = min(record.end for record in records) if end is None else end
    if begin >= end:
        names = ", ".join(record.service for record in records)
        raise TraceError(f"there is no time in which all were watched: {names}")
    services = tuple(
        Service(id=record.service, price_usd=price, spells=_within(record.spells, begin, end))
        for record, price in zip(records, prices_usd, strict=True)
    )
    return World(services, begin, end, seed)


def _within(spells: Iterable[Spell], begin: float, end: float) -> tuple[Spell, ...]:
    return tuple(spell for spell in spells if spell.end > begin and spell.begin < end)


def record_of(target_id: str, results: Sequence[ProbeResult]) -> Record | None:
    """
    Return what canaries of one target tell of it, oldest first; None where they span no time.

    An outage of two failures or more lasts from the first of them until the next picture; a lone
    one is luck, which the world has of its own.
    """
    told = [r for r in results if r.outcome in {Outcome.GOOD, Outcome.BAD}]
    if len(told) < 2 or told[0].started_at >= told[-1].started_at:
        return None
    spells, failed = [], [told[0]] if told[0].outcome is Outcome.BAD else []
    for _, result in pairwise(told):
        if result.outcome is Outcome.BAD:
            failed.append(result)
        elif failed:
            if len(failed) > 1 and failed[0].started_at < result.started_at:
                spells.append(Spell(begin=failed[0].started_at, end=result.started_at, failure=1.0))
            failed = []
    end = told[-1].started_at
    if len(failed) > 1 and failed[0].started_at < end:
        spells.append(Spell(begin=failed[0].started_at, end=end, failure=1.0))
    return Record(target_id, told[0].started_at, end, tuple(spells))


def latency_of(results: Iterable[ProbeResult]) -> tuple[float, float] | None:
    """Return the median latency and the deviation of its logarithm; None of fewer than three."""
    latencies = [r.latency_s for r in results if r.latency_s is not None and r.latency_s > 0]
    if len(latencies) < 3:
        return None
    return median(latencies), stdev(log(latency) for latency in latencies)
