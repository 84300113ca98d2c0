"""
Client reports in the store: raw rows for days, sums by minute, hour, day and of all time.

The sums are made by the rows' own transaction, as those of probes are. Each speaks of one client, so
that figures can bound its weight; a client is the *source* of a sum, with a prefix that no source of
our own has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Index
from sqlmodel import Field, SQLModel

from monitor.core.reports import (
    ClientFigures,
    Report,
    ReportCount,
    ReportFigures,
    Sums,
    client_figures,
    outcome_of,
)
from monitor.store.rollups import CLIENT, DAY_S, EVER_S, HOUR_S, MINUTE_S, rolled_up
from probes.model import ErrorClass

TABLE: Final = "reports"
# The longest window that is summed by minutes, and the longest by hours; the others go by days.
_BY_MINUTE_S: Final = 6 * 3_600.0
_BY_HOUR_S: Final = 7 * 86_400.0
_INSERT: Final = (
    f"INSERT OR IGNORE INTO {TABLE} (client, report_id, target_id, received_at, at, skew_s, error, "  # noqa: S608
    "latency_s, attempt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class ReportRow(SQLModel, table=True):
    """One attempt of a client; *id* grows in the order in which they came."""

    __tablename__ = TABLE
    __table_args__ = (
        Index("reports_by_client", "client", "report_id", unique=True),
        Index("reports_by_time", "received_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    client: str  # Name of the token it came with.
    report_id: str
    target_id: str
    received_at: float
    at: float  # As the client said, moved by its skew.
    skew_s: float
    error: str | None
    latency_s: float | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a body of reports: those that are new, in their order, and the others' number."""

    new: tuple[Report, ...]
    duplicates: int


def store(
    connection: Connection,
    client: str,
    reports: Sequence[Report],
    *,
    received_at: float,
    skew_s: float,
) -> Stored:
    """Store what is new of *reports*; an id that the client has used before changes nothing."""
    before = connection.exec_driver_sql(f"SELECT coalesce(max(id), 0) FROM {TABLE}").scalar_one()  # noqa: S608
    rows = [
        (
            client,
            report.id,
            report.target,
            received_at,
            report.at,
            skew_s,
            None if report.error is None else report.error.value,
            report.latency_s,
            report.attempt,
        )
        for report in reports
    ]
    with rolled_up(connection, {TABLE}):
        connection.exec_driver_sql(_INSERT, rows)
    found = connection.exec_driver_sql(
        f"SELECT report_id FROM {TABLE} WHERE id > ?",  # noqa: S608
        (before,),
    )
    new = set(found.scalars())
    # The first of two with one id in a body is the one that was stored.
    kept = {report.id: report for report in reversed(reports) if report.id in new}
    accepted = tuple(report for report in reports if kept.get(report.id) is report)
    return Stored(accepted, len(reports) - len(accepted))


def recent(connection: Connection, since: float) -> Iterator[tuple[str, Report]]:
    """Yield (client, report) of those that came since *since*, oldest first."""
    for client, report_id, target, at, error, latency_s, attempt in connection.exec_driver_sql(
        "SELECT client, report_id, target_id, at, error, latency_s, attempt "  # noqa: S608
        f"FROM {TABLE} WHERE received_at >= ? ORDER BY received_at, id",
        (since,),
    ):
        cause = None if error is None else ErrorClass(error)
        yield client, Report(report_id, target, at, cause, latency_s, attempt)


def figures(
    connection: Connection,
    windows_of: Callable[[str], Mapping[str, float]],
    now: float,
    failing_alone: Mapping[str, tuple[str, ...]],
) -> ReportFigures:
    """
    Return what clients reported as of *now*.

    Args:
        connection: One that was taught (:func:`monitor.store.rollups.teach`) or reads only.
        windows_of: Target id to its windows: name to length in seconds; none for one that is gone.
        now: Wall time. A window begins at the minute, hour or day that its length is counted in.
        failing_alone: Passed on.
    """
    totals = {
        ReportCount(target, outcome_of(cause).value, error): n
        for target, error, n in connection.exec_driver_sql(
            "SELECT target_id, error, sum(n) FROM rollups WHERE kind = ? AND span_s = ? "
            "GROUP BY target_id, error",
            (CLIENT, EVER_S),
        )
        for cause in [ErrorClass(error) if error else None]
    }
    found: dict[str, dict[str, ClientFigures]] = {}
    for target in sorted({count.target for count in totals}):
        for name, span_s in windows_of(target).items():
            by_client = _sums(connection, target, span_s, now)
            if by_client:
                found.setdefault(target, {})[name] = client_figures(by_client)
    return ReportFigures(found, totals, dict(failing_alone))


def _sums(connection: Connection, target: str, span_s: float, now: float) -> list[Sums]:
    """Return the sums of each client over one window."""
    unit = MINUTE_S if span_s <= _BY_MINUTE_S else HOUR_S if span_s <= _BY_HOUR_S else DAY_S
    by_source: dict[str, Sums] = {}
    for source, error, n, sketch in connection.exec_driver_sql(
        "SELECT source, error, n, sketch FROM rollups "
        "WHERE target_id = ? AND kind = ? AND span_s = ? AND at >= ? AND at <= ?",
        (target, CLIENT, unit, (now - span_s) // unit * unit, now),
    ):
        sums = by_source.setdefault(source, Sums())
        cause = ErrorClass(error) if error else None
        sums.errors[cause] = sums.errors.get(cause, 0) + n
        if sketch is not None:
            sums.latency.merge_bytes(sketch)
    return list(by_source.values())
