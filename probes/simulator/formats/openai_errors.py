"""Refusals of the OpenAI family: OpenAI's own words, and those of the relays that imitate it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from starlette.responses import Response

from probes.simulator.faults import FaultKind
from probes.simulator.wire import json_reply
from probes.simulator.world import Ask


class Row(NamedTuple):
    """One refusal: status, type, code, message with ``{model}`` and ``{wait}`` to fill in."""

    status: int
    type: str
    code: str | None
    message: str


_K = FaultKind
_INVALID: Final = "invalid_request_error"
OPENAI: Final[dict[FaultKind, Row]] = {
    _K.OVERLOADED: Row(
        503, "service_unavailable_error", "server_is_overloaded", "We are overloaded right now."
    ),
    _K.SERVER_ERROR: Row(500, "server_error", "server_error", "An error occurred on our side."),
    _K.POLICY_BLOCKED: Row(
        400, "image_generation_user_error", "moderation_blocked",
        "Your request was rejected by the safety system. safety_violations=[test].",
    ),
    _K.RATE_LIMITED: Row(
        429, "input-images", "rate_limit_exceeded",
        "Rate limit reached for {model} on input-images per min: Limit {limit}, Used {limit}. "
        "Please try again in {wait}s.",
    ),
    _K.QUOTA_EXHAUSTED: Row(
        429, "requests", "rate_limit_exceeded",
        "Rate limit reached for {model} on requests per day (RPD): Limit {limit}, Used {limit}. "
        "Please try again in {wait}s.",
    ),
    _K.NOT_ENTITLED: Row(
        403, _INVALID, None, "Your organization must be verified to use the model `{model}`."
    ),
    _K.BILLING: Row(
        429, "insufficient_quota", "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    _K.AUTH: Row(401, _INVALID, "invalid_api_key", "Incorrect API key provided."),
    _K.MODEL_GONE: Row(404, _INVALID, "model_not_found", "The model `{model}` does not exist."),
    _K.BAD_REQUEST: Row(400, _INVALID, "invalid_value", "Invalid value."),
}  # fmt: skip
RELAY: Final[dict[FaultKind, Row]] = {
    **OPENAI,
    _K.OVERLOADED: Row(
        503, "new_api_error", "model_not_found",
        "No available channel for model {model} under group default",
    ),
    _K.SERVER_ERROR: Row(500, "upstream_error", "do_request_failed", "upstream request failed"),
    _K.RATE_LIMITED: Row(
        429, "new_api_error", "rate_limit_exceeded", "Too many requests, try again in {wait}s"
    ),
    _K.QUOTA_EXHAUSTED: Row(
        429, "new_api_error", "entitlement_daily_limit_exceeded", "Daily limit of this key reached"
    ),
    _K.NOT_ENTITLED: Row(
        403, "new_api_error", "access_denied", "This token has no access to model {model}"
    ),
    _K.BILLING: Row(
        403, "new_api_error", "insufficient_user_quota", "User quota is not enough, left: $0.00"
    ),
    _K.AUTH: Row(401, "new_api_error", "", "Invalid token"),
}  # fmt: skip


def openai_refusal(ask: Ask, kind: FaultKind) -> Response:
    """Return OpenAI's error for *kind*."""
    return _refusal(ask, kind, OPENAI[kind], "")


def relay_refusal(ask: Ask, kind: FaultKind) -> Response:
    """Return a relay's error for *kind*; it always names its request id."""
    return _refusal(ask, kind, RELAY[kind], f" (request id: {ask.request_id})")


def bad_parameter(name: str, code: str, message: str) -> Response:
    """Return OpenAI's error for a parameter it does not take."""
    return json_reply({"error": _body(message, _INVALID, code, param=name)}, 400)


def _refusal(ask: Ask, kind: FaultKind, row: Row, suffix: str) -> Response:
    wait = ask.decision.retry_after_s
    message = row.message.format(
        model=ask.model,
        limit=ask.decision.limit or 1,
        wait=f"{0.0 if wait is None else wait:.3f}",
    )
    if kind is FaultKind.BAD_REQUEST and ask.refusal:
        message = ask.refusal
    headers = {"x-request-id": f"req_{ask.request_id}"}
    if wait is not None:
        headers |= {"retry-after": f"{wait:.3f}", "retry-after-ms": f"{wait * 1000:.0f}"}
    return json_reply({"error": _body(message + suffix, row.type, row.code)}, row.status, headers)


def _body(message: str, kind: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"message": message, "type": kind, "param": param, "code": code}
