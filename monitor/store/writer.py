"""
The only writer: a bounded queue, and a thread that commits it in batches.

Callers that hand over rows never wait and never see an error. While the disk refuses, rows stay in
the queue and are tried again; what cannot be kept is counted, never lost in silence. Money and the
steps of batch jobs are written before all rows, once: who asks waits, is told when that fails, and
sends nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine, insert
from sqlalchemy.exc import DatabaseError, InternalError, OperationalError, SQLAlchemyError
from sqlmodel import SQLModel

from monitor.clock import Clock, SystemClock
from monitor.core.events import Event
from monitor.core.journal import Entry
from monitor.core.snapshot import GapReason, Order
from monitor.core.spend import Claim, Decision
from monitor.errors import StoreError
from monitor.limits import (
    CHECKED_AT_ONCE_BYTES,
    DRAIN_S,
    WRITE_BATCH_MAX,
    WRITE_BATCH_S,
    WRITE_QUEUE_MAX,
)
from monitor.store.journal import (
    EventRow,
    Row,
    entry_rows,
    event_values,
    order_rows,
    statement,
)
from monitor.store.ledger import reserve, settle
from monitor.store.migrations import migrate, schema_version
from monitor.store.opening import check, open_for_writing
from monitor.store.rollups import rolled_up
from monitor.store.tables import (
    GapRow,
    MetaRow,
    ProbeRow,
    gap_values,
    probe_values,
)
from probes.model import ProbeResult

log = structlog.get_logger("imgmon.store")

_RETRY_S_MIN: Final = 0.1
_RETRY_S_MAX: Final = 10.0
# The disk or another process is to blame, so trying again helps; any other error is the row's.
_DISK: Final = (OperationalError, InternalError, OSError)
# Rows that are written together or not at all.
_Item = tuple[Row, ...]
_Asked = tuple[Callable[[Connection], Any], Future[Any]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterStats:
    """
    How the writer fares.

    Attributes:
        queue: Rows that are not committed yet.
        committed: Rows committed since the start.
        errors: Failed attempts to commit.
        dropped: Rows that were lost: the queue was full, or the row could not be stored.
        last_commit_at: Wall time of the newest commit; None before the first.
        last_error: In words; empty when there was none.
        is_failing: The newest attempt failed.
    """

    queue: int
    committed: int
    errors: int
    dropped: int
    last_commit_at: float | None
    last_error: str
    is_failing: bool


class Writer:
    """Owns the write connection; see the module's words. Safe to call from any thread."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        queue_max: int = WRITE_QUEUE_MAX,
        checked_at_once: int = CHECKED_AT_ONCE_BYTES,
        pragmas: Sequence[str] = (),
    ) -> None:
        """
        Write to the file at *path* once started.

        Args:
            path: The SQLite file; made when absent.
            clock: Tells the time of commits; None for the machine's.
            queue_max: Rows that may wait.
            checked_at_once: Bytes up to which the start reads the whole file for damage.
            pragmas: Further statements for each new connection.
        """
        self._path = path
        self._clock = clock or SystemClock()
        self._queue_max = queue_max
        self._checked_at_once = checked_at_once
        self._pragmas = pragmas
        self._queue: deque[_Item] = deque()
        self._asked: list[_Asked] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._engine: Engine | None = None
        self._is_closing = False
        self._is_given_up = False
        self._batch_max = WRITE_BATCH_MAX
        self._accepted = self._settled = self._flush_to = 0
        self._committed = self._errors = self._dropped = 0
        self._last_commit_at: float | None = None
        self._last_error = ""
        self._is_failing = False

    def start(self, facts: Mapping[str, str] | None = None) -> None:
        """
        Open, check and migrate the file, then start the thread.

        *facts* are noted about the file, by name, unless it has one of that name already.

        Raises:
            StoreError: the file cannot be used.
        """
        assert self._thread is None, "a writer starts once"
        if not self._path.parent.is_dir():
            raise StoreError(f"there is no folder {self._path.parent}; make it")
        engine = open_for_writing(self._path, self._pragmas)
        try:
            with engine.connect() as connection:
                # First: nothing is changed in a file that is not ours.
                version = schema_version(connection, self._path)
            with engine.connect() as connection:
                check(connection, self._path, is_whole=self.is_checked)
            migrate(engine, version)
            if facts:
                rows = [{"key": key, "value": value} for key, value in facts.items()]
                with engine.begin() as connection:
                    connection.execute(insert(MetaRow).prefix_with("OR IGNORE"), rows)
        except SQLAlchemyError as error:
            engine.dispose()
            raise StoreError(f"cannot use {self._path}: {_words(error)}") from error
        except StoreError:
            engine.dispose()
            raise
        self._engine = engine
        self._thread = threading.Thread(target=self._run, name="store writer", daemon=True)
        self._thread.start()

    def reserve(self, claim: Claim) -> Future[Decision]:
        """
        Ask for money and return at once; a decision that is there is committed.

        The future is that of :meth:`ask`; a decision that nobody waits for stays booked.
        """
        return self.ask(partial(reserve, claim=claim))

    def ask(self, work: Callable[[Connection], T]) -> Future[T]:
        """
        Have *work* done in the next transaction, before all rows, and return at once.

        What the future gives is committed. It raises StoreError when the store cannot be written;
        nothing is tried twice. A future that is cancelled before its turn changes nothing.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._thread is None or self._is_closing:
                future.set_exception(StoreError(f"{self._path} is closed"))
            else:
                self._asked.append((work, future))
                self._changed.notify_all()
        return future

    def submit_probe(self, result: ProbeResult, provider: str, vantage: str) -> bool:
        """Queue one probe and its bill and return at once; False when it was dropped."""
        return self._submit((ProbeRow, probe_values(result, provider, vantage)))

    def submit_gap(self, target_id: str, reason: GapReason, at: float, slot_s: float) -> bool:
        """Queue one slot without a probe and return at once; False when it was dropped."""
        return self._submit((GapRow, gap_values(target_id, reason, at, slot_s)))

    def submit_order(self, order: Order) -> bool:
        """Queue one decided order, with its event, and return at once; False when it was dropped."""
        return self._submit(*order_rows(order))

    def submit_entry(self, entry: Entry) -> bool:
        """Queue what one moment adds to the journal; False when it was dropped, all of it."""
        return self._submit(*entry_rows(entry))

    def submit_event(self, event: Event) -> bool:
        """Queue one event that is nobody's entry and return at once; False when it was dropped."""
        return self._submit((EventRow, event_values(event)))

    def flush(self, timeout: float = DRAIN_S) -> bool:
        """Wait until all that is queued now is settled; False when *timeout* seconds pass first."""
        with self._changed:
            goal = self._flush_to = self._accepted
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._settled >= goal, timeout)

    def close(self, timeout: float = DRAIN_S) -> None:
        """Commit what is queued, for at most *timeout* seconds; drop and count the rest."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread is None:
            return
        self._thread.join(timeout)
        with self._changed:
            self._is_given_up = True
            self._changed.notify_all()
        # A commit that waits for a lock ends after the busy timeout.
        self._thread.join()

    @property
    def is_checked(self) -> bool:
        """Whether the start reads the file for damage; else :meth:`Reader.damage` is to be asked."""
        return self._path.stat().st_size <= self._checked_at_once

    @property
    def stats(self) -> WriterStats:
        """How the writer fares right now."""
        with self._changed:
            return WriterStats(
                queue=len(self._queue),
                committed=self._committed,
                errors=self._errors,
                dropped=self._dropped,
                last_commit_at=self._last_commit_at,
                last_error=self._last_error,
                is_failing=self._is_failing,
            )

    def _submit(self, *rows: Row) -> bool:
        with self._changed:
            if len(self._queue) >= self._queue_max or self._is_closing:
                self._dropped += 1
                return False
            self._queue.append(rows)
            self._accepted += 1
            # One wake-up starts a batch; the rows after it find the thread awake.
            if len(self._queue) in (1, WRITE_BATCH_MAX):
                self._changed.notify_all()
            return True

    def _run(self) -> None:
        assert self._engine is not None
        wait_s = _RETRY_S_MIN
        while True:
            asked, batch = self._next_work()
            if asked:
                self._answer(asked)
            elif not batch:
                break
            if not batch:
                continue
            try:
                self._commit(batch)
            except Exception as error:  # noqa: BLE001 - the loop must live; it counts and logs
                if self._failed(error, batch):
                    self._engine.dispose()  # The next attempt opens the file anew.
                    self._pause(wait_s)
                    wait_s = min(wait_s * 2, _RETRY_S_MAX)
            else:
                wait_s = _RETRY_S_MIN
        self._engine.dispose()

    def _next_work(self) -> tuple[list[_Asked], list[_Item]]:
        """
        Return who asks and waits, and the oldest rows if they are due, left in the queue.

        Neither when there is nothing left to do.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._asked or self._is_closing)
            self._changed.wait_for(lambda: self._asked or self._is_due(), WRITE_BATCH_S)
            asked, self._asked = self._asked, []
            if asked and not self._is_due():
                return asked, []
            if self._is_given_up and self._queue:
                log.error("store.rows_lost", rows=len(self._queue), error=self._last_error)
                self._settle(len(self._queue), is_lost=True)
            batch = [self._queue[i] for i in range(min(len(self._queue), self._batch_max))]
            return asked, batch

    def _answer(self, asked: Sequence[_Asked]) -> None:
        """Do all that is still waited for in one transaction; tell them once it is committed."""
        assert self._engine is not None
        waiting = [one for one in asked if one[1].set_running_or_notify_cancel()]
        try:
            with self._engine.begin() as connection:
                answers = [work(connection) for work, _ in waiting]
        except Exception as error:  # noqa: BLE001 - the loop must live; those who asked are told
            self._note_failure(error, rows=len(waiting))
            self._engine.dispose()
            for _, future in waiting:
                future.set_exception(StoreError(f"cannot write {self._path}: {_words(error)}"))
        else:
            with self._changed:
                self._last_commit_at = self._clock.wall()
                self._is_failing = False
            for (_, future), answer in zip(waiting, answers, strict=True):
                future.set_result(answer)

    def _is_due(self) -> bool:
        is_full = len(self._queue) >= self._batch_max
        return is_full or self._is_closing or self._flush_to > self._settled

    def _commit(self, batch: Sequence[_Item]) -> None:
        assert self._engine is not None
        rows: dict[type[SQLModel], list[dict[str, Any]]] = {}
        for table, values in chain.from_iterable(batch):
            rows.setdefault(table, []).append(values)
        with self._engine.begin() as connection:
            with rolled_up(connection, {str(table.__tablename__) for table in rows}):
                for table, many in rows.items():
                    connection.execute(statement(table), many)
            if probes := rows.get(ProbeRow):
                settle(connection, probes)
        with self._changed:
            self._last_commit_at = self._clock.wall()
            self._settle(len(batch), is_lost=False)
            self._is_failing = False

    def _settle(self, count: int, *, is_lost: bool) -> None:
        for _ in range(count):
            self._queue.popleft()
        self._settled += count
        if is_lost:
            self._dropped += count
        else:
            self._committed += count
        self._changed.notify_all()

    def _failed(self, error: Exception, batch: Sequence[_Item]) -> bool:
        """Count *error*; return whether waiting may help."""
        is_disk = isinstance(error, _DISK) or type(error) is DatabaseError
        self._note_failure(error, rows=len(batch), is_told=not is_disk)
        with self._changed:
            if not is_disk:
                # One of these rows is to blame: write one at a time until it shows itself.
                is_found = len(batch) == 1
                self._batch_max = WRITE_BATCH_MAX if is_found else 1
                if is_found:
                    self._settle(1, is_lost=True)
        return is_disk

    def _note_failure(self, error: Exception, *, rows: int, is_told: bool = False) -> None:
        """Count *error*; log it if it is the first in a row, or *is_told* each time."""
        with self._changed:
            self._errors += 1
            self._last_error = _words(error)
            is_news, self._is_failing = not self._is_failing, True
        if is_news or is_told:
            log.error("store.write_failed", rows=rows, error=self._last_error)

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt; closing brings it forward."""
        with self._changed:
            was_closing = self._is_closing
            self._changed.wait_for(
                lambda: self._asked or self._is_given_up or self._is_closing != was_closing,
                _RETRY_S_MIN if was_closing else seconds,
            )


def _words(error: Exception) -> str:
    """Return the driver's words; SQLAlchemy would add the statement and the row's values."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}"
