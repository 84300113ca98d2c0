"""Errors in other words than the table of blame was written from: the meaning decides."""

from __future__ import annotations

from typing import Any

import pytest

from probes.classify import classify
from probes.model import ErrorClass
from tests.support.replies import reply

E = ErrorClass


def said(message: Any, kind: Any = None, code: Any = None) -> Any:
    """An error of an OpenAI-like API."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def passed_on(message: str, kind: str = "new_api_error", code: Any = "") -> Any:
    """An error as a relay of the new-api family sends it."""
    return said(f"{message} (request id: 20261001223344abcd)", kind, code)


# (status, canonical word, sentence, class)
GOOGLE = [
    (400, "INVALID_ARGUMENT", "This key is no valid API key. Renew it.", E.AUTH),
    (400, "INVALID_ARGUMENT", "API key expired. Get another.", E.AUTH),
    (400, "INVALID_ARGUMENT", "Aspect ratio 9:1 is not offered.", E.BAD_REQUEST),
    (400, "INVALID_ARGUMENT", "The picture you sent cannot be read.", E.BAD_REQUEST),
    (400, "INVALID_ARGUMENT", "Pictures cannot be made in your country.", E.NOT_ENTITLED),
    (400, "INVALID_ARGUMENT", "Open to billed users only.", E.BILLING),
    (400, "INVALID_ARGUMENT", "A project without billing enabled cannot call it.", E.BILLING),
    (400, "INVALID_ARGUMENT", "Blocked by the Responsible AI filter.", E.POLICY_BLOCKED),
    (400, "INVALID_ARGUMENT", "A word is above the safety filter threshold.", E.POLICY_BLOCKED),
    (400, "FAILED_PRECONDITION", "User location is not supported here.", E.NOT_ENTITLED),
    (400, "FAILED_PRECONDITION", "Check failed.", E.NOT_ENTITLED),
    (401, "UNAUTHENTICATED", "Keys are not taken here, send a token.", E.AUTH),
    (402, "RESOURCE_EXHAUSTED", "Nothing is left.", E.BILLING),
    (403, "PERMISSION_DENIED", "Unregistered callers may not do this.", E.AUTH),
    (403, "PERMISSION_DENIED", "This key was leaked. Its quota stays.", E.AUTH),
    (403, "PERMISSION_DENIED", "The address of the caller violates the key's rules.", E.AUTH),
    (403, "PERMISSION_DENIED", "Please enable billing for the project.", E.BILLING),
    (404, "NOT_FOUND", "No such thing.", E.MODEL_GONE),
    (429, "RESOURCE_EXHAUSTED", "Out of quota, limit: 0.", E.NOT_ENTITLED),
    (429, "RESOURCE_EXHAUSTED", "Your limit is 0 in this tier.", E.NOT_ENTITLED),
    (429, "RESOURCE_EXHAUSTED", "Out of quota, limit: 0.5, limit: 20.", E.RATE_LIMITED),
    (429, "RESOURCE_EXHAUSTED", "Your tier was lowered.", E.RATE_LIMITED),
    (429, "RESOURCE_EXHAUSTED", "No credits are left.", E.BILLING),
    (429, "RESOURCE_EXHAUSTED", "The monthly spend cap is reached.", E.BILLING),
    (429, "RESOURCE_EXHAUSTED", "Daily requests are used up.", E.QUOTA_EXHAUSTED),
    (429, "RESOURCE_EXHAUSTED", "The model is overloaded.", E.OVERLOADED),
    (499, "CANCELLED", "Cancelled.", E.SERVER_ERROR),
    (500, "INTERNAL", "Oh.", E.SERVER_ERROR),
    (500, "UNKNOWN", "", E.SERVER_ERROR),
    (503, "UNAVAILABLE", "Spikes of demand pass.", E.OVERLOADED),
    (504, "DEADLINE_EXCEEDED", "Too late.", E.SERVER_ERROR),
]


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one]], ids=["plain", "array"])
@pytest.mark.parametrize(("status", "word", "message", "expected"), GOOGLE)
def test_googles_errors_mean_the_same_in_other_words(status, word, message, expected, wrap):
    """Also inside a one-element array, and inside a 200 that names the status in the body."""
    error = {"error": {"code": status, "message": message, "status": word}}

    assert expected is classify(reply(status, wrap(error))).error
    assert expected is classify(reply(200, wrap(error))).error


# (status, body, class)
VENDORS = [
    (400, said("The policy forbids it. It violates our rules."), E.POLICY_BLOCKED),
    (400, said("Stopped by our content filters."), E.POLICY_BLOCKED),
    (400, said("No.", "image_generation_user_error", "moderation_blocked"), E.POLICY_BLOCKED),
    (400, said("A side is not divisible by 16.", "image_generation_user_error"), E.BAD_REQUEST),
    (400, said("Unknown 'response_format'.", None, "unknown_parameter"), E.BAD_REQUEST),
    (400, said("x", "billing_limit_user_error"), E.BILLING),
    (400, said("The model was shut down in May."), E.MODEL_GONE),
    (400, said("Your credit balance is too low: not enough credits."), E.BILLING),
    (401, said("Missing scopes: pictures."), E.AUTH),
    (401, said("This address is not authorized.", None, "ip_not_authorized"), E.AUTH),
    (401, "Unauthorized", E.AUTH),
    (401, {"detail": "Not authenticated - who are you?"}, E.AUTH),
    (402, "", E.BILLING),
    (403, {"message": "Not authenticated"}, E.AUTH),
    (403, said("The organization must be verified first."), E.NOT_ENTITLED),
    (403, said("Project p does not have access to model m."), E.NOT_ENTITLED),
    (403, {"code": 403, "msg": "余额不足"}, E.BILLING),
    (404, "", E.MODEL_GONE),
    (404, said("It does not exist or you do not have access to it."), E.MODEL_GONE),
    (408, "", E.TIMEOUT),
    (409, said("Conflict."), E.BAD_REQUEST),
    (422, {"detail": [{"loc": ["body", "width"], "msg": "odd", "type": "odd"}]}, E.BAD_REQUEST),
    (429, said("On images per min: Limit 5, Used 5.", "input-images"), E.RATE_LIMITED),
    (429, said("x", "insufficient_quota"), E.BILLING),
    (429, said("x", "service_unavailable_error"), E.OVERLOADED),
    (429, {"detail": "More than 24 active tasks"}, E.RATE_LIMITED),
    (429, "error code: 1015", E.RATE_LIMITED),
    (429, "<html><title>429</title></html>", E.RATE_LIMITED),
    (500, "", E.SERVER_ERROR),
    (500, said(None, "image_generation_server_error"), E.SERVER_ERROR),
    (502, "error code: 502", E.SERVER_ERROR),
    (503, "upstream connect error or disconnect/reset before headers", E.OVERLOADED),
    (503, said("x", "server_error", "server_error"), E.OVERLOADED),
    (503, "<html><title>503</title></html>", E.OVERLOADED),
    (504, "upstream request timeout", E.SERVER_ERROR),
    (520, "<!DOCTYPE html><title>520: unknown error</title>", E.SERVER_ERROR),
    (522, "<!DOCTYPE html><title>522: timed out</title>", E.SERVER_ERROR),
    (524, "error code: 524", E.OVERLOADED),
    (529, {"type": "error", "error": {"type": "overloaded_error"}}, E.OVERLOADED),
]


@pytest.mark.parametrize(("status", "body", "expected"), VENDORS)
def test_vendors_errors_mean_the_same_in_other_words(status, body, expected):
    """Codes where there are some, then sentences, then the status; pages say nothing."""
    assert expected is classify(reply(status, body)).error


# (status, body, class)
RELAYS = [
    (401, passed_on("未提供令牌"), E.AUTH),
    (401, passed_on("该令牌状态不可用"), E.AUTH),
    (401, passed_on("The token has expired"), E.AUTH),
    (401, passed_on("Token is disabled"), E.AUTH),
    (401, passed_on("该令牌额度已用尽"), E.BILLING),
    (401, passed_on("Token quota is used up"), E.BILLING),
    (403, passed_on("用户已被封禁"), E.AUTH),
    (403, passed_on("您的 IP 不在令牌允许访问的列表中"), E.AUTH),
    (403, passed_on("该令牌无权访问模型 m"), E.NOT_ENTITLED),
    (403, passed_on("预扣费额度失败"), E.BILLING),
    (403, passed_on("账户欠费"), E.BILLING),
    (429, passed_on("账户余额不足"), E.BILLING),
    (500, passed_on("x", code="insufficient_user_quota"), E.BILLING),
    (403, passed_on("x", code="entitlement_daily_limit_exceeded"), E.QUOTA_EXHAUSTED),
    (429, passed_on("1分钟内最多请求100次 您已达到总请求数限制"), E.RATE_LIMITED),
    (429, passed_on("令牌并发数超限"), E.RATE_LIMITED),
    (429, passed_on("每日次数已用完"), E.QUOTA_EXHAUSTED),
    (429, passed_on("系统繁忙"), E.OVERLOADED),
    (429, passed_on("上游并发超限"), E.OVERLOADED),
    (429, passed_on("later"), E.OVERLOADED),
    (503, passed_on("当前分组 g 下对于模型 m 无可用渠道", code="model_not_found"), E.OVERLOADED),
    (500, passed_on("x", code="channel:no_available_key"), E.SERVER_ERROR),
    (500, passed_on("EOF", code="bad_response_body"), E.SERVER_ERROR),
    (502, passed_on("EOF", "upstream_error", "do_request_failed"), E.SERVER_ERROR),
    (500, passed_on("x", "upstream_error", "429"), E.OVERLOADED),
    (401, passed_on("Wrong key", "invalid_request_error", "invalid_api_key"), E.SERVER_ERROR),
    (401, passed_on("无效的令牌", "upstream_error"), E.SERVER_ERROR),
    (403, passed_on("Verify your organization", "openai_error"), E.SERVER_ERROR),
    (403, passed_on("Quota exceeded", "gemini_error"), E.SERVER_ERROR),
    (400, passed_on("Only for billed users", "gemini_error"), E.SERVER_ERROR),
    (400, passed_on("x", "openai_error", "billing_hard_limit_reached"), E.SERVER_ERROR),
    (400, passed_on("x", "openai_error", "unknown_parameter"), E.BAD_REQUEST),
    (400, passed_on("x", "openai_error", "moderation_blocked"), E.POLICY_BLOCKED),
    (404, passed_on("x", "openai_error", "model_not_found"), E.MODEL_GONE),
    (429, passed_on("x", "openai_error", "rate_limit_exceeded"), E.OVERLOADED),
    (429, passed_on("Limit 5, Used 5", "input-images", "rate_limit_exceeded"), E.OVERLOADED),
    (429, passed_on("Please top up", "insufficient_quota", "insufficient_quota"), E.OVERLOADED),
    (500, passed_on("blocked [IMAGE_RECITATION]", "channel_error"), E.POLICY_BLOCKED),
    (500, passed_on("finish reason was IMAGE_SAFETY", "gemini_error"), E.POLICY_BLOCKED),
    (400, passed_on("提示词违规"), E.POLICY_BLOCKED),
    (400, passed_on("该模型已下架"), E.MODEL_GONE),
]


@pytest.mark.parametrize(("status", "body", "expected"), RELAYS)
def test_relays_errors_mean_the_same_in_other_words(status, body, expected):
    """Our token and balance there are ours; what their upstream refuses is their trouble."""
    assert expected is classify(reply(status, body)).error


# (status, body, class) where the target is known as a relay and the body does not tell
FLAGGED = [
    (401, said("No cookie auth credentials found"), E.AUTH),
    (401, said("Unauthorized"), E.SERVER_ERROR),
    (400, said("API key not valid."), E.SERVER_ERROR),
    (400, {"error": {"code": 400, "message": "Not from there.", "status": "FAILED_PRECONDITION"}},
     E.SERVER_ERROR),
    (403, said("Your account has been suspended", None, "account_deactivated"), E.SERVER_ERROR),
    (429, said("x", "insufficient_quota", "insufficient_quota"), E.OVERLOADED),
    (429, said("You exceeded your current quota, please check your plan and billing details."),
     E.OVERLOADED),
    (402, said("x"), E.BILLING),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "expected"), FLAGGED)
def test_a_known_relay_answers_for_its_upstream(status, body, expected):
    """The relay's place, key and bill are not ours, in whatever words its vendors speak of them."""
    assert expected is classify(reply(status, body), relay=True).error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("Insufficient balance", E.BILLING),
        ({"message": "Rate limit reached"}, E.RATE_LIMITED),
        ({"message": "Rejected by our safety system"}, E.POLICY_BLOCKED),
        ({"message": "API key not valid."}, E.AUTH),
        ({"message": "该分组无可用渠道"}, E.OVERLOADED),
        ({"message": "Failed.", "code": "do_request_failed"}, E.SERVER_ERROR),
        ({"message": "Something is wrong upstream."}, E.SERVER_ERROR),
        ({"code": 0}, E.SERVER_ERROR),
    ],
)
def test_an_error_inside_a_200_is_judged_by_its_sentence(error, expected):
    """Nobody knows the status it would have had; without a telling word it is the provider's."""
    assert expected is classify(reply(200, {"error": error})).error
