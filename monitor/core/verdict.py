"""What is published of claims: verdicts, and what is left of an error budget, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What samples say of a claim (law 6)."""

    ATTAINED = "attained"
    MISSED = "missed"
    UNDETERMINED = "undetermined"


class ClaimKind(StrEnum):
    """What a claim is about; its key in the configuration."""

    AVAILABILITY = "availability"
    LATENCY_P95 = "latency_p95"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider:
    """
    The further good canaries that would prove a claim, if no bad one comes between.

    Attributes:
        canaries: How many.
        days: How long they take at the target's interval, whatever its caps allow.
        usd: What they cost at list price.
        fits: Whether the window can hold them beside the canaries that it has.
    """

    canaries: int
    days: float
    usd: float
    fits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimVerdict:
    """
    What the samples of one window say of one claim.

    Attributes:
        claim: A share of good canaries, 0..1, or the seconds that 95 % of all may take.
        decider: What would prove it; None when it is decided, or when no number is enough.
        words: The verdict and its evidence in one sentence that stands alone.
    """

    kind: ClaimKind
    claim: float
    verdict: Verdict
    decider: Decider | None
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """
    How fast an error budget goes: 1 would use it up exactly in its 30 days.

    Attributes:
        n: Good and bad samples in the window.
        failures: Bad ones among them.
        rate: None where the samples do not support one.
        lower: The same at the lower end of the failures' 95 % interval.
    """

    n: int
    failures: int
    rate: float | None
    lower: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """
    What a target's claim of availability leaves to fail over 30 days.

    Attributes:
        objective: The claim, 0..1.
        n: Good and bad samples in these 30 days.
        remaining: Share of the budget that is left, at most 1; below 0 when more has failed. None
            where the samples do not support one.
        remaining_lower: The same at the lower end of availability's 95 % interval.
        burns: By window.
    """

    objective: float
    n: int
    remaining: float | None
    remaining_lower: float | None
    burns: Mapping[str, Burn]
