"""One file per behaviour: a reply and the class it must get. Adding a case needs no code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from probes.registry import formats
from tests.support.replies import TARGETS, canned, play, played_with, reply

REPLIES = Path(__file__).resolve().parents[2] / "data" / "replies"
CASES = sorted(
    path for name in TARGETS for path in (REPLIES / name).glob("*.json")
)  # Formats that come later bring their own folders and tests.
LINKS = {
    "openai-images": {"data": [{"url": "https://files.test/p.png"}]},
    "openai-chat": {"choices": [{"message": {"content": "![x](https://files.test/p.png)"}}]},
}


@pytest.mark.parametrize("path", CASES, ids=[f"{p.parent.name}/{p.stem}" for p in CASES])
def test_a_stored_reply_gets_its_class(path):
    """Each reply in tests/data/replies ends its exchange as the file says."""
    case = json.loads(path.read_text(encoding="utf-8"))
    request, response = case["request"], case["response"]
    name = path.parent.name
    answered = reply(response["status"], response["body"], response["headers"])
    if request["method"] == "GET" and name in LINKS:

        def answer(send):
            return answered if send.is_download else reply(200, LINKS[name])

        played = play(TARGETS[name], answer)
    else:
        played = played_with(TARGETS[name], request["method"], request["path"], answered)

    assert case["expected"] == played.outcome, played.verdict
    assert any(
        send.method == request["method"] and request["path"] in send.url for send in played.sends
    )


def test_every_built_in_format_has_stored_replies_of_every_kind():
    """Good, policy, no image, auth, 429 and 5xx are covered for each format."""
    for name in TARGETS:
        cases = [json.loads(p.read_text(encoding="utf-8")) for p in CASES if p.parent.name == name]
        classes = {case["expected"] for case in cases}
        statuses = {case["response"]["status"] // 100 for case in cases}

        assert {"good", "policy_blocked", "no_image", "auth", "rate_limited"} <= classes
        assert ({2, 4, 5}, True) == (statuses, len(cases) >= 8)


def test_the_targets_of_these_tests_are_the_built_in_formats():
    """A new built-in format must bring a target, and so replies, to these tests."""
    assert set(formats()[: len(TARGETS)]) == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_no_format_loops_without_sending(name):
    """A provider that is never done is bounded by the driver, which counts sends."""
    pending = reply(200, {"id": "j", "polling_url": "https://bfl.test/v1/get_result?id=j",
                          "status": "Pending"})  # fmt: skip
    played = play(TARGETS[name], lambda send: canned(send) if send.is_download else pending)

    assert (name == "bfl") == (played.verdict is None and played.picture is None)
