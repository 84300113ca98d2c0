"""The metrics of the configuration: whether the file could be taken, and since when it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

_SUCCESSFUL: Final = (
    "imgmon_config_last_reload_successful",
    "1 when the last reload was taken, or none was asked for; else 0.",
)
_SUCCESS_AT: Final = (
    "imgmon_config_last_reload_success_timestamp_seconds",
    "When the configuration that holds was taken: by a reload, or by the start.",
)
RELOAD_NAMES: Final = (_SUCCESSFUL[0], _SUCCESS_AT[0])


@dataclass(frozen=True, slots=True)
class ReloadFigures:
    """How the last reload ended, and the wall time of the last one that was taken."""

    is_successful: bool
    success_at: float


def reload_families(figures: ReloadFigures) -> Iterator[Metric]:
    """Yield the families of *figures*."""
    yield GaugeMetricFamily(*_SUCCESSFUL, value=float(figures.is_successful))
    yield GaugeMetricFamily(*_SUCCESS_AT, value=figures.success_at)
