"""Recorded facts: every labelled reply gets its class, every request equals the recorded one."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from probes.model import Canary
from tests.support.replies import TARGETS, canned, play, play_free, reply

FORMAT_OF = {
    "gemini": "gemini", "imagen": "imagen", "openai": "openai-images", "chat": "openai-chat",
    "bfl": "bfl",
}  # fmt: skip
OTHER_FORMATS = ("gemini_interactions_",)
NO_REPLY = {"openai_err_connection_refused"}  # Nobody answered: the driver's test.
DESTROYED = {"gemini_gzip_response"}  # Compressed bytes were stored as text.


def format_of(name):
    """Return the wire format that a recording is of."""
    return "gemini-batch" if name.startswith("gemini_batch_") else FORMAT_OF[name.split("_")[0]]


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
    target = TARGETS[format_of(name)]
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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gemini_batch_get_succeeded_file", "good"),
        ("gemini_batch_get_succeeded_item_error", "rate_limited"),
        ("gemini_batch_get_failed", "server_error"),
        ("gemini_batch_get_cancelled", "server_error"),
        ("gemini_batch_get_404", "server_error"),
    ],
)
def test_a_recorded_look_at_a_job_tells_what_became_of_it(shared, name, expected):
    """Recordings without a label: a file, a code of gRPC, errors that official clients drop."""
    lines = recorded(shared, "gemini_batch_download_results_file")[0]["response"]["body"]
    for one in recorded(shared, name):
        response = one["response"]
        answered = reply(response["status"], response["body"], response["headers"])
        played = play(
            TARGETS["gemini-batch"],
            lambda send, one=answered: reply(200, lines) if ":download?" in send.url else one,
        )

        assert expected == played.outcome, played.verdict


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
        "gemini_batch_create",
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
    target = TARGETS[format_of(name)]
    if target.format in {"gemini", "gemini-batch", "imagen"}:
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
        lambda: body["batch"]["inputConfig"]["requests"]["requests"][0]["request"]["contents"][0][
            "parts"
        ][0]["text"],
    )
    for place in places:
        try:
            return Canary(prompt=place(), colour=None, seed=body.get("seed", 1))
        except KeyError:
            continue
    raise AssertionError(body)


# The free call that was recorded, as the option that makes it, and what its answer tells.
FREE_CALLS = {
    "gemini_count_tokens": ("gemini", {}, "7 tokens are counted", None, None),
    "gemini_get_model": ("gemini", {"liveness": "get_model"}, "the model is known", None, None),
    "gemini_list_models": (
        "gemini", {"liveness": "list_models"}, "2 models are listed", None, None,
    ),
    "openai_models_retrieve": ("openai-images", {}, "the model is known", "2026-12-01", None),
    "openai_models_list": ("openai-chat", {}, "2 models are listed", "2026-12-01", None),
    "bfl_credits": ("bfl", {}, "4321.5 credits are left", None, 43.215),
}  # fmt: skip
LISTED = {"gemini": "gemini-3-pro-image", "openai-chat": "gpt-image-1-mini", "bfl": "flux-2-pro"}


def free_target(of, options, request):
    """Return the target whose free call the recorded request is."""
    headers, parts = request["headers"], request["path"].strip("/").split("/")
    sent = next(h for h in ("x-goog-api-key", "authorization", "x-key") if h in headers)
    key = headers[sent].removeprefix("Bearer ")
    version = {"api_version": parts[0]} if of == "gemini" else {}
    model = parts[2].partition(":")[0] if len(parts) > 2 else LISTED[of]
    return replace(TARGETS[of], model=model, options=options | version, api_key=key)


@pytest.mark.parametrize("name", FREE_CALLS)
def test_a_recorded_free_call_is_asked_and_understood(shared, name):
    """Method, path, key and body are the official client's; the answer tells what it holds."""
    of, options, detail, shutdown_on, balance_usd = FREE_CALLS[name]
    for one in recorded(shared, name):
        request, response = one["request"], one["response"]
        answered = reply(response["status"], response["body"], response["headers"])
        played = play_free(free_target(of, options, request), lambda _, one=answered: one)
        (send,) = played.sends

        assert (request["method"], request["path"], request["body"]) == (
            send.method, urlsplit(send.url).path, send.json,
        )  # fmt: skip
        assert send.headers.items() <= request["headers"].items()
        assert (detail, shutdown_on) == (played.alive.detail, played.alive.shutdown_on)
        assert balance_usd is None or balance_usd == pytest.approx(played.alive.balance_usd)


@pytest.mark.parametrize(
    ("name", "of", "expected"),
    [
        ("openai_models_retrieve_404", "openai-images", "model_gone"),
        ("openai_err_401_invalid_key", "openai-images", "auth"),
        ("gemini_err_400_api_key_invalid", "gemini", "auth"),
        ("gemini_err_403_no_key", "gemini", "auth"),
        ("gemini_err_502_html", "gemini", "server_error"),
        ("gemini_200_html", "gemini", "protocol"),
        ("gemini_200_truncated_json", "gemini", "protocol"),
        ("bfl_err_503", "bfl", "overloaded"),
        ("bfl_err_402", "bfl", "billing"),
    ],
)
def test_a_recorded_refusal_of_a_free_call_gets_its_class(shared, name, of, expected):
    """Refusals come in the words that generations are refused in."""
    found = recorded(shared, name)
    for one in found:
        response = one["response"]
        answered = reply(response["status"], response["body"], response["headers"])

        assert expected == play_free(TARGETS[of], lambda _, one=answered: one).outcome
    assert found


def test_a_recorded_unknown_job_proves_a_key(shared):
    """Where credits are not told, the status a poll would have shown for an unknown job is enough."""
    (pending,) = recorded(shared, "bfl_get_result_pending")
    unknown = {**pending["response"]["body"], "status": "Task not found"}
    played = play_free(
        TARGETS["bfl"],
        lambda send: reply(404) if "credits" in send.url else reply(200, unknown),
    )

    assert pending["request"]["path"] == urlsplit(played.sends[1].url).path
    assert played.alive
