"""Laws of the latency sketch: within 1 % of the exact answer, however it was put together."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.percentile import nearest_rank
from monitor.core.sketch import (
    BOUNDS,
    LATENCY_BUCKETS_S,
    RELATIVE_ERROR,
    SECONDS_MAX,
    SECONDS_MIN,
    NoSketchError,
    Sketch,
)

latencies = st.floats(SECONDS_MIN, SECONDS_MAX, exclude_min=True) | st.sampled_from(
    LATENCY_BUCKETS_S
)
anything = st.floats(0.0, allow_nan=False) | latencies
shares = st.sampled_from([0.01, 0.07, 0.5, 0.9, 0.95, 0.99, 1.0]) | st.floats(1e-6, 1.0)
sketches = st.lists(anything, max_size=40).map(Sketch)


def merged(*parts: Sketch) -> Sketch:
    """All of *parts* in one new sketch."""
    whole = Sketch()
    for part in parts:
        whole.merge(part)
    return whole


@given(values=st.lists(latencies, max_size=200), q=shares)
def test_a_quantile_is_within_one_percent_of_the_exact_one(values, q):
    """Law: of any values in the range, at any rank, against exact nearest rank."""
    exact, estimated = nearest_rank(sorted(values), q), Sketch(values).quantile(q)

    assert (exact is None) == (estimated is None)
    if exact is not None:
        assert abs(estimated - exact) <= (RELATIVE_ERROR + 1e-9) * exact


@given(parts=st.lists(st.lists(anything, max_size=30), min_size=1, max_size=5), seed=st.randoms())
def test_merging_is_the_sketch_of_the_union(parts, seed):
    """Law: whatever the order and the grouping, byte for byte."""
    whole = Sketch(value for part in parts for value in part)
    shuffled = [Sketch(part) for part in parts]
    seed.shuffle(shuffled)

    assert whole == merged(*shuffled)
    assert whole.to_bytes() == merged(*shuffled).to_bytes()
    assert whole == merged(shuffled[0], merged(*shuffled[1:]))


@given(values=st.lists(anything, max_size=30))
def test_adding_is_counting_from_the_start(values):
    """Law: one at a time or all at once."""
    sketch = Sketch()
    for value in values:
        sketch.add(value)

    assert Sketch(values) == sketch
    assert len(values) == sketch.n == sum(sketch.counts.values())


@given(sketch=sketches, times=st.integers(1, 4))
def test_bytes_give_back_the_sketch_they_were_made_of(sketch, times):
    """Law: with small counts and large ones, which take more bytes."""
    for _ in range(times):
        sketch.merge(merged(*[sketch] * 12))

    assert sketch == Sketch.from_bytes(sketch.to_bytes())
    assert sketch.to_bytes() == Sketch.from_bytes(sketch.to_bytes()).to_bytes()


@given(values=st.lists(anything, max_size=60))
def test_the_exported_histogram_is_exact(values):
    """Law: its bounds are bounds of buckets, so each value is on its own side of each of them."""
    counts = [0] * (len(LATENCY_BUCKETS_S) + 1)
    for value in values:
        counts[bisect_left(LATENCY_BUCKETS_S, value)] += 1

    assert tuple(counts) == Sketch(values).histogram(LATENCY_BUCKETS_S)


@given(stored=st.binary(max_size=12) | st.binary(max_size=12).map(lambda tail: b"\x01" + tail))
def test_other_bytes_are_refused_or_a_sketch(stored):
    """Law: never another error, never a bucket that is not there."""
    try:
        sketch = Sketch.from_bytes(stored)
    except NoSketchError:
        return
    assert all(0 <= index <= len(BOUNDS) for index in sketch.counts)
    assert sketch.quantile(0.5) is None or sketch.n


@pytest.mark.parametrize("stored", [b"", b"\x02\x01\x01", b"\x01\x05", b"\x01\x05\x81"])
def test_bytes_that_are_cut_or_of_another_layout_are_told(stored):
    """A damaged file must not pass for a quick provider."""
    with pytest.raises(NoSketchError, match="sketch"):
        Sketch.from_bytes(stored)


def test_what_is_outside_the_range_is_counted_at_its_ends():
    """It takes part in ranks, and can be told from what was measured within the range."""
    sketch = Sketch([0.0, SECONDS_MIN, 5.0, SECONDS_MAX, 1e9])

    assert (5, 3) == (sketch.n, sketch.outside)
    assert SECONDS_MIN == sketch.quantile(0.4)
    assert SECONDS_MAX == sketch.quantile(1.0)
    assert Sketch() != "a sketch"


def test_sketches_stay_small():
    """A day of canaries takes about 100 bytes, any number of values at most 9 kB."""
    day = Sketch(3.0 * 1.03 ** (n % 48) for n in range(96))
    full = Sketch([*BOUNDS, 1e9])

    assert len(day.to_bytes()) <= 120
    assert len(BOUNDS) + 1 == len(full.counts) <= 1100
    assert len(merged(*[full] * 1000).to_bytes()) <= 9_000


def test_stored_numbers_keep_their_meaning():
    """Other bounds would misread every stored sketch: they need a new layout number, and this too."""
    assert all(low < high <= low * 1.0203 for low, high in pairwise(BOUNDS))
    assert (1048, 2_376_978_934) == (len(BOUNDS), zlib.crc32(repr(BOUNDS).encode()))
