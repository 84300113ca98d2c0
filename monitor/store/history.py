"""Reading incidents, events and the logs of targets; in any thread, like all of :mod:`reader`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import String, cast, func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, or_, select

from monitor.core.events import Event, EventKind
from monitor.core.incidents import Incident
from monitor.core.journal import Kept
from monitor.core.snapshot import LogCounts
from monitor.store.journal import (
    EventRow,
    IncidentRow,
    TargetLogRow,
    event_of,
    incident_of,
    log_of,
)
from monitor.store.reader import Reader
from monitor.store.tables import ProbeRow

PAGE_MAX: Final = 1_000
# A probe may begin so long before one of the same target that ends first: a batch job has a day.
_OVERLAP_S: Final = 172_800.0
_ERROR: Final = cast(func.json_extract(EventRow.data, "$.error"), String)
_NETWORK: Final = (EventKind.OUR_NETWORK_SUSPECTED.value, EventKind.OUR_NETWORK_RESTORED.value)


@dataclass(frozen=True, slots=True)
class StoredIncident:
    """An incident with its number in the store, and every target of its group, itself included."""

    number: int
    incident: Incident
    group_targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with its id."""

    id: int
    event: Event


class History:
    """Answers over a reader's file; every method raises StoreError when it cannot be read."""

    def __init__(self, reader: Reader) -> None:
        """Read what *reader* reads."""
        self._reader = reader
        self._counted_to = 0
        self._events: Counter[str] = Counter()
        self._incidents: Counter[tuple[str, str]] = Counter()

    def incidents(
        self,
        *,
        target: str | None = None,
        is_open: bool | None = None,
        since: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> tuple[tuple[StoredIncident, ...], int | None]:
        """
        Return a page of incidents, the newest first, and the cursor of the next, None at the end.

        Args:
            target: Of one target; None for all.
            is_open: Only those that last, or only those that do not; None for both.
            since: Leave out what was over before this wall time.
            before: Cursor that an earlier page gave.
            limit: Incidents a page, at most 1000.
        """
        limit = max(1, min(limit, PAGE_MAX))
        query = select(IncidentRow)
        if target is not None:
            query = query.where(IncidentRow.target_id == target)
        if is_open is not None:
            closed_at = col(IncidentRow.closed_at)
            query = query.where(closed_at.is_(None) if is_open else closed_at.is_not(None))
        if since is not None:
            closed_at = col(IncidentRow.closed_at)
            query = query.where(or_(closed_at.is_(None), closed_at >= since))
        if before is not None:
            query = query.where(col(IncidentRow.number) < before)
        with self._reader.session() as session:
            rows = session.exec(
                query.order_by(col(IncidentRow.number).desc()).limit(limit + 1)
            ).all()
            page = tuple(_numbered(session, rows[:limit]))
        return page, page[-1].number if len(rows) > limit else None

    def events(self, since_id: int, limit: int) -> tuple[StoredEvent, ...]:
        """Return at most *limit* (up to 1000) events with ids above *since_id*, ascending."""
        query = select(EventRow).where(col(EventRow.id) > since_id).order_by(col(EventRow.id))
        with self._reader.session() as session:
            rows = session.exec(query.limit(max(1, min(limit, PAGE_MAX)))).all()
            return tuple(StoredEvent(row.id, event_of(row)) for row in rows if row.id is not None)

    def newest_id(self) -> int:
        """Return the id of the newest event; 0 before the first."""
        with self._reader.session() as session:
            return session.exec(select(func.max(EventRow.id))).one() or 0

    def counts(self) -> LogCounts:
        """Return how many events there are; reads those that came since the last call only."""
        kind, target_id = col(EventRow.kind), col(EventRow.target_id)
        query = (
            sql_select(kind, target_id, _ERROR, func.count(), func.max(EventRow.id))
            .where(col(EventRow.id) > self._counted_to)
            .group_by(kind, target_id, _ERROR)
        )
        with self._reader.session() as session:
            rows = session.execute(query).all()
        for name, target, error, count, newest in rows:
            self._events[name] += count
            if name == EventKind.INCIDENT_OPENED:
                self._incidents[target or "", error] += count
            self._counted_to = max(self._counted_to, newest)
        return LogCounts(dict(self._events), dict(self._incidents))

    def logs(self) -> dict[str, Kept]:
        """Return the log of each target that has a readable one, and the probes it lacks."""
        with self._reader.session() as session:
            rows = session.exec(select(TargetLogRow)).all()
            return {
                row.target_id: Kept(
                    log=log,
                    through=row.through,
                    through_at=row.through_at,
                    missing=dict(_missing(session, row)),
                )
                for row in rows
                if (log := log_of(row)) is not None
            }

    def network_event(self) -> Event | None:
        """Return the newest event of our own network; None before the first."""
        query = (
            select(EventRow)
            .where(col(EventRow.kind).in_(_NETWORK))
            .order_by(col(EventRow.id).desc())
            .limit(1)
        )
        with self._reader.session() as session:
            row = session.exec(query).first()
            return event_of(row) if row else None


def _numbered(session: Session, rows: Sequence[IncidentRow]) -> Iterator[StoredIncident]:
    groups = {row.group_id for row in rows if row.group_id is not None}
    members: dict[str, list[str]] = {}
    if groups:
        query = select(IncidentRow.group_id, IncidentRow.target_id).where(
            col(IncidentRow.group_id).in_(groups)
        )
        for group, target in session.exec(query.order_by(col(IncidentRow.number))):
            members.setdefault(group or "", []).append(target)
    for row in rows:
        assert row.number is not None
        targets = tuple(dict.fromkeys(members.get(row.group_id or "", ())))
        yield StoredIncident(row.number, incident_of(row), targets)


def _missing(session: Session, row: TargetLogRow) -> Iterator[tuple[str, int]]:
    """Yield id and row of the probes of a target that finished after the last one in its log."""
    last = session.exec(
        select(ProbeRow.id).where(
            ProbeRow.target_id == row.target_id,
            ProbeRow.started_at == row.through_at,
            ProbeRow.probe_id == row.through,
        )
    ).first()
    query = sql_select(col(ProbeRow.probe_id), col(ProbeRow.id)).where(
        col(ProbeRow.target_id) == row.target_id
    )
    if last is None:  # It was dropped or pruned: time is all there is to go by.
        query = query.where(col(ProbeRow.started_at) > row.through_at)
    else:
        query = query.where(
            col(ProbeRow.started_at) >= row.through_at - _OVERLAP_S, col(ProbeRow.id) + 0 > last
        )
    for probe_id, number in session.execute(query):
        assert number is not None
        yield probe_id, number
