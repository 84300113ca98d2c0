"""
Reading a period of the past: the few columns that a report needs, of the targets it is about.

Free calls are left in the file: a month of them is more rows than a month of canaries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import select as sql_select
from sqlmodel import col, select

from monitor.core.gaps import Gap
from monitor.core.incidents import Incident
from monitor.core.report import StoredProbe
from monitor.core.reports import Reported
from monitor.core.snapshot import GapReason
from monitor.store import reports
from monitor.store.history import PAGE_MAX, History
from monitor.store.reader import Reader
from monitor.store.tables import GapRow, ProbeRow
from probes.model import ErrorClass, ProbeKind, ProbeReason

_COLUMNS = (
    col(ProbeRow.target_id),
    col(ProbeRow.probe_id),
    col(ProbeRow.started_at),
    col(ProbeRow.duration_s),
    col(ProbeRow.latency_s),
    col(ProbeRow.error),
    col(ProbeRow.kind),
    col(ProbeRow.reason),
    col(ProbeRow.slot_s),
    col(ProbeRow.cost_usd),
    col(ProbeRow.detail),
    col(ProbeRow.http_status),
    col(ProbeRow.request_id),
)
_ERRORS: Final[Mapping[str | None, ErrorClass | None]] = {
    None: None,
    **{error.value: error for error in ErrorClass},
}
_KINDS: Final = {kind.value: kind for kind in ProbeKind}
_REASONS: Final = {reason.value: reason for reason in ProbeReason}


class PeriodReader(Reader):
    """
    Answers what was stored of one target in a period, *since* inclusive and *until* exclusive.

    Every method raises StoreError when the file cannot be read.
    """

    def generations(self, target_id: str, since: float, until: float) -> Iterator[StoredProbe]:
        """Return the paid and free generations that started in the period, oldest first."""
        started = col(ProbeRow.started_at)
        query = (
            sql_select(*_COLUMNS)
            .where(col(ProbeRow.target_id) == target_id, started >= since, started < until)
            .where(col(ProbeRow.kind) != ProbeKind.LIVENESS.value)
            .order_by(started)
        )
        with self.session() as session:
            # Bare rows and looked up members: there may be a hundred thousand of them.
            for row in session.connection().execute(query):
                target, probe, at, duration_s, latency_s, error, kind, reason, slot_s, *rest = row
                cost_usd, detail, http_status, request_id = rest
                yield StoredProbe(
                    target_id=target,
                    probe_id=probe,
                    started_at=at,
                    duration_s=duration_s,
                    latency_s=latency_s,
                    error=_ERRORS[error],
                    kind=_KINDS[kind],
                    reason=_REASONS[reason],
                    slot_s=slot_s,
                    cost_usd=cost_usd,
                    detail=detail,
                    http_status=http_status,
                    request_id=request_id,
                )

    def gaps_of(self, target_id: str, since: float, until: float) -> tuple[Gap, ...]:
        """Return the slots of the period without a probe, oldest first."""
        at = col(GapRow.at)
        query = (
            select(at, GapRow.reason, GapRow.slot_s)
            .where(GapRow.target_id == target_id, at >= since, at < until)
            .order_by(at)
        )
        with self.session() as session:
            return tuple(
                Gap(target_id, at, GapReason(reason), slot_s)
                for at, reason, slot_s in session.exec(query)
            )

    def incidents_of(self, target_id: str, since: float, until: float) -> tuple[Incident, ...]:
        """Return the incidents that lasted at some time of the period, the newest first."""
        history, found = History(self), list[Incident]()
        page, cursor = history.incidents(target=target_id, since=since, limit=PAGE_MAX)
        while True:
            found += (one.incident for one in page if one.incident.started_at < until)
            if cursor is None:
                return tuple(found)
            page, cursor = history.incidents(
                target=target_id, since=since, before=cursor, limit=PAGE_MAX
            )

    def reported(self, target_id: str, since: float, until: float) -> Reported | None:
        """Return what clients reported in the period; None without a report."""
        with self.snapshot() as connection:
            return reports.reported(connection, target_id, since, until)

    def first_sample(self, target_id: str) -> float | None:
        """Return the start of the first scheduled sample of a target; None without any."""
        started = col(ProbeRow.started_at)
        query = (
            select(started)
            .where(ProbeRow.target_id == target_id, ProbeRow.reason == ProbeReason.SCHEDULED.value)
            .where(col(ProbeRow.kind) != ProbeKind.LIVENESS.value)
            .order_by(started)
            .limit(1)
        )
        with self.session() as session:
            return session.exec(query).first()
