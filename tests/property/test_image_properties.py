"""Laws of the image check over drawn colours, sizes and broken bytes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from probes.canary import COLOURS
from probes.image import (
    COLOUR_TOLERANCE,
    BadPicture,
    colour_distance,
    hue_gap,
    inspect,
    nearest_colour,
)
from probes.model import ErrorClass
from tests.support.pictures import encoded, flat, noisy

channels = st.integers(0, 255)
rgbs = st.tuples(channels, channels, channels)
colours = st.sampled_from(COLOURS)
angles = st.floats(-720, 720)
WHOLE = [
    encoded(noisy((200, 30, 30), size=(24, 24)), "PNG"),
    encoded(noisy((200, 30, 30), size=(24, 24)), "JPEG"),
    encoded(noisy((200, 30, 30), size=(24, 24)), "WEBP"),
    encoded(noisy((200, 30, 30), size=(24, 24)), "GIF"),
]


def verdict(data, *, size=None, colour=None):
    """Return the error class of *data*, None when it passes; anything else raised is a bug."""
    try:
        inspect(data, size=size, colour=colour)
    except BadPicture as refused:
        return refused.verdict.error
    return None


@given(rgb=rgbs)
@settings(max_examples=200)
def test_a_flat_picture_passes_for_at_most_one_colour(rgb):
    """No picture can be the right answer to two different prompts."""
    data = encoded(flat(rgb, (16, 16)))
    passed = [colour for colour in COLOURS if verdict(data, colour=colour) is None]

    assert len(passed) <= 1
    assert all(colour is nearest_colour(rgb)[0] for colour in passed)


@given(rgb=rgbs, colour=colours)
def test_what_passes_is_within_the_tolerance(rgb, colour):
    """Nearest alone never passes."""
    assume(verdict(encoded(flat(rgb, (8, 8))), colour=colour) is None)

    assert colour_distance(rgb, colour) <= COLOUR_TOLERANCE


@given(data=st.binary(max_size=2000), magic=st.sampled_from([b"", *(w[:16] for w in WHOLE)]))
def test_random_bytes_are_never_a_picture_and_never_crash(data, magic):
    """Hostile answers end in a verdict, also behind a true file head."""
    assert ErrorClass.BAD_IMAGE is verdict(magic + data)


@given(whole=st.sampled_from(WHOLE), data=st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_flipped_byte_never_crashes_the_check(whole, data):
    """A damaged picture is refused or still decodes; nothing else comes out."""
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([data.draw(channels)]) + whole[at + 1 :]

    assert verdict(damaged) in {None, ErrorClass.BAD_IMAGE}


@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    asked=st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
def test_the_size_rule_is_a_tenth_of_each_side(width, height, asked):
    """A picture passes exactly when both sides are within 10 % of what was asked."""
    fits = abs(width - asked[0]) <= asked[0] / 10 and abs(height - asked[1]) <= asked[1] / 10

    assert fits == (verdict(encoded(flat((1, 2, 3), (width, height))), size=asked) is None)


@given(rgb=rgbs, width=st.integers(1, 64), height=st.integers(1, 64))
def test_the_facts_are_those_of_the_bytes(rgb, width, height):
    """Hash, size and sides are taken from the data, and a flat picture's colour is exact."""
    data = encoded(flat(rgb, (width, height)))
    facts = inspect(data, size=None, colour=None)

    assert (width, height, len(data)) == (facts.width, facts.height, facts.size_bytes)
    assert hashlib.sha256(data).hexdigest() == facts.sha256
    assert rgb == facts.dominant_rgb


@given(one=angles, other=angles)
def test_a_hue_gap_is_symmetric_and_at_most_half_a_turn(one, other):
    """Angles wrap: 350 and 10 degrees are 20 apart."""
    assert 0 <= hue_gap(one, other) <= 180
    assert hue_gap(one, other) == pytest.approx(hue_gap(other, one), abs=1e-6)
    assert hue_gap(one, other) == pytest.approx(hue_gap(one + 360, other), abs=1e-6)
