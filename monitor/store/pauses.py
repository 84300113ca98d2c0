"""Pauses of targets, as facts about the file."""

from __future__ import annotations

from typing import Final

from pydantic import TypeAdapter
from sqlalchemy import Connection

from monitor.core.pause import Pause

_KEY: Final = "paused."
_PAUSE: Final = TypeAdapter(Pause)


def load(connection: Connection) -> dict[str, Pause]:
    """Return target id to its pause, over or not."""
    found = connection.exec_driver_sql(
        "SELECT key, value FROM meta WHERE key LIKE ?", (_KEY + "%",)
    )
    return {key.removeprefix(_KEY): _PAUSE.validate_json(value) for key, value in found}


def save(target_id: str, pause: Pause, connection: Connection) -> None:
    """Store the pause of a target, in place of the one there is."""
    connection.exec_driver_sql(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (_KEY + target_id, _PAUSE.dump_json(pause).decode()),
    )


def remove(target_id: str, connection: Connection) -> None:
    """Forget the pause of a target."""
    connection.exec_driver_sql("DELETE FROM meta WHERE key = ?", (_KEY + target_id,))
