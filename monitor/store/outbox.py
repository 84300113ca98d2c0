"""
The outbox: what each route remembers and how far it has read the events, and the messages to send.

Both change in one transaction, so every event is in exactly one message, whatever dies when. A
message is marked done after it was sent; what died in between is sent again under the same key.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Index, delete, func, insert, update
from sqlalchemy import select as sql_select
from sqlmodel import Field, Session, SQLModel, col, select

from monitor.core.events import Event, EventKind
from monitor.core.notices import Topic
from monitor.core.notify import Memory, Message, Route, due, fold
from monitor.store.journal import EventRow, event_of, event_values

TABLES: Final = ("notify_routes", "deliveries")
_MEMORY: Final = TypeAdapter(Memory)
_MESSAGE: Final = TypeAdapter(Message)
_EVENTS_AT_ONCE: Final = 500
# Of one route, looked through for one that may be sent now.
_LOOKED_AT: Final = 200
# What became of messages is kept for so long.
_KEPT_S: Final = 30 * 86_400.0


class Fate(StrEnum):
    """What became of a message."""

    PENDING = "pending"
    DONE = "done"
    GIVEN_UP = "given_up"


class RouteRow(SQLModel, table=True):
    """One route: the last event it has read, and what it remembers of all before."""

    __tablename__ = "notify_routes"

    route_id: str = Field(primary_key=True)
    event: int
    memory: str  # JSON of monitor.core.notify.Memory.


class DeliveryRow(SQLModel, table=True):
    """One message to one route. *id* grows in the order in which they are to be sent."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("deliveries_by_fate", "fate", "route_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: int | None = Field(default=None, primary_key=True)
    route_id: str
    key: str = Field(unique=True)
    message: str  # JSON of monitor.core.notify.Message.
    about: str  # JSON list of what it speaks of.
    made_at: float
    fate: str
    attempts: int
    next_at: float
    ended_at: float | None
    error: str | None  # Of the last attempt that failed, redacted.


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that is not done, how often it was tried, and when it may be tried next."""

    id: int
    message: Message
    attempts: int
    next_at: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """Messages that wait, and when the oldest was made (None without any)."""

    pending: int
    oldest_at: float | None


def advance(connection: Connection, route: Route, now: float) -> tuple[Memory, int]:
    """
    Have *route* read on, and put what is due at *now* into the outbox.

    Returns:
        What it remembers, and the last event it has read. A route that is new begins with the next.
    """
    found = connection.execute(
        sql_select(col(RouteRow.event), col(RouteRow.memory)).where(
            col(RouteRow.route_id) == route.id
        )
    ).one_or_none()
    if found is None:
        number, before = newest_event(connection), Memory()
    else:
        number, before = found.event, _remembered(found.memory)
    memory, read_to = before, number
    later = sql_select(EventRow.__table__).where(col(EventRow.id) > number)  # type: ignore[attr-defined] # SQLModel hides it.
    rows = connection.execute(later.order_by(col(EventRow.id)).limit(_EVENTS_AT_ONCE))
    for row in rows.mappings():
        read_to = row["id"]
        memory = fold(memory, read_to, event_of(EventRow(**row)), route, now)
    memory, messages = due(memory, route, now)
    if messages:
        connection.execute(insert(DeliveryRow), [_delivery(message) for message in messages])
    if found is None or read_to != number or memory != before:
        values = {
            "route_id": route.id,
            "event": read_to,
            "memory": _MEMORY.dump_json(memory).decode(),
        }
        connection.execute(insert(RouteRow).prefix_with("OR REPLACE").values(values))
    return memory, read_to


def newest_event(connection: Connection) -> int:
    """Return the id of the newest event; 0 before the first."""
    return connection.execute(sql_select(func.max(EventRow.id))).scalar_one() or 0


def next_delivery(session: Session, route_id: str, now: float) -> Delivery | None:
    """
    Return the oldest message of a route that may be sent at *now*; None when there is none.

    One that waits to be tried again holds up only those that speak of the same: an end is never
    told before its begin, and a message that the other side cannot take stops no other.
    """
    pending = DeliveryRow.fate == Fate.PENDING.value
    query = select(DeliveryRow).where(DeliveryRow.route_id == route_id, pending)
    held: set[str] = set()
    for row in session.exec(query.order_by(col(DeliveryRow.id)).limit(_LOOKED_AT)):
        about = set(json.loads(row.about))
        if row.next_at <= now and not about & held:
            assert row.id is not None
            message = _MESSAGE.validate_json(row.message)
            return Delivery(row.id, message, row.attempts, row.next_at)
        held |= about
    return None


def backlog(session: Session) -> Backlog:
    """Return how many messages wait."""
    count, oldest = func.count(), func.min(DeliveryRow.made_at)
    query = select(count, oldest).where(DeliveryRow.fate == Fate.PENDING.value)
    return Backlog(*session.exec(query).one())


def is_settled(session: Session) -> bool:
    """Return whether every route has read all events, and nothing waits to be told or sent."""
    newest = newest_event(session.connection())
    rows = session.exec(select(RouteRow)).all()
    has_read = all(row.event == newest and not _remembered(row.memory).waiting for row in rows)
    return has_read and backlog(session).pending == 0


def sent(connection: Connection, delivery: Delivery, now: float) -> None:
    """Note that a message has arrived."""
    _note(connection, delivery, fate=Fate.DONE.value, ended_at=now)


def failed(connection: Connection, delivery: Delivery, error: str, next_at: float) -> None:
    """Note that an attempt failed, and when the next one is due."""
    _note(connection, delivery, error=error, next_at=next_at)


def give_up(connection: Connection, delivery: Delivery, error: str, now: float) -> None:
    """
    Note that a message is tried no more, and tell it as an event.

    One that only told of such events makes no other: two routes that refuse everything would
    otherwise tell of each other for ever.
    """
    _note(connection, delivery, fate=Fate.GIVEN_UP.value, error=error, ended_at=now)
    message = delivery.message
    if all(notice.topic is Topic.UNDELIVERED for notice in message.notices):
        return
    data = {
        "route": message.route,
        "message": message.key,
        "made_at": message.made_at,
        "attempts": delivery.attempts + 1,
        "error": error,
    }
    event = Event(kind=EventKind.NOTIFICATION_GIVEN_UP, at=now, data=data)
    connection.execute(insert(EventRow).values(event_values(event)))


def tidy(connection: Connection, routes: Collection[str], now: float) -> int:
    """
    Forget what was done long ago and the routes that are not among *routes*.

    Returns how many messages were given up because their route is gone.
    """
    ended = col(DeliveryRow.fate) != Fate.PENDING.value
    connection.execute(delete(DeliveryRow).where(ended, col(DeliveryRow.ended_at) < now - _KEPT_S))
    connection.execute(delete(RouteRow).where(col(RouteRow.route_id).not_in(routes)))
    orphans = update(DeliveryRow).where(~ended, col(DeliveryRow.route_id).not_in(routes))
    gone = {"fate": Fate.GIVEN_UP.value, "error": "the route is gone", "ended_at": now}
    return connection.execute(orphans.values(gone)).rowcount


def _note(connection: Connection, delivery: Delivery, **values: Any) -> None:
    changes: Mapping[str, Any] = {"attempts": DeliveryRow.attempts + 1, **values}
    connection.execute(
        update(DeliveryRow).where(col(DeliveryRow.id) == delivery.id).values(changes)
    )


def _remembered(text: str) -> Memory:
    try:
        return _MEMORY.validate_json(text)
    except ValidationError:  # A version with another memory wrote it: the events are still there.
        return Memory()


def _delivery(message: Message) -> dict[str, Any]:
    return {
        "route_id": message.route,
        "key": message.key,
        "message": _MESSAGE.dump_json(message).decode(),
        "about": json.dumps(sorted({notice.key for notice in message.notices})),
        "made_at": message.made_at,
        "fate": Fate.PENDING.value,
        "attempts": 0,
        "next_at": message.made_at,
        "ended_at": None,
        "error": None,
    }
