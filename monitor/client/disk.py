"""
The last good order in a file, for the next process that starts while no daemon answers.

A file that is missing, cut, or of another pool is none; a disk that is full or read-only is told
to the log and nobody else. Several processes may share one: each writes it whole.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from monitor.client.clock import Clock
from monitor.client.held import Told
from monitor.client.order import BODY_BYTES_MAX, read_order

_SCHEMA: Final = 1
# The order as text inside of JSON: quotes are escaped, never more than doubled.
_FILE_BYTES_MAX: Final = 2 * BODY_BYTES_MAX + 65_536


class Disk:
    """One order's file."""

    def __init__(self, folder: Path, url: str, pool: str, profile: str | None) -> None:
        """Name the file in *folder* by what is asked for, so that two questions never share one."""
        asked = json.dumps([url, pool, profile]).encode()
        digest = blake2b(asked, digest_size=8).hexdigest()
        self.path = folder.expanduser() / f"{pool}-{digest}.json"
        self._pool = pool
        self._profile = profile

    def load(self, clock: Clock) -> Told | None:
        """Return what an earlier process was told, or None; never raises."""
        try:
            with self.path.open("rb") as file:
                data = file.read(_FILE_BYTES_MAX + 1)
            if len(data) > _FILE_BYTES_MAX:
                return None
            document = json.loads(data)
            return self._told(document, clock)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _told(self, document: dict[str, Any], clock: Clock) -> Told | None:
        if document["schema"] != _SCHEMA:
            return None
        body = bytes(document["body"], "utf-8")
        saved_at, ahead = float(document["confirmed_at"]), float(document["server_minus_wall_s"])
        etag = document["etag"]
        if not (math.isfinite(saved_at) and math.isfinite(ahead)):
            return None
        wall, now = clock.wall(), clock.monotonic()
        return Told(
            decision=read_order(body, self._pool, self._profile),
            body=body,
            etag=etag if isinstance(etag, str) else None,
            # Two processes share no monotonic clock: an age across them is by the wall clock, and
            # a clock that was set back since makes it 0, never negative.
            confirmed_at=now - max(0.0, wall - saved_at),
            server_ahead_s=wall + ahead - now,
            is_from_disk=True,
        )

    def save(self, told: Told, clock: Clock) -> None:
        """
        Write *told* in one step: readers find the old file or the new one.

        Not synced: what a power cut leaves behind is a file that :meth:`load` ignores.

        Raises:
            OSError: It cannot be written; the old file stands.
        """
        wall, now = clock.wall(), clock.monotonic()
        document = {
            "schema": _SCHEMA,
            "etag": told.etag,
            "confirmed_at": wall - (now - told.confirmed_at),
            "server_minus_wall_s": now + told.server_ahead_s - wall,
            "body": told.body.decode(),
        }
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A name of its own, readable by us alone (0600), in the folder that rename needs.
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}-", dir=self.path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file)
            Path(name).replace(self.path)
        except OSError:
            with suppress(OSError):
                Path(name).unlink()
            raise
