"""
Why a reply is no picture: one ordered table of rules for every provider, then the status.

Owns blame. Reads errors through :mod:`probes.complaint` and waits through :mod:`probes.retry`;
knows no wire format beyond their error bodies, and no schedule.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final

from probes.complaint import Complaint, body_head, complains, dig, read_error, read_reply, word
from probes.model import ErrorClass, Reply, Verdict
from probes.ratelimits import error_limits
from probes.retry import retry_at, retry_hint

E = ErrorClass


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One line of the table: holds when each condition that is given holds.

    Attributes:
        words: The error's most telling identifier that any rule knows is one of these. So a code
            outranks a type, whatever the order of the rules.
        text: One of these is in the message. Where *words* are given too, either is enough.
        signs: All of these were seen in the structure (see :class:`probes.complaint.Complaint`).
    """

    error: ErrorClass
    status: Container[int] | None = None
    words: frozenset[str] = frozenset()
    text: tuple[str, ...] = ()
    signs: frozenset[str] = frozenset()

    def holds(self, complaint: Complaint, telling: str) -> bool:
        """Whether this rule decides *complaint*, whose most telling known word is *telling*."""
        if not self.signs <= complaint.signs:
            return False
        in_status = self.status is None or complaint.status in self.status
        if in_status and (telling in self.words or not (self.words or self.text)):
            return True
        # An error inside a 200 whose status nobody knows is judged by its sentence alone.
        is_heard = in_status or "unstated" in complaint.signs
        return is_heard and any(phrase in complaint.text for phrase in self.text)


def _words(spelled: str) -> frozenset[str]:
    return frozenset(spelled.split())


_REFUSED: Final = frozenset({401, 403})
_BUSY: Final = frozenset({429})
_CROWDED: Final = frozenset({429, 503, 524, 529})
# Where a message may speak of our prompt: not on 401, 402, 404 or 429.
_JUDGED: Final = frozenset({400, 403, 406, 409, 422, 451})
_ASKED: Final = frozenset({400, 403, 404, 410, 422})
_CLIENT: Final = range(400, 500)
_SERVER: Final = range(500, 600)

# Gemini's finish and block reasons and the codes of the others, in lower case.
POLICY_WORDS: Final = _words(
    "safety prohibited_content recitation blocklist spii language image_safety "
    "image_prohibited_content image_recitation model_armor jailbreak content_filter "
    "content_blocked content_policy_violation moderation_blocked prompt_blocked "
    "sensitive_words_detected content_moderated request_moderated"
)
# Of an account at the vendor; relays have codes of their own for accounts with them.
_VENDOR_BILL_WORDS: Final = _words(
    "insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded "
    "project_spend_limit_exceeded organization_usage_limit_exceeded billing_hard_limit_reached "
    "billing_limit_user_error billing_not_active"
)
_BILLING_WORDS: Final = _VENDOR_BILL_WORDS | _words(
    "billing_disabled billing_error payment_required "
    "insufficient_credits insufficient_balance insufficient_funds credit_limit"
)
_SUSPENDED_WORDS: Final = _words("account_deactivated consumer_suspended")
_AUTH_WORDS: Final = _SUSPENDED_WORDS | _words(
    "invalid_api_key api_key_invalid api_key_expired invalid_token token_expired access_denied "
    "authentication authentication_error unauthenticated unauthorized "
    "service_disabled consumer_invalid api_key_service_blocked "
    "api_key_http_referrer_blocked api_key_ip_address_blocked"
)
_ENTITLEMENT_WORDS: Final = _words(
    "unsupported_country_region_territory failed_precondition organization_not_verified"
)
_KEY_TEXT: Final = ("api key not valid", "valid api key", "api key expired", "api_key_inv")
_PLACE_TEXT: Final = (
    "location is not supported", "in your country", "in your region", "country, region",
    "free tier",
)  # fmt: skip
_ORGANISATION_TEXT: Final = (
    "must be verified", "verify your organization", "not have access to", "has no access to",
    "not allowlisted",
)  # fmt: skip
_BALANCE_TEXT: Final = (
    "insufficient credit", "enough credit", "more credits", "out of credits", "credits are deplet",
    "prepaid", "prepay", "insufficient balance", "exhausted balance", "insufficient funds",
    "billed users", "billing hard limit", "billing to be enabled", "enable billing",
    "billing enabled", "top up", "spending cap", "spend cap", "spending limit", "spend limit",
    "key limit exceeded", "额度", "余额", "欠费", "充值",
)  # fmt: skip
_CROWDED_TEXT: Final = (
    "overloaded", "high demand", "at capacity", "saturated", "饱和", "负载", "过载", "繁忙",
    "上游限流", "上游并发", "upstream rate limit", "rate-limited upstream", "resource exhausted",
    "slow down",
)  # fmt: skip
# A judgement on the prompt, in sentences; and identifiers that stand for one wherever they do.
_BLOCKED_TEXT: Final = (
    "safety system", "safety filter", "responsible ai", "sensitive words", "content polic",
    "content filter", "content moderation", "moderated", "usage guidelines", "usage polic",
    "prohibited use policy", "policy violation", "violates our", "violate our", "violating our",
    "flagged", "nsfw", "敏感词", "违规", "内容安全", "审核未通过",
)  # fmt: skip
_BLOCKED_MARKS: Final = (
    "safety_violations",
    *sorted(word if "_" in word else f"[{word}]" for word in POLICY_WORDS),
)
_NO_CHANNEL_TEXT: Final = ("no available channel", "no healthy upstream", "无可用渠道", "可用渠道")

# First match wins. Order: what the structure proves, our own account at a relay, the relay's
# trouble with its upstream, then vendors' codes and, last, their words.
RULES: Final = (
    # A page of something in between: a firewall or a CDN refuses, not the API.
    Rule(E.SERVER_ERROR, _REFUSED, signs=_words("html")),
    Rule(E.POLICY_BLOCKED, signs=_words("moderated")),
    Rule(E.POLICY_BLOCKED, words=POLICY_WORDS),
    Rule(E.BAD_REQUEST, frozenset({400}), signs=_words("field_violations")),
    Rule(E.BAD_REQUEST, _JUDGED | {500}, words=_words(
        "invalid_value unknown_parameter unsupported_parameter unsupported_value invalid_type "
        "missing_required_parameter invalid_image_file parameter_unknown out_of_range "
        "value_error validation_error invalid_request")),
    # Account trouble is no judgement on the prompt, though it may speak of violations.
    Rule(E.SERVER_ERROR, _REFUSED, signs=_words("relay"), words=_SUSPENDED_WORDS,
         text=("suspended", "deactivated", "leaked")),
    Rule(E.AUTH, _REFUSED, words=_SUSPENDED_WORDS, text=(
        "suspended", "deactivated", "leaked", "banned", "account has been", "封禁")),
    Rule(E.POLICY_BLOCKED, _JUDGED, text=_BLOCKED_TEXT),
    Rule(E.POLICY_BLOCKED, text=_BLOCKED_MARKS),
    # Relays pass a judgement on as an error of their own.
    Rule(E.POLICY_BLOCKED, frozenset({500}), signs=_words("relay"), text=_BLOCKED_TEXT),
    # Relays: our balance and our token there.
    Rule(E.BILLING, words=_words("insufficient_user_quota pre_consume_token_quota_failed")),
    Rule(E.QUOTA_EXHAUSTED, words=_words("entitlement_daily_limit_exceeded")),
    Rule(E.RATE_LIMITED, words=_words("token_concurrency_limit_reached")),
    Rule(E.OVERLOADED, text=_NO_CHANNEL_TEXT),
    Rule(E.OVERLOADED, _SERVER, words=_words("model_not_found")),
    # Relays: what their upstream told them is about their key, their bill, their quota.
    Rule(E.SERVER_ERROR, _REFUSED, signs=_words("upstream")),
    Rule(E.OVERLOADED, _BUSY, signs=_words("upstream")),
    Rule(E.OVERLOADED, _BUSY, signs=_words("passed_on")),
    Rule(E.SERVER_ERROR, signs=_words("upstream"),
         words=_AUTH_WORDS | _BILLING_WORDS | _ENTITLEMENT_WORDS,
         text=_KEY_TEXT + _PLACE_TEXT + _ORGANISATION_TEXT + _BALANCE_TEXT),
    Rule(E.OVERLOADED, _BUSY, signs=_words("relay"), words=_VENDOR_BILL_WORDS),
    Rule(E.OVERLOADED, _CROWDED, words=_words(
        "get_channel_failed channel:no_available_key bad_response_status_code do_request_failed")),
    Rule(E.SERVER_ERROR, words=_words(
        "get_channel_failed channel:no_available_key channel:invalid_key "
        "channel:response_time_exceeded channel:image_generation_failed do_request_failed "
        "bad_response_status_code bad_response_body empty_response")),
    Rule(E.BILLING, _REFUSED, signs=_words("relay"), text=(*_BALANCE_TEXT, "balance", "quota")),
    Rule(E.NOT_ENTITLED, _REFUSED, signs=_words("relay"), text=("无权", "token has no access")),
    Rule(E.AUTH, _REFUSED, signs=_words("relay"), text=(
        "令牌", "invalid token", "token expired", "token is expired", "token has expired",
        "token not provided", "token status", "token is disabled", "no token",
        "auth credentials found", "invalid credentials",
        "user not found", "missing authentication")),
    Rule(E.AUTH, _REFUSED, signs=_words("relay"), words=_words("access_denied invalid_token")),
    Rule(E.SERVER_ERROR, _REFUSED, signs=_words("relay")),
    Rule(E.SERVER_ERROR, _JUDGED, signs=_words("relay"),
         words=_AUTH_WORDS | _ENTITLEMENT_WORDS, text=_KEY_TEXT + _PLACE_TEXT),
    Rule(E.OVERLOADED, _BUSY, signs=_words("relay quota_failure")),
    # 429: Google's quotas, then everybody's words. A limit of zero first: a free key on an image
    # model is told of a day that holds nothing, and that day never comes.
    Rule(E.NOT_ENTITLED, _BUSY, signs=_words("zero_limit")),
    Rule(E.QUOTA_EXHAUSTED, signs=_words("per_day")),
    Rule(E.RATE_LIMITED, _BUSY, signs=_words("quota_failure")),
    Rule(E.OVERLOADED, words=_words(
        "slow_down server_is_overloaded service_unavailable_error overloaded_error "
        "engine_overloaded")),
    Rule(E.OVERLOADED, _BUSY, text=_CROWDED_TEXT),
    Rule(E.QUOTA_EXHAUSTED, _BUSY, words=_words("quota_exceeded daily_limit_exceeded")),
    Rule(E.BILLING, words=_BILLING_WORDS),
    Rule(E.QUOTA_EXHAUSTED, _BUSY, text=(
        "per-day", "per day", "per_day", "/day", "/1day", "daily", "(rpd)", "今日", "当日", "每日",
        "每天")),
    Rule(E.RATE_LIMITED, words=_words(
        "rate_limit_exceeded rate_limit_error too_many_requests model_rate_limit throttled")),
    Rule(E.RATE_LIMITED, _BUSY, text=(
        "rate limit", "too many", "per minute", "per-min", "quota exceeded for aiplatform",
        # A spend limit over a few minutes renews by itself, one over longer times does not.
        "rolling", "minute window", "请求数限制", "频繁", "频率", "限流", "并发", "每分钟")),
    Rule(E.BILLING, _BUSY, text=(*_BALANCE_TEXT, "billing", "credits")),
    Rule(E.OVERLOADED, _BUSY, signs=_words("relay")),
    # 400, 401, 403, 404, 422: the key, the account, the model.
    Rule(E.AUTH, words=_AUTH_WORDS),
    Rule(E.AUTH, frozenset({400}), text=_KEY_TEXT),
    Rule(E.NOT_ENTITLED, frozenset({403}), words=_words("model_not_found")),
    Rule(E.MODEL_GONE, words=_words("model_not_found model_not_available model_deprecated")),
    Rule(E.NOT_ENTITLED, frozenset({400, 403}), text=_PLACE_TEXT + _ORGANISATION_TEXT),
    Rule(E.BILLING, _CLIENT, text=_BALANCE_TEXT),
    Rule(E.NOT_ENTITLED, words=_ENTITLEMENT_WORDS),
    Rule(E.MODEL_GONE, _ASKED, text=(
        "not a valid model", "unknown model", "model not found", "model does not exist",
        "model has been", "model is deprecated", "no longer available", "has been deprecated",
        "has been retired", "been shut down", "was shut down", "模型不存在", "已下线", "已下架")),
    Rule(E.SERVER_ERROR, _JUDGED, words=_words("server_error image_generation_server_error")),
    # 5xx.
    Rule(E.OVERLOADED, _SERVER, text=_CROWDED_TEXT),
)  # fmt: skip
_KNOWN: Final = frozenset().union(*(rule.words for rule in RULES))

# The nearest general class of a status that no rule explains.
_BY_STATUS: Final[Mapping[int, ErrorClass]] = {
    401: E.AUTH, 402: E.BILLING, 403: E.AUTH, 404: E.MODEL_GONE, 408: E.TIMEOUT,
    410: E.MODEL_GONE, 429: E.RATE_LIMITED, 451: E.NOT_ENTITLED,
    499: E.SERVER_ERROR,  # Cancelled by their front end: we were still here to read it.
    503: E.OVERLOADED, 524: E.OVERLOADED, 529: E.OVERLOADED,
}  # fmt: skip


def blame(complaint: Complaint) -> ErrorClass:
    """Return the class of an error: the first rule that holds, else its status."""
    telling = next((word for word in complaint.words if word in _KNOWN), "")
    for rule in RULES:
        if rule.holds(complaint, telling):
            return rule.error
    general = E.BAD_REQUEST if complaint.status in _CLIENT else E.SERVER_ERROR
    return _BY_STATUS.get(complaint.status, general)


def classify(reply: Reply, *, relay: bool = False) -> Verdict:
    """
    Return the verdict on a reply that is not the wanted one; never raises.

    Args:
        reply: Non-2xx, an error inside a 2xx, or a 2xx that is not the format at all.
        relay: The host passes requests on, so an unexplained 401 or 403 is its own trouble.
    """
    if not 400 <= reply.status < 600 and not (200 <= reply.status < 300 and complains(reply.json)):
        return Verdict(
            error=E.PROTOCOL,
            detail=_not_the_format(reply),
            http_status=reply.status,
            body_head=body_head(reply),
            request_id=request_id(reply),
        )
    return _verdict(read_reply(reply, relay=relay), reply)


def classify_error(error: Any, reply: Reply, *, relay: bool = False) -> Verdict:
    """Return the verdict on *error*, an error object that *reply* carries in an odd place."""
    doc = error if isinstance(error, dict) else {"message": error}
    return _verdict(read_error(doc, status=reply.status, relay=relay), reply)


def request_id(reply: Reply) -> str | None:
    """Return the id for support requests that the headers or the body of a reply name."""
    return word(reply.headers.get("x-request-id")) or word(dig(reply.json, "responseId"))


def _verdict(complaint: Complaint, reply: Reply) -> Verdict:
    error = blame(complaint)
    hint = retry_hint(
        headers={**complaint.headers, **reply.headers},
        delays=complaint.delays,
        text=complaint.text,
        received_at=reply.received_at,
    )
    google = "google" in complaint.signs
    return Verdict(
        error=error,
        detail=complaint.message or f"HTTP {complaint.status}",
        code=complaint.code,
        http_status=reply.status,
        retry_at=retry_at(error, hint=hint, received_at=reply.received_at, google=google),
        phase=reply.request.phase if error is E.TIMEOUT and reply.request else None,
        body_head=None if isinstance(reply.json, (dict, list)) else body_head(reply),
        request_id=request_id(reply) or complaint.request_id,
        limits=error_limits(complaint, reply, hint=hint),
    )


def _not_the_format(reply: Reply) -> str:
    if 300 <= reply.status < 400:
        return f"HTTP {reply.status}: redirected; API calls follow no redirects"
    if not 200 <= reply.status < 300:
        return f"HTTP {reply.status} is no status of an answer"
    if reply.json is None:
        return "the body is not JSON" if reply.body.strip() else "the body is empty"
    return "the JSON is not of this format"
