"""Claims, error budgets and gaps as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from monitor.core.availability import floor_ratio
from monitor.core.snapshot import GapCount, GapReason
from monitor.core.verdict import ClaimVerdict, ErrorBudget


def claims_document(claims: Iterable[ClaimVerdict]) -> list[dict[str, Any]]:
    """Return what the samples of one window say of each claim."""
    return [
        {
            "claim": claim.kind.value,
            "value": claim.claim,
            "verdict": claim.verdict.value,
            "text": claim.words,
            "would_decide": (
                {
                    "canaries": claim.decider.canaries,
                    "days": round(claim.decider.days, 3),
                    "usd": round(claim.decider.usd, 4),
                    "fits_window": claim.decider.fits,
                }
                if claim.decider
                else None
            ),
        }
        for claim in claims
    ]


def gaps_document(gaps: Mapping[GapReason, GapCount]) -> dict[str, Any]:
    """Return the slots without a probe by reason; reasons without any are left out."""
    return {
        reason.value: {"slots": count.slots, "share_ratio": round(count.share, 5)}
        for reason, count in gaps.items()
    }


def budget_document(budget: ErrorBudget | None) -> dict[str, Any] | None:
    """Return the error budget of a target; None without a claim that leaves something to fail."""
    if budget is None:
        return None
    return {
        "objective": budget.objective,
        "samples": budget.n,
        "remaining_ratio": floor_ratio(budget.remaining),
        "remaining_ratio_lower": floor_ratio(budget.remaining_lower),
        "burn_rates": {
            window: {
                "samples": burn.n,
                "failures": burn.failures,
                "value": None if burn.rate is None else round(burn.rate, 4),
                "lower": floor_ratio(burn.lower, 4),
            }
            for window, burn in budget.burns.items()
        },
    }
