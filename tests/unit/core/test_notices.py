"""What an event says to a person."""

from __future__ import annotations

import pytest

from monitor.core.events import Event, EventKind
from monitor.core.notices import Part, Severity, Topic, ended, read, reminder
from monitor.core.words import rfc3339
from tests.support.builders import NOW


def event(kind: EventKind, **fields):
    """An event of now."""
    return Event(kind=kind, at=NOW, **fields)


def incident(kind: EventKind = EventKind.INCIDENT_OPENED, **data):
    """An event of an incident that began a minute ago."""
    facts = {
        "incident": "alpha-1", "scope": "provider", "error": "timeout", "failures": 2,
        "started_at": rfc3339(NOW - 60), "relapses": 0, "ended_at": rfc3339(NOW),
    }  # fmt: skip
    return event(kind, target="alpha", provider="acme", data=facts | data)


CAP = {"scope": "provider", "period": "day", "cap_usd": 1.0, "booked_usd": 0.8}


@pytest.mark.parametrize(
    ("told", "topic", "severity", "text"),
    [
        (
            incident(), Topic.OUTAGE, Severity.ERROR,
            "alpha is down since 2026-11-18 11:05:40Z: timeout, 2 failures",
        ),
        (
            incident(EventKind.INCIDENT_REOPENED, failures=1), Topic.OUTAGE, Severity.ERROR,
            "alpha is down again since 2026-11-18 11:05:40Z: timeout, 1 failure",
        ),
        (
            incident(upstream="cloud", group="cloud-1"), Topic.OUTAGE, Severity.ERROR,
            "alpha is down since 2026-11-18 11:05:40Z: timeout, 2 failures (others of cloud may be, too)",
        ),
        (
            incident(scope="monitor_account", error="billing"), Topic.ACCOUNT, Severity.ERROR,
            "alpha refuses our account since 2026-11-18 11:05:40Z: billing; its owner must act",
        ),
        (
            incident(scope="monitor_account", error="rate_limited"),
            Topic.ACCOUNT, Severity.WARNING,
            "alpha makes our account wait since 2026-11-18 11:05:40Z: rate_limited",
        ),
        (
            event(EventKind.OUR_NETWORK_SUSPECTED), Topic.OUR_NETWORK, Severity.WARNING,
            "our own network seems to be down; what fails for want of it blames nobody",
        ),
        (
            event(EventKind.SPEND_CAP_NEAR, provider="acme", data=CAP), Topic.SPEND_CAP,
            Severity.WARNING, "spend cap of acme: $0.80 of $1.00 a day are booked",
        ),
        (
            event(EventKind.SPEND_CAP_REACHED, data=CAP), Topic.SPEND_CAP, Severity.ERROR,
            "spend cap of all probes: $0.80 of $1.00 a day are booked; slots that no longer fit are left out",
        ),
        (
            event(EventKind.PRICE_CHANGED, target="alpha", data={"before": 0.04, "after": 0.05, "list_usd": 0.04}),
            Topic.DRIFT, Severity.WARNING, "alpha: price changed from 0.04 to 0.05",
        ),
        (
            event(EventKind.OUTPUT_CHANGED, target="alpha", data={"format": {"before": "png", "after": "webp"}}),
            Topic.DRIFT, Severity.WARNING, "alpha: output (format) changed from png to webp",
        ),
        (
            event(EventKind.SHUTDOWN_ANNOUNCED, target="alpha", data={"before": None, "after": "2026-12-01"}),
            Topic.SHUTDOWN, Severity.WARNING, "alpha: its model will be gone from 2026-12-01 on",
        ),
        (
            event(EventKind.STATE_CHANGED, target="alpha", data={"before": "healthy", "after": "down", "error": "timeout"}),
            Topic.STATE, Severity.INFO, "alpha is down, was healthy: timeout",
        ),
        (
            event(EventKind.STATE_CHANGED, target="alpha", data={"before": "down", "after": "healthy", "error": None}),
            Topic.STATE, Severity.INFO, "alpha is healthy, was down",
        ),
        (
            event(EventKind.NOTIFICATION_GIVEN_UP, data={"route": "ops", "made_at": NOW, "attempts": 3, "error": "HTTP 400"}),
            Topic.UNDELIVERED, Severity.ERROR,
            "route ops gave up a message of 2026-11-18T11:06:40.000Z after 3 attempts: HTTP 400",
        ),
    ],
)  # fmt: skip
def test_what_begins_and_what_is_a_fact(told, topic, severity, text):
    """Topic, severity and sentence of every kind of event that is no end."""
    (notice,) = read(7, told)

    assert (topic, severity, text) == (notice.topic, notice.severity, notice.text)
    assert 7 == notice.event
    assert notice.part in (Part.BEGUN, Part.FACT)
    assert not notice.is_urgent


@pytest.mark.parametrize(
    ("begun", "over", "text"),
    [
        (incident(), incident(EventKind.INCIDENT_CLOSED), "alpha is up, resolved after 1m"),
        (
            incident(scope="monitor_account", error="auth"),
            incident(EventKind.INCIDENT_CLOSED, scope="monitor_account", error="auth"),
            "alpha can be used with our account again, resolved after 1m",
        ),
        (
            incident(),
            incident(EventKind.INCIDENT_CLOSED, ended_at=None),
            "alpha is watched no more, resolved after 1m",
        ),
        (
            event(EventKind.OUR_NETWORK_SUSPECTED),
            event(EventKind.OUR_NETWORK_RESTORED),
            "our own network is back, resolved after 0s",
        ),
    ],
)
def test_an_end_says_how_long_it_was(begun, over, text):
    """The end of what began shares its key and tells its length."""
    (first,), (last,) = read(1, begun), read(2, over)

    assert text == ended(first, last).text
    assert first.key == last.key
    assert Part.OVER is last.part


def test_an_order_without_a_good_target_is_critical_until_there_is_one():
    """One changed order says two things: the order, and whether its pool is in trouble."""
    data = {"profile": "fast", "version": 2, "all_degraded": True, "targets": ["b", "a"]}
    order, begun = read(3, event(EventKind.ORDER_CHANGED, pool="image", data=data))
    _, over = read(
        4, event(EventKind.ORDER_CHANGED, pool="image", data=data | {"all_degraded": False})
    )

    assert "pool image (fast): the order is b, a" == order.text
    assert "pool image: every target is down, unusable or has to wait" == begun.text
    assert (Severity.CRITICAL, True) == (begun.severity, begun.is_urgent)
    assert "pool image: a target can be called again, resolved after 0s" == ended(begun, over).text
    # Who was woken wants to know that it is over.
    assert ended(begun, over).is_urgent


def test_a_reminder_says_how_long_it_lasts():
    """The sentence of the begin, with the time since."""
    (begun,) = read(1, incident())
    again = reminder(begun, NOW + 7_140)

    assert again.text.startswith("still after 2h: alpha is down since")
    assert (Part.LASTS, NOW + 7_140, begun.key) == (again.part, again.at, again.key)
