"""Drift: what changes without failing, told once, and never for one odd answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.drift import SIZE_BAND, SIZES, Looks, look
from monitor.core.events import EventKind
from probes.model import ErrorClass, ImageFacts, ProbeKind
from tests.support.builders import NOW, a_result

LISTED = 0.04


def an_answer(size=100_000, *, width=512, form="png", cost=LISTED, model="v1", **changes):
    """A good canary's answer."""
    image = ImageFacts(
        format=form,
        width=width,
        height=512,
        size_bytes=size,
        sha256="0" * 64,
        dominant_rgb=(255, 0, 0),
    )
    return a_result(None, NOW, image=image, cost_usd=cost, model_version=model, **changes)


def seen(answers, looks=None, listed=LISTED):
    """The looks after all *answers*, and every change on the way as (kind, data)."""
    looks, changes = looks or Looks(), []
    for answer in answers:
        looks, new = look(looks, answer, listed)
        changes += [(drift.kind, drift.data) for drift in new]
    return looks, changes


def test_a_model_that_answers_twice_in_a_row_has_changed():
    """With the version before and after, once."""
    answers = [an_answer()] * 3 + [an_answer(model="v2")] * 3

    assert [(EventKind.MODEL_CHANGED, {"before": "v1", "after": "v2"})] == seen(answers)[1]


def test_one_odd_answer_is_no_change():
    """Of whatever aspect: model, dimensions, format, size, price."""
    odd = an_answer(1_000_000, width=1024, form="jpeg", cost=0.08, model="v2")
    answers = [an_answer()] * SIZES + [odd, *[an_answer()] * 3]

    assert [] == seen(answers)[1]


def test_what_is_not_told_changes_nothing():
    """A model's version that answers leave out, a picture of which nothing is kept."""
    silent = an_answer(model=None)
    blind = a_result(None, NOW, cost_usd=LISTED)

    assert [] == seen([an_answer(), an_answer(), silent, silent, blind, blind])[1]


def test_another_kind_of_picture_is_one_event_with_all_its_aspects():
    """Dimensions, format and size change together, so they are told together."""
    before, after = [an_answer()] * SIZES, [an_answer(400_000, width=1024, form="jpeg")] * 2

    assert [
        (
            EventKind.OUTPUT_CHANGED,
            {
                "dimensions": {"before": "512x512", "after": "1024x512"},
                "format": {"before": "png", "after": "jpeg"},
                "size_bytes": {"before": 100_000, "after": 400_000},
            },
        )
    ] == seen(before + after)[1]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([100] * SIZES + [201, 201], [(100, 201)]),
        ([100] * SIZES + [49, 40], [(100, 40)]),
        # At the edge of the band, on both sides of it, and before there are enough.
        ([100] * SIZES + [200, 50, 200, 50], []),
        ([100] * SIZES + [400, 20, 400, 20], []),
        ([100] * (SIZES - 1) + [400, 400], []),
        # From there on the new size is the usual one, once it has come often enough.
        ([100] * SIZES + [400] * SIZES + [100, 100], [(100, 400), (400, 100)]),
    ],
)
def test_a_size_changes_when_two_in_a_row_leave_the_band(sizes, expected):
    """By hand: more than twice or less than half of the median of the last twelve."""
    _, changes = seen([an_answer(size) for size in sizes])

    assert expected == [
        (data["size_bytes"]["before"], data["size_bytes"]["after"]) for _, data in changes
    ]


def test_a_bill_is_held_against_the_list_price():
    """What is billed twice in a row is told once, with the list price; so is its end."""
    answers = [*[an_answer(cost=0.05)] * 4, *[an_answer()] * 2]
    up = {"before": 0.04, "after": 0.05, "list_usd": 0.04}
    down = {"before": 0.05, "after": 0.04, "list_usd": 0.04}

    assert [(EventKind.PRICE_CHANGED, up), (EventKind.PRICE_CHANGED, down)] == seen(answers)[1]


def test_a_list_price_that_is_brought_up_to_the_bill_is_no_change():
    """The owner mended the file; nothing of the provider has changed, then or afterwards."""
    looks, changes = seen([an_answer(cost=0.05)] * 2)
    assert 1 == len(changes)

    looks, changes = seen([an_answer(cost=0.05)] * 2, looks, listed=0.05)
    assert [] == changes
    assert [] == seen([an_answer(cost=0.06)] * 2, looks, listed=0.06)[1]


def test_bills_by_the_token_vary_without_a_change():
    """Within a twentieth."""
    assert [] == seen([an_answer(cost=cost) for cost in (0.04, 0.0415, 0.039, 0.0415)])[1]


def test_a_shutdown_day_is_told_once_and_again_when_it_moves():
    """By free calls; an answer that tells none takes none back."""
    days = ["2026-12-01", None, "2026-12-01", "2027-01-15", "2027-01-15"]
    calls = [a_result(None, NOW, kind=ProbeKind.LIVENESS, shutdown_on=day) for day in days]

    assert [
        (EventKind.SHUTDOWN_ANNOUNCED, {"before": None, "after": "2026-12-01"}),
        (EventKind.SHUTDOWN_ANNOUNCED, {"before": "2026-12-01", "after": "2027-01-15"}),
    ] == seen(calls)[1]


ANSWERS = st.lists(
    st.builds(
        an_answer,
        st.sampled_from([40, 100, 110, 190, 260, 1000]),
        width=st.sampled_from([512, 1024]),
        form=st.sampled_from(["png", "jpeg"]),
        cost=st.sampled_from([0.0, 0.04, 0.041, 0.05]),
        model=st.sampled_from([None, "v1", "v2"]),
    )
    | st.just(a_result(ErrorClass.TIMEOUT))
    | st.just(a_result(ErrorClass.MONITOR_FAULT)),
    max_size=60,
)


@given(answers=ANSWERS)
def test_a_change_is_a_change(answers):
    """Law: before and after differ, each begins where the last one ended, and memory is bounded."""
    looks, changes = seen(answers)
    last: dict[str, object] = {}
    for kind, data in changes:
        aspects = data if kind is EventKind.OUTPUT_CHANGED else {kind.value: data}
        for aspect, change in aspects.items():
            assert change["before"] != change["after"]
            if aspect == "size_bytes":
                ratio = change["after"] / change["before"]
                assert not 1 / SIZE_BAND <= ratio <= SIZE_BAND
            elif aspect != "price_changed":
                assert last.get(aspect, change["before"]) == change["before"]
            last[aspect] = change["after"]
    assert len(looks.sizes) <= SIZES


@given(answers=ANSWERS)
def test_failures_show_nothing_of_the_answers(answers):
    """They could as well not have been."""
    good = [answer for answer in answers if answer.error is None]

    assert seen(good) == seen(answers)
