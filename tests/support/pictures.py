"""Pictures for tests: flat, graded, noisy, in any format that providers send."""

from __future__ import annotations

import io
from functools import cache
from random import Random
from typing import Any

from PIL import Image

RGB = tuple[int, int, int]


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return *picture* as a file of *kind* in memory."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def flat(rgb: RGB, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return one colour everywhere."""
    return Image.new("RGB", size, rgb)


def graded(rgb: RGB, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return *rgb* at the top, shaded to 60 % of its light at the bottom."""
    dark = flat((round(rgb[0] * 0.6), round(rgb[1] * 0.6), round(rgb[2] * 0.6)), size)
    return Image.composite(dark, flat(rgb, size), Image.linear_gradient("L").resize(size))


def shape_on_white(rgb: RGB, share: float, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return a bar of *rgb* that covers *share* of a white picture."""
    picture = flat((255, 255, 255), size)
    picture.paste(rgb, (0, 0, round(size[0] * share), size[1]))
    return picture


@cache  # Drawn pixel by pixel, so slow.
def noisy(rgb: RGB, seed: int = 1, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return *rgb* with +-24 of seeded noise in each channel."""
    rng = Random(seed)
    picture = flat(rgb, size)
    picture.putdata([
        tuple(min(255, max(0, c + rng.randint(-24, 24))) for c in rgb)
        for _ in range(size[0] * size[1])
    ])  # fmt: skip
    return picture
