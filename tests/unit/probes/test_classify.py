"""The table of blame: one case or more for every rule, shape and fallback."""

from __future__ import annotations

from typing import Any

import pytest

from probes.classify import RULES, classify, classify_error
from probes.complaint import BODY_HEAD_CHARS, DETAIL_CHARS, TEXT_CHARS, read_reply
from probes.model import ErrorClass, Phase, Send
from tests.support.replies import RECEIVED_AT, reply

E = ErrorClass
QUOTA = "type.googleapis.com/google.rpc.QuotaFailure"
RETRY = "type.googleapis.com/google.rpc.RetryInfo"


def openai(code: Any = None, kind: Any = None, message: str = "Something went wrong.") -> Any:
    """An error as OpenAI and its likes spell it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def relayed(code: Any = "", message: str = "refused", kind: str = "new_api_error") -> Any:
    """An error as the new-api family spells it."""
    return openai(code, kind, f"{message} (request id: 2026093011223344abcd)")


def google(code: int, status: str, message: str, *details: Any) -> Any:
    """An error as Google spells it."""
    error = {"code": code, "message": message, "status": status}
    return {"error": error | ({"details": list(details)} if details else {})}


def quota(*violations: tuple[str, str], message: str = "Quota used up.", delay: Any = None) -> Any:
    """A Google 429 with (quotaId, quotaValue) violations and maybe a RetryInfo."""
    failures = [{"quotaId": name, "quotaValue": value} for name, value in violations]
    details: list[Any] = [{"@type": QUOTA, "violations": failures}]
    if delay is not None:
        details.append({"@type": RETRY, "retryDelay": delay})
    return google(429, "RESOURCE_EXHAUSTED", message, *details)


BOILERPLATE = "You exceeded your current quota, please check your plan and billing details."
DAY, MINUTE = "GenerateRequestsPerDayPerModel", "GenerateRequestsPerMinutePerModel"

# (what it is, status, body, class)
VENDOR_CASES: list[tuple[str, int, Any, ErrorClass]] = [
    # Google
    ("bad key", 400, google(400, "INVALID_ARGUMENT", "No.", {"reason": "API_KEY_INVALID"}), E.AUTH),
    ("bad key, text only", 400, google(400, "INVALID_ARGUMENT", "API key not valid."), E.AUTH),
    ("unknown field", 400, google(400, "INVALID_ARGUMENT", 'Unknown name "x"'), E.BAD_REQUEST),
    ("region", 400, google(400, "FAILED_PRECONDITION", "User location is not supported."),
     E.NOT_ENTITLED),
    ("precondition", 400, google(400, "FAILED_PRECONDITION", "Not now."), E.NOT_ENTITLED),
    ("unbilled", 400, google(400, "INVALID_ARGUMENT", "Only for billed users."), E.BILLING),
    ("sensitive", 400, google(400, "INVALID_ARGUMENT", "The prompt has sensitive words."),
     E.POLICY_BLOCKED),
    ("no token", 401, google(401, "UNAUTHENTICATED", "Expected a token."), E.AUTH),
    ("prepaid is gone", 402, google(402, "RESOURCE_EXHAUSTED", "Empty."), E.BILLING),
    ("suspended", 403, google(403, "PERMISSION_DENIED", "Project was suspended for violations of "
     "our usage policy."), E.AUTH),
    ("bill off", 403, google(403, "PERMISSION_DENIED", "x", {"reason": "BILLING_DISABLED"}),
     E.BILLING),
    ("needs a bill", 403, google(403, "PERMISSION_DENIED", "This needs billing to be enabled."),
     E.BILLING),
    ("denied", 403, google(403, "PERMISSION_DENIED", "Denied."), E.AUTH),
    ("gone", 404, google(404, "NOT_FOUND", "models/m is not found for API version v1."),
     E.MODEL_GONE),
    ("gone at Vertex", 404, google(404, "NOT_FOUND", "Not found or your project does not have "
     "access to it."), E.MODEL_GONE),
    ("daily", 429, quota((DAY, "250")), E.QUOTA_EXHAUSTED),
    ("daily by metric", 429, google(429, "RESOURCE_EXHAUSTED", "x", {"violations": [
        {"quotaMetric": "generate_requests_per_model_per_day"}]}), E.QUOTA_EXHAUSTED),
    ("daily beats a short wait", 429, quota((DAY, "20"), delay="7s"), E.QUOTA_EXHAUSTED),
    ("daily beats minute", 429, quota((MINUTE, "2"), (DAY, "20")), E.QUOTA_EXHAUSTED),
    ("zero value", 429, quota((MINUTE, "0")), E.NOT_ENTITLED),
    ("zero in words", 429, quota((MINUTE, ""), message="* Quota, limit: 0, model: m"),
     E.NOT_ENTITLED),
    ("minute", 429, quota((MINUTE, "10"), message=f"{BOILERPLATE} billing"), E.RATE_LIMITED),
    ("daily in an old sentence", 429, google(429, "RESOURCE_EXHAUSTED",
     "Quota exceeded for 'requests per day'."), E.QUOTA_EXHAUSTED),
    ("boilerplate", 429, google(429, "RESOURCE_EXHAUSTED", BOILERPLATE), E.RATE_LIMITED),
    ("spend window", 429, google(429, "RESOURCE_EXHAUSTED", f"{BOILERPLATE} Spend-based rate "
     "limit of your tier. https://x.test/billing"), E.RATE_LIMITED),
    ("prepaid in 429", 429, google(429, "RESOURCE_EXHAUSTED", f"{BOILERPLATE} Prepay balance is "
     "empty."), E.BILLING),
    ("spend cap", 429, google(429, "RESOURCE_EXHAUSTED", "Monthly spending cap reached."),
     E.BILLING),
    ("bare", 429, google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted."),
     E.RATE_LIMITED),
    ("shared capacity", 429, google(429, "RESOURCE_EXHAUSTED",
     "Resource exhausted. Please try again later. See https://x.test/error-code-429"),
     E.OVERLOADED),
    ("Vertex quota", 429, google(429, "RESOURCE_EXHAUSTED",
     "Quota exceeded for aiplatform.googleapis.com/online with base model: m."), E.RATE_LIMITED),
    ("cancelled", 499, google(499, "CANCELLED", "Cancelled."), E.SERVER_ERROR),
    ("internal", 500, google(500, "INTERNAL", "Internal."), E.SERVER_ERROR),
    ("crowded 500", 500, google(500, "INTERNAL", "The model is overloaded."), E.OVERLOADED),
    ("unavailable", 503, [google(503, "UNAVAILABLE", "Try later.")], E.OVERLOADED),
    ("deadline", 504, google(504, "DEADLINE_EXCEEDED", "Too slow."), E.SERVER_ERROR),
    ("a field named like a block", 400, google(400, "INVALID_ARGUMENT", "Unknown 'moderated'.",
     {"fieldViolations": [{"field": "x"}]}), E.BAD_REQUEST),
    # OpenAI
    ("moderated", 400, openai("moderation_blocked", "image_generation_user_error"),
     E.POLICY_BLOCKED),
    ("moderated, text only", 400, openai(None, "image_generation_user_error",
     "Rejected: safety_violations=[violence]."), E.POLICY_BLOCKED),
    ("unknown parameter", 400, openai("unknown_parameter", None, "Unknown: 'moderated'."),
     E.BAD_REQUEST),
    ("hard limit", 400, openai("billing_hard_limit_reached"), E.BILLING),
    ("balance in words", 400, openai(None, None, "Insufficient credit on this account."),
     E.BILLING),
    ("not a model", 400, openai(None, None, "x/y is not a valid model ID"), E.MODEL_GONE),
    ("code before type", 400, openai("content_policy_violation", "insufficient_quota"),
     E.POLICY_BLOCKED),
    ("code before type, again", 429, openai("rate_limit_exceeded", "insufficient_quota"),
     E.RATE_LIMITED),
    ("wrong key", 401, openai("invalid_api_key"), E.AUTH),
    ("no scope", 401, openai(None, "invalid_request_error", "Missing scopes."), E.AUTH),
    ("credits", 402, openai("insufficient_credits", "billing_error"), E.BILLING),
    ("unverified", 403, openai(None, None, "Your organization must be verified."), E.NOT_ENTITLED),
    ("country", 403, openai("unsupported_country_region_territory"), E.NOT_ENTITLED),
    ("project lacks it", 403, openai("model_not_found"), E.NOT_ENTITLED),
    ("no such model", 404, openai("model_not_found"), E.MODEL_GONE),
    ("timeout", 408, openai(None, "timeout"), E.TIMEOUT),
    ("rate", 429, openai("rate_limit_exceeded", "input-images", "Please add a payment method at "
     "https://x.test/billing to your billing account."), E.RATE_LIMITED),
    ("requests a day", 429, openai(None, "requests", "On requests per day (RPD): Limit 9, Used 9."),
     E.QUOTA_EXHAUSTED),
    ("limit zero", 429, openai("rate_limit_exceeded", "requests", "Limit: 0/1min. Current: 1/1min"),
     E.NOT_ENTITLED),
    ("quota", 429, openai("insufficient_quota", "insufficient_quota", BOILERPLATE), E.BILLING),
    ("spend limit", 429, openai("project_spend_limit_exceeded", "insufficient_quota"), E.BILLING),
    ("daily code", 429, openai("quota_exceeded"), E.QUOTA_EXHAUSTED),
    ("slow down", 429, openai("slow_down"), E.OVERLOADED),
    ("server error", 500, openai(None, "server_error"), E.SERVER_ERROR),
    ("server error in a 400", 400, openai("server_error"), E.SERVER_ERROR),
    ("overloaded", 503, openai("server_is_overloaded", "service_unavailable_error"), E.OVERLOADED),
    # OpenRouter
    ("moderation", 403, {"error": {"code": 403, "message": "Flagged.", "metadata": {
        "reasons": ["violence"]}}}, E.POLICY_BLOCKED),
    ("credits at OpenRouter", 402, {"error": {"code": 402, "message": "Add credits."}}, E.BILLING),
    ("free models per day", 429, {"error": {"code": 429, "message": "free-models-per-day"}},
     E.QUOTA_EXHAUSTED),
    ("upstream is limited", 429, {"error": {"code": 429, "message": "Provider returned error",
     "metadata": {"raw": "m is temporarily rate-limited upstream."}}}, E.OVERLOADED),
    ("provider down", 502, {"error": {"code": 502, "message": "Provider down"}}, E.SERVER_ERROR),
    ("no provider", 503, {"error": {"code": 503, "message": "No provider"}}, E.OVERLOADED),
    # FastAPI, {"error": code}, RFC 7807, pages and plain text
    ("detail", 500, {"detail": "Internal"}, E.SERVER_ERROR),
    ("details", 422, {"detail": [{"loc": ["body"], "msg": "too small", "type": "value_error"}]},
     E.BAD_REQUEST),
    ("unnamed details", 422, {"detail": [{"loc": ["body"], "msg": "too small"}]}, E.BAD_REQUEST),
    ("detail object", 400, {"detail": {"message": "odd"}}, E.BAD_REQUEST),
    ("active tasks", 429, {"detail": "Rate limit exceeded: too many active tasks"},
     E.RATE_LIMITED),
    ("error code", 402, {"error": "insufficient_credits", "message": "Top up."}, E.BILLING),
    ("error code at 403", 403, {"error": "insufficient_credits", "message": "No."}, E.BILLING),
    ("error sentence", 400, {"error": "the size is odd"}, E.BAD_REQUEST),
    ("locked", 403, {"detail": "User is locked. Reason: Exhausted balance."}, E.BILLING),
    ("problem", 422, {"title": "Invalid", "status": 422, "type": "about:blank"}, E.BAD_REQUEST),
    ("legal", 451, {"title": "No"}, E.NOT_ENTITLED),
    ("retired", 410, {"title": "Gone"}, E.MODEL_GONE),
    ("teapot", 418, b"", E.BAD_REQUEST),
    ("nginx 502", 502, "<html><head><title>502 Bad Gateway</title>", E.SERVER_ERROR),
    ("CDN 524", 524, "<html><title>524: A timeout occurred", E.OVERLOADED),
    ("busy 529", 529, "Site is overloaded", E.OVERLOADED),
    ("firewall", 403, "<!DOCTYPE html><title>Just a moment...</title>", E.SERVER_ERROR),
    ("page words mean nothing", 400, "<p>nsfw, top up, safety system", E.BAD_REQUEST),
    ("envoy", 500, "no healthy upstream", E.OVERLOADED),
    ("cut error", 500, b'{"error": {"message": "oo', E.SERVER_ERROR),
    ("empty list", 500, [], E.SERVER_ERROR),
    ("list of text", 500, ["x"], E.SERVER_ERROR),
    ("odd types", 500, {"error": {"code": True, "message": ["x"], "type": 3.5, "details": "no"}},
     E.SERVER_ERROR),
    ("odd error", 500, {"error": [1]}, E.SERVER_ERROR),
    # Errors inside a 200
    ("word inside 200", 200, google(0, "UNAVAILABLE", "x"), E.OVERLOADED),
    ("number inside 200", 200, {"error": {"code": 429, "message": "x"}}, E.RATE_LIMITED),
    ("unknown inside 200", 200, openai("weird_thing"), E.SERVER_ERROR),
    ("array inside 200", 200, [google(503, "UNAVAILABLE", "x")], E.OVERLOADED),
    ("no success", 200, {"success": False, "message": "insufficient balance", "code": 403},
     E.BILLING),
    ("a relay's number inside 500", 500, relayed("429", "busy", "upstream_error"), E.OVERLOADED),
    # The new-api family tells itself by its body
    ("balance", 403, relayed("insufficient_user_quota"), E.BILLING),
    ("balance in 429", 429, relayed("pre_consume_token_quota_failed"), E.BILLING),
    ("balance in words", 403, relayed("", "令牌额度已用尽"), E.BILLING),
    ("entitlement", 429, relayed("entitlement_daily_limit_exceeded"), E.QUOTA_EXHAUSTED),
    ("concurrency", 429, relayed("token_concurrency_limit_reached"), E.RATE_LIMITED),
    ("no channel", 503, relayed("model_not_found", "nothing"), E.OVERLOADED),
    ("no channel in words", 404, relayed("", "No available channel for model m"), E.OVERLOADED),
    ("channel lost", 500, relayed("get_channel_failed"), E.SERVER_ERROR),
    ("channel lost, busy", 503, relayed("get_channel_failed"), E.OVERLOADED),
    ("their key", 401, relayed("channel:invalid_key"), E.SERVER_ERROR),
    ("their slowness", 500, relayed("channel:response_time_exceeded"), E.SERVER_ERROR),
    ("their upstream refused", 401, relayed("", "Invalid key", "upstream_error"), E.SERVER_ERROR),
    ("their vendor refused", 403, relayed("", "Denied", "qwen_api_error"), E.SERVER_ERROR),
    ("their vendor's bill", 400, relayed("insufficient_quota", "x", "openai_error"),
     E.SERVER_ERROR),
    ("their vendor's limit", 429, relayed("rate_limit_exceeded", "x", "openai_error"),
     E.OVERLOADED),
    ("saturated", 429, relayed("", "上游负载已饱和"), E.OVERLOADED),
    ("unexplained 429", 429, relayed("", "later"), E.OVERLOADED),
    ("their own minute limit", 429, relayed("", "您已达到请求数限制"), E.RATE_LIMITED),
    ("our token", 401, relayed("", "无效的令牌"), E.AUTH),
    ("our token, English", 401, relayed("", "Invalid token"), E.AUTH),
    ("our token by code", 403, relayed("access_denied", "x"), E.AUTH),
    ("our token may not", 403, relayed("", "该令牌无权使用此模型"), E.NOT_ENTITLED),
    ("unexplained 401", 401, relayed("", "Unauthorized"), E.SERVER_ERROR),
    ("their account is suspended", 403, relayed("", "Account suspended"), E.SERVER_ERROR),
    ("blocked words", 500, relayed("sensitive_words_detected"), E.POLICY_BLOCKED),
    ("a vendor's block in 500", 500, relayed("do_request_failed", "By our safety system"),
     E.POLICY_BLOCKED),
    ("a vendor's limit, as it came", 429, relayed("rate_limit_exceeded", "x", "requests"),
     E.OVERLOADED),
    ("a Gemini block", 500, relayed("channel:image_generation_failed",
     "generation blocked [IMAGE_SAFETY]", "channel_error"), E.POLICY_BLOCKED),
]  # fmt: skip

# The target is known as a relay; the bodies look like a vendor's.
RELAY_CASES: list[tuple[str, int, Any, ErrorClass]] = [
    ("a vendor's key", 401, openai("invalid_api_key"), E.SERVER_ERROR),
    ("a vendor's 400 key", 400, google(400, "INVALID_ARGUMENT", "x", {"reason": "API_KEY_INVALID"}),
     E.SERVER_ERROR),
    ("an empty 403", 403, b"", E.SERVER_ERROR),
    ("our key at OpenRouter", 401, {"error": {"code": 401, "message": "No auth credentials found"}},
     E.AUTH),
    ("our key's limit", 403, {"error": {"code": 403, "message": "Key limit exceeded"}}, E.BILLING),
    ("a vendor's daily quota", 429, quota((DAY, "250")), E.OVERLOADED),
    ("an open limit", 429, openai("rate_limit_exceeded"), E.RATE_LIMITED),
    ("a vendor's empty account", 429, openai("insufficient_quota"), E.OVERLOADED),
    ("no funds", 402, b"", E.BILLING),
    ("no model", 404, openai("model_not_found"), E.MODEL_GONE),
]  # fmt: skip

CASES = [(*case, False) for case in VENDOR_CASES] + [(*case, True) for case in RELAY_CASES]


@pytest.mark.parametrize(
    ("status", "body", "expected", "relay"),
    [case[1:] for case in CASES],
    ids=[f"{case[1]} {case[0]}" for case in CASES],
)
def test_each_error_gets_the_class_its_meaning_has(status, body, expected, relay):
    """Blame follows what a body says, in whatever shape it says it."""
    verdict = classify(reply(status, body), relay=relay)

    assert (expected, status) == (verdict.error, verdict.http_status)


def test_every_rule_decides_a_case():
    """No line of the table is dead, and each has a case above."""
    used = set()
    for _, status, body, _, relay in CASES:
        complaint = read_reply(reply(status, body), relay=relay)
        known = frozenset().union(*(rule.words for rule in RULES))
        telling = next((word for word in complaint.words if word in known), "")
        used.add(next((i for i, r in enumerate(RULES) if r.holds(complaint, telling)), None))

    assert [] == [rule for i, rule in enumerate(RULES) if i not in used]


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (200, "<html>sign in</html>", "the body is not JSON"),
        (200, b"", "the body is empty"),
        (200, [1], "the JSON is not of this format"),
        (308, b"", "HTTP 308: redirected; API calls follow no redirects"),
        (700, b"", "HTTP 700 is no status of an answer"),
    ],
)
def test_what_is_no_answer_of_the_format_is_a_protocol_error(status, body, detail):
    """Pages, redirects and foreign JSON are protocol errors that keep the head of the body."""
    verdict = classify(reply(status, body))

    assert (E.PROTOCOL, detail) == (verdict.error, verdict.detail)
    assert verdict.body_head is not None


def test_only_a_body_that_could_not_be_read_leaves_its_head():
    """A parsed error says enough; a page is kept to be recognised, in a bounded piece."""
    page = classify(reply(502, "<title>Bad\n gateway</title>" + "x" * 5000))

    assert classify(reply(500, {"detail": "x"})).body_head is None
    assert ("Bad gateway", BODY_HEAD_CHARS) == (page.detail, len(page.body_head or ""))


def test_a_detail_is_one_short_storable_line():
    """Line breaks, control characters, lone surrogates and length never reach a row."""
    verdict = classify(reply(400, openai(None, None, "a\n\tb\x00\ud800" + "c" * 999)))

    assert "a b?" == verdict.detail[:4]
    assert (DETAIL_CHARS, True) == (len(verdict.detail), verdict.detail.isprintable())
    assert "HTTP 400" == classify(reply(400)).detail


def test_only_the_head_of_a_message_is_searched():
    """A huge body costs no more than a small one: words far down are not looked at."""
    far = "x" * TEXT_CHARS + " nsfw"

    assert E.BAD_REQUEST is classify(reply(400, {"detail": far})).error
    assert E.BAD_REQUEST is classify(reply(400, far)).error


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (quota((MINUTE, "2"), (DAY, "20")), DAY),
        (google(400, "INVALID_ARGUMENT", "x", {"reason": "API_KEY_INVALID"}), "API_KEY_INVALID"),
        (google(503, "UNAVAILABLE", "x"), "UNAVAILABLE"),
        (openai("Some_Code", "some_type"), "Some_Code"),
        (openai(None, "some_type"), "some_type"),
        (openai(402, None), "402"),
        ({"error": "no_money", "message": "x"}, "no_money"),
        ({"detail": "words"}, None),
    ],
)
def test_the_code_is_the_most_telling_identifier_as_spelled(body, code):
    """Quota id, reason, code, type and status are shown in this order of preference."""
    assert code == classify(reply(429, body)).code


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"X-Request-Id": "req_1"}, relayed(), "req_1"),
        ({}, relayed(), "2026093011223344abcd"),
        ({}, {"error": {"message": "x"}, "responseId": "r-9"}, "r-9"),
        ({}, openai(), None),
    ],
)
def test_a_request_id_is_found_where_the_provider_puts_it(headers, body, expected):
    """The header comes first, then the body's field, then the message."""
    assert expected == classify(reply(500, body, headers)).request_id


@pytest.mark.parametrize(
    ("status", "body", "headers", "wait"),
    [
        (429, openai("rate_limit_exceeded", None, "Please try again in 12s."), {}, 12.0),
        (429, openai("rate_limit_exceeded"), {}, 60.0),
        (429, openai("rate_limit_exceeded"), {"Retry-After": "7200"}, 900.0),
        (429, quota((MINUTE, "10"), delay="34.5s"), {}, 34.5),
        # 2026-11-22 23:20 in Los Angeles: 40 minutes to midnight.
        (429, quota((DAY, "20"), delay="59s"), {}, 2400.0),
        (429, quota((DAY, "20"), delay="39043s"), {}, 39043.0),
        (429, {"error": {"code": 429, "message": "free-models-per-day", "metadata": {"headers": {
            "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795335600000", "X-Odd": None}}}},
         {}, 3600.0),
        (429, openai(None, None, "per day"), {}, 2400.0),
        (503, {"detail": "x", "retry_after": 9}, {}, 9.0),
        (503, {"detail": "x"}, {}, None),
        (500, {"detail": "x", "retry_after": 9}, {}, None),
        (401, {"detail": "x"}, {"Retry-After": "9"}, None),
    ],
)  # fmt: skip
def test_the_retry_time_counts_from_the_reply(status, body, headers, wait):
    """Waiting classes carry a time, bounded by what the class can mean; others carry none."""
    at = classify(reply(status, body, headers)).retry_at

    assert (None if wait is None else RECEIVED_AT + wait) == at


def test_a_server_timeout_names_the_phase_of_its_request():
    """A 408 struck where the request was waiting."""
    poll = Send(method="GET", url="https://x.test/", phase=Phase.QUEUE)

    assert Phase.QUEUE is classify(reply(408, request=poll)).phase
    assert None is classify(reply(408)).phase


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 429, "message": "x"}, E.RATE_LIMITED),
        ("just words", E.SERVER_ERROR),
        (None, E.SERVER_ERROR),
    ],
)
def test_an_error_in_an_odd_place_is_judged_like_any_other(error, expected):
    """The error of a choice or a stream event has the class its words have."""
    assert expected is classify_error(error, reply(200, {})).error
