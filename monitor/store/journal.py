"""
Incidents and events on disk, and the log of each target that says which probes are in them.

Rows of one moment are written in one transaction (:class:`monitor.core.journal.Entry`). Ids of events
come from SQLite's own sequence, which gives none twice, also when the newest rows are deleted.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Executable, Index, insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel import Field, SQLModel

from monitor.core.events import Event, EventKind
from monitor.core.incidents import Failures, Incident, IncidentScope
from monitor.core.journal import Entry, TargetLog
from monitor.core.snapshot import Order
from monitor.core.spend import CapUse, Scope
from monitor.store.tables import OrderChangeRow, order_values
from probes.model import ErrorClass

Row = tuple[type[SQLModel], dict[str, Any]]
TABLES: Final = ("incidents", "events", "target_logs")
_LOGS: Final = TypeAdapter(TargetLog)


class IncidentRow(SQLModel, table=True):
    """One incident as it is now. *number* grows in the order in which incidents opened."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index("incidents_by_target", "target_id", "number"),
        Index("incidents_by_end", "closed_at"),
        Index("incidents_by_group", "group_id"),
        {"sqlite_autoincrement": True},
    )

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    target_id: str
    scope: str
    error: str  # Follows from errors; kept for queries.
    started_at: float
    confirmed_at: float
    last_failed_at: float
    ended_at: float | None
    closed_at: float | None
    failures: int
    errors: str  # JSON object: error class to count, in the order in which they came first.
    probes: str  # JSON list of ids: the first and the last failed probes.
    relapses: int
    upstream: str | None
    group_id: str | None


class EventRow(SQLModel, table=True):
    """One event. *id* grows in the order in which events were stored."""

    __tablename__ = "events"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, primary_key=True)
    at: float
    kind: str
    target_id: str | None
    pool: str | None
    provider: str | None
    data: str  # JSON object.
    probe_id: str | None
    # What is derived anew after a crash is stored once; null where nothing can be derived.
    once: str | None = Field(unique=True)


class TargetLogRow(SQLModel, table=True):
    """The log of a target, and the last probe that is in it."""

    __tablename__ = "target_logs"

    target_id: str = Field(primary_key=True)
    through: str | None
    through_at: float
    log: str  # JSON of monitor.core.journal.TargetLog.


def entry_rows(entry: Entry) -> tuple[Row, ...]:
    """Return the rows of *entry*, to be written together."""
    log = {
        "target_id": entry.target,
        "through": entry.through,
        "through_at": entry.through_at,
        "log": _LOGS.dump_json(entry.log).decode(),
    }
    return (
        *((IncidentRow, incident_values(incident)) for incident in entry.incidents),
        *((EventRow, event_values(event)) for event in entry.events),
        (TargetLogRow, log),
    )


def order_rows(order: Order) -> tuple[Row, ...]:
    """
    Return the rows of a decided *order*, to be written together.

    The event holds no more than a reader needs to see whether it concerns him: the order itself,
    with its reasons, is the other row. The first order of a pool is no change of one.
    """
    row: Row = (OrderChangeRow, order_values(order))
    if order.version == 1:
        return (row,)
    data = {
        "profile": order.profile.name,
        "version": order.version,
        "all_degraded": order.all_degraded,
        "targets": [place.target for place in order.places],
    }
    event = Event(kind=EventKind.ORDER_CHANGED, at=order.changed_at, pool=order.pool.id, data=data)
    return (row, (EventRow, event_values(event)))


def add_cap_event(connection: Connection, mark: str, use: CapUse, at: float) -> None:
    """Tell that a cap came to *mark*, in the transaction that notes it."""
    cap = use.cap
    event = Event(
        kind=EventKind(f"spend_cap_{mark}"),
        at=at,
        target=cap.id if cap.scope is Scope.TARGET else None,
        provider=cap.id if cap.scope is Scope.PROVIDER else None,
        data={
            "scope": cap.scope.value,
            "period": cap.period.value,
            "cap_usd": cap.micros / 1e6,
            "booked_usd": use.booked_micros / 1e6,
        },
    )
    connection.execute(insert(EventRow).values(event_values(event)))


def statement(table: type[SQLModel]) -> Executable:
    """Return how rows of *table* are written: an incident and a log over what is there of them."""
    if table is IncidentRow:
        row = sqlite_insert(IncidentRow)
        columns = {c.name: c for c in row.excluded if c.name not in {"number", "id"}}
        return row.on_conflict_do_update(index_elements=["id"], set_=columns)
    prefix = {TargetLogRow: "OR REPLACE", EventRow: "OR IGNORE"}.get(table)
    plain = insert(table)
    return plain if prefix is None else plain.prefix_with(prefix)


def incident_values(incident: Incident) -> dict[str, Any]:
    """Return the columns of an incident's row."""
    failures = incident.failures
    return {
        "id": incident.id,
        "target_id": incident.target,
        "scope": incident.scope.value,
        "error": failures.error.value,
        "started_at": incident.started_at,
        "confirmed_at": incident.confirmed_at,
        "last_failed_at": failures.last_at,
        "ended_at": incident.ended_at,
        "closed_at": incident.closed_at,
        "failures": failures.count,
        "errors": json.dumps({error.value: count for error, count in failures.errors}),
        "probes": json.dumps(failures.probes),
        "relapses": incident.relapses,
        "upstream": incident.upstream,
        "group_id": incident.group,
    }


def incident_of(row: IncidentRow) -> Incident:
    """Return the incident that *row* was made of."""
    return Incident(
        id=row.id,
        target=row.target_id,
        scope=IncidentScope(row.scope),
        started_at=row.started_at,
        confirmed_at=row.confirmed_at,
        failures=Failures(
            count=row.failures,
            first_at=row.started_at,
            last_at=row.last_failed_at,
            errors=tuple((ErrorClass(e), n) for e, n in json.loads(row.errors).items()),
            probes=tuple(json.loads(row.probes)),
        ),
        ended_at=row.ended_at,
        closed_at=row.closed_at,
        relapses=row.relapses,
        upstream=row.upstream,
        group=row.group_id,
    )


def event_values(event: Event) -> dict[str, Any]:
    """Return the columns of an event's row."""
    # A picture may end an outage and a refusal of our account at once.
    what = f"{event.kind.value}/{event.data.get('scope', '')}"
    return {
        "at": event.at,
        "kind": event.kind.value,
        "target_id": event.target,
        "pool": event.pool,
        "provider": event.provider,
        "data": json.dumps(event.data),
        "probe_id": event.probe_id,
        "once": event.probe_id and f"{event.target}/{event.probe_id}/{what}",
    }


def event_of(row: EventRow) -> Event:
    """Return the event that *row* was made of."""
    return Event(
        kind=EventKind(row.kind),
        at=row.at,
        target=row.target_id,
        pool=row.pool,
        provider=row.provider,
        data=json.loads(row.data),
        probe_id=row.probe_id,
    )


def log_of(row: TargetLogRow) -> TargetLog | None:
    """Return the log in *row*; None where a version with other logs wrote it."""
    try:
        return _LOGS.validate_json(row.log)
    except ValidationError:
        return None
