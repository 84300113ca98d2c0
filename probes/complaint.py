"""
What an error body says, whatever its shape: Google, OpenAI, new-api, OpenRouter, FastAPI, HTML.

Owns the shapes; :mod:`probes.classify` owns what they mean. Bounded: a body of any size costs the
same, because only its head is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from probes.model import Reply

DETAIL_CHARS: Final = 200
BODY_HEAD_CHARS: Final = 300
TEXT_CHARS: Final = 65_536  # Looked at in a message or a page; every known one is far shorter.
_ITEMS_MAX: Final = 50  # Details, violations and words read of one error.

# The status behind a canonical word, for errors that travel inside a 200.
_STATUS_OF: Final[Mapping[str, int]] = {
    "invalid_argument": 400, "failed_precondition": 400, "invalid_request_error": 400,
    "invalid_request": 400, "model_not_found": 404, "unauthenticated": 401, "authentication_error": 401,
    "permission_denied": 403, "permission_error": 403, "not_found": 404, "not_found_error": 404,
    "timeout": 408, "resource_exhausted": 429, "rate_limit_error": 429, "requests": 429,
    "tokens": 429, "internal": 500, "unavailable": 503, "deadline_exceeded": 504,
    "overloaded_error": 529,
}  # fmt: skip
# new-api and its relatives name themselves in `type`; what they pass on is named after a vendor.
_OWN_TYPES: Final = frozenset({"new_api_error", "one_api_error", "shell_api_error"})
_UPSTREAM_TYPES: Final = frozenset(
    {"upstream_error", "openai_error", "gemini_error", "claude_error", "channel_error"}
)
_REQUEST_ID: Final = re.compile(r"request id: ([\w-]{4,100})", re.IGNORECASE)
_URL: Final = re.compile(r"https?://\S{1,2000}")
_ZERO_LIMIT: Final = re.compile(r"\blimit(?: is| of)?[:=]? ?0(?!\.?\d)")
_TITLE: Final = re.compile(r"<title[^>]{0,200}>([^<]{1,300})", re.IGNORECASE)
# Stands in every Google quota error, whatever its cause; OpenAI says it of an empty account only.
_BOILERPLATE: Final = "check your plan and billing details"


def dig(value: Any, *path: str | int) -> Any:
    """Return the part of a JSON tree under *path*; None where it does not lead anywhere."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and len(value) > step else None
    return value


def dicts(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a JSON list, the first few; nothing when it is no list."""
    return [v for v in value[:_ITEMS_MAX] if isinstance(v, dict)] if isinstance(value, list) else []


def one_line(value: Any, chars: int = DETAIL_CHARS) -> str:
    """Return text as one printable line that can be stored; empty when it is no text."""
    if not isinstance(value, str):
        return ""
    # Lone surrogates are legal in JSON escapes and illegal in UTF-8.
    head = value[: 4 * chars].encode("utf-8", "replace").decode()
    return "".join(c for c in " ".join(head.split()) if c.isprintable())[:chars]


def word(value: Any) -> str | None:
    """Return a provider's identifier as one line; None when there is none."""
    return one_line(value) or None


def body_head(reply: Reply) -> str:
    """Return the start of the body as one line, for the log."""
    return one_line(reply.body[: 4 * BODY_HEAD_CHARS].decode("utf-8", "replace"), BODY_HEAD_CHARS)


def complains(doc: Any) -> bool:
    """Whether a parsed body is an error, whatever its status."""
    if isinstance(doc, list) and len(doc) == 1:
        doc = doc[0]
    return isinstance(doc, dict) and (bool(doc.get("error")) or doc.get("success") is False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """
    One error, read.

    Attributes:
        status: The code inside the error if it is an HTTP one, else the reply's status; for errors
            inside a 200 the status behind their word, else 500 and the sign ``unstated``.
        words: Identifiers in lower case, most telling first: code, reason, type, status.
        code: The identifier to show, as spelled.
        message: For people, one line.
        text: The message in lower case without links and boilerplate.
        signs: What the structure tells: ``family``, ``field_violations``, ``google``, ``html``,
            ``moderated``, ``passed_on``, ``per_day``, ``quota_failure``, ``relay``, ``unstated``,
            ``upstream``, ``zero_limit``.
        delays: Waits named in fields of their own, as spelled.
        headers: Rate-limit headers the error quotes, in lower case.
        quota: The violations that Google lists, as they are.
        request_id: Found in the message.
    """

    status: int
    words: tuple[str, ...] = ()
    code: str | None = None
    message: str = ""
    text: str = ""
    signs: frozenset[str] = frozenset()
    delays: tuple[Any, ...] = ()
    headers: Mapping[str, str]
    quota: tuple[Mapping[str, Any], ...] = ()
    request_id: str | None = None


def read_reply(reply: Reply, *, relay: bool) -> Complaint:
    """Return what an error reply says."""
    doc = reply.json
    if isinstance(doc, list):
        doc = dig(doc, 0)  # Google's streaming and OpenAI-compatible endpoints wrap the error.
    if isinstance(doc, dict):
        return read_error(doc, status=reply.status, relay=relay)
    head = reply.body[:TEXT_CHARS].decode("utf-8-sig", "replace").lstrip()
    signs = {"relay"} if relay else set()
    if head.startswith("<"):
        title = _TITLE.search(head)
        message = title[1] if title else "an HTML page"
        # A page's words are about the page: no phrase rule may match them.
        return _complaint(reply.status, [], message, signs | {"html"}, text="")
    return _complaint(reply.status, [], head, signs)


def read_error(doc: Mapping[str, Any], *, status: int, relay: bool) -> Complaint:
    """Return what an error document says: an envelope with ``error``, or the error itself."""
    inner = doc.get("error")
    error: Mapping[str, Any] = inner if isinstance(inner, dict) else doc
    quota = list(_violations(error))
    named = list(_names(error, inner, quota))
    words = [name.lower() for name in named]
    numeric = [int(name) for name in named if name.isascii() and name.isdigit() and len(name) == 3]
    within = next((n for n in numeric if 400 <= n < 600), 0)
    if not within and status < 400:
        within = next((_STATUS_OF[w] for w in words if w in _STATUS_OF), 0)
    message = _message(doc, error, inner)
    raw = dig(error, "metadata", "raw")
    text = f"{message} {raw}" if isinstance(raw, str) else message
    signs = set(_signs(error, quota))
    has_mark = "(request id: " in message
    if relay or has_mark or not signs.isdisjoint({"family", "upstream"}):
        signs.add("relay")
    if has_mark and error.get("type") and "family" not in signs:
        signs.add("passed_on")  # A relay of the family marks what it passes on as it came.
    if not within and status < 400:
        within = 500
        signs.add("unstated")
    quoted = dig(error, "metadata", "headers")
    return _complaint(
        within or status,
        named,
        message,
        signs,
        text=text,
        delays=tuple(_delays(doc, error)),
        headers={
            name.lower(): str(value)
            for name, value in (quoted.items() if isinstance(quoted, dict) else ())
            if isinstance(value, (str, int, float))
        },
        quota=tuple(quota[:_ITEMS_MAX]),
    )


def _complaint(
    status: int,
    named: list[str],
    message: str,
    signs: set[str],
    *,
    text: str | None = None,
    delays: tuple[Any, ...] = (),
    headers: Mapping[str, str] | None = None,
    quota: tuple[Mapping[str, Any], ...] = (),
) -> Complaint:
    text = (message if text is None else text)[:TEXT_CHARS].lower()
    text = _URL.sub(" ", text)
    if not signs.isdisjoint({"google", "relay"}):
        text = text.replace(_BOILERPLATE, " ")
    if _ZERO_LIMIT.search(text):
        signs = signs | {"zero_limit"}
    found = _REQUEST_ID.search(message[:TEXT_CHARS])
    telling = [name for name in named if not name.isdigit()] or named
    return Complaint(
        status=status,
        words=tuple(name.lower() for name in named),
        code=word(telling[0]) if telling else None,
        message=one_line(message),
        text=text,
        signs=frozenset(signs),
        delays=delays,
        headers=headers or {},
        quota=quota,
        request_id=found[1] if found else None,
    )


def _violations(error: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the quotas that were used up: of a QuotaFailure, or as an ErrorInfo names its one."""
    for detail in dicts(error.get("details")):
        yield from dicts(detail.get("violations"))
        if limit := dig(detail, "metadata", "quota_limit"):
            yield {"quotaId": limit, "quotaValue": dig(detail, "metadata", "quota_limit_value")}


def _names(error: Mapping[str, Any], inner: Any, quota: list[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the error's identifiers, most telling first."""
    # The quota that lasts longest is the one to show.
    for violation in sorted(quota, key=lambda v: not _is_daily(v)):
        yield from _identifiers(violation.get("quotaId"))
    for detail in dicts(error.get("details")):
        yield from _identifiers(detail.get("reason"))
    yield from _identifiers(error.get("code"), inner, error.get("type"), error.get("error_type"))
    for item in dicts(error.get("detail")):
        yield from _identifiers(item.get("type"))
    yield from _identifiers(error.get("status"))


def _identifiers(*values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1_000_000:
            yield str(value)
        # A sentence in the place of a code is a message.
        elif isinstance(value, str) and value and len(value) <= DETAIL_CHARS and " " not in value:
            yield value


def _message(doc: Mapping[str, Any], error: Mapping[str, Any], inner: Any) -> str:
    items = [item.get("msg") for item in dicts(error.get("detail"))]
    detail = error.get("detail")
    candidates = (
        error.get("message"), dig(detail, "message"), detail, doc.get("message"), *items,
        error.get("title"), error.get("msg"), inner,
    )  # fmt: skip
    found = next((c for c in candidates if isinstance(c, str) and c.strip()), "")
    return found[:TEXT_CHARS]


def spelled(violation: Mapping[str, Any]) -> str:
    """Return the names of one of Google's quotas as letters and digits in lower case."""
    names = (violation.get("quotaId"), violation.get("quotaMetric"), violation.get("description"))
    text = " ".join(name[:500] for name in names if isinstance(name, str)).lower()
    return re.sub(r"[\W_]", "", text)


def _is_daily(violation: Mapping[str, Any]) -> bool:
    return "perday" in spelled(violation)


def _signs(error: Mapping[str, Any], quota: list[Mapping[str, Any]]) -> Iterator[str]:
    kind = error.get("type")
    if isinstance(kind, str):
        if kind in _OWN_TYPES:
            yield "family"
        elif kind in _UPSTREAM_TYPES or kind.endswith("_api_error"):
            yield "upstream"
    if isinstance(error.get("status"), str) or isinstance(error.get("details"), list):
        yield "google"
    if quota:
        yield "quota_failure"
    if any(_is_daily(v) for v in quota):
        yield "per_day"
    if any(str(v.get("quotaValue"))[:2] == "0" for v in quota):
        yield "zero_limit"
    if any(dicts(detail.get("fieldViolations")) for detail in dicts(error.get("details"))):
        yield "field_violations"
    if dig(error, "metadata", "reasons"):
        yield "moderated"


def _delays(doc: Mapping[str, Any], error: Mapping[str, Any]) -> Iterator[Any]:
    for detail in dicts(error.get("details")):
        yield detail.get("retryDelay")
    for place in (doc, error, dig(error, "metadata")):
        yield dig(place, "retry_after")
