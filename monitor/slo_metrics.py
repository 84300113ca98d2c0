"""The gauges of claims: latency SLI, verdicts, error budget, burn rates, maintenance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.core.snapshot import TargetView
from monitor.core.verdict import Verdict

_T: Final = ("target",)
_TW: Final = ("target", "window")

SLO_GAUGES: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (
        "imgmon_latency_sli_ratio",
        "Good and bad probes that are good and within the p95 claimed or aimed for.",
        _TW,
    ),
    ("imgmon_latency_sli_ratio_lower", "Lower end of the 95 % Wilson interval.", _TW),
    (
        "imgmon_claim_attained",
        "1 when the claim is attained, 0 when it is missed; absent when undetermined.",
        (*_TW, "claim"),
    ),
    (
        "imgmon_error_budget_remaining_ratio",
        "Share of the 30-day error budget that is left; negative when overspent.",
        _T,
    ),
    (
        "imgmon_error_budget_remaining_ratio_lower",
        "The same at the lower end of availability's interval.",
        _T,
    ),
    (
        "imgmon_burn_rate",
        "1 uses up the error budget in 30 days; absent below 3 failures or 12 samples.",
        _TW,
    ),
    ("imgmon_burn_rate_lower", "The same at the lower end of the failures' interval.", _TW),
    ("imgmon_maintenance_seconds", "Announced maintenance in the window.", _TW),
)


def put_slo(
    put: Callable[[str, tuple[str, ...], float | None], None], target: str, view: TargetView
) -> None:
    """Hand every gauge of one target to *put*: name, labels and value, None for no series."""
    for window, figures in view.windows.items():
        labels = (target, window)
        put("imgmon_maintenance_seconds", labels, figures.maintenance_s)
        if (sli := figures.latency_sli) is not None:
            put("imgmon_latency_sli_ratio", labels, sli.value)
            put("imgmon_latency_sli_ratio_lower", labels, sli.lower)
    for window, claims in view.claims.items():
        for claim in claims:
            if claim.verdict is not Verdict.UNDETERMINED:
                is_attained = float(claim.verdict is Verdict.ATTAINED)
                put("imgmon_claim_attained", (target, window, claim.kind.value), is_attained)
    if (budget := view.budget) is not None:
        put("imgmon_error_budget_remaining_ratio", (target,), budget.remaining)
        put("imgmon_error_budget_remaining_ratio_lower", (target,), budget.remaining_lower)
        for window, burn in budget.burns.items():
            put("imgmon_burn_rate", (target, window), burn.rate)
            put("imgmon_burn_rate_lower", (target, window), burn.lower)
