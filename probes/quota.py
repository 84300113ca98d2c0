"""What replies tell of a provider's limits on requests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LimitPeriod(StrEnum):
    """What a provider counts requests by."""

    MINUTE = "minute"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """
    A limit on requests that a reply told of.

    Attributes:
        requests: How many a period; None when the reply names none.
        remaining: How many are left of them.
        resets_at: When the running period ends, seconds since the Unix epoch.
        per_model: Whether requests to each model are counted apart; else the account's all count.
    """

    period: LimitPeriod
    requests: int | None = None
    remaining: int | None = None
    resets_at: float | None = None
    per_model: bool = False

    def __post_init__(self) -> None:
        assert self.requests is None or self.requests >= 0
        assert self.remaining is None or self.remaining >= 0
