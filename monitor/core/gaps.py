"""Slots without a probe, counted over several windows: kept incrementally, as samples are."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor import limits
from monitor.core.snapshot import GapCount, GapReason


@dataclass(frozen=True, slots=True)
class Gap:
    """
    A schedule slot in which no probe ran.

    Attributes:
        at: When its probe would have been sent, seconds since the epoch.
        slot_s: Length of the slot.
    """

    target_id: str
    at: float
    reason: GapReason
    slot_s: float


@dataclass(slots=True)
class _Window:
    """Counts over ``gaps[lo:hi]``."""

    span_s: float
    lo: int = 0
    hi: int = 0
    slots: Counter[GapReason] = field(default_factory=Counter)
    micros: Counter[GapReason] = field(default_factory=Counter)


class GapHistory:
    """
    The gaps of one target over several windows.

    A gap belongs to a window of length *span* when ``now - span < at <= now``, as a sample does;
    beyond ``limits.SAMPLES_PER_TARGET_MAX`` the oldest are dropped.
    """

    def __init__(self, windows: Mapping[str, float], keep_s: float) -> None:
        """Watch *windows*, name to length in seconds; forget what is older than *keep_s*."""
        self._gaps: list[tuple[int, GapReason, int]] = []  # Microseconds: at, and the slot's.
        self._windows = {name: _Window(span_s) for name, span_s in windows.items()}
        self._keep = _micros(keep_s)

    def append(self, at: float, reason: GapReason, slot_s: float) -> None:
        """Add a gap at its place in time."""
        gap = (_micros(at), reason, _micros(slot_s))
        index = bisect_right(self._gaps, gap)
        insort(self._gaps, gap)
        for window in self._windows.values():
            if index < window.lo:
                window.lo += 1
                window.hi += 1
            elif index < window.hi:
                window.hi += 1
                self._count(window, index, +1)
        if len(self._gaps) > limits.SAMPLES_PER_TARGET_MAX:
            self._drop(1)

    def counts(self, now: float) -> Mapping[str, Mapping[GapReason, GapCount]]:
        """Return the gaps of every window as of *now*, by window name and reason."""
        if not self._gaps:  # As most targets are, at every tick.
            return {name: {} for name in self._windows}
        end = _micros(now)
        for window in self._windows.values():
            self._move(window, self._after(end - _micros(window.span_s)), self._after(end))
        if outdated := self._after(end - self._keep):
            self._drop(outdated)
        return {
            name: {
                reason: GapCount(
                    slots=slots, share=min(1.0, window.micros[reason] / _micros(window.span_s))
                )
                for reason, slots in sorted(window.slots.items())
            }
            for name, window in self._windows.items()
        }

    def first_at(self, name: str) -> float | None:
        """Return the time of the oldest gap in a window as it was last read; None without any."""
        window = self._windows[name]
        return self._gaps[window.lo][0] / 1e6 if window.lo < window.hi else None

    def _after(self, at: int) -> int:
        return bisect_right(self._gaps, at, key=lambda gap: gap[0])

    def _move(self, window: _Window, lo: int, hi: int) -> None:
        if hi <= window.lo or window.hi <= lo:  # Nothing in common.
            window.slots.clear()
            window.micros.clear()
            window.lo = window.hi = lo
        while window.lo > lo:
            window.lo -= 1
            self._count(window, window.lo, +1)
        while window.hi < hi:
            self._count(window, window.hi, +1)
            window.hi += 1
        while window.lo < lo:
            self._count(window, window.lo, -1)
            window.lo += 1
        while window.hi > hi:
            window.hi -= 1
            self._count(window, window.hi, -1)

    def _count(self, window: _Window, index: int, sign: int) -> None:
        _, reason, slot = self._gaps[index]
        window.slots[reason] += sign
        window.micros[reason] += sign * slot
        if not window.slots[reason]:
            del window.slots[reason], window.micros[reason]

    def _drop(self, count: int) -> None:
        for window in self._windows.values():
            for index in range(window.lo, min(count, window.hi)):
                self._count(window, index, -1)
            window.lo, window.hi = max(0, window.lo - count), max(0, window.hi - count)
        del self._gaps[:count]


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)
