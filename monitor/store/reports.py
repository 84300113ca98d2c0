"""
Client reports in the store: raw rows for days, sums by minute, hour, day and of all time.

A commit writes rows alone; their sums follow (:mod:`monitor.store.summing`). Each sum speaks of one
client, so that figures can bound its weight; a client is the *source* of a sum, with a prefix that no
source of our own has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from pydantic_core import to_json
from sqlalchemy import Connection, Index
from sqlmodel import Field, SQLModel

from monitor.core.reports import (
    ClientFigures,
    Report,
    ReportCount,
    Reported,
    ReportFigures,
    Sums,
    client_figures,
    outcome_of,
)
from monitor.core.tallies import DAY_S, EVER_S, HOUR_S, MINUTE_S, Count, Counts, Key
from monitor.store.rollups import CLIENT, SUMMED_TO, client_of
from probes.model import ErrorClass

TABLE: Final = "reports"
# The longest window that is summed by minutes, and the longest by hours; the others go by days.
_BY_MINUTE_S: Final = 6 * 3_600.0
_BY_HOUR_S: Final = 7 * 86_400.0
# Length of sums in seconds, and the wall times from and before which they have to begin.
_Span = tuple[int, float, float]
# One statement a body: bound row by row, the loop and this thread would wait for each other each time.
_INSERT: Final = (
    f"INSERT INTO {TABLE} (client, received_at, skew_s, report_id, target_id, at, error, latency_s, "  # noqa: S608
    "attempt) SELECT ?, ?, ?, json_extract(value, '$[0]'), json_extract(value, '$[1]'), "
    "json_extract(value, '$[2]'), json_extract(value, '$[3]'), json_extract(value, '$[4]'), "
    "json_extract(value, '$[5]') FROM json_each(?) WHERE true "
    "ON CONFLICT (client, report_id) DO NOTHING"
)
_COUNTS: Final = (
    f"SELECT CAST(at / {MINUTE_S} AS INTEGER) * {MINUTE_S}, target_id, client, coalesce(error, ''), "  # noqa: S608
    f"count(*), max(at) FROM {TABLE} WHERE id > ? GROUP BY 1, 2, 3, 4"
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
    """What became of a body of reports: how many are new, and how many were there."""

    accepted: int
    duplicates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What one call of a client brings: *count* reports, and what :func:`text_of` makes of them."""

    client: str
    count: int
    text: str
    received_at: float
    skew_s: float


def text_of(reports: Sequence[Report]) -> str:
    """Return *reports* as the statement takes them."""
    # Of plain values: a quarter of the time that others take, or the standard library.
    plain = [
        (id_, target, at, None if error is None else error.value, latency_s, attempt)
        for id_, target, at, error, latency_s, attempt in reports
    ]
    return to_json(plain).decode()


def store(connection: Connection, bodies: Sequence[Body]) -> tuple[list[Stored], Counts]:
    """
    Store what is new of *bodies*; an id that its client has used before changes nothing.

    Returns what became of each, and the counts by minute of all that is new.
    """
    before: int = connection.exec_driver_sql(
        f"SELECT coalesce(max(id), 0) FROM {TABLE}"  # noqa: S608
    ).scalar_one()
    # Ids begin anew when no row is left.
    connection.exec_driver_sql(
        "UPDATE meta SET value = ? WHERE key = ? AND CAST(value AS INTEGER) > ?",
        (str(before), SUMMED_TO, before),
    )
    stored = []
    for body in bodies:
        values = (body.client, body.received_at, body.skew_s, body.text)
        accepted = connection.exec_driver_sql(_INSERT, values).rowcount
        stored.append(Stored(accepted, body.count - accepted))
    counts = connection.exec_driver_sql(_COUNTS, (before,)).all()
    return stored, {Key(MINUTE_S, *key): Count(n, newest_at) for *key, n, newest_at in counts}


def recent(connection: Connection, since: float) -> Iterator[tuple[str, Report]]:
    """Yield (client, report) of those that came since *since*, oldest first."""
    for client, report_id, target, at, error, latency_s, attempt in connection.exec_driver_sql(
        "SELECT client, report_id, target_id, at, error, latency_s, attempt "  # noqa: S608
        f"FROM {TABLE} WHERE received_at >= ? ORDER BY received_at, id",
        (since,),
    ):
        cause = None if error is None else ErrorClass(error)
        yield client, Report(report_id, target, at, cause, latency_s, attempt)


def minutes(connection: Connection, since: float) -> Counts:
    """
    Return the reports there were of each key from the minute that holds *since* on.

    Stored sums do not say when in a minute the newest was: it is given as the end.
    """
    found = connection.exec_driver_sql(
        "SELECT at, target_id, source, error, n FROM rollups "  # noqa: S608
        # As the index of sums that go says it; without it every sum there is would be looked at.
        f"WHERE span_s IN ({MINUTE_S}, {HOUR_S}) AND span_s = {MINUTE_S} AND at >= ? AND kind = ?",
        (since // MINUTE_S * MINUTE_S, CLIENT),
    )
    return {
        Key(MINUTE_S, at, target, client_of(source), error): Count(n, at + MINUTE_S)
        for at, target, source, error, n in found
    }


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
            by_client = _sums(connection, target, [_window(span_s, now)])
            if by_client:
                found.setdefault(target, {})[name] = client_figures(by_client)
    return ReportFigures(found, totals, dict(failing_alone))


def reported(connection: Connection, target: str, since: float, until: float) -> Reported | None:
    """
    Return what clients reported of *target* from *since* to before *until*; None without a report.

    Days that are whole in it are summed by the day, and what is left at its ends by the hour, for as
    long as those sums are kept. An hour belongs to the period that it begins in.
    """
    first, last = ceil(since / DAY_S) * DAY_S, floor(until / DAY_S) * DAY_S
    ends = [(since, first), (last, until)] if first <= last else [(since, until)]
    spans: list[_Span] = [(DAY_S, first, last)]
    left_out = []
    for begin, end in ends:
        day = floor(begin / DAY_S) * DAY_S
        if begin == end:
            continue
        if _count(connection, target, HOUR_S, day) < _count(connection, target, DAY_S, day):
            left_out.append(float(day))
        else:
            spans.append((HOUR_S, begin, end))
    by_client = _sums(connection, target, spans)
    if not by_client and not left_out:
        return None
    return Reported(figures=client_figures(by_client), left_out=tuple(left_out))


def _count(connection: Connection, target: str, span_s: int, day: int) -> int:
    """Return the reports of a UTC day as the sums over spans of one length have them."""
    found: int = connection.exec_driver_sql(
        "SELECT coalesce(sum(n), 0) FROM rollups "
        "WHERE target_id = ? AND kind = ? AND span_s = ? AND at >= ? AND at < ?",
        (target, CLIENT, span_s, day, day + DAY_S),
    ).scalar_one()
    return found


def _window(span_s: float, now: float) -> _Span:
    """Return what of the sums is in a window that ends now."""
    unit = MINUTE_S if span_s <= _BY_MINUTE_S else HOUR_S if span_s <= _BY_HOUR_S else DAY_S
    return unit, (now - span_s) // unit * unit, floor(now) + 1


def _sums(connection: Connection, target: str, spans: Iterable[_Span]) -> list[Sums]:
    """Return the sums of each client over all that begins in *spans*."""
    by_source: dict[str, Sums] = {}
    for span in spans:
        # One row, as all that is many: monitor.store.rollups.add_reports.
        found = connection.exec_driver_sql(
            "SELECT json_group_array(json_array(source, error, n, hex(sketch))) FROM rollups "
            "WHERE target_id = ? AND kind = ? AND span_s = ? AND at >= ? AND at < ?",
            (target, CLIENT, *span),
        ).scalar_one()
        for source, error, n, sketch in json.loads(found):
            if source not in by_source:
                by_source[source] = Sums()
            sums, cause = by_source[source], ErrorClass(error) if error else None
            sums.errors[cause] = sums.errors.get(cause, 0) + n
            if sketch:
                sums.latency.merge_bytes(bytes.fromhex(sketch))
    return list(by_source.values())
