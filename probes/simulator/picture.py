"""
Paints the picture a prompt asks for: a shape in its colour on white, in the asked size.

Pure and deterministic: the same order gives the same bytes, so nothing needs to be kept, and
orders that differ only in their seed give different bytes.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from random import Random
from typing import Final

from PIL import Image, ImageDraw

from probes.canary import COLOURS
from probes.model import Colour

BLACK: Final = Colour("black", (0, 0, 0))
_WHITE: Final = (255, 255, 255)
# Enough to make every picture's bytes its own, too few to change what it shows.
_DOTS: Final = 48
MIME: Final = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOrder:
    """
    What to paint.

    Attributes:
        size: (width, height) in pixels.
        format: ``png``, ``jpeg`` or ``webp``.
        seed: Makes the bytes unique.
        colour: Instead of the one in the prompt; None keeps to the prompt.
    """

    prompt: str
    size: tuple[int, int]
    format: str
    seed: str
    colour: Colour | None = None

    @property
    def mime(self) -> str:
        """MIME type of the picture."""
        return MIME[self.format]


def asked_colour(prompt: str) -> Colour:
    """Return the first known colour named in *prompt*; red when it names none."""
    names = {colour.name: colour for colour in COLOURS}
    words = re.findall(r"[a-z]+", prompt.lower())
    return next((names[word] for word in words if word in names), COLOURS[0])


def other_colour(colour: Colour) -> Colour:
    """Return a colour that is clearly not *colour*: the one across the list."""
    at = COLOURS.index(colour)
    return COLOURS[(at + len(COLOURS) // 2) % len(COLOURS)]


def paint(order: PictureOrder) -> bytes:
    """Return the encoded picture; takes about 10 ms of CPU at 1024 x 1024."""
    image = Image.new("RGB", order.size, _WHITE)
    colour = order.colour or asked_colour(order.prompt)
    if colour == BLACK:
        image.paste(BLACK.rgb, (0, 0, *order.size))
    else:
        _draw(image, order, colour)
    out = io.BytesIO()
    if order.format == "png":
        image.save(out, "PNG", compress_level=1)
    elif order.format == "jpeg":
        image.save(out, "JPEG", quality=85)
    else:
        image.save(out, "WEBP", lossless=True, method=0, quality=0)
    return out.getvalue()


def _draw(image: Image.Image, order: PictureOrder, colour: Colour) -> None:
    """Draw the shape and the dots that make the picture unique."""
    rng = Random(order.seed)
    width, height = image.size
    draw = ImageDraw.Draw(image)
    # Models hit a colour nearly, not exactly.
    fill = tuple(min(255, max(0, c + rng.randint(-3, 3))) for c in colour.rgb)
    if "circle" in order.prompt.lower():
        draw.ellipse((0, 0, width - 1, height - 1), fill=fill)
    elif "triangle" in order.prompt.lower():
        # Cropped by the frame, as models do when it shall fill the whole picture: a triangle that
        # fits inside would leave half of it white.
        draw.polygon(
            ((-width // 4, height), (width + width // 4, height), (width // 2, -height // 5)),
            fill=fill,
        )
    else:
        edge_x, edge_y = width // 32, height // 32
        draw.rectangle((edge_x, edge_y, width - 1 - edge_x, height - 1 - edge_y), fill=fill)
    for _ in range(_DOTS):
        dot = tuple(min(255, max(0, c + rng.randint(-28, 28))) for c in fill)
        draw.point((rng.randrange(width // 4, width), rng.randrange(height // 4, height)), fill=dot)
