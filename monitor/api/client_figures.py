"""What clients reported of a target, beside what canaries measured, as JSON and for OpenAPI."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from monitor.core.availability import Ratio, floor_ratio
from monitor.core.reports import ClientFigures, ReportFigures


class ReportedRatioOut(BaseModel):
    """A share with its 95 % interval; null without any report."""

    value: float | None
    lower: float | None
    upper: float | None
    samples: int


class ReportedViewsOut(BaseModel):
    """Both views, no client weighing more than all others together."""

    provider: ReportedRatioOut
    user: ReportedRatioOut


class ReportedLatencyOut(BaseModel):
    """Latency of delivered pictures, within 1 %."""

    samples: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class ReportedWindowOut(BaseModel):
    """Figures of one window from the clients' own requests; it begins at a whole minute, hour or day."""

    clients: int
    reports: int
    good: int
    bad: int
    unusable: int
    availability: ReportedViewsOut
    timeouts_ratio: float | None
    latency_s: ReportedLatencyOut


class ReportedOut(BaseModel):
    """What clients reported; windows without a report are left out."""

    failing_alone: list[str] = Field(
        description="Clients that fail while others succeed: their own trouble, it demotes nobody."
    )
    windows: dict[str, ReportedWindowOut]


def reported_document(figures: ReportFigures, target: str) -> dict[str, Any]:
    """Return what clients reported of *target*."""
    windows = figures.windows.get(target, {})
    return {
        "failing_alone": list(figures.failing_alone.get(target, ())),
        "windows": {name: reported_window(window) for name, window in windows.items()},
    }


def reported_window(window: ClientFigures) -> dict[str, Any]:
    """Return the figures of one window, or of a period of the past."""
    return {
        "clients": window.clients,
        "reports": window.n,
        "good": window.good,
        "bad": window.bad,
        "unusable": window.unusable,
        "availability": {"provider": _ratio(window.provider), "user": _ratio(window.user)},
        "timeouts_ratio": _rounded(window.timeout_ratio),
        "latency_s": {
            "samples": window.latency_n,
            **{f"p{round(q * 100)}": _rounded(value) for q, value in window.quantiles.items()},
        },
    }


def _ratio(ratio: Ratio) -> dict[str, Any]:
    return {
        "value": floor_ratio(ratio.value),
        "lower": floor_ratio(ratio.lower),
        "upper": None if ratio.upper is None else round(ratio.upper, 5),
        "samples": ratio.n,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
