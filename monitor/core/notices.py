"""
What an event means to a person: what it is about, how grave it is, and one sentence.

Some events are the begin or the end of something that lasts, an outage for example; the others are
facts that are told once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from monitor.core.events import Event, EventKind
from monitor.core.words import rfc3339, span
from probes.model import ErrorClass


class Topic(StrEnum):
    """What a notice is about: what a route chooses by."""

    OUTAGE = "outage"  # An incident of a provider, confirmed.
    ACCOUNT = "account"  # Only our key, bill, quota or limits.
    ALL_DEGRADED = "all_degraded"  # Every target of a pool is down, unusable or has to wait.
    OUR_NETWORK = "our_network"
    SPEND_CAP = "spend_cap"
    DRIFT = "drift"  # Another model version, picture or price.
    SHUTDOWN = "shutdown"  # The end of a model was announced.
    UNDELIVERED = "undelivered"  # A message of another route was given up.
    STATE = "state"
    ORDER = "order"


class Part(StrEnum):
    """Which part of it a notice tells."""

    BEGUN = "begun"
    LASTS = "lasts"  # A reminder.
    OVER = "over"
    FACT = "fact"


class Severity(StrEnum):
    """How grave, the gravest first; the words are PagerDuty's."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """
    One thing to tell.

    Attributes:
        event: Id of the event it follows from; of a reminder, of the begin.
        key: Of what it is about: its begin, reminders and end share it.
        at: When it was known; of a reminder, when it was made. Wall time.
        started_at: When what lasts began, as far as known; else *at*.
        is_urgent: Whether it may break into quiet hours: critical, or the end of what was.
    """

    event: int
    part: Part
    topic: Topic
    severity: Severity
    key: str
    at: float
    started_at: float
    text: str
    is_urgent: bool = False
    target: str | None = None
    pool: str | None = None
    provider: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


# What a person has to mend; after the others a time to wait is over by itself.
OWNER_ACTS: Final = frozenset({
    ErrorClass.AUTH, ErrorClass.BILLING, ErrorClass.NOT_ENTITLED, ErrorClass.MODEL_GONE,
    ErrorClass.BAD_REQUEST,
})  # fmt: skip
_ACCOUNT: Final = "monitor_account"


def read(number: int, event: Event) -> tuple[Notice, ...]:
    """
    Return what there is to tell of the event with id *number*.

    The text of an end is that of :func:`ended`, which needs the begin.
    """
    match event.kind:
        case EventKind.INCIDENT_OPENED | EventKind.INCIDENT_REOPENED | EventKind.INCIDENT_CLOSED:
            return (_incident(number, event),)
        case EventKind.ORDER_CHANGED:
            return (_order(number, event), _all_degraded(number, event))
        case EventKind.OUR_NETWORK_SUSPECTED | EventKind.OUR_NETWORK_RESTORED:
            return (_our_network(number, event),)
        case kind:
            topic, severity, words = _FACTS[kind]
            return (_fact(number, event, topic, severity, words(event)),)


def ended(begun: Notice, over: Notice) -> Notice:
    """Return the notice of an end, which says how long it was; urgent where the begin was."""
    took = span(max(0.0, over.started_at - begun.started_at))
    return replace(over, text=f"{over.text}, resolved after {took}", is_urgent=begun.is_urgent)


def reminder(begun: Notice, at: float) -> Notice:
    """Return the notice that what *begun* told of still lasts at *at*."""
    took = span(max(0.0, at - begun.started_at))
    return replace(begun, part=Part.LASTS, at=at, text=f"still after {took}: {begun.text}")


def _notice(number: int, event: Event, about: tuple[Topic, str], **fields: Any) -> Notice:
    """Return a notice of what *about* names: a topic, and the key that its parts share."""
    topic, key = about
    values: dict[str, Any] = {"severity": Severity.INFO, "started_at": event.at, **fields}
    return Notice(
        event=number,
        topic=topic,
        key=key,
        at=event.at,
        is_urgent=values["severity"] is Severity.CRITICAL,
        target=event.target,
        pool=event.pool,
        provider=event.provider,
        data=event.data,
        **values,
    )


def _fact(number: int, event: Event, topic: Topic, severity: Severity, text: str) -> Notice:
    about = (topic, f"event-{number}")
    return _notice(number, event, about, part=Part.FACT, severity=severity, text=text)


def _incident(number: int, event: Event) -> Notice:
    data, target = event.data, event.target
    error, is_ours = ErrorClass(data["error"]), data["scope"] == _ACCOUNT
    about = (Topic.ACCOUNT if is_ours else Topic.OUTAGE, data["incident"])
    if event.kind is EventKind.INCIDENT_CLOSED:
        if (ended_at := data["ended_at"]) is None:
            return _notice(
                number, event, about, part=Part.OVER, text=f"{target} is watched no more"
            )
        text = f"{target} can be used with our account again" if is_ours else f"{target} is up"
        return _notice(
            number, event, about, part=Part.OVER, text=text, started_at=_moment(ended_at)
        )
    since = f"since {data['started_at'][:19].replace('T', ' ')}Z"
    again = " again" if event.kind is EventKind.INCIDENT_REOPENED else ""
    severity = Severity.ERROR
    if not is_ours:
        count = data["failures"]
        failures = "1 failure" if count == 1 else f"{count} failures"
        text = f"{target} is down{again} {since}: {error.value}, {failures}"
    elif error in OWNER_ACTS:
        text = f"{target} refuses our account{again} {since}: {error.value}; its owner must act"
    else:
        severity = Severity.WARNING
        text = f"{target} makes our account wait{again} {since}: {error.value}"
    if "group" in data:
        text += f" (others of {data['upstream']} may be, too)"
    return _notice(
        number,
        event,
        about,
        part=Part.BEGUN,
        severity=severity,
        text=text,
        started_at=_moment(data["started_at"]),
    )


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _order(number: int, event: Event) -> Notice:
    data = event.data
    text = f"pool {event.pool} ({data['profile']}): the order is {', '.join(data['targets'])}"
    return _fact(number, event, Topic.ORDER, Severity.INFO, text)


def _all_degraded(number: int, event: Event) -> Notice:
    about = (Topic.ALL_DEGRADED, f"all-degraded-{event.pool}")
    if not event.data["all_degraded"]:
        text = f"pool {event.pool}: a target can be called again"
        return _notice(number, event, about, part=Part.OVER, text=text)
    text = f"pool {event.pool}: every target is down, unusable or has to wait"
    return _notice(number, event, about, part=Part.BEGUN, severity=Severity.CRITICAL, text=text)


def _our_network(number: int, event: Event) -> Notice:
    about = (Topic.OUR_NETWORK, "our-network")
    if event.kind is EventKind.OUR_NETWORK_RESTORED:
        return _notice(number, event, about, part=Part.OVER, text="our own network is back")
    text = "our own network seems to be down; what fails for want of it blames nobody"
    return _notice(number, event, about, part=Part.BEGUN, severity=Severity.WARNING, text=text)


def _cap(event: Event) -> str:
    data = event.data
    whose = event.target or event.provider or "all probes"
    booked = f"${data['booked_usd']:.2f} of ${data['cap_usd']:.2f} a {data['period']} are booked"
    bites = "; slots that no longer fit are left out"
    return f"spend cap of {whose}: {booked}" + (
        bites if event.kind is EventKind.SPEND_CAP_REACHED else ""
    )


def _change(event: Event) -> str:
    what = event.kind.value.removesuffix("_changed")
    data = event.data
    changes = {what: data} if "after" in data else {f"{what} ({k})": v for k, v in data.items()}
    told = [f"{name} changed from {v['before']} to {v['after']}" for name, v in changes.items()]
    return f"{event.target}: {'; '.join(told)}"


def _end(event: Event) -> str:
    return f"{event.target}: its model will be gone from {event.data['after']} on"


def _state(event: Event) -> str:
    error = event.data["error"]
    because = f": {error}" if error else ""
    return f"{event.target} is {event.data['after']}, was {event.data['before']}{because}"


def _undelivered(event: Event) -> str:
    data = event.data
    since = rfc3339(data["made_at"])
    return (
        f"route {data['route']} gave up a message of {since} after {data['attempts']} attempts: "
        f"{data['error']}"
    )


_FACTS: Final[Mapping[EventKind, tuple[Topic, Severity, Callable[[Event], str]]]] = {
    EventKind.STATE_CHANGED: (Topic.STATE, Severity.INFO, _state),
    EventKind.SPEND_CAP_NEAR: (Topic.SPEND_CAP, Severity.WARNING, _cap),
    EventKind.SPEND_CAP_REACHED: (Topic.SPEND_CAP, Severity.ERROR, _cap),
    EventKind.MODEL_CHANGED: (Topic.DRIFT, Severity.WARNING, _change),
    EventKind.OUTPUT_CHANGED: (Topic.DRIFT, Severity.WARNING, _change),
    EventKind.PRICE_CHANGED: (Topic.DRIFT, Severity.WARNING, _change),
    EventKind.SHUTDOWN_ANNOUNCED: (Topic.SHUTDOWN, Severity.WARNING, _end),
    EventKind.NOTIFICATION_GIVEN_UP: (Topic.UNDELIVERED, Severity.ERROR, _undelivered),
}
