"""One daemon per database: a second one would double the bill."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from monitor.errors import StoreError, StoreHeldError


class StoreLock:
    """
    A context manager that holds the lock file beside a database.

    The kernel lets go of it when the process ends, however it ends; the file stays, because
    removing it would let two daemons lock two files of one name.
    """

    def __init__(self, store_path: Path) -> None:
        """Lock the database at *store_path* on entry."""
        self._store_path = store_path
        self._path = store_path.with_name(store_path.name + ".lock")
        self._file: int | None = None

    def __enter__(self) -> Self:
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(
                f"cannot lock {self._path}: {error.strerror}; "
                "make its folder, writable for this user, or set another [store] path"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise StoreHeldError(
                f"another imgmon (pid {holder}) uses {self._store_path}; "
                "stop it or set another [store] path"
            ) from error
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        os.close(self._file)
        self._file = None
