"""The metrics of notifications: what waits, and what became of attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor.exposition import Families, Spec

OUTBOX_SPECS: Final = (
    Spec("imgmon_notifications_pending", "Messages that are not sent yet."),
    Spec(
        "imgmon_notification_oldest_pending_seconds",
        "Age of the oldest message that is not sent yet; 0 without any.",
    ),
    Spec(
        "imgmon_notification_sends",
        "Attempts to send a message: sent, failed (tried again) or given_up.",
        ("route", "result"),
        "counter",
    ),
)


@dataclass(frozen=True, slots=True)
class OutboxFigures:
    """Messages that wait, the age of the oldest, attempts by (route, result)."""

    pending: int
    oldest_s: float
    sends: Mapping[tuple[str, str], int]


def put_outbox(families: Families, figures: OutboxFigures) -> None:
    """Put the series of *figures*; each route has its own from the start."""
    families.put("imgmon_notifications_pending", (), figures.pending)
    families.put("imgmon_notification_oldest_pending_seconds", (), figures.oldest_s)
    for labels, count in figures.sends.items():
        families.put("imgmon_notification_sends", labels, count)
