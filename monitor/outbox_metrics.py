"""The metrics of notifications: what waits, and what became of attempts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

_PENDING: Final = ("imgmon_notifications_pending", "Messages that are not sent yet.")
_OLDEST: Final = (
    "imgmon_notification_oldest_pending_seconds",
    "Age of the oldest message that is not sent yet; 0 without any.",
)
_SENDS: Final = (
    "imgmon_notification_sends",
    "Attempts to send a message: sent, failed (tried again) or given_up.",
)
OUTBOX_NAMES: Final = (_PENDING[0], _OLDEST[0], f"{_SENDS[0]}_total")


@dataclass(frozen=True, slots=True)
class OutboxFigures:
    """Messages that wait, the age of the oldest, attempts by (route, result)."""

    pending: int
    oldest_s: float
    sends: Mapping[tuple[str, str], int]


def outbox_families(figures: OutboxFigures) -> Iterator[Metric]:
    """Yield the families of *figures*; each route has its series from the start."""
    yield GaugeMetricFamily(*_PENDING, value=figures.pending)
    yield GaugeMetricFamily(*_OLDEST, value=figures.oldest_s)
    sends = CounterMetricFamily(*_SENDS, labels=("route", "result"))
    for labels, count in figures.sends.items():
        sends.add_metric(labels, count)
    yield sends
