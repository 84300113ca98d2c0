"""A pause of one target: no canary of its schedule is sent meanwhile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pause:
    """
    What an operator said.

    Attributes:
        since: Wall time.
        until: Wall time of its end; None for one that lasts until somebody ends it.
        reason: In words.
        by: Name of the token it was said with.
    """

    since: float
    until: float | None
    reason: str
    by: str

    @property
    def why(self) -> str:
        """Who paused it and why, in words."""
        return f"by {self.by}: {self.reason}"

    def holds(self, now: float) -> bool:
        """Return whether it is not over at *now*."""
        return self.until is None or now < self.until
