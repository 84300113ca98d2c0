"""Retry times: every spelling of a wait, its bounds, and midnight in Los Angeles."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from probes.model import ErrorClass
from probes.retry import (
    HINT_S_MAX,
    midnight_after,
    midnight_before,
    pacific_midnight_after,
    parse_duration,
    parse_number,
    parse_point,
    retry_at,
    retry_hint,
)

NOW = 1_795_332_000.0


def hint(headers=None, delays=(), text=""):
    """Seconds from NOW to the hint, or None."""
    at = retry_hint(headers=headers or {}, delays=delays, text=text, received_at=NOW)
    return None if at is None else round(at - NOW, 6)


@pytest.mark.parametrize(
    ("spelled", "seconds"),
    [
        ("34s", 34.0), ("34.07s", 34.07), ("900ms", 0.9), ("6m0s", 360.0), ("1h2m3s", 3723.0),
        ("2 minutes", 120.0), ("1 hour 30 mins", 5400.0), ("500 milliseconds", 0.5), ("2d", 172800),
        ("12", 12.0), (13, 13.0), (1.5, 1.5), (" 3S ", 3.0),
        ("-5s", None), ("", None), ("soon", None), ("1x", None), ("5s!", None), (None, None),
        ({"seconds": 3}, None), (-1, None), (True, None), (float("nan"), None), ("inf", None),
        ("9" * 400, None), (10**400, None),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_every_spelling_providers_use(spelled, seconds):
    """Go, protobuf, English and bare seconds; negative, endless and foreign values are none."""
    assert seconds == parse_duration(spelled)


def test_a_number_is_finite_and_not_negative():
    """NaN, infinities, negative numbers and booleans are no amounts."""
    assert [None] * 5 == [parse_number(v) for v in ("nan", "-1", False, [], "1e999")]
    assert 2.5 == parse_number("2.5")


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("2", 2.0), ("1.2s", 1.2), (str(int((NOW + 60) * 1000)), 60.0), (NOW + 90, 90.0),
        (NOW - 90, None), ("later", None), (None, None),
    ],
)  # fmt: skip
def test_a_reset_is_a_wait_or_a_point_in_time(value, wait):
    """Large numbers are epoch seconds or milliseconds; a point in the past is none."""
    at = parse_point(value, NOW)

    assert wait == (None if at is None else round(at - NOW, 6))


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Sun, 22 Nov 2026 07:21:00 GMT"}, 60.0),
        ({"retry-after": "Sun, 22 Nov 2026 06:00:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2ms"}, 0.002),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795332030000"}, 30.0),
        ({"x-ratelimit-remaining-images": "0", "x-ratelimit-reset-images": "48s"}, 48.0),
        ({"x-ratelimit-reset-images": "48s", "y-x-ratelimit-reset": "9"}, None),
        ({"x-ratelimit-reset": "5"}, 5.0),
        ({"x-ratelimit-remaining": "4", "x-ratelimit-reset": "5"}, None),
        ({}, None),
    ],
)
def test_headers_name_a_wait(headers, wait):
    """Seconds, dates and resets of used-up windows; a reset of an open window is no wait."""
    assert wait == hint(headers)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("please retry in 59.628721472s.", 59.628721),
        ("please try again in 12s. visit", 12.0),
        ("try again in 1m12.5s", 72.5),
        ("retry your request after 20 seconds", 20.0),
        ("expected available in 7 seconds", 7.0),
        ("retry in 5s or try again in 1 hour 2 minutes", 3720.0),
        ("try again in a while", None),
        ("please wait 30 seconds before retrying", 30.0),
        ("try again in about 2 minutes", 120.0),
        ("retry in 1 minute and 30 seconds", 90.0),
        ("the limit resets in 3h", 10_800.0),
        ("try again in 5 min.", 300.0),
        ("retry 3 models, wait 2 hundred years", None),
        ("请在 30 秒后重试", 30.0),
        ("请5分钟后再试", 300.0),
        ("1.5小时之后恢复", 5400.0),
        ("1分钟内最多请求60次", None),
    ],
)
def test_sentences_name_a_wait(text, wait):
    """A wait in the message counts, the longest of several."""
    assert wait == hint(text=text)


def test_the_longest_hint_wins_and_none_exceeds_a_day():
    """A short field beside a long sentence is the known trap; absurd waits are cut to a day."""
    assert 90.0 == hint({"retry-after": "5"}, ("30s", None), "retry in 90s")
    assert HINT_S_MAX == hint({"retry-after": "1e300"})


def test_each_class_waits_in_its_own_way():
    """Minute limits wait at most 15 min, daily ones to midnight, crowds only when told."""
    overloaded, limited = ErrorClass.OVERLOADED, ErrorClass.RATE_LIMITED
    quota = ErrorClass.QUOTA_EXHAUSTED
    midnight = pacific_midnight_after(NOW)

    def wait(error, given=None, *, google=True):
        at = None if given is None else NOW + given
        found = retry_at(error, hint=at, received_at=NOW, google=google)
        return None if found is None else found - NOW

    assert [None, 5.0, 5000.0] == [wait(overloaded, given) for given in (None, 5.0, 5000.0)]
    assert [60.0, 5.0, 900.0] == [wait(limited, given) for given in (None, 5.0, 5000.0)]
    assert [midnight - NOW, midnight - NOW, 5000.0] == [
        wait(quota, given) for given in (None, 5.0, 5000.0)
    ]
    assert [midnight - NOW, 5.0] == [wait(quota, given, google=False) for given in (None, 5.0)]
    assert wait(ErrorClass.AUTH, 5.0) is None


def utc(*parts: int) -> float:
    """Seconds since the epoch of a time in UTC."""
    return datetime(*parts, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("at", "midnight"),
    [
        (utc(2026, 7, 1, 12), utc(2026, 7, 2, 7)),  # Summer: UTC-7.
        (utc(2026, 12, 1, 12), utc(2026, 12, 2, 8)),  # Winter: UTC-8.
        (utc(2026, 3, 8, 8), utc(2026, 3, 9, 7)),  # Clocks go forward: a day of 23 hours.
        (utc(2026, 3, 8, 9, 59), utc(2026, 3, 9, 7)),
        (utc(2026, 3, 8, 10, 1), utc(2026, 3, 9, 7)),
        (utc(2026, 11, 1, 7), utc(2026, 11, 2, 8)),  # Clocks go back: a day of 25 hours.
        (utc(2026, 11, 1, 8, 30), utc(2026, 11, 2, 8)),  # 01:30 for the first time,
        (utc(2026, 11, 1, 9, 30), utc(2026, 11, 2, 8)),  # and for the second.
        (utc(2026, 12, 1, 7, 59, 59), utc(2026, 12, 1, 8)),
        (utc(2026, 12, 1, 8), utc(2026, 12, 2, 8)),  # At midnight: the next one.
    ],
)
def test_the_daily_reset_is_the_next_midnight_in_los_angeles(at, midnight):
    """Daily quotas renew at local midnight, also on days of 23 and 25 hours."""
    assert midnight == pacific_midnight_after(at)


@pytest.mark.parametrize(
    ("zone", "at", "before", "after"),
    [
        ("America/Los_Angeles", utc(2026, 3, 8, 9, 59), utc(2026, 3, 8, 8), utc(2026, 3, 9, 7)),
        ("America/Los_Angeles", utc(2026, 3, 8, 10, 1), utc(2026, 3, 8, 8), utc(2026, 3, 9, 7)),
        ("America/Los_Angeles", utc(2026, 11, 1, 8, 30), utc(2026, 11, 1, 7), utc(2026, 11, 2, 8)),
        ("America/Los_Angeles", utc(2026, 11, 1, 9, 30), utc(2026, 11, 1, 7), utc(2026, 11, 2, 8)),
        ("America/Los_Angeles", utc(2026, 11, 2, 8), utc(2026, 11, 2, 8), utc(2026, 11, 3, 8)),
        ("UTC", utc(2026, 12, 31, 23, 59), utc(2026, 12, 31), utc(2027, 1, 1)),
        # Clocks go forward at midnight: the day begins at one o'clock.
        ("Asia/Beirut", utc(2026, 3, 28, 21, 59), utc(2026, 3, 27, 22), utc(2026, 3, 28, 22)),
        ("Asia/Beirut", utc(2026, 3, 28, 22), utc(2026, 3, 28, 22), utc(2026, 3, 29, 21)),
        # Clocks go back from one to midnight, which comes twice: the first one counts.
        ("America/Havana", utc(2026, 11, 1, 4, 30), utc(2026, 11, 1, 4), utc(2026, 11, 2, 5)),
        ("America/Havana", utc(2026, 11, 1, 5, 30), utc(2026, 11, 1, 4), utc(2026, 11, 2, 5)),
    ],
)
def test_a_day_begins_and_ends_at_midnight_in_its_zone(zone, at, before, after):
    """On both sides of every change of clocks, also of those that happen at midnight."""
    place = ZoneInfo(zone)

    assert (before, after) == (midnight_before(at, place), midnight_after(at, place))
