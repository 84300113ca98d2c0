"""The canary: drawn by seed, harmless, not answerable from a cache."""

from __future__ import annotations

import re
from random import Random

import pytest

from probes.canary import COLOURS, SHAPES, draw_canary
from probes.image import COLOUR_TOLERANCE, colour_distance, nearest_colour

PROMPT = re.compile(
    rf"A plain ({'|'.join(c.name for c in COLOURS)}) ({'|'.join(SHAPES)})"
    r" that fills the whole picture, no text\. #[0-9a-f]{4}"
)
DRAWS = [draw_canary(Random(seed)) for seed in range(400)]


def test_the_same_seed_draws_the_same_canary():
    """A run can be repeated from its seed."""
    assert draw_canary(Random(7)) == draw_canary(Random(7))


def test_every_prompt_is_a_plain_shape_in_a_colour_with_a_nonce():
    """Nothing else is ever asked for: no people, brands or text to block."""
    assert all(PROMPT.fullmatch(canary.prompt) for canary in DRAWS)


def test_the_colour_to_check_is_the_colour_in_the_prompt():
    """The check compares with what was asked for."""
    assert all(f" {canary.colour.name} " in canary.prompt for canary in DRAWS)


def test_every_colour_and_shape_is_drawn():
    """A cached picture passes at most one time in eight by colour alone."""
    assert {colour.name for colour in COLOURS} == {canary.colour.name for canary in DRAWS}
    assert set(SHAPES) == {canary.prompt.split()[3] for canary in DRAWS}


def test_nonces_make_prompts_differ():
    """Two canaries of one colour and shape are two prompts to a gateway's cache."""
    assert len({canary.prompt for canary in DRAWS}) > 390


def test_seeds_fit_every_provider():
    """Positive and below 2^31: the narrowest range that providers take."""
    assert all(1 <= canary.seed < 2**31 for canary in DRAWS)


def test_the_pause_between_polls_is_the_callers():
    """A compressed demo polls faster."""
    pause_s = 0.05

    assert pause_s == draw_canary(Random(1), poll_s=pause_s).poll_s


@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.name)
def test_each_colour_is_nearest_to_itself(colour):
    """The list and the matcher agree."""
    assert (colour, 0.0) == nearest_colour(colour.rgb)


@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.name)
def test_colours_are_far_apart(colour):
    """Coding errors of 10 degrees cannot turn one plain colour into another."""
    others = [colour_distance(colour.rgb, other) for other in COLOURS if other is not colour]

    assert min(others) >= 19


@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.name)
def test_each_colour_is_near_enough_to_a_slightly_other_one(colour):
    """A channel that is off by 16 is still the colour asked for."""
    for step in (-16, 16):
        rgb = tuple(min(255, max(0, channel + step)) for channel in colour.rgb)

        assert colour is nearest_colour(rgb)[0]
        assert colour_distance(rgb, colour) <= COLOUR_TOLERANCE


def test_colour_names_are_unique_words():
    """A name stands in the prompt, so it is one plain word."""
    names = [colour.name for colour in COLOURS]

    assert len(names) == len(set(names))
    assert all(name.isalpha() and name.islower() for name in names)
