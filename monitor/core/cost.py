"""What a month of pictures costs on a target: at its price, within its quota, or as batch jobs."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from monitor.core.plan import MONTH_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A month's *images*: how many of them fit into the quota, and what those cost."""

    images: int
    within_quota: int
    usd: float

    @property
    def over_quota(self) -> int:
        """Images that must be made elsewhere."""
        return self.images - self.within_quota


def month_of(images: int, price_usd: float, quota_per_day: float | None) -> Volume:
    """Return *images* a month at *price_usd* each; *quota_per_day* None for no known quota."""
    fits = images if quota_per_day is None else min(images, floor(quota_per_day * MONTH_DAYS))
    return Volume(images=images, within_quota=fits, usd=fits * price_usd)
