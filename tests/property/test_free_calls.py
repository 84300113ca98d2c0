"""Laws of reading the answers to free calls: nothing a provider sends can crash us."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.model import Reply
from tests.property.test_classify_properties import check_verdict
from tests.support.replies import HEADERS, STATUSES, TARGETS, bodies, play_free, reply

SOUND = [
    reply(200, document).body
    for document in (
        {"totalTokens": 7},
        {"name": "models/some-imagen", "version": "001"},
        {"id": "some-gpt-image", "object": "model", "shutdown_date": "2026-12-01"},
        {"data": [{"id": "some-chat-image", "shutdown_date": "2026-12-01"}]},
        {"models": [{"name": "models/some-image-model"}]},
        {"credits": 4321.5},
        {"id": "0", "status": "Task not found"},
        {"success": True, "data": {"quota": 2_500_000}},
    )
]
CALLS = ("count_tokens", "get_model", "list_models", "gateway_models")
TWO_SENDS = 2  # The fallback of one format, the balance of the others.


def replies() -> st.SearchStrategy[Reply]:
    """Random and mutated answers."""
    return st.builds(reply, STATUSES, bodies(SOUND), HEADERS)


@settings(max_examples=2_000)
@given(
    name=st.sampled_from(sorted(TARGETS)),
    call=st.none() | st.sampled_from(CALLS),
    relay=st.booleans(),
    balance_key=st.sampled_from(["", "system-token"]),
    answers=st.lists(replies(), min_size=TWO_SENDS, max_size=TWO_SENDS),
)
def test_every_answer_to_a_free_call_is_a_sign_of_life_or_a_verdict(
    name, call, relay, balance_key, answers
):
    """Whatever comes, what is told can be stored, and only a success says that all is well."""
    options = {} if call is None else {"liveness": call}
    target = replace(TARGETS[name], relay=relay, balance_key=balance_key, options=options)
    seen = iter(answers)
    played = play_free(target, lambda _: next(seen))

    assert len(played.sends) <= TWO_SENDS
    if played.alive is None:
        check_verdict(played.verdict)
        return
    told = played.alive
    is_told_twice = name == "bfl" and len(played.sends) == TWO_SENDS
    assert 200 <= answers[0].status < 300 or is_told_twice
    assert told.shutdown_on is None or date.fromisoformat(told.shutdown_on)
    assert told.balance_usd is None or isfinite(told.balance_usd)
    assert told.detail.isprintable()


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_key_is_in_what_a_free_call_says_of_itself(name):
    """URLs and bodies go into logs and errors; keys travel in headers alone."""
    target = replace(TARGETS[name], relay=True, balance_key="system-token")
    for send in play_free(target, lambda _: reply(200, {"data": []})).sends:
        for text in (send.url, str(send.json), repr(send)):
            assert target.api_key not in text
            assert "system-token" not in text
