"""Notification routes: from their tables to what is told to whom, and over which channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from monitor.config.fields import BaseUrl, Duration, Key, Slug, Table, TimeOfDay, Zone
from monitor.config.values import LOOPBACK, duration_value, time_text
from monitor.core.notices import Topic
from monitor.core.notify import NOTICES_MAX, Quiet, Route
from monitor.core.spec import PoolSpec, TargetSpec
from monitor.errors import Problem
from monitor.secrets import Reference, SecretError, resolve

PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"
GROUP_WAIT_S: Final = 30.0
# What happens with every probe is for those who ask for it.
TOPICS: Final = tuple(topic for topic in Topic if topic not in (Topic.STATE, Topic.ORDER))
_UTC: Final = ZoneInfo("UTC")
_NO_APPRISE: Final = 'pip install "imgmon[notify]"'


class Channel(StrEnum):
    """How a route's messages travel; also the keys that name where to."""

    WEBHOOK = "webhook"
    PAGERDUTY = "pagerduty"
    APPRISE = "apprise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """
    A route, and where its messages go.

    Attributes:
        place: URL of the webhook, PagerDuty's routing key, or the URL that apprise reads; empty
            where it is missing: then messages wait.
        secret: What webhooks are signed with; empty for no signature.
        references: Key of the file to where its value is kept.
    """

    route: Route
    channel: Channel
    place: str = field(repr=False)
    secret: str = field(default="", repr=False)
    pagerduty_url: str = PAGERDUTY_URL
    references: Mapping[str, Reference] = field(default_factory=dict)

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that must not be shown: the values, and what in a URL looks like a token."""
        try:
            parts = urlsplit(self.place)
        except ValueError:  # No URL at all: another problem says so.
            parts = urlsplit("")
        texts = [*parts.path.split("/"), *(p.partition("=")[2] for p in parts.query.split("&"))]
        if self.channel is Channel.APPRISE:  # Many services have their token where a host stands.
            texts += [parts.hostname or "", parts.username or "", parts.password or ""]
        tokens = (text for text in texts if _looks_secret(text))
        return tuple(filter(None, (self.place, self.secret, *tokens)))


def _looks_secret(text: str) -> bool:
    # A word of a path, masked in every log line, would make logs unreadable.
    return len(text) >= 16 or (len(text) >= 8 and any(c.isdigit() for c in text))


class QuietTable(Table):
    """Hours of every day in which messages are held back; their end sends them as one."""

    start: TimeOfDay = Field(alias="from", description='Local time, such as "22:00".')
    end: TimeOfDay = Field(alias="to", description='Local time, such as "07:00".')
    zone: Zone | None = Field(default=None, description="Zone of both; default UTC.")
    critical: bool = Field(default=False, description="Whether what is critical is sent anyway.")


class RouteTable(Table):
    """Whom to tell of what; one of webhook, pagerduty and apprise says where."""

    id: Slug
    webhook: Key | None = Field(
        default=None, description="Where the URL is kept that is sent JSON by POST."
    )
    secret: Key | None = Field(
        default=None, description="Where the secret is kept that webhooks are signed with."
    )
    pagerduty: Key | None = Field(
        default=None, description="Where the routing key of PagerDuty's Events API v2 is kept."
    )
    pagerduty_url: BaseUrl | None = Field(
        default=None, description="Its address, if not the one in the United States."
    )
    apprise: Key | None = Field(
        default=None, description="Where a URL of apprise is kept: e-mail, Slack, Telegram ..."
    )
    events: list[Literal[tuple(topic.value for topic in Topic)]] | None = Field(  # type: ignore[valid-type] # The names of an enumeration.
        default=None, min_length=1, description="What to tell; default all but state and order."
    )
    targets: list[str] = Field(default=[], description="Only what concerns these.")
    pools: list[str] = Field(default=[], description="Only what concerns these and their targets.")
    min_duration: Duration | None = Field(
        default=None, description="Tell only what lasts so long; default at once."
    )
    group_wait: Duration = Field(
        default=GROUP_WAIT_S, description="How long the first thing waits for others."
    )
    reminder: Duration | None = Field(
        default=None, description="How often to tell that it lasts; default never."
    )
    quiet: QuietTable | None = None

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        given = [c.value for c in Channel if getattr(self, c.value) is not None]
        wrong: tuple[str, str] | None = None
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "leads nowhere"
            wrong = what, f"give one of {', '.join(c.value for c in Channel)}"
        elif self.secret is not None and self.webhook is None:
            wrong = "has a secret, which is for webhooks", "drop secret"
        elif self.pagerduty_url is not None and self.pagerduty is None:
            wrong = "has a pagerduty_url without pagerduty", "drop pagerduty_url"
        if wrong is not None:
            context = {"message": wrong[0], "fix": wrong[1]}
            raise PydanticCustomError("imgmon", "{message}", context)
        return self


def outlets(
    tables: Sequence[RouteTable],
    specs: Mapping[str, TargetSpec],
    pools: Sequence[PoolSpec],
    environ: Mapping[str, str],
    *,
    check: Callable[[str, str, str], bool],
    problems: list[Problem],
    warnings: list[str],
) -> tuple[Outlet, ...]:
    """
    Return the routes of *tables*, in file order; what is wrong goes to *problems* or *warnings*.

    *check* is told path, name and section of every reference and notes those that lead nowhere.
    """
    made, seen = [], dict[str, int]()
    for index, table in enumerate(tables):
        path = f"routes[{index}]"
        if table.id in seen:
            message = f"{table.id!r} is routes[{seen[table.id]}] already"
            problems.append(Problem(f"{path}.id", message, "rename one"))
        seen.setdefault(table.id, index)
        for section, names in (("targets", table.targets), ("pools", table.pools)):
            for number, name in enumerate(names):
                check(f"{path}.{section}[{number}]", name, section)
        outlet = _outlet(table, _route(table, specs, pools), environ, warnings)
        fault = _fault(outlet)
        if fault is not None:
            problems.append(Problem(f"{path}.{outlet.channel.value}", *fault))
        made.append(outlet)
    return tuple(made)


def _outlet(
    table: RouteTable, route: Route, environ: Mapping[str, str], warnings: list[str]
) -> Outlet:
    channel = next(c for c in Channel if getattr(table, c.value) is not None)
    keys = {key: getattr(table, key) for key in (channel.value, "secret")}
    references = {key: place for key, place in keys.items() if place is not None}
    values = {}
    for key, reference in references.items():
        try:
            values[key] = resolve(reference, environ).reveal()
        except SecretError as error:
            warnings.append(f"route {table.id}: {error}; its messages wait until it is there")
    # A webhook that was to be signed is not sent unsigned.
    is_whole = values.keys() == references.keys()
    return Outlet(
        route=route,
        channel=channel,
        place=values[channel.value] if is_whole else "",
        secret=values.get("secret", ""),
        pagerduty_url=table.pagerduty_url or PAGERDUTY_URL,
        references=references,
    )


def _route(table: RouteTable, specs: Mapping[str, TargetSpec], pools: Sequence[PoolSpec]) -> Route:
    targets = providers = None
    if table.targets or table.pools:
        pooled = {t for pool in pools if pool.id in table.pools for t in pool.targets}
        targets = frozenset(table.targets) | pooled
        providers = frozenset(specs[t].provider for t in targets if t in specs)
    quiet = table.quiet
    return Route(
        id=table.id,
        topics=frozenset(TOPICS if table.events is None else map(Topic, table.events)),
        targets=targets,
        pools=None if targets is None else frozenset(table.pools),
        providers=providers,
        min_duration_s=table.min_duration or 0.0,
        group_wait_s=table.group_wait,
        reminder_s=table.reminder,
        quiet=None
        if quiet is None
        else Quiet(
            start=quiet.start, end=quiet.end, zone=quiet.zone or _UTC, breaks=quiet.critical
        ),
        # An alert of PagerDuty is one thing, opened and resolved under its own key.
        at_once=1 if table.pagerduty is not None else NOTICES_MAX,
    )


def _fault(outlet: Outlet) -> tuple[str, str] | None:
    """Return what is wrong with where a route leads, and the fix; the place is never echoed."""
    if outlet.channel is Channel.APPRISE:
        if find_spec("apprise") is None:
            return "needs apprise, which is not installed", _NO_APPRISE
        from apprise import Apprise  # noqa: PLC0415 - 130 ms, for those who use it.

        if outlet.place and not Apprise().add(outlet.place):
            return "is no URL that apprise knows", "see its list of services"
    if outlet.channel is Channel.WEBHOOK and outlet.place:
        try:
            parts = urlsplit(outlet.place)
            is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            is_good = False
        if not is_good or " " in outlet.place:
            return "is not a URL with https:// and a host", "see where its reference leads"
        if parts.scheme == "http" and parts.hostname not in LOOPBACK and not outlet.secret:
            return "travels in clear and unsigned", "write https://, or give a secret"
    return None


def route_values(outlet: Outlet, default_topics: Sequence[Topic] = TOPICS) -> dict[str, Any]:
    """Return a table that :func:`outlets` reads as *outlet*; what is secret stays a reference."""
    route = outlet.route
    values: dict[str, Any] = {"id": route.id}
    values |= {key: {ref.kind: ref.place} for key, ref in outlet.references.items()}
    if outlet.channel is Channel.PAGERDUTY:
        values["pagerduty_url"] = outlet.pagerduty_url
    if route.topics != frozenset(default_topics):
        values["events"] = [topic.value for topic in Topic if topic in route.topics]
    if route.targets is not None:
        values["targets"] = sorted(route.targets)
        values["pools"] = sorted(route.pools or ())
    for key, seconds in (
        ("min_duration", route.min_duration_s or None),
        ("group_wait", route.group_wait_s),
        ("reminder", route.reminder_s),
    ):
        if seconds is not None:
            values[key] = duration_value(seconds)
    if (quiet := route.quiet) is not None:
        values["quiet"] = {
            "from": time_text(quiet.start),
            "to": time_text(quiet.end),
            "zone": quiet.zone.key,
            "critical": quiet.breaks,
        }
    return values
