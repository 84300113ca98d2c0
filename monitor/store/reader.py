"""
Reading the store: replay, totals, pages. Never writes, and may run in any thread.

Every call opens the file read-only for itself, so a reader never holds up the writer's log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, NullPool, Select, case, create_engine, func, or_
from sqlalchemy import select as sql_select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from monitor.core.batch import Job, Stage
from monitor.core.finding import Finding
from monitor.core.gaps import Gap
from monitor.core.quota import DAY_S_MAX
from monitor.core.snapshot import GapReason, Order, Totals
from monitor.core.spec import PoolSpec, Profile
from monitor.core.spend import Booked, Period, period_start
from monitor.errors import StoreError
from monitor.limits import BUSY_TIMEOUT_MS
from monitor.store import evidence, rollups
from monitor.store.batches import job_of
from monitor.store.tables import (
    BatchJobRow,
    GapRow,
    MetaRow,
    OrderChangeRow,
    ProbeRow,
    ReservationRow,
    order_of,
    probe_result,
)
from probes.model import LimitPeriod, ProbeKind, ProbeResult

_ROWS_AT_ONCE: Final = 1_000
_PAGE_MAX: Final = 1_000
T = TypeVar("T")
_STEPS_AT_ONCE: Final = 10_000  # Of SQLite's machine, a millisecond or so.
_IS_NO_CALL: Final = col(ProbeRow.kind) != ProbeKind.LIVENESS.value


class Reader:
    """
    Answers from the file at its path, which may appear later.

    Every method raises StoreError when the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        """Read the SQLite file at *path*."""
        self._path = path
        uri = f"file:{quote(str(path))}?mode=ro"
        self._engine = create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(
                uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False
            ),
            poolclass=NullPool,
        )

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def replay(self, since: float, *, free_calls: int | None = None) -> Iterator[ProbeResult]:
        """
        Return the probes started at or after *since*, in the order in which they finished.

        That is the order in which they were judged when they were new; the wall clock may have
        been set back in between.

        Args:
            since: Wall time, seconds since the epoch.
            free_calls: Only so many of each target, the newest; None for all.
        """
        # By kind: each is a range of the index by time.
        kinds = col(ProbeRow.kind).in_([kind.value for kind in ProbeKind])
        query = select(ProbeRow).where(kinds, col(ProbeRow.started_at) >= since)
        if free_calls is not None:
            query = query.where(
                or_(_IS_NO_CALL, col(ProbeRow.id).in_(_newest_calls(free_calls, since)))
            )
        with self.session() as session:
            rows = session.exec(
                query.order_by(col(ProbeRow.id)).execution_options(yield_per=_ROWS_AT_ONCE)
            )
            for row in rows:
                yield probe_result(row)

    def newest(self) -> float | None:
        """Return the wall time of the newest probe, by its start; None without any."""
        with self.session() as session:
            return session.exec(select(func.max(ProbeRow.started_at))).one()

    def has_probes(self, targets: Iterable[str]) -> bool:
        """Return whether there is a probe of any of *targets*."""
        query = select(ProbeRow.id).where(col(ProbeRow.target_id).in_(list(targets))).limit(1)
        with self.session() as session:
            return session.exec(query).first() is not None

    def evidence(
        self,
        targets: Iterable[str],
        since: float,
        *,
        free_calls: int,
        in_full: Collection[int] = (),
    ) -> Iterator[Finding]:
        """
        Return what the engine folds at a restart: as :meth:`replay`, but only what it looks at.

        The newest generation of each target, and the rows whose numbers are *in_full*, are whole
        results.
        """
        with self.session() as session:
            yield from evidence.evidence(session, targets, since, free_calls, in_full)

    def gaps(self, since: float) -> Iterator[Gap]:
        """Return the gaps at or after *since*, oldest first."""
        # Not by the key itself: in its order all gaps there ever were would be read.
        query = select(GapRow).where(col(GapRow.at) >= since).order_by(col(GapRow.id) + 0)
        with self.session() as session:
            for row in session.exec(query.execution_options(yield_per=_ROWS_AT_ONCE)):
                yield Gap(row.target_id, row.at, GapReason(row.reason), row.slot_s)

    def booked(self, now: float) -> tuple[Booked, ...]:
        """Return what the ledger holds since the start of the UTC day and month of *now*."""
        at, amount = col(ReservationRow.at), col(ReservationRow.micros)
        today = func.sum(case((at >= period_start(Period.DAY, now), amount), else_=0))
        query = (
            select(ReservationRow.provider, ReservationRow.target_id, today, func.sum(amount))
            .where(at >= period_start(Period.MONTH, now))
            .group_by(ReservationRow.provider, ReservationRow.target_id)
        )
        with self.session() as session:
            return tuple(
                Booked(provider=provider, target_id=target, day_micros=day, month_micros=month)
                for provider, target, day, month in session.exec(query)
            )

    def asked(
        self, since: Mapping[tuple[str, LimitPeriod], float], now: float
    ) -> dict[tuple[str, LimitPeriod], int]:
        """Return the generations booked for each (provider, period) since the time beside it."""
        at = col(ReservationRow.at)
        with self.session() as session:
            return {
                (provider, period): session.exec(
                    select(func.count()).where(
                        ReservationRow.provider == provider, at >= start, at <= now + DAY_S_MAX
                    )
                ).one()
                for (provider, period), start in since.items()
            }

    def batch_jobs(self) -> tuple[Job, ...]:
        """Return the batch jobs that are not closed, oldest first."""
        query = select(BatchJobRow).where(BatchJobRow.stage != Stage.CLOSED.value)
        with self.session() as session:
            rows = session.exec(query.order_by(col(BatchJobRow.created_at)))
            return tuple(map(job_of, rows))

    def has_batch_job(self, target_id: str, slot: int) -> bool:
        """Whether that slot of a target has had its batch job, whatever became of it."""
        query = select(BatchJobRow.probe_id).where(
            BatchJobRow.target_id == target_id, BatchJobRow.slot == slot
        )
        with self.session() as session:
            return session.exec(query).first() is not None

    def last_reservations(self) -> dict[str, float]:
        """Return the wall time of each target's newest reservation, settled or not."""
        query = select(ReservationRow.target_id, func.max(ReservationRow.at))
        with self.session() as session:
            return dict(session.exec(query.group_by(ReservationRow.target_id)).all())

    def fact(self, key: str) -> str:
        """Return what is noted about the file under *key*; StoreError when nothing is."""
        with self.session() as session:
            row = session.get(MetaRow, key)
        if row is None:
            raise StoreError(f"{self._path} does not say its {key}; a daemon has to open it first")
        return row.value

    def totals(self, bounds: Sequence[float]) -> Totals:
        """
        Return the cumulative counts since the first probe, pruned rows included.

        Args:
            bounds: Upper bounds of the latency buckets in seconds, ascending, at least one, all of
                them bounds of :mod:`monitor.core.sketch`; one more bucket holds what is above.
        """
        with self.session() as session:
            return rollups.totals(session, bounds)

    def results(
        self,
        target_id: str,
        before_id: int | None,
        limit: int,
        kind: ProbeKind | None = None,
    ) -> tuple[tuple[ProbeResult, ...], int | None]:
        """
        Return a page of probes, newest first, and the cursor of the next one, None at the end.

        Args:
            target_id: Whose probes.
            before_id: Cursor that an earlier page gave; None for the first page.
            limit: Rows a page, at most 1000.
            kind: Only probes of this kind; None for all.
        """
        limit = max(1, min(limit, _PAGE_MAX))
        query = select(ProbeRow).where(ProbeRow.target_id == target_id)
        if before_id is not None:
            query = query.where(col(ProbeRow.id) < before_id)
        if kind is not None:
            query = query.where(ProbeRow.kind == kind.value)
        with self.session() as session:
            rows = session.exec(query.order_by(col(ProbeRow.id).desc()).limit(limit + 1)).all()
            page = tuple(probe_result(row) for row in rows[:limit])
            return page, rows[limit - 1].id if len(rows) > limit else None

    def recent_hashes(self, targets: Iterable[str], count: int) -> dict[str, tuple[str, ...]]:
        """Return the SHA-256 of the newest *count* pictures of each target, oldest first."""
        with self.session() as session:
            return evidence.recent_hashes(session, targets, count)

    def last_order(self, pool: PoolSpec, profile: Profile) -> Order | None:
        """Return the newest stored order of *pool* under *profile*; None before the first."""
        query = (
            select(OrderChangeRow)
            .where(OrderChangeRow.pool == pool.id, OrderChangeRow.profile == profile.name)
            .order_by(col(OrderChangeRow.id).desc())
            .limit(1)
        )
        with self.session() as session:
            row = session.exec(query).first()
            return order_of(row, pool, profile) if row else None

    def ask(self, work: Callable[[Session], T]) -> T:
        """Return what *work* finds; it must leave nothing of the session behind."""
        with self.session() as session:
            return work(session)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Give a connection that sees the file as it is now, whatever is written meanwhile."""
        with self.session() as session:
            connection = session.connection()
            driver = connection.connection.driver_connection
            assert driver is not None
            rollups.teach(driver)
            connection.exec_driver_sql("BEGIN")
            yield connection

    def damage(self, is_stopping: Callable[[], bool]) -> str | None:
        """
        Read the whole file and return what is damaged in it; None when nothing is.

        Also None as soon as *is_stopping*: it may take seconds.
        """
        with self.session() as session:
            raw = session.connection().connection.driver_connection
            assert raw is not None
            raw.set_progress_handler(is_stopping, _STEPS_AT_ONCE)
            try:
                (found,) = raw.execute("PRAGMA quick_check(1)").fetchone()
            except sqlite3.DatabaseError as error:
                return None if is_stopping() else str(error)
            return None if found == "ok" else str(found)

    def oldest_generation_at(self) -> float | None:
        """Return when the oldest stored generation started; None without any."""
        kinds = [kind for kind in ProbeKind if kind is not ProbeKind.LIVENESS]
        # One look-up in the index each; over all kinds at once it would be a scan.
        first = [
            select(func.min(ProbeRow.started_at)).where(ProbeRow.kind == kind.value)
            for kind in kinds
        ]
        with self.session() as session:
            found: list[float | None] = [session.exec(query).one() for query in first]
        return min((at for at in found if at is not None), default=None)

    def size_bytes(self) -> int:
        """Return the length of the file and its write-ahead log; 0 when there is none."""
        paths = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(path.stat().st_size for path in paths if path.exists())

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a session of one connection that can only read."""
        try:
            with Session(self._engine) as session:
                yield session
        except (SQLAlchemyError, sqlite3.Error) as error:
            cause = str(getattr(error, "orig", None) or error)
            if cause.startswith("no such"):  # A table or column that a later version added.
                cause += "; an older imgmon wrote it, `imgmon run` upgrades it when it starts"
            raise StoreError(f"cannot read {self._path}: {cause}") from error


def _newest_calls(count: int, since: float) -> Select[tuple[int | None]]:
    """Return the query for the ids of each target's newest *count* free calls from *since* on."""
    newest_first = func.row_number().over(
        partition_by=col(ProbeRow.target_id), order_by=col(ProbeRow.id).desc()
    )
    wanted = ~_IS_NO_CALL, col(ProbeRow.started_at) >= since
    calls = sql_select(col(ProbeRow.id), newest_first.label("n")).where(*wanted).subquery()
    return sql_select(calls.c.id).where(calls.c.n <= count)
