"""What claims, error budgets and gaps look like in answers, for OpenAPI."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Ratio = float


class WouldDecideOut(BaseModel):
    """Further good canaries that would prove a claim, if no bad one comes between."""

    canaries: int
    days: float = Field(description="At the target's interval, whatever its caps allow.")
    usd: float = Field(description="At list price.")
    fits_window: bool = Field(description="Whether the window can hold them beside what it has.")


class ClaimOut(BaseModel):
    """What the samples of a window say of a claim."""

    claim: Literal["availability", "latency_p95"]
    value: float = Field(description="A share, or seconds.")
    verdict: Literal["attained", "missed", "undetermined"]
    text: str
    would_decide: WouldDecideOut | None = Field(
        description="Null when it is decided, or when no number of canaries is enough."
    )


class GapOut(BaseModel):
    """Slots without a probe."""

    slots: int
    share_ratio: Ratio = Field(description="Of the window.")


class BurnOut(BaseModel):
    """How fast an error budget goes; 1 uses it up in its 30 days."""

    samples: int
    failures: int
    value: float | None = Field(description="Null below 3 failures or 12 samples.")
    lower: float | None


class BudgetOut(BaseModel):
    """What a claim of availability leaves to fail over 30 days."""

    objective: Ratio
    samples: int
    remaining_ratio: float | None = Field(
        description="At most 1; below 0 when more has failed; null below 12 samples."
    )
    remaining_ratio_lower: float | None
    burn_rates: dict[str, BurnOut]
