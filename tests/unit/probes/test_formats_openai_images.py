"""The images format: which settings travel, base64 and links, and what links may be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from probes.formats._answer import split_url
from probes.model import ErrorClass, Phase
from tests.support.replies import CANARY, PNG, PNG_BASE64, TARGETS, play, reply

TARGET = TARGETS["openai-images"]
LINK = "https://files.test/a.png"


def played(doc, headers=None):
    """How an exchange goes whose one API reply is *doc*."""
    return play(TARGET, lambda s: reply(200, PNG if s.is_download else doc, headers))


def linked(status, body=b"", **changes):
    """How an exchange goes whose result link answers with *status* and *body*."""
    doc = {"data": [{"url": LINK}]}
    return play(
        replace(TARGET, **changes),
        lambda s: reply(status, body) if s.is_download else reply(200, doc),
    )


def test_only_what_is_set_is_sent():
    """Models differ in what they refuse, so nothing is sent that nobody asked for."""
    bare = play(replace(TARGET, size=None, quality=None), lambda _: reply(500)).sends[0]
    options = {"output_format": "jpeg", "output_compression": 10, "unknown": 1}
    full = play(replace(TARGET, options=options), lambda _: reply(500)).sends[0]
    base = {"model": "some-gpt-image", "prompt": CANARY.prompt, "n": 1}

    assert ("https://openai.test/v1/images/generations", base) == (bare.url, bare.json)
    assert {"authorization": "Bearer key-3"} == bare.headers
    extras = {"size": "1024x1024", "quality": "low", "output_format": "jpeg"}
    assert base | extras | {"output_compression": 10} == full.json


def test_the_answer_tells_cost_server_time_and_request():
    """Billed amount, server time and request id come from the API reply, not from the link's."""
    doc = {"data": [{"url": LINK}], "usage": {"cost": 0.0125}}
    headers = {"openai-processing-ms": "8123", "x-request-id": "req_7"}
    picture = played(doc, headers).picture

    assert (PNG, 0.0125, 8.123, "req_7") == (
        picture.data, picture.cost_usd, picture.server_s, picture.request_id,
    )  # fmt: skip


def test_an_answer_without_an_image_may_still_have_cost_money():
    """The billed amount is kept with the refusal."""
    verdict = played({"data": [{}], "usage": {"cost": 0.5}}).verdict

    assert (ErrorClass.NO_IMAGE, 0.5) == (verdict.error, verdict.cost_usd)


def test_a_link_is_fetched_without_credentials_in_its_own_phase():
    """The host of a result link is nobody we know."""
    send = played({"data": [{"url": LINK}]}).sends[1]

    assert ("GET", LINK, {}, Phase.DOWNLOAD) == (send.method, send.url, send.headers, send.phase)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, ErrorClass.EXPIRED),
        (404, ErrorClass.EXPIRED),
        (410, ErrorClass.EXPIRED),
        (401, ErrorClass.SERVER_ERROR),
        (400, ErrorClass.SERVER_ERROR),
        (402, ErrorClass.SERVER_ERROR),
        (416, ErrorClass.SERVER_ERROR),
        (451, ErrorClass.SERVER_ERROR),
        (429, ErrorClass.OVERLOADED),
        (302, ErrorClass.PROTOCOL),
        (503, ErrorClass.OVERLOADED),
        (200, ErrorClass.NO_IMAGE),
    ],
)
def test_a_link_that_gives_nothing_is_not_our_keys_fault(status, error):
    """Dead links are expired; other failures are the storage host's, which knows nobody of us."""
    assert error is linked(status).verdict.error


@pytest.mark.parametrize(
    "url",
    [
        "ftp://files.test/a", "//files.test/a", "https://", "https://user@files.test/a",
        "https://files.test\\@evil.test/a", "https://files.test/a b", "https://files.test/\n",
        "http://[::1", "https://files.test:99999/", "https://files.test:0/", "https://fíles.test/",
        "https://files.test/" + "a" * 9000,
    ],
)  # fmt: skip
def test_a_link_that_parsers_could_disagree_on_is_no_link(url):
    """Only plain ASCII http URLs without user names are followed."""
    assert split_url(url) is None
    assert ErrorClass.PROTOCOL is played({"data": [{"url": url}]}).verdict.error


@pytest.mark.parametrize(
    ("encoded", "outcome"),
    [
        (PNG_BASE64, "good"),
        (f" DATA:image/png;base64,\n{PNG_BASE64}\n", "good"),
        (PNG_BASE64.rstrip("="), "bad_image" if PNG_BASE64.endswith("=") else "good"),
        ("not base64!", "bad_image"),
        ("ünïcode", "bad_image"),
        ("data:image/png;base64,", "no_image"),
        (" \n", "no_image"),
    ],
)
def test_base64_is_strict_but_for_blanks_and_a_prefix(encoded, outcome):
    """Line breaks and data URIs are common; guessing at broken base64 would hide a fault."""
    assert outcome == played({"data": [{"b64_json": encoded}]}).outcome
