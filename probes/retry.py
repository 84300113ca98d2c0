"""
When to call again: retry hints of headers and error bodies, and the daily reset of Google's quotas.

Owns durations, dates and their bounds; knows nothing of why a call was refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from probes.model import ErrorClass

# A provider may name any time; believe at most a day, and for per-minute limits 15 min.
HINT_S_MAX: Final = 86_400.0
RATE_LIMIT_S_MAX: Final = 900.0
RATE_LIMIT_S_DEFAULT: Final = 60.0

_PACIFIC: Final = ZoneInfo("America/Los_Angeles")
_UNIT_S: Final[Mapping[str, float]] = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
# Long spellings first: an alternative that matches a beginning would hide what follows.
_UNITS: Final = "milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h|days?|d"
_AMOUNT: Final = rf"(\d{{1,12}}(?:\.\d{{1,12}})?) ?({_UNITS})(?![a-z])"
_AMOUNTS: Final = re.compile(_AMOUNT)
_DURATION: Final = re.compile(rf"(?:{_AMOUNT} ?){{1,5}}")
_SENTENCE: Final = re.compile(
    r"(?:retry|try again|retry your request|available|wait|resets?)(?: in| after| for)?(?: about)? "
    rf"((?:{_AMOUNT}(?: and)? ?){{1,5}})"
)
_CHINESE_UNIT_S: Final[Mapping[str, float]] = {"秒": 1.0, "分钟": 60.0, "小时": 3600.0}
_CHINESE_LATER: Final = re.compile(r"(\d{1,12}(?:\.\d{1,12})?) ?(秒|分钟|小时)钟?[之以]?后")
# Numbers above these are points in time, not waits: OpenRouter sends epoch milliseconds.
_EPOCH_S_MIN: Final = 1e9
_EPOCH_MS_MIN: Final = 1e11


def midnight_before(at: float, zone: tzinfo) -> float:
    """Return when the day that *at* lies in began in *zone*, in seconds since the Unix epoch."""
    return _midnight(at, zone).timestamp()


def midnight_after(at: float, zone: tzinfo) -> float:
    """Return when the day after the one that *at* lies in begins in *zone*: 23 to 25 hours long."""
    # Both ends carry the same zone, so the sum is by wall clock: the next midnight, DST or not.
    return (_midnight(at, zone) + timedelta(days=1)).timestamp()


def pacific_midnight_after(at: float) -> float:
    """
    Return the first midnight in Los Angeles after *at*, both in seconds since the Unix epoch.

    Google resets daily quotas then (ai.google.dev, rate limits).
    """
    return midnight_after(at, _PACIFIC)


def _midnight(at: float, zone: tzinfo) -> datetime:
    # Where clocks change at midnight it may come twice or not at all: the first one is meant, or
    # the moment of the change.
    day = datetime.fromtimestamp(at, zone)
    return day.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def parse_number(value: Any) -> float | None:
    """Return *value* (a number or its text) as a finite float that is not negative, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def parse_duration(text: Any) -> float | None:
    """Return the seconds in ``34.07s``, ``900ms``, ``6m0s``, ``2 minutes`` or ``12``, else None."""
    if (plain := parse_number(text)) is not None or not isinstance(text, str):
        return plain
    text = text.strip().lower()
    return _amount_s(text) if _DURATION.fullmatch(text) else None


def _amount_s(text: str) -> float:
    total = 0.0
    for amount, unit in _AMOUNTS.findall(text):
        total += float(amount) * _UNIT_S["ms" if unit.startswith(("ms", "mil")) else unit[0]]
    return total


def parse_point(value: Any, received_at: float) -> float | None:
    """Return the future time that *value* names (epoch s or ms, else seconds to wait), or None."""
    number = parse_number(value)
    if number is None:
        duration = parse_duration(value)
        return None if duration is None else received_at + duration
    if number >= _EPOCH_S_MIN:
        at = number / 1000 if number >= _EPOCH_MS_MIN else number
        return at if at > received_at else None
    return received_at + number


def parse_http_date(text: str) -> float | None:
    """Return the time of an HTTP date header, seconds since the Unix epoch; None when it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _header_hints(headers: Mapping[str, str], received_at: float) -> Iterator[float | None]:
    if (after := headers.get("retry-after")) is not None:
        seconds = parse_number(after)
        date = parse_http_date(after) if seconds is None else received_at + seconds
        yield date if date is not None and date >= received_at else None
    if (millis := parse_number(headers.get("retry-after-ms"))) is not None:
        yield received_at + millis / 1000
    # A reset says when a window renews; it is a wait only where that window is used up.
    for name, reset in headers.items():
        window, found, dimension = name.partition("x-ratelimit-reset")
        if not window and found:
            left = parse_number(headers.get(f"x-ratelimit-remaining{dimension}"))
            if left == 0 or (left is None and not dimension):
                yield parse_point(reset, received_at)


def retry_hint(
    *, headers: Mapping[str, str], delays: tuple[Any, ...], text: str, received_at: float
) -> float | None:
    """
    Return the latest time that any hint names, at most a day away; None without a usable hint.

    Args:
        headers: Of the reply, and those an error body quotes; names in lower case.
        delays: Waits the error body names in fields of their own.
        text: The provider's message in lower case, already bounded in length.
        received_at: When the reply came, seconds since the Unix epoch.
    """
    hints = list(_header_hints(headers, received_at))
    waits = [parse_duration(delay) for delay in delays]
    waits += [_amount_s(match[1]) for match in _SENTENCE.finditer(text)]
    waits += [float(m[1]) * _CHINESE_UNIT_S[m[2]] for m in _CHINESE_LATER.finditer(text)]
    hints += [received_at + wait for wait in waits if wait is not None]
    known = [hint for hint in hints if hint is not None]
    return min(max(known), received_at + HINT_S_MAX) if known else None


def retry_at(
    error: ErrorClass, *, hint: float | None, received_at: float, google: bool
) -> float | None:
    """
    Return the earliest useful next call after *error*, seconds since the Unix epoch.

    *hint* is what the provider said (:func:`retry_hint`). *google* tells that the quota is
    Google's: it resets at midnight Pacific, and a shorter hint is known to be wrong. Others' hints
    are believed as they are.
    """
    if error is ErrorClass.OVERLOADED:
        return hint
    if error is ErrorClass.RATE_LIMITED:
        wait = RATE_LIMIT_S_DEFAULT if hint is None else hint - received_at
        return received_at + min(wait, RATE_LIMIT_S_MAX)
    if error is ErrorClass.QUOTA_EXHAUSTED:
        midnight = pacific_midnight_after(received_at)
        return midnight if hint is None else max(hint, midnight) if google else hint
    return None
