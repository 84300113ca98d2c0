"""
The canary: a plain shape in a colour drawn from a list, plus a nonce so no cache can answer.

Owns the prompt's words and the colours; the image check compares with them. Randomness comes in.
"""

from __future__ import annotations

from random import Random
from typing import Final

from probes.model import Canary, Colour

# Saturated, far apart in hue, and called the same by every model. Grey, black and white are left
# out on purpose: those are what blocked or failed pictures look like.
COLOURS: Final[tuple[Colour, ...]] = (
    Colour("red", (255, 0, 0)),
    Colour("green", (0, 160, 0)),
    Colour("blue", (0, 0, 255)),
    Colour("yellow", (255, 220, 0)),
    Colour("orange", (255, 140, 0)),
    Colour("purple", (128, 0, 160)),
    Colour("cyan", (0, 200, 220)),
    Colour("pink", (255, 105, 180)),
)
# A triangle covers half of the picture at most, and what a model paints around it may be coloured.
SHAPES: Final[tuple[str, ...]] = ("square", "circle", "rectangle")


def draw_canary(rng: Random, *, poll_s: float = 0.5) -> Canary:
    """Return a canary whose colour, shape and nonce are drawn from *rng*."""
    colour = rng.choice(COLOURS)
    shape = rng.choice(SHAPES)
    nonce = f"{rng.randrange(16**4):04x}"
    return Canary(
        prompt=f"A plain {colour.name} {shape} that fills the whole picture, no text. #{nonce}",
        colour=colour,
        seed=rng.randrange(1, 2**31),
        poll_s=poll_s,
    )
