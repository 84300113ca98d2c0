"""Up to which slot each target's schedule has seen, as facts about the file."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from sqlalchemy import Connection

_KEY: Final = "slot."


def load(connection: Connection, of: Container[str]) -> dict[str, tuple[float, int]]:
    """Return target id to (length of its slots in seconds, last one seen to); forget all not in *of*."""
    rows = connection.exec_driver_sql("SELECT key, value FROM meta WHERE key LIKE ?", (_KEY + "%",))
    found = {}
    for key, value in rows.fetchall():
        target_id = key.removeprefix(_KEY)
        if target_id in of:
            interval_s, slot = value.split()
            found[target_id] = float(interval_s), int(slot)
        else:
            connection.exec_driver_sql("DELETE FROM meta WHERE key = ?", (key,))
    return found


def save(target_id: str, interval_s: float, slot: int, connection: Connection) -> None:
    """Store the last slot of a target."""
    connection.exec_driver_sql(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (_KEY + target_id, f"{interval_s!r} {slot}"),
    )
