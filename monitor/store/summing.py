"""
How client reports get into their sums: many bodies at once, seconds after their commits.

With the sums goes, in one transaction, the id up to which rows are in them: so each row is counted
once, whenever a process dies, and none is pruned before. Rows are grouped by SQLite, during which other
threads run, and each time a part of them, because money waits for the writer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from monitor.core.sketch import BOUNDS, Sketch
from monitor.core.tallies import MINUTE_S, Key, Tallies, Tally, rolled_up
from monitor.limits import REPORTS_SUMMED_AT_ONCE
from monitor.store.reports import TABLE
from monitor.store.rollups import SUMMED_ID, SUMMED_TO, add_reports
from monitor.store.writer import Writer

# One row, as all that is many (:func:`monitor.store.rollups.add_reports`).
_BUCKETS: Final = (
    f"SELECT CAST(at / {MINUTE_S} AS INTEGER) * {MINUTE_S} AS minute, target_id, client, "  # noqa: S608
    # The time to a failure is no latency.
    "coalesce(error, '') AS error, CASE WHEN error IS NULL AND latency_s IS NOT NULL THEN "
    "coalesce((SELECT bucket FROM sketch_bounds WHERE bound >= latency_s ORDER BY bound LIMIT 1), "
    f"{len(BOUNDS)}) END AS bucket, count(*) AS n, "
    "coalesce(sum(CASE WHEN error IS NULL THEN CAST(round(latency_s * 1e6) AS INTEGER) END), 0) AS us "
    f"FROM {TABLE} WHERE id > ? AND id <= ? GROUP BY 1, 2, 3, 4, 5"
)
_SUMS: Final = (
    "SELECT json_group_array(json_array(minute, target_id, client, error, n, us, json(buckets), "  # noqa: S608
    "json(counts))) "
    "FROM (SELECT minute, target_id, client, error, sum(n) AS n, sum(us) AS us, "
    "json_group_array(bucket) AS buckets, json_group_array(n) AS counts "
    f"FROM ({_BUCKETS}) GROUP BY 1, 2, 3, 4)"
)


@dataclass(frozen=True, slots=True)
class Unsummed:
    """Sums by minute of the reports whose ids are above *after* and up to *last*."""

    after: int
    last: int
    minutes: Tallies


def unsummed(connection: Connection, before: Unsummed | None = None) -> Unsummed | None:
    """
    Return what the oldest reports come to that are neither in the stored sums nor in *before*.

    With *before*, which grows by them; None when there are no further ones. On a connection of the
    writer: it has the bounds of sketches in a table.
    """
    found = before or Unsummed(_summed_to(connection), _summed_to(connection), {})
    last: int | None = connection.exec_driver_sql(
        f"SELECT max(id) FROM (SELECT id FROM {TABLE} WHERE id > ? ORDER BY id LIMIT ?)",  # noqa: S608
        (found.last, REPORTS_SUMMED_AT_ONCE),
    ).scalar_one()
    if last is None:
        return None
    sums = json.loads(connection.exec_driver_sql(_SUMS, (found.last, last)).scalar_one())
    for *key, n, latency_us, buckets, counts in sums:
        known = {b: count for b, count in zip(buckets, counts, strict=True) if b is not None}
        tally = Tally(n, latency_us, Sketch.of_counts(known))
        found.minutes.setdefault(Key(MINUTE_S, *key), Tally()).add(tally)
    return Unsummed(found.after, last, found.minutes)


def add(connection: Connection, sums: Unsummed) -> None:
    """Add *sums* to those that are stored, unless somebody else has done so."""
    if sums.after != _summed_to(connection):
        return
    add_reports(connection, rolled_up(sums.minutes))
    connection.exec_driver_sql(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (SUMMED_TO, str(sums.last)),
    )


def sum_up(writer: Writer) -> None:
    """
    Add all reports that are in no sum to the stored sums, but for what comes meanwhile.

    Waits for the writer.

    Raises:
        StoreError: The store cannot be written.
    """
    found: Unsummed | None = None
    while (more := writer.ask(partial(unsummed, before=found)).result()) is not None:
        count = more.last - (more.after if found is None else found.last)
        found = more
        if count < REPORTS_SUMMED_AT_ONCE:
            break  # Under load there would always be some more, and nothing would ever be added.
    if found is not None:
        writer.ask(partial(add, sums=found)).result()


def _summed_to(connection: Connection) -> int:
    found: int = connection.exec_driver_sql(f"SELECT {SUMMED_ID}").scalar_one()
    return found
