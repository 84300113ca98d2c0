"""
A mergeable sketch of latencies: exact counts in buckets so narrow that quantiles are within 1 %.

The buckets are those of DDSketch (Masson, Rim & Lee, VLDB 12(12), 2019): each bound is the one before
times gamma = (1 + a) / (1 - a), so that the middle of a bucket is within a share *a* of every value
in it. Among them are the bounds of the exported histogram, which is therefore exact. The bounds are
the same for all sketches: merging adds counts, so its order and grouping change nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import ceil
from typing import Final

# Upper bounds of the latency histogram, seconds (DESIGN.md 5).
LATENCY_BUCKETS_S: Final = (
    0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 16.0, 20.0,
    25.0, 30.0, 40.0, 50.0, 60.0, 90.0, 120.0, 180.0, 300.0,
)  # fmt: skip
RELATIVE_ERROR: Final = 0.01
SECONDS_MIN: Final = 0.001
SECONDS_MAX: Final = 864_000.0  # Ten days: batch jobs are latencies too.
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
# Stored sketches speak of these bounds by number: other bounds need another number here.
_LAYOUT: Final = 1
_MORE: Final = 0x80  # A varint goes on after a byte with this bit.


def _bounds() -> tuple[float, ...]:
    # Multiplied, not raised to powers: that rounds alike on every machine.
    bounds, bound = {*LATENCY_BUCKETS_S, SECONDS_MAX}, SECONDS_MIN
    while bound < SECONDS_MAX:
        bounds.add(bound)
        bound *= _GAMMA
    return tuple(sorted(bounds))


# Bucket i holds what is above bound i - 1 and at most bound i, the last one what is above them all.
BOUNDS: Final = _bounds()


class NoSketchError(ValueError):
    """Bytes that are no sketch, or one of a newer version."""


class Sketch:
    """
    How many values fell into each bucket.

    Values up to ``SECONDS_MIN`` and those above ``SECONDS_MAX`` are counted in the outermost buckets,
    which answer with these two. At most ``len(BOUNDS) + 1`` buckets are kept, whatever is added.
    """

    __slots__ = ("_counts",)

    def __init__(self, seconds: Iterable[float] = ()) -> None:
        """Count *seconds*."""
        self._counts = Counter(bisect_left(BOUNDS, value) for value in seconds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment] # It changes.

    def add(self, seconds: float) -> None:
        """Count one value, at least 0."""
        assert seconds >= 0, f"a latency is no {seconds}"
        self._counts[bisect_left(BOUNDS, seconds)] += 1

    def merge(self, other: Sketch) -> None:
        """Count all that *other* has counted, too."""
        self._counts.update(other._counts)

    @property
    def n(self) -> int:
        """How many values were counted."""
        return self._counts.total()

    @property
    def outside(self) -> int:
        """How many of them were outside the range, so that their size is not known."""
        return self._counts[0] + self._counts[len(BOUNDS)]

    def quantile(self, q: float) -> float | None:
        """
        Return the nearest-rank *q*-quantile, within 1 %; None without values.

        The middle 2ab / (a + b) of a bucket from a to b is what is off by the same share at both ends.
        """
        assert 0 < q <= 1, f"q must be in (0, 1], got {q}"
        # As in monitor.core.percentile: without rounding, ceil would ask for one sample more.
        left = ceil(round(q * self.n, 9))
        for index in sorted(self._counts):
            left -= self._counts[index]
            if left <= 0:
                return _middle(index)
        return None

    def histogram(self, bounds: Sequence[float]) -> tuple[int, ...]:
        """
        Return the exact counts between *bounds* (ascending, each one of ``BOUNDS``), and above them.

        A value that equals a bound is counted at or under it.
        """
        assert set(bounds) <= set(BOUNDS)
        ends = [bisect_left(BOUNDS, bound) for bound in bounds]
        counts = [0] * (len(bounds) + 1)
        for index, count in self._counts.items():
            counts[bisect_left(ends, index)] += count
        return tuple(counts)

    def to_bytes(self) -> bytes:
        """Return the stored form: the layout, then distance to the next bucket and count in turn."""
        numbers, before = list[int](), 0
        for index, count in sorted(self._counts.items()):
            numbers += (index - before, count)
            before = index
        if max(numbers, default=0) < _MORE:  # Nearly always; else some take more than a byte.
            return bytes([_LAYOUT, *numbers])
        return bytes([_LAYOUT, *(byte for number in numbers for byte in _varint(number))])

    @classmethod
    def of_counts(cls, counts: Mapping[int, int]) -> Sketch:
        """Return the sketch of so many values by bucket, as :attr:`counts` tells them."""
        assert all(0 <= bucket <= len(BOUNDS) and count > 0 for bucket, count in counts.items())
        sketch = cls()
        sketch._counts.update(counts)
        return sketch

    @classmethod
    def from_bytes(cls, stored: bytes) -> Sketch:
        """
        Return the sketch that *stored* was made of.

        Raises:
            NoSketchError: it is none.
        """
        sketch = cls()
        sketch.merge_bytes(stored)
        return sketch

    def merge_bytes(self, stored: bytes) -> None:
        """Count all that the sketch in *stored* has counted, too; raises as :meth:`from_bytes`."""
        if stored[:1] != bytes([_LAYOUT]):
            raise NoSketchError(f"no sketch of layout {_LAYOUT}: {stored[:8]!r}")
        # Most numbers are small, and then each is one byte.
        numbers = stored[1:] if stored.isascii() else tuple(_numbers(stored[1:]))
        indices, counts = tuple(accumulate(numbers[::2])), numbers[1::2]
        is_cut = len(indices) != len(counts) or 0 in counts or 0 in numbers[2::2]
        if is_cut or (indices and indices[-1] > len(BOUNDS)):
            raise NoSketchError(f"a sketch that is cut or damaged: {stored[:8]!r}")
        for index, count in zip(indices, counts, strict=True):
            self._counts[index] += count

    @property
    def counts(self) -> Mapping[int, int]:
        """Values by bucket."""
        return dict(self._counts)


def _middle(index: int) -> float:
    if index == 0:
        return SECONDS_MIN
    if index == len(BOUNDS):
        return SECONDS_MAX
    low, high = BOUNDS[index - 1 : index + 1]
    return 2 * low * high / (low + high)


def _varint(number: int) -> Iterator[int]:
    while number >= _MORE:
        yield number % _MORE | _MORE
        number //= _MORE
    yield number


def _numbers(stored: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in stored:
        number |= (byte & ~_MORE) << shift
        shift += 7
        if byte < _MORE:
            yield number
            number = shift = 0
    if shift:
        raise NoSketchError(f"a sketch that is cut: {stored[:8]!r}")
