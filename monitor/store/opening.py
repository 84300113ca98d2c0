"""How the writer opens the file: one connection, immediate transactions, a write-ahead log."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from monitor.errors import StoreError
from monitor.limits import BUSY_TIMEOUT_MS
from monitor.store.rollups import give_bounds, teach

# Of SQLite's machine, about a millisecond: then whoever waits for this processor gets it. The kernel may
# take until its next tick, 4 ms, to let a reader's thread go before one that stores.
_STEPS_A_TURN: Final = 5_000


def open_for_writing(path: Path, pragmas: Sequence[str]) -> Engine:
    """Return an engine of one connection to the file at *path*, with further *pragmas*."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(
            path,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,  # The driver opens no transactions of its own.
            check_same_thread=False,  # Made by the caller of start, used by the thread.
        ),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        # With 8 MB what reports are grouped by needs no temporary file, for which there may be no place.
        for statement in ("PRAGMA synchronous=NORMAL", "PRAGMA cache_size=-8192", *pragmas):
            connection.execute(statement)
        connection.set_progress_handler(os.sched_yield, _STEPS_A_TURN)
        teach(connection)
        give_bounds(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred transaction that turns to writing fails at once, whatever busy_timeout
        # says; this one waits for its turn.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def check(connection: Connection, path: Path, *, is_whole: bool) -> None:
    """
    Raise StoreError unless the file can have a write-ahead log and, where asked, *is_whole*.

    The second reads all of it: 4 s for a gigabyte.
    """
    raw = connection.connection.driver_connection
    assert raw is not None
    # On the driver's connection: none of these may run inside a transaction.
    try:
        (sound,) = raw.execute("PRAGMA quick_check(1)").fetchone() if is_whole else ("ok",)
        (mode,) = raw.execute("PRAGMA journal_mode=WAL").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreError(f"cannot use {path}: {error}") from error
    if sound != "ok":
        raise StoreError(
            f"{path} is damaged ({sound}); restore a backup, or move it away to start anew"
        )
    if mode != "wal":
        raise StoreError(
            f"{path} cannot have a write-ahead log (journal mode {mode!r}); put it on a local disk"
        )


def checkpoint(path: Path) -> None:
    """
    Move what the log of the file at *path* holds into the file, as far as nobody reads it.

    On a connection of its own, so that no commit of the writer waits for the disk meanwhile. What
    cannot be moved now, or not at all, the writer's next long commit moves.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=0.0)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
