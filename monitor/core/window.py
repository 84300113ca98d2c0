"""
Rolling windows over the scheduled samples of one target: exact figures, kept incrementally.

Only scheduled samples belong here (law 2): confirmations and manual probes cluster around
failures and would bias every figure. Each weighs the time it stands for, so that slots left out
while a target is down bias none either. Times are kept in whole microseconds, so that sums of what
enters and leaves a window never drift.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from monitor import limits
from monitor.core.availability import weighted
from monitor.core.gaps import GapHistory
from monitor.core.maintenance import Rules, maintenance_s
from monitor.core.percentile import quantile
from monitor.core.snapshot import GapCount, GapReason, WindowFigures
from monitor.core.values import changed
from probes.model import Outcome

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)
# How far back "recent" reaches, in samples: bounds the search in the history of a dead target.
RECENT_SAMPLES_MAX: Final = 1_000
# Samples are kept for this many of the longest windows, so that a wall clock set ahead and back
# by up to one such window loses nothing.
_KEEP_WINDOWS: Final = 2


_VALID: Final = (Outcome.GOOD, Outcome.BAD, Outcome.UNUSABLE)


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


class Sample(NamedTuple):
    """
    What a window remembers of one scheduled probe.

    Attributes:
        at: Wall time of the probe's start, seconds since the epoch.
        latency_s: None unless good.
        duration_s: Time from start to verdict, whatever the outcome.
        slot_s: The time it stands for, which is its weight; also how far it can speak to each side.
    """

    at: float
    outcome: Outcome
    is_timeout: bool
    latency_s: float | None
    duration_s: float
    slot_s: float

    @property
    def weight(self) -> int:
        """Whole microseconds that it stands for; never none, or its outcome would not count."""
        return weight_of(_micros(self.slot_s))


def weight_of(slot: int) -> int:
    """Return the weight of a sample that stands for *slot* microseconds."""
    return max(1, slot)


@dataclass(slots=True)
class _Window:
    """Sums over ``samples[lo:hi]``; *pairs* is twice what neighbours cover between them."""

    name: str
    span_s: float
    span: int  # In whole microseconds.
    lo: int = 0
    hi: int = 0
    counts: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    weights: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    squares: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    timeouts: int = 0
    fast: int = 0
    fast_weight: int = 0
    latencies: list[float] = field(default_factory=list)
    latency_sum: int = 0
    failure_sum: int = 0
    pairs: int = 0
    figures: WindowFigures | None = None  # Of the current members; coverage and gaps age.


class _Ageing(NamedTuple):
    """What changes of a window's figures while no sample enters or leaves it."""

    coverage: float
    maintenance_s: float
    gaps: Mapping[GapReason, GapCount]
    since: float | None


class History:
    """
    The samples and gaps of one target and their figures over several windows.

    A sample belongs to a window of length *span* when ``now - span < at <= now``. One whose time
    is still ahead (the wall clock was set back) waits until *now* passes it. Void samples say
    nothing and are not kept; beyond ``limits.SAMPLES_PER_TARGET_MAX`` the oldest are dropped.
    """

    def __init__(
        self,
        windows: Mapping[str, float],
        *,
        threshold_s: float | None = None,
        maintenance: Rules = (),
    ) -> None:
        """
        Watch *windows*: name to length in seconds.

        Args:
            windows: At least one.
            threshold_s: Latency over which a good sample is slow; None for no latency SLI.
            maintenance: Times that no sample speaks for and that coverage does not ask for.
        """
        self._threshold_s = threshold_s
        self._maintenance = maintenance
        self._samples: list[Sample] = []
        # Times and slots of the samples in the same order, in whole microseconds.
        self._at: list[int] = []
        self._slots: list[int] = []
        self.windows = windows
        self._windows = [_Window(name, span_s, _micros(span_s)) for name, span_s in windows.items()]
        self.longest_s = max(windows.values())
        keep_s = _KEEP_WINDOWS * self.longest_s
        self._keep = _micros(keep_s)
        self._gaps = GapHistory(windows, keep_s)
        self._recent: dict[int, tuple[float, ...]] = {}  # By k, until a sample comes or goes.

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All that is kept, oldest first."""
        return tuple(self._samples)

    def append(self, sample: Sample) -> None:
        """Add *sample* at its place in time, after others of the same time."""
        assert (sample.latency_s is None) == (sample.outcome is not Outcome.GOOD)
        if sample.outcome is Outcome.VOID:
            return
        self._recent.clear()
        at = _micros(sample.at)
        index = bisect_right(self._at, at)
        if index < len(self._samples):
            for window in self._windows:
                if index < window.lo:
                    window.lo += 1
                    window.hi += 1
                while (
                    window.hi > index >= window.lo
                ):  # Re-enters, with its new neighbour, by itself.
                    self._pop_newest(window)
        self._samples.insert(index, sample)
        self._at.insert(index, at)
        self._slots.insert(index, _micros(sample.slot_s))
        if len(self._samples) > limits.SAMPLES_PER_TARGET_MAX:
            for window in self._windows:
                if window.lo == 0 < window.hi:
                    self._pop_oldest(window)
            self._drop(1)

    def extend(self, samples: Iterable[Sample]) -> None:
        """Add *samples* one after another, as :meth:`append` does; at once if they are the newest."""
        added = [sample for sample in samples if sample.outcome is not Outcome.VOID]
        at = [*self._at[-1:], *(_micros(sample.at) for sample in added)]
        if at != sorted(at) or len(self) + len(added) > limits.SAMPLES_PER_TARGET_MAX:
            for sample in added:
                self.append(sample)
            return
        assert all((s.latency_s is None) == (s.outcome is not Outcome.GOOD) for s in added)
        self._recent.clear()
        self._samples += added
        self._at[-1:] = at
        self._slots += [_micros(sample.slot_s) for sample in added]

    def gap(self, at: float, reason: GapReason, slot_s: float) -> None:
        """Add a slot of *slot_s* seconds in which no probe ran at *at*."""
        self._gaps.append(at, reason, slot_s)

    def figures(self, now: float) -> Mapping[str, WindowFigures]:
        """Return the figures of every window as of *now*, by window name."""
        end = _micros(now)
        hi = bisect_right(self._at, end)
        self._windows = [
            self._moved(window, bisect_right(self._at, end - window.span), hi)
            for window in self._windows
        ]
        # Every window starts after these.
        if outdated := bisect_right(self._at, end - self._keep):
            self._drop(outdated)
        gaps = self._gaps.counts(now)
        return {w.name: self._figures(w, end, gaps[w.name]) for w in self._windows}

    def recent_latencies(self, k: int) -> tuple[float, ...]:
        """Return the latencies of the last *k* good samples, newest last."""
        if k not in self._recent:
            newest_first = (
                sample.latency_s
                for sample in islice(reversed(self._samples), RECENT_SAMPLES_MAX)
                if sample.latency_s is not None
            )
            self._recent[k] = tuple(islice(newest_first, k))[::-1]
        return self._recent[k]

    def _drop(self, count: int) -> None:
        self._recent.clear()
        del self._samples[:count]
        del self._at[:count]
        del self._slots[:count]
        for window in self._windows:
            window.lo = max(0, window.lo - count)
            window.hi = max(0, window.hi - count)

    def _moved(self, window: _Window, lo: int, hi: int) -> _Window:
        if window.lo == window.hi or hi <= window.lo or window.hi <= lo:  # Nothing in common.
            return self._afresh(window, lo, hi)
        while window.lo > lo:
            self._push_oldest(window)
        while window.hi < hi:
            self._push_newest(window)
        while window.lo < lo:
            self._pop_oldest(window)
        while window.hi > hi:
            self._pop_newest(window)
        return window

    def _afresh(self, old: _Window, lo: int, hi: int) -> _Window:
        """Return the window *old* with ``samples[lo:hi]`` instead, all counted at once."""
        window = _Window(old.name, old.span_s, old.span, lo, hi)
        samples = self._samples[lo:hi]
        weights = [weight_of(slot) for slot in self._slots[lo:hi]]
        for outcome in _VALID:
            of = [w for s, w in zip(samples, weights, strict=True) if s.outcome is outcome]
            window.counts[outcome], window.weights[outcome] = len(of), sum(of)
            window.squares[outcome] = sum(weight * weight for weight in of)
        window.latencies = sorted(s.latency_s for s in samples if s.latency_s is not None)
        window.latency_sum = sum(map(_micros, window.latencies))
        fast = [
            weight
            for sample, weight in zip(samples, weights, strict=True)
            if self._is_fast(sample.latency_s)
        ]
        window.fast, window.fast_weight = len(fast), sum(fast)
        failed = [s for s in samples if s.outcome is Outcome.BAD]
        window.failure_sum = sum(_micros(sample.duration_s) for sample in failed)
        window.timeouts = sum(sample.is_timeout for sample in failed)
        window.pairs = sum(map(self._pair, range(lo, hi - 1)))
        return window

    def _push_oldest(self, window: _Window) -> None:
        window.lo -= 1
        self._count(window, window.lo, +1)
        window.pairs += self._pair(window.lo)

    def _push_newest(self, window: _Window) -> None:
        window.hi += 1
        self._count(window, window.hi - 1, +1)
        window.pairs += self._pair(window.hi - 2)  # An empty window is counted afresh instead.

    def _pop_oldest(self, window: _Window) -> None:
        if window.hi - window.lo > 1:
            window.pairs -= self._pair(window.lo)
        self._count(window, window.lo, -1)
        window.lo += 1

    def _pop_newest(self, window: _Window) -> None:
        if window.hi - window.lo > 1:
            window.pairs -= self._pair(window.hi - 2)
        self._count(window, window.hi - 1, -1)
        window.hi -= 1

    def _pair(self, older: int) -> int:
        """Twice the time that sample *older* and the next one cover between them."""
        left, right = self._at[older], self._at[older + 1]
        after = min(2 * self._slots[older], right - left)
        before = min(2 * self._slots[older + 1], right - left)
        if not self._maintenance:
            return after + before
        dead = self._dead(2 * left, 2 * left + after) + self._dead(2 * right - before, 2 * right)
        return after + before - dead

    def _dead(self, since: int, until: int) -> int:
        """Return the maintenance between two times; all three are half microseconds."""
        if not self._maintenance:
            return 0
        return round(maintenance_s(self._maintenance, since / 2e6, until / 2e6) * 2e6)

    def _count(self, window: _Window, index: int, sign: int) -> None:
        sample = self._samples[index]
        weight = weight_of(self._slots[index])
        window.figures = None
        window.counts[sample.outcome] += sign
        window.weights[sample.outcome] += sign * weight
        window.squares[sample.outcome] += sign * weight * weight
        if sample.latency_s is not None:
            is_fast = self._is_fast(sample.latency_s)
            window.fast += sign * is_fast
            window.fast_weight += sign * is_fast * weight
            window.latency_sum += sign * _micros(sample.latency_s)
            if sign > 0:
                insort(window.latencies, sample.latency_s)
            else:
                del window.latencies[bisect_left(window.latencies, sample.latency_s)]
        elif sample.outcome is Outcome.BAD:
            window.failure_sum += sign * _micros(sample.duration_s)
            window.timeouts += sign * sample.is_timeout

    def _is_fast(self, latency_s: float | None) -> bool:
        if latency_s is None or self._threshold_s is None:
            return False
        return latency_s <= self._threshold_s

    def _coverage(self, window: _Window, end: int) -> tuple[float, float]:
        """
        Return the share of the window that its samples speak for, and the maintenance in it.

        Each speaks for the time half-way to its neighbours in the window, at most one slot to
        each side, within the window: the midpoint rule of law 2. Maintenance is no part of the
        window; one that holds nothing else is not covered.
        """
        span = window.span
        dead = self._dead(2 * (end - span), 2 * end) / 2
        if window.lo == window.hi or dead >= span:
            return 0.0, dead / 1e6
        first, last = window.lo, window.hi - 1
        before = min(self._slots[first], self._at[first] - (end - span))
        after = min(self._slots[last], end - self._at[last])
        at_edges = self._dead(2 * (self._at[first] - before), 2 * self._at[first])
        at_edges += self._dead(2 * self._at[last], 2 * (self._at[last] + after))
        covered = before + after + (window.pairs - at_edges) / 2
        # Ends of maintenance are rounded to the half microsecond on each side of a sample.
        return min(1.0, max(0.0, covered / (span - dead))), dead / 1e6

    def _figures(
        self, window: _Window, end: int, gaps: Mapping[GapReason, GapCount]
    ) -> WindowFigures:
        coverage, dead_s = self._coverage(window, end)
        first = self._samples[window.lo].at if window.lo < window.hi else None
        known = [at for at in (first, self._gaps.first_at(window.name)) if at is not None]
        since = min(known, default=None)
        ageing = _Ageing(coverage, dead_s, gaps, since)
        if (figures := window.figures) is None:
            figures = self._recount(window, ageing)
        elif ageing != (figures.coverage, figures.maintenance_s, figures.gaps, figures.since):
            figures = changed(figures, **ageing._asdict())
        window.figures = figures
        return figures

    def _recount(self, window: _Window, ageing: _Ageing) -> WindowFigures:
        counts, weights, squares = window.counts, window.weights, window.squares
        good, bad, unusable = (counts[outcome] for outcome in _VALID)
        n = good + bad + unusable
        good_weight = weights[Outcome.GOOD]
        ours = weights[Outcome.UNUSABLE], squares[Outcome.UNUSABLE]
        decided = (
            good_weight + weights[Outcome.BAD],
            squares[Outcome.GOOD] + squares[Outcome.BAD],
            good + bad,
        )
        provider = weighted(good_weight, *decided)
        return WindowFigures(
            name=window.name,
            span_s=window.span_s,
            n=n,
            good=good,
            bad=bad,
            unusable=unusable,
            provider=provider,
            user=weighted(good_weight, decided[0] + ours[0], decided[1] + ours[1], n)
            if unusable
            else provider,
            coverage=ageing.coverage,
            quantiles={q: quantile(window.latencies, q) for q in QUANTILES},
            latency_n=good,
            latency_mean_s=window.latency_sum / good / 1e6 if good else None,
            failure_mean_s=window.failure_sum / bad / 1e6 if bad else None,
            timeout_ratio=window.timeouts / (good + bad) if good + bad else None,
            last_sample_at=self._samples[window.hi - 1].at if n else None,
            latency_threshold_s=self._threshold_s,
            fast=window.fast,
            latency_sli=(
                None if self._threshold_s is None else weighted(window.fast_weight, *decided)
            ),
            since=ageing.since,
            gaps=ageing.gaps,
            maintenance_s=ageing.maintenance_s,
        )
