"""
Roll-ups: what rows came to, by target and UTC day, kept for good and made with the rows themselves.

One statement defines them: it fills them when an old file is upgraded, adds each
batch of new rows to them in the batch's own transaction, and is what ``imgmon db verify`` holds them
against. So they cannot disagree with the rows they were made of, and stay when those are pruned. Those
of reports follow their rows (:mod:`monitor.store.summing`).

A key is one target, kind, source, error class and span, samples of the schedule apart from all other
probes: only they may enter availability. Spans are UTC days, and all time. A canary comes a few times an hour, so a row for each
minute would be a second copy of the probes; sources that report by the thousand have *span_s* 60.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from math import isclose
from operator import add
from typing import Any, Final

from sqlalchemy import Connection
from sqlmodel import Session

from monitor.core.sketch import BOUNDS, Sketch
from monitor.core.snapshot import GapReason, ProbeCount, Totals
from monitor.core.tallies import DAY_S, EVER_S, HOUR_S, MINUTE_S, Tallies
from probes.model import ErrorClass, Outcome, ProbeKind

SOURCE: Final = "canary"  # Probes of our own, free calls among them.
CLIENT: Final = "report"  # The kind of what clients report; the source is the client.
_OF_CLIENT: Final = "client/"
# The fact of the file up to which id reports are in the sums, and the expression that it is in SQL.
SUMMED_TO: Final = "reports_summed_to"
SUMMED_ID: Final = (
    f"coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = '{SUMMED_TO}'), 0)"  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class _RollUp:
    """
    One table of roll-ups.

    Attributes:
        table, rows: Where the sums are, and the rows they are of.
        sums: The columns of *table* as they follow from *rows*, the first *keys* of them its key.
        adding: How the sums of further rows, ``excluded``, are added to those there are.
    """

    table: str
    rows: str
    keys: int
    sums: str
    adding: str

    def of(self, where: str) -> str:
        """Return the statement that sums the rows *where* that is so."""
        by = ", ".join(str(key + 1) for key in range(self.keys))
        return f"SELECT {self.sums} FROM {self.rows} WHERE {where} GROUP BY {by}"  # noqa: S608

    def add(self, where: str) -> str:
        """Return the statement that adds the rows *where* that is so."""
        return f"INSERT INTO {self.table} {self.of(where)} ON CONFLICT DO UPDATE SET {self.adding}"

    @property
    def add_one(self) -> str:
        """The statement that adds the row of an id: without groups, whose sorter takes most time."""
        one = f"SELECT {self.sums} FROM {self.rows} WHERE id = ?"  # noqa: S608
        return f"INSERT INTO {self.table} {one} ON CONFLICT DO UPDATE SET {self.adding}"

    @property
    def newest(self) -> str:
        """The statement that asks for the id of the newest row, 0 for none."""
        return f"SELECT coalesce(max(id), 0) FROM {self.rows}"  # noqa: S608


# Sums are whole millionths, halves up, as the engine's, so that their order does not show; squares
# would not fit into whole numbers.
_SLOTS: Final = "sum(max(1, CAST(round(slot_s * 1e6) AS INTEGER)))"
_ADDING: Final = (
    "n = n + excluded.n, slots_us = slots_us + excluded.slots_us, "
    "slots_square = slots_square + excluded.slots_square, "
    "latency_us = latency_us + excluded.latency_us, "
    "cost_micros = cost_micros + excluded.cost_micros, "
    "sketch = merged_sketch(sketch, excluded.sketch)"
)


def _probes(span_s: int, at: str) -> _RollUp:
    return _RollUp(
        table="rollups",
        rows="probes",
        keys=7,
        sums=f"target_id, kind, '{SOURCE}', {span_s}, {at}, "
        "reason = 'scheduled' AND kind IN ('canary', 'batch'), coalesce(error, ''), "
        f"count(*), {_SLOTS}, sum(slot_s * slot_s), "
        "coalesce(sum(CAST(round(latency_s * 1e6) AS INTEGER)), 0), "
        "sum(CAST(round(cost_usd * 1e6) AS INTEGER)), sketch(latency_s)",
        adding=_ADDING,
    )


_DAYS: Final = _probes(DAY_S, f"CAST(started_at / {DAY_S} AS INTEGER) * {DAY_S}")
# A start reads these, however many days, or minutes of reports, there are.
_EVER: Final = _probes(EVER_S, "0")
_GAPS: Final = _RollUp(
    table="gap_rollups",
    rows="gaps",
    keys=3,
    sums=f"target_id, reason, CAST(at / {DAY_S} AS INTEGER) * {DAY_S}, count(*), {_SLOTS}",
    adding="n = n + excluded.n, slots_us = slots_us + excluded.slots_us",
)
_ALL: Final = (_DAYS, _EVER, _GAPS)


def _reports(span_s: int) -> _RollUp:
    at = f"CAST(at / {span_s} AS INTEGER) * {span_s}"
    return _RollUp(
        table="rollups",
        rows="reports",
        keys=7,
        sums=f"target_id, '{CLIENT}', '{_OF_CLIENT}' || client, {span_s}, {at}, 0, "
        "coalesce(error, ''), count(*), 0, 0.0, coalesce(sum(CASE WHEN error IS NULL "
        "THEN CAST(round(latency_s * 1e6) AS INTEGER) END), 0), 0, "
        "sketch(CASE WHEN error IS NULL THEN latency_s END)",
        adding=_ADDING,
    )


# What the sums of reports have to be; they are made by :func:`add_reports`.
_REPORTS: Final = {span_s: _reports(span_s) for span_s in (MINUTE_S, HOUR_S, DAY_S)}
# Rows as JSON, and their sketches in a row: where each begins, from 1, and its length, 0 for none.
_ADD: Final = (
    "INSERT INTO rollups SELECT json_extract(value, '$[0]'), "  # noqa: S608
    f"'{CLIENT}', json_extract(value, '$[1]'), json_extract(value, '$[2]'), "
    "json_extract(value, '$[3]'), 0, json_extract(value, '$[4]'), json_extract(value, '$[5]'), 0, 0.0, "
    "json_extract(value, '$[6]'), 0, CASE WHEN json_extract(value, '$[8]') THEN "
    "substr(?, json_extract(value, '$[7]'), json_extract(value, '$[8]')) END "
    "FROM json_each(?) WHERE true ON CONFLICT DO UPDATE SET n = n + excluded.n, "
    "latency_us = latency_us + excluded.latency_us, sketch = excluded.sketch"
)
_SKETCHES: Final = (
    "SELECT json_group_array(json_array(k.key, hex(sketch))) "  # noqa: S608
    "FROM json_each(?) AS k CROSS JOIN rollups "
    f"ON target_id = json_extract(k.value, '$[0]') AND kind = '{CLIENT}' "
    "AND source = json_extract(k.value, '$[1]') AND span_s = json_extract(k.value, '$[2]') "
    "AND at = json_extract(k.value, '$[3]') AND is_sample = 0 "
    "AND error = json_extract(k.value, '$[4]') WHERE sketch IS NOT NULL"
)


# Each sum of all time by its key: those of days and of reports, far more, are not looked at.
_EVER_ROWS: Final = """
WITH RECURSIVE targets (name) AS (
  SELECT min(target_id) FROM rollups
  UNION ALL SELECT (SELECT min(target_id) FROM rollups WHERE target_id > name) FROM targets
  WHERE name IS NOT NULL)
SELECT target_id, kind, error, n, cost_micros, latency_us, sketch
FROM targets CROSS JOIN json_each(?) AS kinds CROSS JOIN rollups
ON target_id = targets.name AND kind = kinds.value AND source = ? AND span_s = ?
"""


class _SketchOf:
    """The aggregate ``sketch(seconds)``: NULL when no value was given."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def step(self, seconds: float | None) -> None:
        if seconds is not None:
            self._seconds.append(seconds)

    def finalize(self) -> bytes | None:
        return Sketch(self._seconds).to_bytes() if self._seconds else None


def _merged(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return one or other
    whole = Sketch.from_bytes(one)
    whole.merge_bytes(other)
    return whole.to_bytes()


def teach(connection: sqlite3.Connection) -> None:
    """Give a connection of the driver the functions that the statements of this module use."""
    connection.create_function("merged_sketch", 2, _merged, deterministic=True)
    connection.create_aggregate("sketch", 1, _SketchOf)  # type: ignore[arg-type] # None is no step.


def give_bounds(connection: sqlite3.Connection) -> None:
    """Give a connection that writes the bounds of sketches as a table of its own."""
    connection.execute(
        "CREATE TEMP TABLE sketch_bounds (bound REAL PRIMARY KEY, bucket INTEGER) WITHOUT ROWID"
    )
    rows = ((bound, bucket) for bucket, bound in enumerate(BOUNDS))
    connection.executemany("INSERT INTO sketch_bounds VALUES (?, ?)", rows)


@contextmanager
def rolled_up(connection: Connection, tables: Collection[str]) -> Iterator[None]:
    """Add what is inserted into *tables* within to its roll-ups, when it ends well."""
    concerned = [of for of in _ALL if of.rows in tables]
    newest = [connection.exec_driver_sql(of.newest).scalar_one() for of in concerned]
    yield
    for of, before in zip(concerned, newest, strict=True):
        after = connection.exec_driver_sql(of.newest).scalar_one()
        if after == before + 1:  # As most often: a probe every few seconds.
            connection.exec_driver_sql(of.add_one, (after,))
        else:
            connection.exec_driver_sql(of.add("id > ?"), (before,))


def add_reports(connection: Connection, sums: Tallies) -> None:
    """
    Add *sums* of reports, of all lengths of span, to those there are.

    Sketches are merged here, and rows go in and out as one value: a statement that calls functions of
    ours, or has many rows, lets go of the interpreter at each and takes it again at once, and a thread
    that waits for it meanwhile seldom gets it.
    """
    keys = [(k.target, _OF_CLIENT + k.client, k.span_s, k.at, k.error) for k in sums]
    found = connection.exec_driver_sql(_SKETCHES, (json.dumps(keys),)).scalar_one()
    known = {place: bytes.fromhex(sketch) for place, sketch in json.loads(found)}
    rows, sketches = [], bytearray()
    for place, (key, tally) in enumerate(zip(keys, sums.values(), strict=True)):
        if place in known:
            tally.latency.merge_bytes(known[place])
        sketch = tally.latency.to_bytes() if tally.latency.n else b""
        rows.append((*key, tally.n, tally.latency_us, len(sketches) + 1, len(sketch)))
        sketches += sketch
    connection.exec_driver_sql(_ADD, (bytes(sketches), json.dumps(rows)))


def client_of(source: str) -> str:
    """Return the client whose reports *source* names."""
    return source.removeprefix(_OF_CLIENT)


def fill(connection: Connection) -> None:
    """Make the roll-ups of all rows there are: once, for a file that was written without them."""
    driver = connection.connection.driver_connection
    assert driver is not None
    teach(driver)
    for table in {of.table for of in _ALL}:
        connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - a constant
    for of in _ALL:
        connection.exec_driver_sql(of.add("true"))


def disagreements(
    connection: Connection, kind: ProbeKind | None, since: float, until: float
) -> Iterator[str]:
    """
    Yield where the roll-ups of a span say something else than the rows of it.

    Args:
        connection: One that was taught (:func:`teach`).
        kind: Of the probes; None for gaps.
        since: Start of a UTC day from which on no row was pruned.
        until: Start of the day that is no longer looked at.
    """
    of, at = (_GAPS, "at") if kind is None else (_DAYS, "started_at")
    where, kept, span = f"{at} >= ? AND {at} < ?", "at >= ? AND at < ?", (since, until)
    arguments: tuple[object, ...] = span
    if kind is not None:
        where, arguments = f"kind = ? AND {where}", (kind.value, *span)
        kept = f"kind = ? AND {kept} AND source = '{SOURCE}' AND span_s = {DAY_S}"
    rows, sums = (
        {tuple(row[: of.keys]): tuple(row[of.keys :]) for row in found}
        for found in (
            connection.exec_driver_sql(of.of(where), arguments),
            connection.exec_driver_sql(f"SELECT * FROM {of.table} WHERE {kept}", arguments),  # noqa: S608
        )
    )
    for key in sorted(rows.keys() | sums.keys()):
        if not _is_same(rows.get(key), sums.get(key)):
            yield f"{of.table} {key}: {of.rows} make {rows.get(key)}, it says {sums.get(key)}"


def report_disagreements(connection: Connection, span_s: int, since: float) -> Iterator[str]:
    """
    Yield where the sums of reports over spans of one length are not those of the rows.

    Args:
        connection: One that was taught (:func:`teach`).
        span_s: A minute, an hour or a day.
        since: Start of a UTC day from which on neither was pruned.
    """
    of = _REPORTS[span_s]
    by = ", ".join(str(key + 1) for key in range(of.keys))
    rows = connection.exec_driver_sql(
        f"{of.of(f'at >= ? AND id <= {SUMMED_ID}')} ORDER BY {by}", (since,)
    )
    sums = connection.exec_driver_sql(
        f"SELECT * FROM {of.table} WHERE kind = ? AND span_s = ? AND at >= ? ORDER BY {by}",  # noqa: S608
        (CLIENT, span_s, since),
    )
    # Side by side, a row of each at a time: a busy week has millions.
    for row, kept in zip_longest(rows, sums):
        if row is None or kept is None or tuple(row) != tuple(kept):
            yield f"{of.table}: {of.rows} make {row and tuple(row)}, it says {kept and tuple(kept)}"
            return  # What follows may only be shifted.


def disagreements_ever(connection: Connection) -> Iterator[str]:
    """Yield where the sums of all time are not those of the days."""
    sums: dict[int, dict[tuple[object, ...], list[Any]]] = {DAY_S: {}, EVER_S: {}}
    for row in connection.exec_driver_sql(
        "SELECT span_s, target_id, kind, source, is_sample, error, n, slots_us, slots_square, "
        "latency_us, cost_micros, sketch FROM rollups WHERE span_s IN (?, ?) ORDER BY at",
        (DAY_S, EVER_S),
    ):
        *numbers, stored = row[6:]
        kept = sums[row[0]].setdefault(tuple(row[1:6]), [0, 0, 0.0, 0, 0, Sketch()])
        kept[:5] = map(add, kept, numbers)
        if stored is not None:
            kept[5].merge_bytes(stored)
    days, ever = sums[DAY_S], sums[EVER_S]
    for key in sorted(days.keys() | ever.keys()):
        if not _is_same(days.get(key), ever.get(key)):
            yield f"rollups of all time {key}: their days make another sum"


def _is_same(one: Sequence[object] | None, other: Sequence[object] | None) -> bool:
    if one is None or other is None:
        return False
    return all(
        # Sums of floats depend on their order.
        isclose(a, b) if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in zip(one, other, strict=True)
    )


def totals(session: Session, bounds: Sequence[float]) -> Totals:
    """Return the cumulative counts since the first probe; see :meth:`Reader.totals`."""
    connection = session.connection()
    probes: Counter[ProbeCount] = Counter()
    spend: Counter[str] = Counter()
    latency: Counter[str] = Counter()
    sketches: dict[str, Sketch] = {}
    for target, kind, error, n, cost_micros, latency_us, sketch in connection.exec_driver_sql(
        _EVER_ROWS, (json.dumps(list(ProbeKind)), SOURCE, EVER_S)
    ):
        outcome = ErrorClass(error).outcome if error else Outcome.GOOD
        probes[ProbeCount(target=target, kind=kind, outcome=outcome.value, error=error)] += n
        spend[target] += cost_micros
        if kind == ProbeKind.LIVENESS or error:  # A free call is no picture.
            continue
        latency[target] += latency_us
        if sketch is not None:
            sketches.setdefault(target, Sketch()).merge_bytes(sketch)
    gaps = connection.exec_driver_sql(
        "SELECT target_id, reason, sum(n) FROM gap_rollups GROUP BY target_id, reason"
    )
    # Versions count the changes of an order; the first order ever is no change of one.
    changes = connection.exec_driver_sql(
        "SELECT pool, profile, version - 1 FROM order_changes "
        "WHERE id IN (SELECT max(id) FROM order_changes GROUP BY pool, profile)"
    )
    return Totals(
        probes=probes,
        spend_usd={target: micros / 1e6 for target, micros in spend.items()},
        latency_counts={target: sketch.histogram(bounds) for target, sketch in sketches.items()},
        latency_sum_s={target: micros / 1e6 for target, micros in latency.items()},
        gaps={(target, GapReason(reason)): n for target, reason, n in gaps},
        order_changes={(pool, profile): n for pool, profile, n in changes},
    )
