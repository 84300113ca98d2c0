"""
What went wrong with a provider, read from the exception of whatever library called it.

No SDK is imported: statuses, headers and texts are read by their usual names, time-outs and broken
connections are known by the names of their classes. The classes are those of ``imgmon errors``.
"""

from __future__ import annotations

import binascii
import json
import math
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final


class ErrorClass(StrEnum):
    """The closed list of classes, as reports carry them."""

    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    PROTOCOL = "protocol"
    NO_IMAGE = "no_image"
    BAD_IMAGE = "bad_image"
    EXPIRED = "expired"
    POLICY_BLOCKED = "policy_blocked"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    NOT_ENTITLED = "not_entitled"
    BILLING = "billing"
    AUTH = "auth"
    MODEL_GONE = "model_gone"
    BAD_REQUEST = "bad_request"
    OUR_NETWORK = "our_network"
    MONITOR_FAULT = "monitor_fault"


E = ErrorClass
# The request itself is refused: another provider would be paid to refuse it too.
FINAL: Final = frozenset({E.POLICY_BLOCKED, E.BAD_REQUEST})
# They speak of this picture, not of the provider's next one.
PICTURE: Final = frozenset({E.NO_IMAGE, E.BAD_IMAGE})


class NoImage(Exception):  # noqa: N818 - a finding, named like its class
    """Raise this in your function when an answer holds no picture: the next target is tried."""


class BadImage(Exception):  # noqa: N818 - likewise
    """Raise this in your function when the picture cannot be used: the next target is tried."""


@dataclass(frozen=True, slots=True)
class Failure:
    """
    What a failed attempt says of its target.

    Attributes:
        retry_after_s: How long the provider asks to be left alone; None where it does not say.
    """

    error: ErrorClass
    retry_after_s: float | None = None


_TEXT_MAX: Final = 8_192
_RETRY_AFTER_S_MAX: Final = 86_400.0
_TIMEOUT_NAMES: Final = frozenset({
    "TimeoutException",  # httpx, httpx2, httpcore
    "APITimeoutError",  # openai, anthropic
    "Timeout",  # requests, litellm
    "TimeoutError",  # urllib3, concurrent.futures
})  # fmt: skip
_CONNECTION_NAMES: Final = frozenset({
    "TransportError",  # httpx, httpx2, google.auth
    "NetworkError", "ProtocolError",  # httpcore, urllib3
    "APIConnectionError",  # openai, litellm
    "ConnectionError",  # requests
    "ChunkedEncodingError",  # requests: the body was cut
    "ClientConnectionError", "ClientPayloadError",  # aiohttp
    "NewConnectionError", "MaxRetryError",  # urllib3
    "IncompleteRead", "RemoteDisconnected",  # http.client
})  # fmt: skip
# Of httpx: an address or a header that no provider ever saw.
_MISTAKES: Final = frozenset({"UnsupportedProtocol", "LocalProtocolError"})
_PROTOCOL_NAMES: Final = frozenset({
    "JSONDecodeError",  # json, requests, orjson
    "DecodingError", "TooManyRedirects",  # httpx
    "APIResponseValidationError",  # openai
    "UnknownApiResponseError",  # google-genai
    "ContentTypeError",  # aiohttp
})  # fmt: skip

_POLICY: Final = (
    "content_policy", "content policy", "moderation", "safety", "prohibited", "responsible ai",
    "sensitive", "violat",
)  # fmt: skip
# Per status (4xx below means any other), the first row whose text is found.
_RULES: Final[tuple[tuple[frozenset[int], tuple[str, ...], ErrorClass], ...]] = (
    (frozenset({400, 403, 422, 451}), _POLICY, E.POLICY_BLOCKED),
    (frozenset({400}), ("api_key_invalid", "api key not valid", "invalid_api_key", "api key expired"),
     E.AUTH),
    (frozenset({400, 403, 429}), (
        "insufficient_quota", "insufficient_user_quota", "billing", "balance", "credit",
        "余额", "额度不足", "欠费"), E.BILLING),
    (frozenset({400, 403}), (
        "location is not supported", "country", "region", "verified", "verification",
        "failed_precondition", "not_entitled"), E.NOT_ENTITLED),
    (frozenset({400, 403, 422}), ("model_not_found", "model not found", "model does not exist"),
     E.MODEL_GONE),
    (frozenset({429}), ("limit: 0,", "limit: 0\n", '"quotavalue": "0"'), E.NOT_ENTITLED),
    (frozenset({429}), ("perday", "per day", "daily", "(rpd)", "每日", "每天"), E.QUOTA_EXHAUSTED),
    (frozenset({429}), (
        "overloaded", "capacity", "saturated", "slow_down", "try again later, the engine",
        "负载", "饱和"), E.OVERLOADED),
    (frozenset({500, 502}), ("overloaded", "saturated", "负载", "饱和"), E.OVERLOADED),
)  # fmt: skip
_BY_STATUS: Final[Mapping[int, ErrorClass]] = {
    401: E.AUTH, 402: E.BILLING, 403: E.AUTH, 404: E.MODEL_GONE, 408: E.TIMEOUT,
    410: E.MODEL_GONE, 429: E.RATE_LIMITED, 451: E.NOT_ENTITLED, 503: E.OVERLOADED,
    524: E.OVERLOADED, 529: E.OVERLOADED,
}  # fmt: skip
_RETRY_DELAY: Final = re.compile(r'"?retrydelay"?[:=] ?"?(\d{1,9}(?:\.\d{1,9})?)s', re.ASCII)


def judge(error: Exception, now: float) -> Failure | None:
    """
    Return what *error* says of the provider that was called; None when it says nothing.

    None is for everything that neither a status, a type of the standard library nor a known name
    ties to a provider: a mistake in the calling function, which another target would only repeat.

    Args:
        error: What the function raised.
        now: Wall time, seconds since the epoch, for dates in ``Retry-After``.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, NoImage):
        return Failure(E.NO_IMAGE)
    if isinstance(error, BadImage | binascii.Error) or "UnidentifiedImageError" in names:
        return Failure(E.BAD_IMAGE)
    if (status := _status(error)) is not None:
        return Failure(_by_status(status, _text(error)), _retry_after_s(error, now))
    kind = _by_type(error, names)
    return None if kind is None else Failure(kind)


def _by_type(error: Exception, names: set[str]) -> ErrorClass | None:
    reason = getattr(error, "reason", None)  # urllib wraps the cause.
    network = ConnectionError | socket.gaierror | ssl.SSLError
    if names & _MISTAKES:
        return None
    if (
        isinstance(error, TimeoutError)
        or isinstance(reason, TimeoutError)
        or names & _TIMEOUT_NAMES
    ):
        return E.TIMEOUT
    if isinstance(error, network) or isinstance(reason, OSError) or names & _CONNECTION_NAMES:
        return E.CONNECTION
    return E.PROTOCOL if names & _PROTOCOL_NAMES else None


def _by_status(status: int, text: str) -> ErrorClass:
    if status < 400:
        return E.PROTOCOL  # An SDK that raises for a redirect or a 2xx could not read it.
    for statuses, texts, error in _RULES:
        if status in statuses and any(one in text for one in texts):
            return error
    return _BY_STATUS.get(status, E.SERVER_ERROR if status >= 500 else E.BAD_REQUEST)


def _status(error: Exception) -> int | None:
    """Return the HTTP status, by the names that clients give it."""
    response = getattr(error, "response", None)
    for holder, name in (
        (error, "status_code"),  # openai, litellm
        (response, "status_code"),  # httpx, requests
        (error, "code"),  # google-genai, urllib
        (error, "status"),  # aiohttp
        (response, "status"),
    ):
        value = getattr(holder, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600:
            return int(value)
    return None


def _text(error: Exception) -> str:
    """Return what the provider said, in lower case and bounded."""
    return " ".join(part[:_TEXT_MAX] for part in _texts(error)).lower()


def _texts(error: Exception) -> Iterator[str]:
    yield str(error)
    for name in ("code", "type", "status", "message", "body", "details"):
        value = getattr(error, name, None)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            with suppress(TypeError, ValueError, RecursionError):
                yield json.dumps(value, ensure_ascii=False)
    # A body that was streamed and not read raises something of its library's own.
    with suppress(Exception):
        text = getattr(getattr(error, "response", None), "text", "")
        if isinstance(text, str):
            yield text


def _retry_after_s(error: Exception, now: float) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None)
    headers = getattr(error, "headers", None) if headers is None else headers
    for name, unit_s in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = headers.get(name) if headers is not None and hasattr(headers, "get") else None
        if isinstance(value, str) and (wait_s := retry_after_s(value, now)) is not None:
            return min(wait_s * unit_s, _RETRY_AFTER_S_MAX)
    found = _RETRY_DELAY.search(_text(error))  # Google's RetryInfo is in the body.
    return min(float(found[1]), _RETRY_AFTER_S_MAX) if found else None


def retry_after_s(value: str, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` names, by number or date; None when it is neither."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
