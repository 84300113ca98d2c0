"""The simulator's pictures: what was asked for, and never the same twice."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from probes.canary import COLOURS, SHAPES
from probes.simulator.picture import BLACK, PictureOrder, asked_colour, other_colour, paint


def share_of(data: bytes, rgb: tuple[int, int, int]) -> float:
    """Return the share of pixels within 40 of *rgb* in each channel."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image.thumbnail((64, 64))
    pixels = [image.getpixel((x, y)) for x in range(image.width) for y in range(image.height)]
    near = sum(all(abs(a - b) <= 40 for a, b in zip(p, rgb, strict=True)) for p in pixels)
    return near / len(pixels)


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS, ids=lambda colour: colour.name)
def test_a_picture_shows_what_was_asked(colour, shape, form):
    """Format, size and dominant colour are those of the order."""
    prompt = f"A plain {colour.name} {shape}."

    data = paint(PictureOrder(prompt=prompt, size=(320, 192), format=form, seed="1"))

    image = Image.open(io.BytesIO(data))
    assert (form.upper(), (320, 192)) == (image.format, image.size)
    assert share_of(data, colour.rgb) > 0.55


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_pictures_of_different_seeds_have_different_bytes(form):
    """Nothing looks like a cached answer, not even after lossy compression."""
    orders = [
        PictureOrder(prompt="A red square", size=(256, 256), format=form, seed=str(seed))
        for seed in range(50)
    ]

    assert len(orders) == len({paint(order) for order in orders})
    assert paint(orders[0]) == paint(orders[0])


def test_a_colour_can_be_imposed():
    """A wrong or black picture is painted whatever the prompt says."""
    order = PictureOrder(prompt="A red square", size=(64, 64), format="png", seed="1", colour=BLACK)

    assert pytest.approx(1.0) == share_of(paint(order), (0, 0, 0))


def test_a_prompt_without_a_colour_asks_for_red():
    """The prompt's first known colour counts; words that merely hold one do not."""
    red, _, blue = COLOURS[:3]

    assert red == asked_colour("A covered bridge")
    assert blue == asked_colour("A Blue square on a red table")


@pytest.mark.parametrize("colour", COLOURS, ids=lambda colour: colour.name)
def test_the_other_colour_is_far_away(colour):
    """A wrong colour differs by 100 in some channel, so that no tolerance excuses it."""
    other = other_colour(colour)

    assert max(abs(a - b) for a, b in zip(colour.rgb, other.rgb, strict=True)) >= 100
