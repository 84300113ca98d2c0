"""Words of the configuration that are more than a string: durations, sizes, URLs, slugs."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from monitor.limits import INTERVAL_S_MAX, INTERVAL_S_MIN
from probes.image import PIXELS_MAX

SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
DURATION_PATTERN: Final = r"^\d{1,12}(\.\d{1,6})?(ms|s|m|h|d)$"
SIZE_PATTERN: Final = r"^[1-9]\d{1,4}x[1-9]\d{1,4}$"
_UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
WEEKLY_PATTERN: Final = r"^(mon|tue|wed|thu|fri|sat|sun) \d\d:\d\d-\d\d:\d\d$"
TIME_PATTERN: Final = r"^([01]\d|2[0-3]):[0-5]\d$"
_TIME: Final = re.compile(TIME_PATTERN)
_WEEKLY: Final = re.compile(r"(\w{3}) (\d\d):([0-5]\d)-(\d\d):([0-5]\d)")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MIN: Final = 24 * 60
_DURATION: Final = re.compile(DURATION_PATTERN)
_SIZE: Final = re.compile(SIZE_PATTERN)


class BadValueError(ValueError):
    """A value that is no good; *fix* says what would be."""

    def __init__(self, message: str, fix: str = "") -> None:
        """Say what is wrong and what to do."""
        super().__init__(message)
        self.fix = fix


def tokens_path(told: str | None, store: str) -> Path:
    """Return where the tokens are kept: as *told*, else beside the database *store*."""
    return Path(told) if told is not None else Path(store).with_suffix(".tokens.json")


def parse_duration(value: object) -> float:
    """Return seconds from ``"90s"``, ``"15m"``, ``"250ms"`` or a number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and _DURATION.fullmatch(value):
        number = float(value.rstrip("msdh"))
        seconds = number / 1000 if value.endswith("ms") else number * _UNITS[value[-1]]
    else:
        raise BadValueError("is not a duration", 'write "90s", "15m", "1h" or a number of seconds')
    if not (math.isfinite(seconds) and seconds > 0):
        raise BadValueError("must be a duration above zero")
    return seconds


def parse_every(value: object) -> float | Literal["off"]:
    """Return the seconds between two free calls, or ``"off"``."""
    if value == "off":
        return "off"
    try:
        seconds = parse_duration(value)
    except BadValueError as error:
        raise BadValueError(str(error), 'write for example "5m", or "off"') from error
    if not INTERVAL_S_MIN <= seconds <= INTERVAL_S_MAX:
        bounds = f"{duration_text(INTERVAL_S_MIN)} to {duration_text(INTERVAL_S_MAX)}"
        raise BadValueError(f"must be {bounds}", 'write for example "5m", or "off"')
    return seconds


def duration_text(seconds: float) -> str:
    """Return *seconds* as people write them, to the microsecond."""
    for unit, length in _UNITS.items():
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    if seconds < 10 and (seconds * 1000).is_integer():
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def duration_value(seconds: float) -> str | float:
    """Return what :func:`parse_duration` reads as exactly *seconds*: a text if there is one."""
    text = duration_text(seconds)
    with suppress(BadValueError):
        if parse_duration(text) == seconds:
            return text
    return seconds


def parse_time(value: object) -> int:
    """Return the minutes after 00:00 of ``"22:00"``."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise BadValueError("is not a time of day", 'write for example "22:00"')
    return int(value[:2]) * 60 + int(value[3:])


def time_text(minutes: int) -> str:
    """Return what :func:`parse_time` reads as *minutes*."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def parse_size(value: object) -> tuple[int, int]:
    """Return (width, height) in pixels from ``"WxH"``."""
    if not isinstance(value, str) or not _SIZE.fullmatch(value):
        raise BadValueError('must be "WIDTHxHEIGHT" in pixels', 'write for example "1024x1024"')
    width, height = map(int, value.split("x"))
    if width * height > PIXELS_MAX:
        raise BadValueError(f"must have at most {PIXELS_MAX} pixels", "ask for less")
    return width, height


def parse_zone(value: object) -> ZoneInfo:
    """Return a time zone from its name, ``"America/Los_Angeles"``."""
    fix = 'write for example "America/Los_Angeles" or "UTC"'
    if not isinstance(value, str):
        raise BadValueError("must be the name of a time zone", fix)
    try:
        return ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:  # No such name, a folder, a way out of it.
        raise BadValueError("is no time zone", fix) from error


def parse_moment(value: object) -> float:
    """Return seconds since the epoch from a TOML date and time with its offset from UTC."""
    fix = "write for example 2026-12-01T22:00:00Z, without quotes"
    if not isinstance(value, datetime):
        raise BadValueError("must be a date and time", fix)
    if value.tzinfo is None:
        raise BadValueError("has no offset from UTC", fix)
    return value.timestamp()


def parse_weekly(value: object) -> tuple[int, int, int]:
    """
    Return (weekday, start, end) from ``"sun 02:00-04:00"``: Monday is 0, the others in seconds.

    An end at or before the start is on the next day.
    """
    fix = 'write for example "sun 02:00-04:00"'
    match = _WEEKLY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[1] not in _DAYS:
        raise BadValueError('must be a day of the week and two times, "DAY HH:MM-HH:MM"', fix)
    start, end = (int(match[i]) * 60 + int(match[i + 1]) for i in (2, 4))
    if start >= _DAY_MIN or end > _DAY_MIN:
        raise BadValueError("must have times from 00:00 to 24:00", fix)
    if start == end:
        raise BadValueError("must end at another time than it begins", fix)
    end += _DAY_MIN if end < start else 0
    return _DAYS.index(match[1]), start * 60, end * 60


def weekly_text(weekday: int, start_s: int, end_s: int) -> str:
    """Return what :func:`parse_weekly` reads so."""
    end_min = end_s // 60 - (_DAY_MIN if end_s // 60 > _DAY_MIN else 0)
    times = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (start_s // 60, end_min))
    return f"{_DAYS[weekday]} {'-'.join(times)}"


def parse_slug(value: object) -> str:
    """Return an id: letters, digits, ``.``, ``_``, ``-``, at most 64 of them."""
    if not isinstance(value, str) or not SLUG.fullmatch(value):
        raise BadValueError(
            "must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or digit"
        )
    return value


def parse_base_url(value: object) -> str:
    """Return a base URL without a trailing slash: https, or http to this machine."""
    fix = 'write for example "https://api.example.com/v1"'
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise BadValueError("is not a URL", fix)
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadValueError("is not a URL", fix) from error
    if parts.scheme not in ("http", "https") or not host or " " in value:
        raise BadValueError("is not a URL with https:// and a host", fix)
    if "@" in parts.netloc:
        raise BadValueError("must not hold a user or password", "use api_key")
    if "?" in value or "#" in value:
        raise BadValueError("must not have a query or fragment", "use api_key and options")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise BadValueError("must be https: a key would travel in clear", "write https://")
    return value.rstrip("/")


def parse_listen(value: object) -> tuple[str, int]:
    """Return (host, port) from ``"127.0.0.1:8720"`` or ``"[::1]:8720"``."""
    fix = 'write for example "127.0.0.1:8720"'
    if not isinstance(value, str) or "/" in value or not value.isprintable():
        raise BadValueError("must be HOST:PORT", fix)
    try:
        parts = urlsplit(f"//{value}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadValueError("must be HOST:PORT, a port up to 65535", fix) from error
    if not host or port is None or "@" in value:
        raise BadValueError("must be HOST:PORT", fix)
    return host, port
