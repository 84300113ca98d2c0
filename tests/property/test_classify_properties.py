"""Laws of reading replies: nothing a provider sends can crash us or pass for a picture."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probes.classify import classify
from probes.complaint import BODY_HEAD_CHARS, DETAIL_CHARS, dig
from probes.model import ErrorClass, Reply
from probes.retry import (
    HINT_S_MAX,
    midnight_after,
    midnight_before,
    pacific_midnight_after,
    parse_duration,
)
from tests.support.replies import (
    HEADERS,
    RECEIVED_AT,
    STATUSES,
    TARGETS,
    TREES,
    bodies,
    canned,
    play,
    reply,
)

REPLIES = Path(__file__).resolve().parent.parent / "data" / "replies"
# Two thousand a format; each example is a fraction of a millisecond of our code.
EXAMPLES = 2_000
ZONES = sorted(available_timezones())
many = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])


@cache
def sound_bodies(name: str) -> list[bytes]:
    """The stored replies of a format, as bytes: what mutations start from."""
    cases = [json.loads(p.read_text(encoding="utf-8")) for p in (REPLIES / name).glob("*.json")]
    found = [reply(200, case["response"]["body"]).body for case in cases]
    return sorted(found)


def replies(name: str) -> st.SearchStrategy[Reply]:
    """Random and mutated replies for a format."""
    return st.builds(reply, STATUSES, bodies(sound_bodies(name)), HEADERS)


def check(name: str, drawn: Reply, step: int) -> None:
    """Play an exchange of *name* whose reply number *step* is *drawn*; check every law."""
    seen = []

    def answer(send):
        seen.append(drawn if len(seen) == step else canned(send))
        return seen[-1]

    played = play(TARGETS[name], answer)

    if played.picture is not None:
        assert played.picture.data
        check_limits(played.picture.limits)
        assert any(was_in(played.picture.data, one) for one in seen)
    elif played.verdict is not None:
        check_verdict(played.verdict)
    assert not any(send.is_download and send.headers for send in played.sends)


def was_in(data: bytes, one: Reply) -> bool:
    """Whether a picture's bytes were in a reply: as they are, or as base64 in its texts."""
    if data == one.body:
        return True
    lines = one.body.splitlines()
    if one.json is not None:
        text = "".join(texts(one.json))
    elif events := [line[5:] for line in lines if line.startswith(b"data:")]:
        text = "".join(piece for event in events for piece in pieces(reply(200, event).json))
    else:  # A file of results has an object on each line.
        text = "".join(piece for line in lines for piece in texts(reply(200, line).json))
    # The last letters may carry bits that decoding drops.
    return base64.b64encode(data)[:-4].decode() in "".join(text.split())


def texts(tree) -> list[str]:
    """Every text in a JSON tree, in order."""
    if isinstance(tree, str):
        return [tree]
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [text for branch in inner for text in texts(branch)]


def pieces(event) -> list[str]:
    """The pieces of picture that one stream event carries: its contents, else its image fields."""
    messages = [dig(event, "choices", 0, place) for place in ("delta", "message")]
    contents = [text for message in messages for text in texts(dig(message, "content"))]
    return contents or [text for message in messages for text in texts(dig(message, "images"))]


def check_verdict(verdict) -> None:
    """A verdict can be stored and shown, whatever it was made of."""
    assert isinstance(verdict.error, ErrorClass)
    for text in (verdict.detail, verdict.code, verdict.finish_reason, verdict.request_id):
        assert text is None or (len(text) <= DETAIL_CHARS and text.encode() is not None)
        assert text is None or text.isprintable()
    assert verdict.body_head is None or len(verdict.body_head) <= BODY_HEAD_CHARS
    if verdict.retry_at is not None:
        assert RECEIVED_AT <= verdict.retry_at <= RECEIVED_AT + HINT_S_MAX + 3600
    check_limits(verdict.limits)


def check_limits(limits) -> None:
    """Limits are one of a kind, and renew within a long day."""
    assert len(limits) == len({(limit.period, limit.per_model) for limit in limits})
    for limit in limits:
        assert all(n is None or 0 <= n <= 10**9 for n in (limit.requests, limit.remaining))
        if limit.resets_at is not None:
            assert RECEIVED_AT <= limit.resets_at <= RECEIVED_AT + HINT_S_MAX + 3600


@many
@given(drawn=replies("gemini"), step=st.just(0))
def test_no_reply_crashes_gemini_or_passes_for_a_picture(drawn, step):
    """Any status, headers and body end in a verdict, or in bytes that were in the reply."""
    check("gemini", drawn, step)


@many
@given(drawn=replies("imagen"), step=st.just(0))
def test_no_reply_crashes_imagen_or_passes_for_a_picture(drawn, step):
    """Any status, headers and body end in a verdict, or in bytes that were in the reply."""
    check("imagen", drawn, step)


@many
@given(drawn=replies("openai-images"), step=st.just(0))
def test_no_reply_crashes_openai_images_or_passes_for_a_picture(drawn, step):
    """Any status, headers and body end in a verdict, or in bytes that were in the reply."""
    check("openai-images", drawn, step)


@many
@given(drawn=replies("openai-chat"), step=st.just(0))
def test_no_reply_crashes_openai_chat_or_passes_for_a_picture(drawn, step):
    """Any status, headers and body end in a verdict, or in bytes that were in the reply."""
    check("openai-chat", drawn, step)


@many
@given(drawn=replies("bfl"), step=st.integers(0, 1))
def test_no_reply_crashes_bfl_or_passes_for_a_picture(drawn, step):
    """Any status, headers and body end in a verdict, or in bytes that were in the reply."""
    check("bfl", drawn, step)


@many
@given(drawn=replies("gemini-batch"), step=st.integers(0, 2))
def test_no_reply_crashes_gemini_batch_or_passes_for_a_picture(drawn, step):
    """Any status, headers and body end in a verdict, or in bytes that were in the reply."""
    check("gemini-batch", drawn, step)


@settings(max_examples=500)
@given(status=STATUSES, doc=TREES, headers=HEADERS, relay=st.booleans())
def test_every_reply_can_be_classified(status, doc, headers, relay):
    """The classifier has an answer to everything, also to what a format would have liked."""
    check_verdict(classify(reply(status, doc, headers), relay=relay))


@given(status=st.sampled_from([401, 403]), doc=TREES)
def test_a_relays_refusal_is_never_blamed_on_the_key_without_a_reason(status, doc):
    """Random words hold none of our token's own phrases, so a relay answers for its upstream."""
    verdict = classify(reply(status, doc), relay=True)

    assert verdict.error is not ErrorClass.AUTH


@given(at=st.floats(0, 4e9))
def test_the_next_midnight_is_within_a_long_day(at):
    """Later than now and at most 25 hours away."""
    assert 0 < pacific_midnight_after(at) - at <= 25 * 3600


@given(at=st.floats(1_577_836_800, 4e9), zone=st.sampled_from(ZONES))
def test_every_moment_lies_between_the_midnights_of_its_day(at, zone):
    """In every zone, since 2020: the day before ends where the day begins."""
    place = ZoneInfo(zone)
    start, end = midnight_before(at, place), midnight_after(at, place)

    assert start <= at < end
    assert 22 * 3600 <= end - start <= 26 * 3600
    assert start == midnight_after(start - 1, place)
    assert start == midnight_before(start, place)


@given(text=st.text("0123456789.-e mshd", max_size=40))
def test_a_duration_is_a_finite_amount_or_none(text):
    """No text makes a negative or endless wait."""
    seconds = parse_duration(text)

    assert seconds is None or 0 <= seconds < float("inf")
