"""The gauges of claims: latency SLI, verdicts, error budget, burn rates, maintenance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.core.snapshot import TargetView
from monitor.core.verdict import Verdict
from monitor.exposition import Spec

_T: Final = ("target",)
_TW: Final = ("target", "window")

SLO_GAUGES: Final = (
    Spec("imgmon_claim_availability_ratio", "Availability that is claimed.", _T),
    Spec("imgmon_claim_latency_p95_seconds", "Time that 95 % of requests are claimed to take.", _T),
    Spec(
        "imgmon_latency_sli_ratio",
        "Good and bad probes that are good and within the p95 claimed or aimed for.",
        _TW,
    ),
    Spec("imgmon_latency_sli_ratio_lower", "Lower end of the 95 % Wilson interval.", _TW),
    Spec(
        "imgmon_claim_attained",
        "1 when the claim is attained, 0 when it is missed; absent when undetermined.",
        (*_TW, "claim"),
    ),
    Spec(
        "imgmon_error_budget_remaining_ratio",
        "Share of the 30-day error budget that is left; negative when overspent.",
        _T,
    ),
    Spec(
        "imgmon_error_budget_remaining_ratio_lower",
        "The same at the lower end of availability's interval.",
        _T,
    ),
    Spec(
        "imgmon_burn_rate",
        "1 uses up the error budget in 30 days; absent below 3 failures or 12 samples.",
        _TW,
    ),
    Spec("imgmon_burn_rate_lower", "The same at the lower end of the failures' interval.", _TW),
    Spec("imgmon_maintenance_seconds", "Announced maintenance in the window.", _TW),
)


def put_slo(
    put: Callable[[str, tuple[str, ...], float | None], None], target: str, view: TargetView
) -> None:
    """Hand every gauge of one target to *put*: name, labels and value, None for no series."""
    put("imgmon_claim_availability_ratio", (target,), view.spec.claim.availability)
    put("imgmon_claim_latency_p95_seconds", (target,), view.spec.claim.latency_p95_s)
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
