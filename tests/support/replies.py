"""
Replies for tests of the wire formats: recorded ones, canned ones, random and mutated ones.

Plays a format's generator against answers chosen by the request, without any I/O.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from hypothesis import strategies as st
from PIL import Image

from probes.model import Alive, Canary, Picture, Refused, Reply, Send, Target, Verdict
from probes.registry import load

RECEIVED_AT = 1_795_332_000.0  # 2026-11-22 07:20 UTC, 23:20 the day before in Los Angeles.
CANARY = Canary(prompt="A plain red square.", colour=None, seed=1, poll_s=0.25)
SENDS_MAX = 50


def _png() -> bytes:
    out = BytesIO()
    Image.new("RGB", (12, 12), (200, 30, 30)).save(out, "PNG")
    return out.getvalue()


PNG = _png()
PNG_BASE64 = base64.b64encode(PNG).decode()

TARGETS: dict[str, Target] = {
    "gemini": Target(
        id="g", provider="p", format="gemini", base_url="https://gemini.test",
        model="some-image-model", api_key="key-1",
    ),
    "imagen": Target(
        id="i", provider="p", format="imagen", base_url="https://imagen.test",
        model="some-imagen", api_key="key-2",
    ),
    "openai-images": Target(
        id="o", provider="p", format="openai-images", base_url="https://openai.test/v1",
        model="some-gpt-image", api_key="key-3", size=(1024, 1024), quality="low",
    ),
    "openai-chat": Target(
        id="c", provider="p", format="openai-chat", base_url="https://chat.test/v1",
        model="some-chat-image", api_key="key-4",
    ),
    "bfl": Target(
        id="b", provider="p", format="bfl", base_url="https://bfl.test", model="some-flux",
        api_key="key-5", poll_hosts=(".bfl.test",),
    ),
    "gemini-batch": Target(
        id="j", provider="p", format="gemini-batch", base_url="https://gemini.test",
        model="some-image-model", api_key="key-6",
    ),
}  # fmt: skip

Answerer = Callable[[Send], Reply]


@dataclass
class Played:
    """How an exchange or a free call went: what was sent, what was found or the verdict."""

    sends: list[Send] = field(default_factory=list)
    picture: Picture | None = None
    alive: Alive | None = None
    verdict: Verdict | None = None

    @property
    def outcome(self) -> str:
        """``good`` or the error class."""
        return "good" if self.verdict is None else self.verdict.error.value


def play(target: Target, answer: Answerer, canary: Canary = CANARY) -> Played:
    """Play one exchange; *answer* gives the reply to each send. Stops after SENDS_MAX sends."""
    played, found = _played(load(target.format).exchange(target, canary), answer)
    played.picture = found
    return played


def play_free(target: Target, answer: Answerer) -> Played:
    """Play one free call; *answer* gives the reply to each send."""
    played, found = _played(load(target.format).liveness(target), answer)
    played.alive = found
    return played


def _played(steps: Generator[Send, Reply, Any], answer: Answerer) -> tuple[Played, Any]:
    played = Played()
    try:
        send = next(steps)
        while len(played.sends) < SENDS_MAX:
            played.sends.append(send)
            send = steps.send(answer(send))
        steps.close()
    except StopIteration as done:
        return played, done.value
    except Refused as refused:
        played.verdict = refused.verdict
    return played, None


def reply(
    status: int = 200,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    *,
    received_at: float = RECEIVED_AT,
    request: Send | None = None,
) -> Reply:
    """Return a reply; text and bytes are sent as they are, None is no body, the rest is JSON."""
    if body is None:
        body = b""
    elif isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    return Reply(status=status, headers=lower, body=body, received_at=received_at, request=request)


# A batch job as its creation shows it, and as it is when it has succeeded.
JOB = {"name": "batches/job-1", "metadata": {"state": "BATCH_STATE_PENDING"}}
ITEM = {
    "response": {"candidates": [{"content": {"parts": [{"inlineData": {"data": PNG_BASE64}}]}}]}
}
JOB_DONE = {
    "name": "batches/job-1",
    "metadata": {"state": "BATCH_STATE_SUCCEEDED"},
    "done": True,
    "response": {"inlinedResponses": {"inlinedResponses": [ITEM]}},
}


def canned(send: Send) -> Reply:
    """Answer what comes before and after the reply under test as a healthy provider would."""
    if send.url.endswith(":batchGenerateContent"):
        return reply(200, JOB)
    if "/batches/" in send.url:
        return reply(200, JOB_DONE)
    if ":download?" in send.url:
        return reply(200, json.dumps(ITEM))
    if send.is_download:
        return reply(200, PNG, {"Content-Type": "image/png"})
    if send.method == "POST":
        return reply(200, {"id": "job-1", "polling_url": "https://eu.bfl.test/v1/get_result?id=1"})
    return reply(
        200, {"id": "job-1", "status": "Ready", "result": {"sample": "https://cdn.test/s.jpeg"}}
    )


def played_with(target: Target, at: str, path: str, answered: Reply) -> Played:
    """Play an exchange in which the send with method *at* and *path* gets *answered*."""

    def answer(send: Send) -> Reply:
        hit = send.method == at and urlsplit(send.url).path == path
        return answered if hit else canned(send)

    return play(target, answer)


# --- Random and mutated replies -------------------------------------------------------------

_NAMES = """
error code type status message details detail msg reason violations quotaId quotaValue
retryDelay metadata headers reasons raw success candidates content parts inlineData
inline_data data mimeType thought text finishReason promptFeedback blockReason predictions
bytesBase64Encoded raiFilteredReason b64_json url task_id usage cost choices message images
image_url delta finish_reason native_finish_reason id polling_url result sample duration
retry_after modelVersion responseId title
models name totalTokens shutdown_date credits quota
operations metadata state done output response inlinedResponses responsesFile
"""
_WORDS = st.sampled_from(_NAMES.split())
_VALUES = st.sampled_from(
    [
        "STOP", "IMAGE_SAFETY", "NO_IMAGE", "Ready", "Pending", "Error", "Request Moderated",
        "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "API_KEY_INVALID", "insufficient_quota",
        "rate_limit_exceeded", "model_not_found", "new_api_error", "upstream_error", "error",
        "GenerateRequestsPerDayPerModel", "images per min: Limit 5", "1分钟内最多请求9次", "limit: 0", "34.07s", "-5s", "NaN", "retry in 3h",
        "https://cdn.test/a.png", "http://[::1", "https://evil.test/poll", "file:///etc/passwd",
        "data:image/png;base64,", "data:image/png;base64,####", f"data:image/png;base64,{PNG_BASE64}",
        f"![x](data:image/png;base64,{PNG_BASE64})", "![x](https://cdn.test/a.png)", PNG_BASE64,
        "====", "", "0", "\ud800", "\x00", "额度不足",
    ]
)  # fmt: skip
_NUMBERS = st.sampled_from([0, 1, -1, 8, 200, 402, 403, 429, 503, 1e308, 10**30, 1795392000000])
_LEAVES = st.none() | st.booleans() | _NUMBERS | _VALUES
TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=8,
)
STATUSES = st.sampled_from(
    [100, 200, 200, 200, 201, 204, 301, 308, 400, 401, 402, 403, 404, 408, 409, 410, 422, 429,
     451, 499, 500, 502, 503, 504, 520, 524, 529, 599, 700]
)  # fmt: skip
# Drawn whole: a dictionary strategy costs more than the code under test.
HEADERS = st.sampled_from(
    [
        {}, {}, {},
        {"retry-after": "1"}, {"retry-after": "-3"}, {"retry-after": "nan"}, {"retry-after": ""},
        {"retry-after": "1e400"}, {"retry-after": "Sun, 22 Nov 2026 08:00:00 GMT"},
        {"retry-after": "Sun, 99 Nov 99999 08:00:00"}, {"retry-after-ms": "inf"},
        {"retry-after-ms": "250"}, {"x-ratelimit-reset": "1795392000000"},
        {"x-ratelimit-reset": "soon", "x-ratelimit-remaining": "0"},
        {"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"},
        {"x-ratelimit-limit": "50", "x-ratelimit-reset": "99999999999999"},
        {"x-ratelimit-limit-requests": "1e300", "x-ratelimit-remaining-requests": "-1"},
        {"content-type": "text/event-stream", "x-request-id": "\ud800" * 300},
        {"server-timing": "gfet4t7; dur=6213"}, {"server-timing": "dur=1.2.3"},
        {"openai-processing-ms": "nan", "x-request-id": "a b"},
    ]
)  # fmt: skip


SPLICES = (b"null", b'"', b"}", b"\xff", b"<html>")


def _mutated(sound: bytes, kind: str, at: int, flip: int) -> bytes:
    at %= len(sound) + 1
    if kind == "cut":
        return sound[:at]
    if kind == "flip":
        return sound[:at] + bytes(byte ^ flip for byte in sound[at : at + 1]) + sound[at + 1 :]
    return sound[:at] + SPLICES[flip % len(SPLICES)] + sound[at:] if kind == "splice" else sound


def bodies(sound: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return random JSON, streams of it, pages, raw bytes, and mutations of *sound* bodies."""
    random_json = TREES.map(lambda tree: json.dumps(tree).encode())
    kinds = st.sampled_from(["cut", "flip", "splice", "same"])
    mutated = st.builds(
        _mutated, st.sampled_from(sound), kinds, st.integers(0, 10_000), st.integers(1, 255)
    )
    return st.one_of(
        mutated,
        mutated,
        random_json,
        random_json.map(lambda event: b"data: " + event + b"\n\ndata: [DONE]\n\n"),
        st.sampled_from([b"", b"  ", b"<html><title>403</title>", b"error code: 1", b"[" * 9000]),
        st.binary(max_size=40),
    )
