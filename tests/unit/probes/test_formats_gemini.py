"""The generateContent format: what it asks for and what it takes from the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.replies import PNG, PNG_BASE64, TARGETS, play, reply

TARGET = TARGETS["gemini"]
IMAGE = {"inlineData": {"mimeType": "image/png", "data": PNG_BASE64}}


def sent(**changes):
    """The first request for a target with *changes*."""
    return play(replace(TARGET, **changes), lambda _: reply(500)).sends[0]


def played(doc, headers=None):
    """How an exchange goes whose one reply is *doc*."""
    return play(TARGET, lambda _: reply(200, doc, headers))


def test_the_request_names_version_model_and_key():
    """The default is v1 with a key header; the model is one quoted path segment."""
    send = sent(model="models/a b")

    assert send.url == "https://gemini.test/v1/models/models%2Fa%20b:generateContent"
    assert {"x-goog-api-key": "key-1"} == send.headers


def test_a_gateway_is_sent_a_bearer_token_and_its_version():
    """Gateways that speak Google's format take their own key in Authorization."""
    send = sent(options={"auth": "bearer", "api_version": "v1beta"})

    assert send.url.startswith("https://gemini.test/v1beta/models/")
    assert {"authorization": "Bearer key-1"} == send.headers


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        (None, {}, {"aspectRatio": "1:1"}),
        ((512, 512), {}, {"aspectRatio": "1:1", "imageSize": "512"}),
        ((1024, 768), {}, {"aspectRatio": "4:3"}),
        ((768, 1344), {}, {"aspectRatio": "4:7"}),
        ((2048, 2048), {}, {"aspectRatio": "1:1", "imageSize": "2K"}),
        ((4096, 4096), {}, {"aspectRatio": "1:1", "imageSize": "4K"}),
        ((1024, 1024), {"image_size": "1K"}, {"aspectRatio": "1:1", "imageSize": "1K"}),
    ],
)
def test_the_size_becomes_a_ratio_and_a_step(size, options, expected):
    """1K is the default and goes unsaid; an option overrides the step."""
    body = sent(size=size, options=options).json

    assert expected == body["generationConfig"]["imageConfig"]


def test_the_answer_tells_model_id_finish_and_server_time():
    """The picture carries what the answer says of it."""
    doc = {
        "candidates": [{"content": {"parts": [{"text": "Here"}, IMAGE]}, "finishReason": "STOP"}],
        "modelVersion": "m-2",
        "responseId": "r-1",
    }
    picture = played(doc, {"Server-Timing": "gfet4t7; dur=6213"}).picture

    assert (PNG, "m-2", "STOP", "r-1", 6.213) == (
        picture.data, picture.model_version, picture.finish_reason, picture.request_id,
        picture.server_s,
    )  # fmt: skip


def test_the_last_picture_counts_and_thoughts_do_not():
    """Interim pictures are thoughts; of several results the last one is the result."""
    first = {"inlineData": {"data": "Zmlyc3Q="}}
    parts = [first, IMAGE, first | {"thought": True}, {"text": "done"}]
    doc = {"candidates": [{"content": {"parts": parts}}]}

    assert PNG == played(doc).picture.data


@pytest.mark.parametrize(
    ("doc", "detail", "finish"),
    [
        ({"candidates": [{"finishReason": "NO_IMAGE"}]}, "no image (NO_IMAGE)", "NO_IMAGE"),
        ({"candidates": [{"finishReason": "SAFETY", "finishMessage": "Hm."}]}, "Hm.", "SAFETY"),
        ({"candidates": [{"content": {"parts": [{"text": ""}, {"text": "Why?"}]}}]}, "Why?", None),
        ({"promptFeedback": {"blockReason": "OTHER"}}, "no image (OTHER)", "OTHER"),
        ({}, "no image (empty answer)", None),
    ],
)
def test_a_missing_picture_is_explained(doc, detail, finish):
    """The detail is what the model said, else the raw finish reason, which is kept."""
    verdict = played(doc).verdict

    assert (detail, finish) == (verdict.detail, verdict.finish_reason)


@pytest.mark.parametrize(
    ("timing", "seconds"), [("x; dur=1500", 1.5), ("x; dur=1.2.3", None), ("x", None), ("", None)]
)
def test_an_odd_server_timing_is_no_time(timing, seconds):
    """Only a number is a time."""
    doc = {"candidates": [{"content": {"parts": [IMAGE]}}]}

    assert seconds == played(doc, {"Server-Timing": timing}).picture.server_s
