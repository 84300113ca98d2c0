"""The metrics of the configuration: whether the file could be taken, and since when it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from monitor.exposition import Families, Spec

_SUCCESSFUL: Final = Spec(
    "imgmon_config_last_reload_successful",
    "1 when the last reload was taken, or none was asked for; else 0.",
)
_SUCCESS_AT: Final = Spec(
    "imgmon_config_last_reload_success_timestamp_seconds",
    "When the configuration that holds was taken: by a reload, or by the start.",
)
_CONFIG: Final = Spec(
    "imgmon_config",
    "Vantage, and a digest of the configuration in force: alike where daemons measure alike.",
    ("vantage", "digest"),
    "info",
)
RELOAD_SPECS: Final = (_CONFIG, _SUCCESSFUL, _SUCCESS_AT)


@dataclass(frozen=True, slots=True)
class ReloadFigures:
    """How the last reload ended, the wall time of the last one that was taken, and what holds now."""

    is_successful: bool
    success_at: float
    vantage: str
    digest: str


def put_reload(families: Families, figures: ReloadFigures) -> None:
    """Put *figures* into *families*."""
    families.put(_CONFIG.name, (figures.vantage, figures.digest), 1)
    families.put(_SUCCESSFUL.name, (), figures.is_successful)
    families.put(_SUCCESS_AT.name, (), figures.success_at)
