"""The chat format: the places where a picture hides, and answers that hold none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from probes.model import ErrorClass
from tests.support.replies import CANARY, PNG, PNG_BASE64, TARGETS, play, reply

TARGET = TARGETS["openai-chat"]
URI = f"data:image/png;base64,{PNG_BASE64}"


def played(doc, headers=None):
    """How an exchange goes whose one API reply is *doc*."""
    return play(TARGET, lambda s: reply(200, PNG if s.is_download else doc, headers))


def message(content, **extra):
    """An answer whose message has *content*."""
    return {"choices": [{"message": {"content": content, **extra}, "finish_reason": "stop"}]}


def stream(*events):
    """Server-sent events as gateways send them."""
    lines = [f"data: {json.dumps(event)}" for event in events]
    return "\n\n".join([*lines, "data: [DONE]", ""])


def test_a_plain_request_asks_for_no_stream():
    """One user message; the stream is switched off by name."""
    send = play(TARGET, lambda _: reply(500)).sends[0]
    expected = {
        "model": "some-chat-image",
        "stream": False,
        "messages": [{"role": "user", "content": CANARY.prompt}],
    }

    assert ("https://chat.test/v1/chat/completions", expected) == (send.url, send.json)
    assert {"authorization": "Bearer key-4"} == send.headers


def test_openrouters_settings_travel_as_they_are():
    """Modalities and image settings are sent; the stream goes unsaid, as its clients do."""
    options = {"modalities": ["image", "text"], "image_config": {"aspect_ratio": "1:1"}}
    body = play(replace(TARGET, options=options), lambda _: reply(500)).sends[0].json

    assert {"model", "messages", *options} == set(body)
    assert options == {key: body[key] for key in options}


def test_the_answer_tells_model_cost_and_id():
    """The picture carries what the answer says of it."""
    doc = message(URI) | {"id": "c-1", "model": "m-2", "usage": {"cost": 0.03}}
    picture = played(doc, {"openai-processing-ms": "900"}).picture

    assert (PNG, "c-1", "m-2", 0.03, "stop", 0.9) == (
        picture.data, picture.request_id, picture.model_version, picture.cost_usd,
        picture.finish_reason, picture.server_s,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "url"),
    [
        ("![x](https://files.test/a)", "https://files.test/a"),
        ("![x]( http://files.test/a)", "http://files.test/a"),
        ("see https://docs.test/why and https://files.test/b.JPG?x=1, enjoy",
         "https://files.test/b.JPG?x=1"),
        ("[save](https://files.test/c.webp)", "https://files.test/c.webp"),
        ("https://files.test/d\n", "https://files.test/d"),
        ("<https://files.test/d>", "https://files.test/d"),
        ("![a [red] square](https://files.test/e)", "https://files.test/e"),
        ('![x](https://files.test/f "f")', "https://files.test/f"),
        ("![x](<https://files.test/g>)", "https://files.test/g"),
        ("![x](https://files.test/h_(1))", "https://files.test/h_(1)"),
        ("[![x](https://files.test/i)](https://files.test/large)", "https://files.test/i"),
        ("[terms](https://help.test/t) ![x](https://files.test/j)", "https://files.test/j"),
        ("<IMG alt='x' SRC='HTTPS://files.test/k'>", "HTTPS://files.test/k"),
        ("图片 https://files.test/l.png。", "https://files.test/l.png"),
    ],
)  # fmt: skip
def test_a_link_to_a_picture_is_followed(content, url):
    """Markdown images, image paths and answers that are nothing but a link are pictures."""
    assert url == played(message(content)).sends[1].url


@pytest.mark.parametrize(
    "content",
    [
        "I will not. See https://help.test/policy.", "[terms](https://help.test/t)", "", 7,
        "![x](attachment://1) [terms](https://help.test/t)", "![x]\n[t](https://help.test/t)",
        "<img alt='x'> https://help.test/t",
    ],
)  # fmt: skip
def test_a_link_to_something_else_is_no_picture(content):
    """Refusals link to policies."""
    assert ErrorClass.NO_IMAGE is played(message(content)).verdict.error


@pytest.mark.parametrize("end", [")", '"', "'", ">", "`", " and more", "\n", "。再见", ""])
def test_a_data_uri_ends_where_the_text_around_it_goes_on(end):
    """Whatever wraps a bare data URI is not part of it."""
    assert PNG == played(message(f"Look: {URI}{end}")).picture.data


@pytest.mark.parametrize("title", ['"a square"', "'a square'", ""])
def test_a_markdown_title_is_no_part_of_the_data(title):
    """Blanks may wrap base64 inside the brackets, a quote ends it."""
    wrapped = f"![x]({URI[:60]}\n{URI[60:]} {title})"

    assert PNG == played(message(wrapped)).picture.data


def test_an_image_field_comes_before_the_text():
    """The places are searched in a fixed order; parts without a URL are passed over."""
    images = [{"type": "image_url"}, {"image_url": {"url": ""}}, {"image_url": {"url": URI}}]
    played_ = played(message("![x](https://files.test/a)", images=images))

    assert (PNG, 1) == (played_.picture.data, len(played_.sends))


@pytest.mark.parametrize(
    ("choice", "error", "detail"),
    [
        ({"finish_reason": "content_filter"}, ErrorClass.POLICY_BLOCKED,
         "no image (content_filter)"),
        ({"native_finish_reason": "SAFETY", "finish_reason": "stop"}, ErrorClass.POLICY_BLOCKED,
         "no image (SAFETY)"),
        ({"finish_reason": "error"}, ErrorClass.SERVER_ERROR, "HTTP 500"),
        ({"error": {"code": 429, "message": "Slow."}}, ErrorClass.RATE_LIMITED, "Slow."),
        ({"message": {"refusal": "No."}}, ErrorClass.NO_IMAGE, "No."),
        ({"message": {"content": [{"text": "Or"}, {"text": 1}, {"text": "so"}]}},
         ErrorClass.NO_IMAGE, "Or so"),
        ({}, ErrorClass.NO_IMAGE, "no image (empty answer)"),
    ],
)  # fmt: skip
def test_a_choice_without_a_picture_says_why(choice, error, detail):
    """Blocks, errors and words are told apart; the billed amount is kept."""
    verdict = played({"choices": [choice], "usage": {"cost": 0.02}}).verdict

    assert (error, detail) == (verdict.error, verdict.detail)
    assert error is not ErrorClass.NO_IMAGE or verdict.cost_usd == 0.02


def test_a_stream_nobody_asked_for_is_joined():
    """Some gateways stream always: text, images, model and cost add up to one answer."""
    half = len(URI) // 2
    events = stream(
        {"model": "m-3", "choices": [{"delta": {"content": f"![x]({URI[:half]}"}}]},
        {"model": None, "choices": [{"delta": {"content": f"{URI[half:]})"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"cost": 0.01}},
    )
    picture = played(f": waiting\n\nevent: message\n{events}").picture

    assert (PNG, "m-3", "stop", 0.01) == (
        picture.data, picture.model_version, picture.finish_reason, picture.cost_usd,
    )  # fmt: skip


@pytest.mark.parametrize("start", [": waiting\n\n", ":\n\n", "id: 7\n", "retry: 100\n\n", "\n"])
@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"content": URI}},
        {"delta": {"content": [{"type": "image_url", "image_url": {"url": URI}}]}},
        {"delta": {"content": [{"type": "text", "text": f"![x]({URI})"}]}},
        {"delta": {"images": [{"image_url": {"url": URI}}]}},
        {"delta": {}, "message": {"content": URI}},
    ],
)
def test_a_stream_may_begin_and_carry_its_picture_in_any_way(start, choice):
    """Fields and comments come before the data; deltas, parts and whole messages hold pictures."""
    assert PNG == played(start + stream({"choices": [choice]}, {"choices": []})).picture.data


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"finish_reason": "error", "error": {"code": 429}}, ErrorClass.RATE_LIMITED),
        ({"native_finish_reason": "PROHIBITED_CONTENT"}, ErrorClass.POLICY_BLOCKED),
    ],
)
def test_what_a_streams_choice_tells_is_kept(choice, error):
    """A later event that tells nothing of it does not undo it."""
    last = {"choices": [{"finish_reason": None, "native_finish_reason": None, "delta": {}}]}

    assert error is played(stream({"choices": [choice]}, last)).verdict.error


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (stream({"error": {"code": 503, "message": "x"}}), ErrorClass.OVERLOADED),
        ('data: {"choices": [', ErrorClass.PROTOCOL),
        ("data: 7\n", ErrorClass.PROTOCOL),
        ("data: " + "[" * 100_000, ErrorClass.PROTOCOL),
        (stream(), ErrorClass.NO_IMAGE),
    ],
)
def test_a_broken_stream_is_refused(body, error):
    """An error event has its own class; an event that is no JSON object is a protocol error."""
    assert error is played(body).verdict.error
