"""Recorded facts: every labelled reply gets its class, every request equals the recorded one."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from probes.model import Canary
from tests.support.replies import TARGETS, canned, play, reply

FORMAT_OF = {
    "gemini": "gemini", "imagen": "imagen", "openai": "openai-images", "chat": "openai-chat",
    "bfl": "bfl",
}  # fmt: skip
OTHER_FORMATS = ("gemini_batch_", "gemini_interactions_")
NO_REPLY = {"openai_err_connection_refused"}  # Nobody answered: the driver's test.
DESTROYED = {"gemini_gzip_response"}  # Compressed bytes were stored as text.


def recorded(shared, name):
    """Return each recording of *name*: by the current client and by older ones."""
    folder = shared / "recordings"
    paths = [folder / f"{name}.json", *sorted(folder.glob(f"{name}__*.json"))]
    loaded = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
    return [one for one in loaded if one["response"]]


def labelled(shared):
    """Return the labels of the formats that exist."""
    labels = json.loads((shared / "recordings" / "expected.json").read_text(encoding="utf-8"))
    return {
        name: label
        for name, label in labels.items()
        if name.split("_")[0] in FORMAT_OF and not name.startswith(OTHER_FORMATS)
    }


def replayed(name, recording):
    """Play a recorded reply; links behind it hold a picture."""
    response = recording["response"]
    answered = reply(response["status"], response["body"], response["headers"])
    target = TARGETS[FORMAT_OF[name.split("_")[0]]]
    return play(target, lambda send: canned(send) if send.is_download else answered)


def test_every_labelled_reply_gets_its_class(shared):
    """The labels of the recordings hold for every client version they were recorded with."""
    labels = labelled(shared)
    outcomes = {}
    for name in labels.keys() - NO_REPLY - DESTROYED:
        recordings = recorded(shared, name)
        assert recordings, name
        for one in recordings:
            outcomes.setdefault(name, set()).add(replayed(name, one).outcome)

    assert {name: {labels[name]} for name in outcomes} == outcomes
    assert len(outcomes) >= 80


@pytest.mark.parametrize("name", sorted(DESTROYED))
def test_a_recording_that_was_destroyed_is_left_out_for_a_reason(shared, name):
    """Its body holds replacement characters: no decoder can bring the bytes back."""
    for one in recorded(shared, name):
        assert "\ufffd" in one["response"]["body"]
        assert "protocol" == replayed(name, one).outcome


OK_OPTIONS = {
    "openai_images_gpt_ok_async_1024x768": {"output_format": "jpeg"},
    "openai_images_gpt_jpeg_cheapest": {
        "moderation": "low", "output_compression": 10, "output_format": "jpeg",
    },
    "openai_images_dalle3_b64_ok": {"response_format": "b64_json"},
    "chat_image_openrouter_images_field": {
        "modalities": ["image", "text"],
        "image_config": {"aspect_ratio": "1:1", "image_size": "1K"},
    },
    "gemini_generate_image_size_1k": {"image_size": "1K"},
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "gemini_generate_image_ok",
        "gemini_generate_image_ok_async",
        "gemini_generate_image_size_1k",
        "gemini_generate_image_thinking_ok",
        "imagen_mldev_generate_images",
        "openai_images_gpt_ok",
        "openai_images_gpt_ok_async_1024x768",
        "openai_images_gpt_jpeg_cheapest",
        "openai_images_dalle3_b64_ok",
        "openai_images_laozhang_flux_url",
        "chat_image_markdown_data_uri",
        "chat_image_openrouter_images_field",
        "bfl_submit_ok",
    ],
)
def test_a_request_equals_the_recorded_one(shared, name):
    """Method, path, auth header and body are those the official clients send."""
    for one in recorded(shared, name):
        request = one["request"]
        target = target_of(name, request)
        send = play(target, lambda _: reply(500), canary_of(request["body"])).sends[0]

        assert request["method"] == send.method
        assert request["path"] == urlsplit(send.url).path
        assert request["body"] == send.json
        assert send.headers.items() <= request["headers"].items()
        assert 1 == len(send.headers)


def target_of(name, request):
    """Return the target whose canary the recorded request is."""
    body, path, headers = request["body"], request["path"], request["headers"]
    target = TARGETS[FORMAT_OF[name.split("_")[0]]]
    if target.format in {"gemini", "imagen"}:
        version, _, rest = path.strip("/").split("/")
        options = {"api_version": version} | OK_OPTIONS.get(name, {})
        model, key = rest.rpartition(":")[0], headers["x-goog-api-key"]
        return replace(target, model=model, api_key=key, options=options, size=None)
    options = OK_OPTIONS.get(name, {})
    if target.format == "bfl":
        model, key = path.rpartition("/")[2], headers["x-key"]
        return replace(target, model=model, api_key=key, options=options)
    key = headers["authorization"].removeprefix("Bearer ")
    size = tuple(int(side) for side in body["size"].split("x")) if "size" in body else None
    return replace(
        target, model=body["model"], api_key=key, options=options, size=size,
        quality=body.get("quality"),
    )  # fmt: skip


def canary_of(body):
    """Return the canary with the prompt and seed of a recorded body."""
    places = (
        lambda: body["prompt"],
        lambda: body["messages"][0]["content"],
        lambda: body["instances"][0]["prompt"],
        lambda: body["contents"][0]["parts"][0]["text"],
    )
    for place in places:
        try:
            return Canary(prompt=place(), colour=None, seed=body.get("seed", 1))
        except KeyError:
            continue
    raise AssertionError(body)
