"""
Is it the picture that was paid for? Full decode, size, colour, repeats; hash and numbers only.

Owns the decoder's bounds and the colour tolerance. Knows no HTTP and does no I/O; blocks for up to
a second on the largest pictures, so callers run it in a thread.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections import OrderedDict
from collections.abc import Iterable
from math import atan2, degrees, hypot
from typing import Final

from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from probes.canary import COLOURS
from probes.model import Colour, ErrorClass, ImageFacts, Refused, Verdict

# The largest pictures sold are "4K" in odd shapes, 4800 x 3584 among them; decoded that is 70 MB.
PIXELS_MAX: Final = 20_000_000
# A progressive JPEG has about ten scans. Each one passes over all pixels, so that a hundred kB of
# empty scans would decode for minutes, in a thread that no deadline can stop.
SCANS_MAX: Final = 100
SCAN_MARK: Final = b"\xff\xda"
# Providers round to multiples of 16 or 32 pixels, which is 6 % of the smallest size sold.
SIZE_TOLERANCE: Final = 0.10
# The dominant colour needs no detail, and averaging removes JPEG noise.
THUMBNAIL_PIXELS: Final = 32
# Below this OKLab chroma a pixel is grey: background, shadow or compression noise. The palest
# pink that models paint, (255, 192, 203), has 0.08; JPEG noise on grey stays under 0.02.
CHROMA_MIN: Final = 0.04
# Below this OKLab lightness hue is noise: (33, 0, 0) is black to anybody.
LIGHTNESS_MIN: Final = 0.2
# A small shape on white is still the answer; flecks of colour on a black picture are not.
COLOURED_SHARE_MIN: Final = 0.10
# Greatest distance, in degrees of hue, between a dominant colour and the one asked for. The shades
# that models paint, in JPEG or WebP at quality 10, are up to 23 away from their colour.
COLOUR_TOLERANCE: Final = 25.0
# Degrees of hue that a lightness difference of 1 (black to white) counts for. It splits pale pink
# from red, yet keeps dark and light shades of one name together.
LIGHTNESS_WEIGHT: Final = 50.0
# Two names cover shades that lie nearer to a neighbour than to their own plain colour.
OTHER_SHADES: Final = {"orange": ((220, 100, 0),), "pink": ((255, 182, 193),)}
# Pixels this near in hue to the strongest hue form the dominant colour.
DOMINANT_SPREAD: Final = 15.0

REPEATS_PER_TARGET_MAX: Final = 500
REPEAT_TARGETS_MAX: Final = 2_000

OPENERS: Final[tuple[tuple[bytes, int, type[ImageFile]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", 0, PngImageFile),
    (b"\xff\xd8\xff", 0, JpegImageFile),
    (b"WEBP", 8, WebPImageFile),
    (b"GIF8", 0, GifImageFile),
)

# Pillow warns of odd metadata (animation, EXIF) that does not concern the pixels. The filter is
# set once: switching filters around each decode is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class BadPicture(Refused):
    """
    The answer is not the picture that was paid for.

    Attributes:
        facts: Hash and numbers where it could be decoded, else None.
    """

    def __init__(self, detail: str, facts: ImageFacts | None = None) -> None:
        """Refuse as ``bad_image`` with *detail*."""
        super().__init__(Verdict(error=ErrorClass.BAD_IMAGE, detail=detail))
        self.facts = facts


def inspect(data: bytes, *, size: tuple[int, int] | None, colour: Colour | None) -> ImageFacts:
    """
    Return hash and numbers of the picture in *data*.

    Args:
        data: An encoded PNG, JPEG, WebP or GIF, told by its content, never by a claimed type.
        size: (width, height) in pixels that each side must be within 10 % of; None accepts any.
        colour: What the dominant colour must be; None accepts any, blank pictures too.

    Raises:
        BadPicture: It does not decode, or is not what was asked for.
    """
    kind, width, height, thumbnail = _decode(data)
    pixels = [(count, rgb, oklab(rgb)) for count, rgb in thumbnail]
    coloured = [pixel for pixel in pixels if _is_coloured(pixel[2])]
    share = sum(n for n, _, _ in coloured) / sum(n for n, _, _ in pixels)
    has_colour = share >= COLOURED_SHARE_MIN
    facts = ImageFacts(
        format=kind,
        width=width,
        height=height,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        dominant_rgb=_around_strongest_hue(coloured) if has_colour else _mean(pixels),
    )
    if size is not None and not all(
        abs(got - asked) <= SIZE_TOLERANCE * asked
        for got, asked in zip((width, height), size, strict=True)
    ):
        asked = f"{size[0]}x{size[1]}"
        raise BadPicture(f"{width}x{height} pixels, asked for {asked} (+-10 %)", facts)
    if colour is not None:
        _check_colour(colour, share, facts)
    return facts


def _check_colour(colour: Colour, share: float, facts: ImageFacts) -> None:
    """Raise BadPicture unless the dominant colour is *colour*."""
    if share < COLOURED_SHARE_MIN:
        raise BadPicture(
            f"{share:.0%} of the picture is coloured, at least {COLOURED_SHARE_MIN:.0%} wanted;"
            f" asked for {colour.name}",
            facts,
        )
    nearest, _ = nearest_colour(facts.dominant_rgb)
    distance = colour_distance(facts.dominant_rgb, colour)
    if nearest.name != colour.name or distance > COLOUR_TOLERANCE:
        raise BadPicture(
            f"dominant colour {facts.dominant_rgb} is nearest to {nearest.name} and {distance:.0f}"
            f" from {colour.name}, which was asked for (at most {COLOUR_TOLERANCE:.0f})",
            facts,
        )


def _decode(data: bytes) -> tuple[str, int, int, list[tuple[int, tuple[int, int, int]]]]:
    """Return format, width, height and the counted colours of a small copy of the picture."""
    opener = next(
        (kind for magic, at, kind in OPENERS if data[at : at + len(magic)] == magic), None
    )
    if opener is None:
        head = data[:8].hex(" ") or "nothing"
        raise BadPicture(f"no PNG, JPEG, WebP or GIF in {len(data)} bytes (starts with {head})")
    if opener is JpegImageFile and data.count(SCAN_MARK) > SCANS_MAX:
        raise BadPicture(f"JPEG of {len(data)} bytes has more than {SCANS_MAX} scans")
    try:
        # The plug-in's class and not Image.open(), whose bomb check warns instead of refusing.
        with opener(io.BytesIO(data)) as picture:
            width, height = picture.size
            _check_pixels(width, height)
            picture.load()
            kind = picture.format or "unknown"
            small = _on_white(picture)
    except BadPicture:
        raise
    except Exception as error:
        # Decoders raise whatever their parsing trips over: OSError, SyntaxError, struct.error,
        # KeyError, MemoryError. Each says the same: these bytes are not a picture.
        raise BadPicture(
            f"{len(data)} bytes do not decode: {type(error).__name__}: {error}"[:180]
        ) from error
    _check_end(kind, data)
    pixels = small.getcolors(THUMBNAIL_PIXELS**2)
    assert pixels is not None, "more colours than pixels"
    return kind, width, height, pixels  # type: ignore[return-value]  # Mode RGB: 3-tuples.


def _check_pixels(width: int, height: int) -> None:
    """Raise BadPicture when decoding would take too much memory."""
    if width * height > PIXELS_MAX:
        raise BadPicture(f"{width}x{height} pixels, at most {PIXELS_MAX} are decoded")


def _check_end(kind: str, data: bytes) -> None:
    """Raise BadPicture when the closing mark is gone, which the decoders forgive."""
    is_whole = {
        "PNG": b"IEND\xaeB`\x82" in data,
        "GIF": data.rstrip(b"\0").endswith(b";"),
    }
    if not is_whole.get(kind, True):
        raise BadPicture(f"{kind} is cut after {len(data)} bytes: its end mark is missing")


def _on_white(picture: Image.Image) -> Image.Image:
    """Return a small RGB copy; what is transparent shows white."""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.BOX)
    return small


Lab = tuple[float, float, float]
Pixel = tuple[int, tuple[int, int, int], Lab]


def _is_coloured(lab: Lab) -> bool:
    return lab[0] >= LIGHTNESS_MIN and hypot(lab[1], lab[2]) >= CHROMA_MIN


def _mean(pixels: Iterable[Pixel]) -> tuple[int, int, int]:
    """Return the mean colour."""
    counted = [(n, rgb) for n, rgb, _ in pixels]
    total = sum(n for n, _ in counted)
    red, green, blue = (round(sum(n * rgb[i] for n, rgb in counted) / total) for i in range(3))
    return red, green, blue


def _around_strongest_hue(pixels: Iterable[Pixel]) -> tuple[int, int, int]:
    """
    Return the mean colour around the strongest hue.

    A mean over everything would call a red and green picture yellow, so hues are counted in
    sectors of 10 degrees first; a sector counts with its neighbours, so that a hue on a border
    is not split in two.
    """
    counted = [(hue_of(pixel[2]), pixel) for pixel in pixels]
    sectors = [0] * 36
    for hue, (n, _, _) in counted:
        sectors[int(hue // 10) % 36] += n
    weights = [2 * sectors[i] + sectors[i - 1] + sectors[(i + 1) % 36] for i in range(36)]
    peak = weights.index(max(weights)) * 10 + 5
    return _mean(pixel for hue, pixel in counted if hue_gap(hue, peak) <= DOMINANT_SPREAD)


def hue_of(lab: Lab) -> float:
    """Return the hue angle in degrees."""
    return degrees(atan2(lab[2], lab[1]))


def hue_gap(one: float, other: float) -> float:
    """Return the smaller angle between two hues, in degrees (0 to 180)."""
    return abs((one - other + 180) % 360 - 180)


def oklab(rgb: tuple[int, int, int]) -> Lab:
    """
    Return lightness (0 to 1) and the two opponent axes of an sRGB colour.

    Björn Ottosson, "A perceptual color space for image processing", 2020. Unlike HSV, its hue
    keeps pale pink apart from red and one name's shades together.
    """
    r, g, b = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)
    )
    l_cone = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    m_cone = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    s_cone = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * l_cone + 0.7936177850 * m_cone - 0.0040720468 * s_cone,
        1.9779984951 * l_cone - 2.4285922050 * m_cone + 0.4505937099 * s_cone,
        0.0259040371 * l_cone + 0.7827717662 * m_cone - 0.8086757660 * s_cone,
    )


def colour_distance(rgb: tuple[int, int, int], colour: Colour) -> float:
    """Return how far *rgb* is from *colour*, in degrees of hue; lightness counts a little."""
    one = oklab(rgb)
    shades = [oklab(shade) for shade in (colour.rgb, *OTHER_SHADES.get(colour.name, ()))]
    return min(
        hypot(hue_gap(hue_of(one), hue_of(other)), LIGHTNESS_WEIGHT * (one[0] - other[0]))
        for other in shades
    )


def nearest_colour(rgb: tuple[int, int, int]) -> tuple[Colour, float]:
    """Return the canary colour nearest to *rgb*, and its distance."""
    return min(
        ((colour, colour_distance(rgb, colour)) for colour in COLOURS), key=lambda pair: pair[1]
    )


class RecentPictures:
    """
    Hashes of each target's last 500 pictures, to notice an answer out of a cache.

    Bounded: the oldest picture of a target and the longest unused target are forgotten.
    """

    def __init__(self) -> None:
        """Start with nothing remembered."""
        self._by_target: OrderedDict[str, dict[str, str]] = OrderedDict()

    def is_repeat(self, target_id: str, sha256: str, prompt: str) -> bool:
        """Remember the picture; return whether another prompt already got the same bytes."""
        digest = prompt_digest(prompt)
        known = self._by_target.get(target_id, {}).get(sha256)
        if known is None:
            self.remember(target_id, sha256, digest)
        return known is not None and known != digest

    def remember(self, target_id: str, sha256: str, prompt_digest: str) -> None:
        """Take over one stored picture; the first prompt that got it stays."""
        pictures = self._by_target.setdefault(target_id, {})
        self._by_target.move_to_end(target_id)
        pictures.setdefault(sha256, prompt_digest)
        if len(pictures) > REPEATS_PER_TARGET_MAX:
            del pictures[next(iter(pictures))]
        if len(self._by_target) > REPEAT_TARGETS_MAX:
            self._by_target.popitem(last=False)


def prompt_digest(prompt: str) -> str:
    """Return what is kept of a prompt to compare it: 16 hex digits of its SHA-256."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]
