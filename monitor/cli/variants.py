"""How variants of the monitor are spelled on the command line, for ``imgmon replay``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import click

from monitor.config.values import BadValueError, parse_duration
from monitor.core.spec import PROFILES, Policy
from monitor.replay.monitored import Settings

# Canaries are judged over a day at most: longer windows change no order here, and cost time.
_WINDOWS: Final = {"1h": 3_600.0, "6h": 21_600.0, "24h": 86_400.0}
_DAY_S: Final = 86_400.0


class Duration(click.ParamType[float]):
    """A duration as in the configuration file, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return *value* in seconds."""
        try:
            return parse_duration(value)
        except BadValueError as error:
            self.fail(f"{value!r} {error}; {error.fix}", param, ctx)


class Variant(click.ParamType[Settings]):
    """A monitor to compare: ``NAME:key=value,key=value``."""

    name = "variant"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Settings:
        """Return the settings that *value* spells."""
        if isinstance(value, Settings):
            return value
        name, _, rest = str(value).partition(":")
        settings = Settings(name=name, policy=Policy(windows=_WINDOWS), profile=PROFILES[1])
        for part in filter(None, rest.split(",")):
            key, _, given = part.partition("=")
            if key not in KEYS:
                self.fail(f"no key {key!r}; there are: {', '.join(KEYS)}", param, ctx)
            try:
                settings = KEYS[key](settings, given)
            except ValueError as error:
                self.fail(f"{key}={given}: {error}", param, ctx)
        return settings


def _policy(field: str, read: Callable[[str], Any]) -> Callable[[Settings, str], Settings]:
    def change(settings: Settings, given: str) -> Settings:
        return replace(settings, policy=replace(settings.policy, **{field: read(given)}))

    return change


def _confirm(given: str) -> float:
    return 1e9 if given == "off" else parse_duration(given)


def _count(given: str) -> int:
    if not 1 <= (number := int(given)) <= 100:
        raise ValueError("must be 1 to 100")
    return number


def _margin(given: str) -> float:
    if not 0 <= (share := float(given)) < 1:
        raise ValueError("must be from 0 to below 1")
    return share


def _interval(settings: Settings, given: str) -> Settings:
    if not 10 <= (interval_s := parse_duration(given)) <= _DAY_S:
        raise ValueError("must be 10s to 1d")
    return replace(
        settings, interval_s=interval_s, deadline_s=min(settings.deadline_s, 0.8 * interval_s)
    )


def _reports(settings: Settings, given: str) -> Settings:
    if given not in {"yes", "no"}:
        raise ValueError("must be yes or no")
    return replace(settings, hears_reports=given == "yes")


KEYS: Final[dict[str, Callable[[Settings, str], Settings]]] = {
    "interval": _interval,
    "reports": _reports,
    "confirm": _policy("confirm_s", _confirm),
    "backoff_max": _policy("backoff_max_s", parse_duration),
    "down_after": _policy("down_after", _count),
    "up_after": _policy("up_after", _count),
    "margin": _policy("margin", _margin),
    "dwell": _policy("dwell_s", parse_duration),
}
DEFAULTS: Final = (
    "imgmon:",
    "imgmon with reports:reports=yes",
)
