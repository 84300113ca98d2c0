"""
Removing old rows in slices, oldest first; their roll-ups stay.

A slice is one step of a transaction (:meth:`monitor.store.writer.Writer.ask`). It notes up to which
time rows of its sort may be gone, so that roll-ups are held against what is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from monitor.core.retention import Cutoffs
from monitor.core.tallies import HOUR_S, MINUTE_S
from monitor.store.rollups import SUMMED_ID
from probes.model import ProbeKind

_ROLLUP_KEY: Final = "target_id, kind, source, span_s, at, is_sample, error"
_MARK: Final = "pruned_before."
# A job that is not closed, or money that is not settled, may still come back to its probe.
_IS_FREE: Final = (
    "NOT EXISTS (SELECT 1 FROM batch_jobs WHERE batch_jobs.probe_id = {rows}.probe_id "
    "AND stage <> 'closed') AND NOT EXISTS (SELECT 1 FROM reservations AS line "
    "WHERE line.probe_id = {rows}.probe_id AND NOT line.is_settled)"
)


@dataclass(frozen=True, slots=True)
class Sort:
    """
    Rows that are pruned alike.

    Attributes:
        name: Of the sort; for probes their kind.
        rows, key, at: Their table, the columns of its key, and the column of their time.
        where: Which rows of the table may go.
        cutoff: The time before which they do.
    """

    name: str
    rows: str
    key: str
    at: str
    where: str
    cutoff: float

    def oldest(self, what: str) -> str:
        """Return the query for *what* of the oldest rows that may go, up to a number of them."""
        return (
            f"SELECT {what} FROM {self.rows} WHERE {self.where} AND {self.at} < ? "  # noqa: S608
            f"ORDER BY {self.at} LIMIT ?"
        )


def sorts(cutoffs: Cutoffs) -> Iterator[Sort]:
    """Yield all that is pruned, free calls first: they are the most."""
    kinds = (ProbeKind.LIVENESS, *(kind for kind in ProbeKind if kind is not ProbeKind.LIVENESS))
    for kind in kinds:
        where = f"kind = '{kind.value}' AND {_IS_FREE.format(rows='probes')}"
        cutoff = cutoffs.free_calls if kind is ProbeKind.LIVENESS else cutoffs.probes
        yield Sort(kind.value, "probes", "id", "started_at", where, cutoff)
    yield Sort("reports", "reports", "id", "received_at", f"id <= {SUMMED_ID}", cutoffs.reports)
    # Longer windows than these sums are read for go by days, which stay.
    for span_s, cutoff in ((MINUTE_S, cutoffs.report_minutes), (HOUR_S, cutoffs.report_hours)):
        yield Sort(f"rollups_{span_s}", "rollups", _ROLLUP_KEY, "at", f"span_s = {span_s}", cutoff)
    yield Sort("gaps", "gaps", "id", "at", "true", cutoffs.probes)
    # The newest of each profile says where versions and hysteresis go on.
    newest = "id NOT IN (SELECT max(id) FROM order_changes GROUP BY pool, profile)"
    yield Sort("orders", "order_changes", "id", "changed_at", newest, cutoffs.probes)
    closed = "stage = 'closed'"
    yield Sort("batch_jobs", "batch_jobs", "probe_id", "created_at", closed, cutoffs.probes)
    settled = f"is_settled AND {_IS_FREE.format(rows='reservations')}"
    yield Sort("ledger", "reservations", "id", "at", settled, cutoffs.ledger)
    yield Sort("cap_marks", "cap_marks", "rowid", "since", "true", cutoffs.ledger)


def prune(connection: Connection, sort: Sort, count: int) -> int:
    """Remove the oldest *count* rows of *sort* that may go; return how many there were."""
    removed = connection.exec_driver_sql(
        f"DELETE FROM {sort.rows} WHERE ({sort.key}) IN ({sort.oldest(sort.key)})",  # noqa: S608
        (sort.cutoff, count),
    ).rowcount
    if removed:
        connection.exec_driver_sql(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = "
            "excluded.value WHERE CAST(value AS REAL) < CAST(excluded.value AS REAL)",
            (_MARK + sort.name, str(sort.cutoff)),
        )
    return removed


def prunable(connection: Connection, sort: Sort) -> int:
    """Return how many rows of *sort* may go."""
    query = f"SELECT count(*) FROM ({sort.oldest('1')})"  # noqa: S608
    count: int = connection.exec_driver_sql(query, (sort.cutoff, -1)).scalar_one()
    return count


def pruned_before(connection: Connection) -> dict[str, float]:
    """Return the time before which rows may be gone, by the name of their sort."""
    found = connection.exec_driver_sql(
        "SELECT key, value FROM meta WHERE key LIKE ?", (_MARK + "%",)
    )
    return {key.removeprefix(_MARK): float(value) for key, value in found}
