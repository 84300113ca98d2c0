"""Whether a file is sound: in itself, and in what its tables say of one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from typing import Final

from sqlalchemy import Connection

from monitor.core.tallies import DAY_S, HOUR_S, MINUTE_S
from monitor.store.migrations import STEPS
from monitor.store.pruning import pruned_before
from monitor.store.rollups import disagreements, disagreements_ever, report_disagreements
from probes.model import ProbeKind

Check = tuple[str, Callable[[], Iterable[str]]]
# Roll-ups are compared by spans of so many days: a bar moves, and memory is bounded.
_SPAN_S: Final = 30 * DAY_S


def checks(connection: Connection) -> list[Check]:
    """
    Return what is to be checked, by name; each check yields what is wrong, in words.

    *connection* is that of :meth:`monitor.store.reader.Reader.snapshot`: rows that are written or
    pruned meanwhile must not look like a difference.
    """
    found: list[Check] = [
        ("schema", partial(_schema, connection)),
        ("integrity", partial(_integrity, connection)),
    ]
    if _version(connection) != len(STEPS):
        return found  # Tables of another version hold other things.
    gone = pruned_before(connection)
    for kind in (*ProbeKind, None):
        name = kind.value if kind else "gaps"
        spans = _spans(connection, kind, gone.get(name, 0.0))
        found += [
            (f"roll-ups of {name}", partial(disagreements, connection, kind, since, until))
            for since, until in spans
        ]
    # Rows go by when they came, and that may be a minute before they say that they began.
    rows_since = gone["reports"] + DAY_S if "reports" in gone else 0.0
    for name, span_s in (("minute", MINUTE_S), ("hour", HOUR_S), ("day", DAY_S)):
        since = max(rows_since, gone.get(f"rollups_{span_s}", 0.0))
        found.append(
            (f"reports by {name}", partial(report_disagreements, connection, span_s, since))
        )
    found.append(("sums of all time", partial(disagreements_ever, connection)))
    found.append(("ledger", partial(_ledger, connection, gone.get("ledger", 0.0))))
    return found


def _version(connection: Connection) -> int:
    version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    return version


def _schema(connection: Connection) -> Iterator[str]:
    version = _version(connection)
    if version < len(STEPS):
        yield f"schema version {version}, this imgmon writes {len(STEPS)}: run imgmon db upgrade"
    if version > len(STEPS):
        yield f"schema version {version}, this imgmon knows {len(STEPS)}: run the newer imgmon"
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode != "wal":
        yield f"journal mode {mode!r}, not a write-ahead log: start the daemon once on a local disk"


def _integrity(connection: Connection) -> Iterator[str]:
    for (text,) in connection.exec_driver_sql("PRAGMA integrity_check(20)"):
        if text != "ok":
            yield text


def _spans(
    connection: Connection, kind: ProbeKind | None, since: float
) -> Iterator[tuple[float, float]]:
    """Return spans of whole days from *since* on that hold all rows and roll-ups there are."""
    if kind is None:
        ends = ("SELECT min(at), max(at) FROM gaps", "SELECT min(at), max(at) FROM gap_rollups")
        found = [connection.exec_driver_sql(query).one() for query in ends]
    else:
        found = [
            connection.exec_driver_sql(
                f"SELECT min({at}), max({at}) FROM {table} WHERE kind = ? AND {where}",  # noqa: S608
                (kind.value,),
            ).one()
            for table, at, where in (
                ("probes", "started_at", "true"),
                ("rollups", "at", f"span_s = {DAY_S}"),
            )
        ]
    times = [at for pair in found for at in pair if at is not None]
    if not times:
        return iter(())
    first = max(since, min(times) // DAY_S * DAY_S)
    steps = range(int((max(times) - first) // _SPAN_S) + 2)
    return pairwise(first + step * _SPAN_S for step in steps)


def _ledger(connection: Connection, since: float) -> Iterator[str]:
    """Yield probes whose bill is not what the ledger says; lines from *since* on are all there."""
    if since:
        since += DAY_S  # A probe may have begun after midnight and been booked before it.
    for probe_id, billed, booked, is_settled in connection.exec_driver_sql(
        "SELECT probes.probe_id, CAST(round(sum(cost_usd) * 1e6) AS INTEGER) AS billed, micros, "
        "is_settled FROM probes LEFT JOIN reservations USING (probe_id) "
        "WHERE cost_usd > 0 AND started_at >= ? GROUP BY probes.probe_id "
        "HAVING is_settled IS NOT 1 OR micros <> billed",
        (since,),
    ):
        state = "not in the ledger" if booked is None else f"booked at {booked} millionths"
        settled = "" if booked is None or is_settled else ", not settled"
        yield f"probe {probe_id}: billed {billed} millionths of a dollar, {state}{settled}"
