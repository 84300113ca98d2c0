"""Free calls of every format: what is asked with which key, and what the answer tells."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from probes.formats._free import amount, shutdown_day
from probes.model import ErrorClass, LivenessFormat, Send, Target
from probes.registry import load
from tests.support.replies import TARGETS, play_free, reply

GEMINI, IMAGEN = TARGETS["gemini"], TARGETS["imagen"]
IMAGES, CHAT, BFL = TARGETS["openai-images"], TARGETS["openai-chat"], TARGETS["bfl"]
RELAY = replace(CHAT, relay=True)
GOOGLE_LIST = {"models": [{"name": "models/some-image-model"}, {"name": "models/other"}]}
OPENAI_LIST = {"object": "list", "data": [{"id": "some-chat-image"}, {"id": "b"}]}
BALANCE = {"success": True, "data": {"quota": 2_500_000, "access_token": "t"}}


def asked(target: Target, answer: object = None, **options: object) -> tuple[str, str, object]:
    """Method, URL and body of the first send of a target with *options*."""
    send = play_free(
        replace(target, options=options), lambda _: reply(200, answer)
    ).sends[0]  # fmt: skip
    return send.method, send.url, send.json


def alive(target: Target, document: object, headers: dict[str, str] | None = None):
    """What a free call tells whose one answer is *document*."""
    return play_free(target, lambda _: reply(200, document, headers)).alive


def refused(target: Target, document: object, status: int = 200):
    """The verdict on a free call whose every answer is *document*."""
    return play_free(target, lambda _: reply(status, document)).verdict


@pytest.mark.parametrize("name", TARGETS)
def test_every_built_in_format_has_a_free_call_that_carries_its_key(name):
    """One send without a pause, with the one credential of the format and no query holding it."""
    target = TARGETS[name]
    played = play_free(target, lambda _: reply(500))
    (send,) = played.sends

    assert isinstance(load(name), LivenessFormat)
    assert [target.api_key] == [v.removeprefix("Bearer ") for v in send.headers.values()]
    assert target.api_key not in send.url
    assert (0.0, False) == (send.after_s, send.is_download)
    assert ErrorClass.SERVER_ERROR is played.verdict.error


@pytest.mark.parametrize(
    ("target", "options", "method", "url"),
    [
        (GEMINI, {}, "POST", "https://gemini.test/v1/models/some-image-model:countTokens"),
        (GEMINI, {"api_version": "v1beta"}, "POST",
         "https://gemini.test/v1beta/models/some-image-model:countTokens"),
        (GEMINI, {"liveness": "get_model"}, "GET",
         "https://gemini.test/v1/models/some-image-model"),
        (GEMINI, {"liveness": "list_models"}, "GET",
         "https://gemini.test/v1/models?pageSize=1000"),
        (GEMINI, {"liveness": "gateway_models", "api_version": "v1beta"}, "GET",
         "https://gemini.test/v1/models"),
        (replace(GEMINI, relay=True), {}, "GET", "https://gemini.test/v1/models"),
        (IMAGEN, {}, "GET", "https://imagen.test/v1beta/models/some-imagen"),
        (IMAGES, {}, "GET", "https://openai.test/v1/models/some-gpt-image"),
        (IMAGES, {"liveness": "list_models"}, "GET", "https://openai.test/v1/models"),
        (replace(IMAGES, relay=True), {}, "GET", "https://openai.test/v1/models"),
        (CHAT, {}, "GET", "https://chat.test/v1/models"),
        (BFL, {}, "GET", "https://bfl.test/v1/credits"),
    ],
)  # fmt: skip
def test_the_call_is_the_one_configured(target, options, method, url):
    """Each format has its own call; an option chooses another, and relays are asked for a list."""
    body = {"contents": [{"role": "user", "parts": [{"text": "A plain red square."}]}]}

    assert (method, url, body if method == "POST" else None) == asked(target, **options)


@pytest.mark.parametrize("target", [GEMINI, IMAGES])
def test_an_unknown_call_is_our_bad_request_and_names_the_known_ones(target):
    """Nothing is sent."""
    played = play_free(replace(target, options={"liveness": "poem"}), lambda _: reply(200))

    assert ([], ErrorClass.BAD_REQUEST) == (played.sends, played.verdict.error)
    assert "get_model" in played.verdict.detail


@pytest.mark.parametrize(
    ("target", "document", "detail"),
    [
        (GEMINI, {"totalTokens": 7}, "7 tokens are counted"),
        (IMAGEN, {"name": "models/some-imagen"}, "the model is known"),
        (IMAGES, {"id": "some-gpt-image"}, "the model is known"),
        (CHAT, OPENAI_LIST, "2 models are listed"),
        (CHAT, {"data": []}, "0 models are listed, some-chat-image is not among them"),
        (replace(CHAT, model="c"), {"data": [{"id": "a"}, 1, None]},
         "2 models are listed, c is not among them"),
        (replace(GEMINI, options={"liveness": "list_models"}), GOOGLE_LIST,
         "2 models are listed"),
        (BFL, {"credits": 4321.5}, "4321.5 credits are left"),
    ],
)  # fmt: skip
def test_an_answer_is_a_sign_of_life_in_words(target, document, detail):
    """A model that a list lacks is only said: relays leave out what they serve."""
    told = alive(target, document, {"x-request-id": "req_7"})

    assert (detail, "req_7") == (told.detail, told.request_id)
    assert (None, ()) == (told.shutdown_on, told.limits)


@pytest.mark.parametrize(
    ("target", "document"),
    [
        (IMAGES, {"id": "some-gpt-image", "shutdown_date": "2026-12-01"}),
        (CHAT, {"data": [{"id": "x"}, {"id": "some-chat-image", "shutdown_date": "2026-12-01"}]}),
    ],
)
def test_the_shutdown_day_is_read(target, document):
    """From the model's description or from its entry in the list."""
    assert "2026-12-01" == alive(target, document).shutdown_on


@pytest.mark.parametrize(
    ("told", "day"),
    [
        ("2026-12-01", "2026-12-01"),
        ("2026-12-01T00:00:00Z", "2026-12-01"),
        ("soon", None),
        ("2026-13-01", None),
        ("", None),
        (20261201, None),
        (None, None),
    ],
)
def test_only_a_day_is_a_day(told, day):
    """What else stands there is no date; the call is answered all the same."""
    assert day == shutdown_day({"shutdown_date": told})


def test_a_model_that_is_gone_is_found_out_without_paying():
    """OpenAI's 404 on the model itself is the model's end."""
    error = {"message": "The model 'x' does not exist", "type": "invalid_request_error",
             "code": "model_not_found"}  # fmt: skip
    verdict = refused(IMAGES, {"error": error}, 404)

    assert (ErrorClass.MODEL_GONE, "model_not_found", 404) == (
        verdict.error, verdict.code, verdict.http_status,
    )  # fmt: skip


@pytest.mark.parametrize("target", [CHAT, replace(GEMINI, relay=True)])
def test_a_host_without_the_call_says_nothing_of_the_model(target):
    """A 404 on a call that names no model is our request, whatever its words."""
    for body in ("<html><title>404</title>", {"error": {"code": "model_not_found"}}):
        verdict = refused(target, body, 404)

        assert (ErrorClass.BAD_REQUEST, 404) == (verdict.error, verdict.http_status)
        assert verdict.detail.startswith("the host knows no such free call")


@pytest.mark.parametrize(
    ("target", "documents"),
    [
        (GEMINI, [{}, {"totalTokens": "7"}, {"totalTokens": True}, [], "<html>", b"", "{"]),
        (IMAGEN, [{}, {"name": 1}, []]),
        (IMAGES, [{}, {"id": None}, {"object": "list", "data": []}, "<html>"]),
        (CHAT, [{}, {"data": {}}, {"data": None}, {"models": []}, "<html>"]),
        (replace(GEMINI, options={"liveness": "list_models"}), [{}, {"data": []}]),
        (BFL, [{}, {"credits": None}, {"credits": "12"}, {"detail": "fine"}, "<html>"]),
    ],
)
def test_a_200_that_is_not_the_format_is_off_protocol(target, documents):
    """A captive portal or a changed answer is no sign of life."""
    for document in documents:
        assert ErrorClass.PROTOCOL is refused(target, document).error, document


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_an_error_inside_a_200_is_classified_like_any_other(target):
    """The envelope decides, not the status."""
    error = {"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}

    assert ErrorClass.BILLING is refused(target, error).error


@pytest.mark.parametrize(
    ("target", "status", "document", "expected"),
    [
        (GEMINI, 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no",
                                 "details": [{"reason": "API_KEY_INVALID"}]}}, "auth"),
        (GEMINI, 404, {"error": {"code": 404, "status": "NOT_FOUND", "message": "no"}},
         "model_gone"),
        (IMAGES, 401, {"error": {"code": "invalid_api_key", "message": "no"}}, "auth"),
        (RELAY, 401, {"error": {"type": "new_api_error", "message": "Invalid token"}}, "auth"),
        (RELAY, 401, {"error": {"message": "who knows"}}, "server_error"),
        (BFL, 403, {"detail": "Not authenticated"}, "auth"),
        (BFL, 402, {"detail": "Insufficient credits"}, "billing"),
        (CHAT, 503, {"error": {"message": "down"}}, "overloaded"),
    ],
)  # fmt: skip
def test_refusals_are_classified_by_the_common_table(target, status, document, expected):
    """A free call is refused in the same words as a generation."""
    assert expected == refused(target, document, status).error.value


# --- Black Forest Labs ------------------------------------------------------------------------


def test_credits_are_cents():
    """One credit is $0.01; an overdrawn account owes."""
    assert 43.215 == pytest.approx(alive(BFL, {"credits": 4321.5}).balance_usd)
    assert -0.5 == alive(BFL, {"credits": -50}).balance_usd


def bfl_without_credits(status: int, body: object):
    """A free call at a host that tells no credits and answers the second call so."""

    def answer(send: Send):
        return reply(404, {"detail": "Not Found"}) if "credits" in send.url else reply(status, body)

    return play_free(BFL, answer)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"id": "0", "status": "Task not found", "result": None}),
        (404, {"detail": "Task not found"}),
        (404, {"status": "Task not found"}),
    ],
)
def test_where_credits_are_not_told_an_unknown_job_proves_the_key(status, body):
    """The second call asks for a job that cannot be, with the same key."""
    played = bfl_without_credits(status, body)
    first, second = played.sends

    assert urlsplit(second.url).path == "/v1/get_result"
    assert urlsplit(second.url).query == "id=00000000-0000-0000-0000-000000000000"
    assert first.headers == second.headers
    assert (None, "the key is known; credits are not told") == (
        played.alive.balance_usd, played.alive.detail,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, {"detail": "Not authenticated: Task not found"}, "auth"),
        (404, {"detail": "Not Found"}, "bad_request"),
        (200, {"status": "Pending"}, "protocol"),
        (503, "busy", "overloaded"),
    ],
)
def test_any_other_answer_to_the_unknown_job_is_no_sign_of_life(status, body, expected):
    """Least of all a refusal of the key that happens to hold the words."""
    assert expected == bfl_without_credits(status, body).outcome


# --- The balance at a relay -------------------------------------------------------------------


def with_balance(target: Target, status: int, document: object):
    """A free call of a target whose account's token is known, and how its balance is answered."""

    def answer(send: Send):
        is_balance = send.url.endswith("/api/user/self")
        return reply(status, document) if is_balance else reply(200, OPENAI_LIST)

    return play_free(replace(target, balance_key="system-token"), answer)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (RELAY, "https://chat.test/api/user/self"),
        (replace(IMAGES, relay=True), "https://openai.test/api/user/self"),
        (replace(GEMINI, relay=True), "https://gemini.test/api/user/self"),
    ],
)
def test_a_relays_balance_is_asked_with_its_own_token(target, url):
    """At the root of the host, without Bearer, and never with the API key."""
    played = with_balance(target, 200, BALANCE)

    assert (url, {"authorization": "system-token"}) == (
        played.sends[1].url, played.sends[1].headers,
    )  # fmt: skip
    assert 5.0 == played.alive.balance_usd


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (401, {"success": False, "message": "token abc"}),
        (200, {"success": False, "message": "no", "data": {"quota": 1}}),
        (500, {"data": {"quota": 1}}),
        (200, {"success": True, "data": {}}),
        (200, {"success": True, "data": {"quota": None}}),
        (200, "<html>"),
    ],
)
def test_a_balance_that_is_not_told_leaves_the_sign_of_life(status, document):
    """The token is another credential: its trouble is said, without the body's words."""
    told = with_balance(RELAY, status, document).alive

    assert told.balance_usd is None
    assert f"2 models are listed; the balance is not told: HTTP {status}" == told.detail


def test_without_the_token_no_balance_is_asked():
    """One send, one key."""
    played = play_free(RELAY, lambda _: reply(200, OPENAI_LIST))

    assert (1, None) == (len(played.sends), played.alive.balance_usd)


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (0.5, 0.5), (-3, -3.0), (True, None), ("1", None), (10**400, None),
     (float("inf"), None), (float("nan"), None), (None, None)],
)  # fmt: skip
def test_only_a_finite_number_is_an_amount(value, number):
    """JSON holds numbers that no float can."""
    assert number == amount(value)
