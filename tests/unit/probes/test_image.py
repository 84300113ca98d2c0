"""The image check: what decodes, what is blank, which colour it is, and what was seen before."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import pytest
from PIL import Image

from probes.canary import COLOURS
from probes.image import (
    PIXELS_MAX,
    REPEAT_TARGETS_MAX,
    REPEATS_PER_TARGET_MAX,
    SCAN_MARK,
    SCANS_MAX,
    BadPicture,
    RecentPictures,
    inspect,
    prompt_digest,
)
from probes.model import Colour, ErrorClass
from tests.support.pictures import encoded, flat, graded, noisy, shape_on_white

BY_NAME = {colour.name: colour for colour in COLOURS}
PAIRS = list(itertools.permutations(COLOURS, 2))
RED = BY_NAME["red"]

# Shades that models paint when asked for the plain name; the tolerance must take them all.
SHADES = {
    "red": [(255, 0, 0), (220, 20, 60), (200, 30, 30), (178, 34, 34), (128, 0, 0), (229, 57, 53)],
    "green": [(0, 255, 0), (34, 139, 34), (0, 128, 0), (50, 205, 50), (46, 139, 87), (0, 100, 0)],
    "blue": [(0, 0, 255), (30, 144, 255), (65, 105, 225), (0, 0, 128), (70, 130, 180)],
    "yellow": [(255, 255, 0), (255, 215, 0), (250, 218, 94), (255, 255, 150), (255, 200, 0)],
    "orange": [(255, 165, 0), (255, 140, 0), (255, 110, 20), (204, 85, 0), (243, 156, 18)],
    "purple": [(128, 0, 128), (160, 32, 240), (75, 0, 130), (147, 112, 219), (186, 85, 211)],
    "cyan": [(0, 255, 255), (64, 224, 208), (0, 183, 235), (32, 178, 170), (0, 139, 139)],
    "pink": [(255, 192, 203), (255, 105, 180), (255, 20, 147), (255, 182, 193), (233, 30, 99)],
}
NAMED_SHADES = [(name, rgb) for name, shades in SHADES.items() for rgb in shades]


def palette_png(picture):
    """Return a PNG with a palette instead of channels."""
    return encoded(picture.quantize(16), "PNG")


CODINGS = {
    "png": lambda picture: encoded(picture, "PNG"),
    "png-palette": palette_png,
    "gif": lambda picture: encoded(picture, "GIF"),
    "jpeg-q95": lambda picture: encoded(picture, "JPEG", quality=95),
    "jpeg-q10": lambda picture: encoded(picture, "JPEG", quality=10),
    "jpeg-cmyk": lambda picture: encoded(picture.convert("CMYK"), "JPEG"),
    "webp-q10": lambda picture: encoded(picture, "WEBP", quality=10),
    "webp-lossless": lambda picture: encoded(picture, "WEBP", lossless=True),
}
SMALL = (32, 32)  # The check looks at no more; larger pictures only take longer to encode.
PAINTINGS = (flat, graded, noisy)


def refusal(data, *, size=None, colour=None):
    """Return the refusal that *data* gets."""
    with pytest.raises(BadPicture) as caught:
        inspect(data, size=size, colour=colour)
    assert caught.value.verdict.error is ErrorClass.BAD_IMAGE
    return caught.value


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("name", "rgb"), NAMED_SHADES)
def test_every_common_shade_passes_in_every_coding(name, rgb, coding):
    """The tolerance holds for JPEG and WebP at quality 10, palettes, gradients and noise."""
    for paint in PAINTINGS:
        inspect(CODINGS[coding](paint(rgb, size=SMALL)), size=SMALL, colour=BY_NAME[name])


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("asked", "painted"), PAIRS, ids=lambda c: c.name)
def test_a_picture_of_another_colour_fails(asked, painted, coding):
    """An echoed or cached picture of any other colour never passes, for all ordered pairs."""
    for paint in PAINTINGS:
        data = CODINGS[coding](paint(painted.rgb, size=SMALL))
        detail = refusal(data, colour=asked).verdict.detail

        assert f"nearest to {painted.name}" in detail
        assert f"{asked.name}, which was asked for" in detail


@pytest.mark.parametrize(("name", "rgb"), NAMED_SHADES)
def test_no_common_shade_passes_for_another_name(name, rgb):
    """Shades stay with their name: a crimson picture is never pink."""
    data = encoded(flat(rgb), "JPEG", quality=10)
    for colour in COLOURS:
        if colour.name != name:
            refusal(data, colour=colour)


@pytest.mark.parametrize("grey", [0, 1, 60, 128, 200, 254, 255])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_blank_picture_has_no_colour(grey, coding):
    """Black, grey and white are what blocked and failed generations look like."""
    refused = refusal(CODINGS[coding](flat((grey, grey, grey))), colour=RED)

    assert "0% of the picture is coloured" in refused.verdict.detail


def test_a_nearly_black_picture_is_black():
    """Compression noise around black has a hue, but nobody would call it a colour."""
    refusal(encoded(flat((30, 0, 0))), colour=RED)


def test_a_transparent_picture_is_blank_whatever_hides_under_it():
    """Alpha counts: full transparency over red shows nothing."""
    refusal(encoded(Image.new("RGBA", (64, 64), (255, 0, 0, 0))), colour=RED)
    refusal(encoded(Image.new("LA", (64, 64), (0, 0))), colour=RED)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_is_composited_on_white(kind):
    """A palette picture with a transparent background keeps its shape's colour."""
    picture = Image.new("P", (64, 64), 1)
    picture.putpalette([0, 0, 255, 255, 0, 0])
    picture.paste(0, (0, 0, 32, 64))
    data = encoded(picture, kind, transparency=0)

    assert inspect(data, size=None, colour=RED).dominant_rgb == RED.rgb


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_a_picture_without_colour_channels_fails(mode):
    """Grey modes decode and are blank."""
    refusal(encoded(Image.new(mode, (64, 64), 1)), colour=RED)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_flat_picture_of_the_right_colour_is_fine(name):
    """A plain shape that fills the picture is what was asked for."""
    colour = BY_NAME[name]
    facts = inspect(encoded(flat(colour.rgb)), size=None, colour=colour)

    assert colour.rgb == facts.dominant_rgb


@pytest.mark.parametrize(("share", "passes"), [(0.5, True), (0.15, True), (0.05, False)])
def test_a_shape_on_white_needs_a_tenth_of_the_picture(share, passes):
    """White around the shape is background; flecks are not a shape."""
    data = encoded(shape_on_white(RED.rgb, share, (128, 128)))
    if passes:
        inspect(data, size=None, colour=RED)
    else:
        refusal(data, colour=RED)


def test_two_colours_are_not_mixed_into_a_third():
    """A mean over a red and green picture would be yellow; the stronger of the two counts."""
    picture = flat((255, 0, 0))
    picture.paste((0, 160, 0), (0, 0, 24, 64))
    data = encoded(picture)

    inspect(data, size=None, colour=RED)
    refusal(data, colour=BY_NAME["yellow"])
    refusal(data, colour=BY_NAME["green"])


def test_a_colour_between_two_names_is_too_far_from_both():
    """The nearest colour alone is not enough: it must be near."""
    data = encoded(flat((0, 170, 140)))

    for colour in COLOURS:
        refusal(data, colour=colour)


def test_without_a_colour_to_check_anything_that_decodes_passes():
    """Recorded pictures are tiny and grey."""
    facts = inspect(encoded(flat((9, 9, 9), (8, 8))), size=None, colour=None)

    assert (facts.width, facts.height, facts.dominant_rgb) == (8, 8, (9, 9, 9))


@pytest.mark.parametrize(("kind", "coding"), [
    ("PNG", "png"), ("JPEG", "jpeg-q10"), ("WEBP", "webp-q10"), ("GIF", "gif"),
])  # fmt: skip
def test_hash_and_numbers_are_kept(kind, coding):
    """The facts are those of the bytes, with the format told from the content."""
    data = CODINGS[coding](flat(RED.rgb, (96, 64)))
    facts = inspect(data, size=(96, 64), colour=RED)

    assert (kind, 96, 64, len(data)) == (facts.format, facts.width, facts.height, facts.size_bytes)
    assert len(facts.sha256) == 64


@pytest.mark.parametrize(
    ("width", "height", "passes"),
    [
        (1024, 1024, True),
        (1056, 992, True),
        (922, 1126, True),
        (921, 1024, False),
        (1024, 1127, False),
        (512, 512, False),
    ],
)
def test_each_side_may_be_a_tenth_off(width, height, passes):
    """Providers round to multiples of 16 or 32; half the size was not paid for."""
    data = encoded(flat(RED.rgb, (width, height)))
    if passes:
        inspect(data, size=(1024, 1024), colour=RED)
    else:
        refused = refusal(data, size=(1024, 1024), colour=RED)
        assert f"{width}x{height} pixels, asked for 1024x1024 (+-10 %)" == refused.verdict.detail
        assert (width, height) == (refused.facts.width, refused.facts.height)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_picture_cut_anywhere_fails(coding):
    """A truncated file is never filled up with grey and called a picture."""
    data = CODINGS[coding](noisy(RED.rgb, size=(12, 12)))
    passed = []
    for length in range(len(data)):
        try:
            inspect(data[:length], size=None, colour=None)
        except BadPicture:
            continue
        passed.append(length)

    assert not passed


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG\r\n\x1a\n", b"<html>no</html>", b"\xff\xd8\xff", b"GIF89a", b"RIFF1234WEBP"],
)
def test_what_is_no_picture_says_how_many_bytes_came(data):
    """The detail has the numbers, for the picture is not kept."""
    refused = refusal(data)

    assert f"{len(data)} bytes" in refused.verdict.detail
    assert refused.facts is None


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "ICO", "PPM"])
def test_other_formats_are_refused(kind):
    """No failover client asks for them, and every decoder is attack surface."""
    refusal(encoded(flat(RED.rgb), kind))


def png_of(width, height, *chunks):
    """Return a PNG with a header of any size and the given chunks, but hardly any pixels."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * (width * 3 + 1) * min(height, 8)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(5000, 4001), (30_000, 30_000), (2**31 - 1, 1)])
def test_a_bomb_is_refused_by_its_header(width, height):
    """The pixel bound is checked before anything is decoded, and nothing warns."""
    data = png_of(width if width < 2**20 else 1, height)
    data = data[:16] + struct.pack(">I", width) + data[20:]
    crc = struct.pack(">I", zlib.crc32(data[12:29]))
    refused = refusal(data[:29] + crc + data[33:])

    assert f"{width}x{height} pixels, at most {PIXELS_MAX} are decoded" == refused.verdict.detail


def test_a_webp_bomb_is_refused():
    """The canvas of an extended WebP is bounded too."""
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\xff\x3f\0" + b"\xff\x3f\0"
    refusal(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_a_jpeg_of_very_many_scans_is_refused():
    """Each scan passes over all pixels, in a thread that no deadline stops."""
    file = io.BytesIO()
    flat(RED.rgb, (64, 64)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    start = data.rindex(SCAN_MARK)
    scan = data[start:-2]
    refused = refusal(data[:start] + scan * (SCANS_MAX + 1) + data[-2:])

    assert f"more than {SCANS_MAX} scans" in refused.verdict.detail
    inspect(data, size=None, colour=RED)


def test_the_largest_picture_sold_is_decoded():
    """4K comes in shapes of more pixels than its square."""
    size = (4800, 3584)
    facts = inspect(encoded(flat(RED.rgb, size)), size=size, colour=RED)

    assert size == (facts.width, facts.height)


def test_odd_metadata_neither_warns_nor_crashes():
    """A broken animation chunk ends in a verdict; warnings are errors in this run."""
    broken = struct.pack(">I", 8) + b"acTL" + b"\0" * 8
    broken += struct.pack(">I", zlib.crc32(broken[4:]))
    refused = refusal(png_of(8, 8, broken))

    assert "do not decode" in refused.verdict.detail


def test_an_animation_is_judged_by_its_first_frame():
    """Some routes answer with a GIF."""
    file = io.BytesIO()
    blue = flat((0, 0, 255))
    flat(RED.rgb).save(file, "GIF", save_all=True, append_images=[blue, blue])

    inspect(file.getvalue(), size=None, colour=RED)


def test_a_refused_picture_keeps_its_facts():
    """Hash and numbers of a wrong picture are evidence."""
    data = encoded(flat((0, 0, 255)))
    facts = inspect(data, size=None, colour=None)

    assert facts == refusal(data, colour=RED).facts


def test_a_colour_outside_the_list_can_be_asked_for():
    """It must still be what its picture is nearest to, so it fails rather than passing blindly."""
    refusal(encoded(flat(RED.rgb)), colour=Colour("scarlet", (255, 0, 0)))


def test_the_same_bytes_for_another_prompt_are_a_repeat():
    """A cache answered."""
    recent = RecentPictures()

    assert not recent.is_repeat("t", "hash", "red square #1")
    assert recent.is_repeat("t", "hash", "blue circle #2")
    assert recent.is_repeat("t", "hash", "blue circle #3")


def test_the_same_bytes_for_the_same_prompt_are_no_repeat():
    """A provider with a fixed seed may be that exact."""
    recent = RecentPictures()

    assert not recent.is_repeat("t", "hash", "red square #1")
    assert not recent.is_repeat("t", "hash", "red square #1")


def test_targets_do_not_share_their_pictures():
    """Two hosts of one gateway may give the same picture."""
    recent = RecentPictures()
    recent.is_repeat("one", "hash", "red square #1")

    assert not recent.is_repeat("other", "hash", "blue circle #2")


def test_stored_pictures_are_remembered_after_a_restart():
    """The store holds digests, and they are the same as the live ones."""
    recent = RecentPictures()
    recent.remember("t", "hash", prompt_digest("red square #1"))

    assert not recent.is_repeat("t", "hash", "red square #1")
    assert recent.is_repeat("t", "hash", "blue circle #2")


def test_only_the_last_pictures_of_a_target_are_remembered():
    """Memory is bounded: the oldest is forgotten first."""
    recent = RecentPictures()
    for number in range(REPEATS_PER_TARGET_MAX + 1):
        recent.remember("t", f"hash{number}", "digest")

    assert not recent.is_repeat("t", "hash0", "any")
    assert recent.is_repeat("t", f"hash{REPEATS_PER_TARGET_MAX}", "any")


def test_only_the_last_targets_are_remembered():
    """Ids that a reload renamed away do not pile up."""
    recent = RecentPictures()
    for number in range(REPEAT_TARGETS_MAX + 1):
        recent.remember(f"target{number}", "hash", "digest")

    assert not recent.is_repeat("target0", "hash", "any")
    assert recent.is_repeat(f"target{REPEAT_TARGETS_MAX}", "hash", "any")
