"""
Limits on requests that replies tell: rate-limit headers, Google's violations, error sentences.

Never limits on tokens. A canary is one request for one picture, so a limit on pictures is one too.
What a relay passes on of its vendor's limits is about the relay's account, not ours, and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, Final

from probes.complaint import Complaint, spelled
from probes.model import ErrorClass, Limit, LimitPeriod, Reply
from probes.retry import HINT_S_MAX, RATE_LIMIT_S_MAX, parse_number, parse_point, retry_at

# A number above this is no limit that anybody could come near.
_REQUESTS_MAX: Final = 10**9
_HEADER: Final = re.compile(r"x-ratelimit-(?:limit|remaining)(-[a-z-]{1,60})?")
_COUNTED: Final = re.compile(r"-(?:requests|images)(?:-(?:minute|min|day))?$")
# OpenAI: "on requests per day (RPD): Limit 9, Used 9", "for images per minute in ... Limit: 0/1min".
_VENDOR_SENTENCE: Final = re.compile(
    r"\b(?:requests|images) per (min|day).{0,120}?\blimit:? ?(\d{1,9})"
)
# new-api's own: "at most N requests within M minutes".
_RELAY_SENTENCE: Final = re.compile(r"(\d{1,4}) ?分钟内最多请求 ?(\d{1,9}) ?次")
_RELAY_DAILY: Final = "entitlement_daily_limit_exceeded"


def header_limits(reply: Reply, *, relay: bool) -> tuple[Limit, ...]:
    """
    Return what the headers of an API reply tell.

    Args:
        reply: Any; the host of a result link was sent no key, so its headers tell nothing of ours.
        relay: The host passes requests on, so OpenAI's spelling of the headers is its vendor's.
    """
    return _tightest(_in_headers(reply.headers, reply, relay=relay))


def error_limits(complaint: Complaint, reply: Reply, *, hint: float | None) -> tuple[Limit, ...]:
    """
    Return what an error tells: in its body, in headers that it quotes, and in its own headers.

    *hint* is the time it names for another call (:func:`probes.retry.retry_hint`), or None.
    """
    relay = "relay" in complaint.signs
    found = [*_in_headers(reply.headers, reply, relay=relay)]
    if "upstream" not in complaint.signs:
        found += _in_headers(complaint.headers, reply, relay=relay)
    sentences = _of_relay(complaint) if relay else _of_vendor(complaint)
    for period, requests, per_model in sentences:
        # A day begins when Google says; of others' days only the hint is known.
        error = ErrorClass.QUOTA_EXHAUSTED if period is LimitPeriod.DAY else ErrorClass.RATE_LIMITED
        google = "google" in complaint.signs
        resets_at = retry_at(error, hint=hint, received_at=reply.received_at, google=google)
        found.append(
            Limit(
                period=period,
                requests=requests,
                remaining=0,
                # A limit of nothing never renews.
                resets_at=None if requests == 0 else resets_at,
                per_model=per_model,
            )
        )
    return _tightest(found)


def _tightest(found: Iterator[Limit] | list[Limit]) -> tuple[Limit, ...]:
    """Return the lowest limit of each kind: several hold at once, and the lowest is met first."""
    ordered = sorted(found, key=lambda limit: inf if limit.requests is None else limit.requests)
    kinds: dict[tuple[LimitPeriod, bool], Limit] = {}
    for limit in ordered:
        kinds.setdefault((limit.period, limit.per_model), limit)
    return tuple(kinds.values())


def _in_headers(headers: Mapping[str, str], reply: Reply, *, relay: bool) -> Iterator[Limit]:
    if reply.request is not None and reply.request.is_download:
        return
    for dimension in sorted(
        {match[1] or "" for name in headers if (match := _HEADER.fullmatch(name))}
    ):
        # OpenAI's spelling names what is counted; of a relay that is its vendor's count.
        if dimension and (relay or not _COUNTED.search(dimension)):
            continue
        requests = _count(headers.get(f"x-ratelimit-limit{dimension}"))
        remaining = _count(headers.get(f"x-ratelimit-remaining{dimension}"))
        resets_at = parse_point(headers.get(f"x-ratelimit-reset{dimension}"), reply.received_at)
        # Without a reset the bare names do not say what they count by; OpenAI's are of a minute.
        if (requests is None and remaining is None) or (resets_at is None and not dimension):
            continue
        wait_s = 0.0 if resets_at is None else resets_at - reply.received_at
        is_daily = "day" in dimension or ("min" not in dimension and wait_s > RATE_LIMIT_S_MAX)
        yield Limit(
            period=LimitPeriod.DAY if is_daily else LimitPeriod.MINUTE,
            requests=requests,
            remaining=remaining,
            resets_at=None if resets_at is None else reply.received_at + min(wait_s, HINT_S_MAX),
            per_model=bool(dimension),
        )


def _of_vendor(complaint: Complaint) -> Iterator[tuple[LimitPeriod, int | None, bool]]:
    """Yield period, requests and whether models count apart, of limits that an error says are met."""
    for violation in complaint.quota:
        name = spelled(violation)
        if "request" not in name or "token" in name:
            continue
        for word, period in (("perday", LimitPeriod.DAY), ("perminute", LimitPeriod.MINUTE)):
            if word in name:
                requests = _count(violation.get("quotaValue"))
                # JSON of Google's kind leaves zeros out; then only the message says it.
                is_nothing = requests is None and "zero_limit" in complaint.signs
                yield period, 0 if is_nothing else requests, "permodel" in name
                break
    for word, number in _VENDOR_SENTENCE.findall(complaint.text):
        yield LimitPeriod.DAY if word == "day" else LimitPeriod.MINUTE, int(number), True


def _of_relay(complaint: Complaint) -> Iterator[tuple[LimitPeriod, int | None, bool]]:
    if _RELAY_DAILY in complaint.words:
        yield LimitPeriod.DAY, None, False
    for minutes, number in _RELAY_SENTENCE.findall(complaint.text):
        yield LimitPeriod.MINUTE, int(number) // max(1, int(minutes)) or 1, False


def _count(value: Any) -> int | None:
    number = parse_number(value)
    return None if number is None or number > _REQUESTS_MAX else int(number)
