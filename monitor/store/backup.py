"""A copy of a file that a daemon may be writing: whole, checked, and there only when it is done."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from monitor.errors import StoreError
from monitor.store.lock import StoreLock

_PAGES_AT_ONCE: Final = 1_000


def back_up(source: Path, to: Path, *, replaces: bool, told: Callable[[int, int], None]) -> None:
    """
    Copy the database *source* to the file *to*, under that name only once it is found to be sound.

    The copy is the file as of the beginning, whatever is written meanwhile; writers do not wait.

    Args:
        source: The database.
        to: A name in a folder that is there.
        replaces: Whether a file of that name may be replaced; never one that a daemon uses.
        told: Called with the pages that are left and all pages.

    Raises:
        StoreError: what is asked for cannot be done; nothing is changed.
    """
    if to.exists() and not replaces:
        raise StoreError(f"{to} is there already; name another file, or add --force")
    if to.exists() and to.samefile(source):
        raise StoreError(f"{to} is the database itself; name another file")
    partial = to.with_name(to.name + ".partial")
    with ExitStack() as held:
        if to.exists():
            held.enter_context(StoreLock(to))
        try:
            partial.unlink(missing_ok=True)
            _copy(source, partial, told)
            _prove(partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            # The log of what is replaced would be taken for that of the copy.
            for suffix in ("-wal", "-shm"):
                to.with_name(to.name + suffix).unlink(missing_ok=True)
            partial.replace(to)
        except (sqlite3.Error, OSError) as error:
            partial.unlink(missing_ok=True)
            raise StoreError(f"cannot back up {source} to {to}: {error}") from error


def _copy(source: Path, partial: Path, told: Callable[[int, int], None]) -> None:
    uri = f"file:{quote(str(source))}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as of,
        closing(sqlite3.connect(partial)) as copy,
    ):
        # Else each commit of the daemon would have it begin anew.
        of.execute("BEGIN")
        of.execute("SELECT 1 FROM sqlite_schema").fetchone()
        of.backup(copy, pages=_PAGES_AT_ONCE, progress=lambda _, left, all_: told(left, all_))


def _prove(partial: Path) -> None:
    uri = f"file:{quote(str(partial))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as copy:
        (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"the copy is damaged: {found}")
