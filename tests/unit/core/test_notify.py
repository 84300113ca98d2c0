"""When a route is told what."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from monitor.core.events import Event, EventKind
from monitor.core.notices import Part, Severity, Topic
from monitor.core.notify import Memory, Quiet, Route, due, fold
from monitor.core.words import rfc3339
from tests.support.builders import NOW

ALL = frozenset(Topic)


def incident(kind: EventKind = EventKind.INCIDENT_OPENED, at: float = NOW, **data) -> Event:
    """An event of an outage of alpha."""
    facts = {
        "incident": "alpha-1", "scope": "provider", "error": "timeout", "failures": 2,
        "started_at": rfc3339(NOW), "relapses": 0, "ended_at": rfc3339(at),
    }  # fmt: skip
    return Event(kind=kind, at=at, target="alpha", provider="acme", data=facts | data)


def order(is_bad: bool, at: float = NOW, pool: str = "image", profile: str = "fast") -> Event:
    """A changed order."""
    data = {"profile": profile, "version": 2, "all_degraded": is_bad, "targets": ["alpha"]}
    return Event(kind=EventKind.ORDER_CHANGED, at=at, pool=pool, data=data)


def texts(messages) -> list[list[str]]:
    """The sentences of messages."""
    return [[notice.text for notice in message.notices] for message in messages]


def folded(route: Route, *events: Event, memory: Memory | None = None, now: float = NOW) -> Memory:
    """The memory after *events*, numbered from 1, read at *now*."""
    memory = memory or Memory()
    for number, event in enumerate(events, start=1):
        memory = fold(memory, number, event, route, now)
    return memory


def test_a_blip_is_told_by_nobody_and_what_lasts_is():
    """What was over before it had lasted long enough is not told, nor its end."""
    route = Route(id="ops", topics=ALL, min_duration_s=300.0)
    memory = folded(route, incident())
    blip = fold(memory, 2, incident(EventKind.INCIDENT_CLOSED, NOW + 299), route, NOW + 400)

    assert (Memory(), ()) == due(blip, route, NOW + 400)
    assert () == due(memory, route, NOW + 299)[1]
    assert 1 == len(due(memory, route, NOW + 300)[1])
    # Read late, after both: it has lasted all the same, so both are told.
    late = fold(memory, 2, incident(EventKind.INCIDENT_CLOSED, NOW + 301), route, NOW + 400)
    (message,) = due(late, route, NOW + 400)[1]
    assert [Part.BEGUN, Part.OVER] == [notice.part for notice in message.notices]


def test_a_relapse_has_to_last_anew():
    """What was over in between does not count as lasting."""
    route = Route(id="ops", topics=ALL, min_duration_s=300.0)
    again = incident(EventKind.INCIDENT_REOPENED, NOW + 1_000, relapses=1)
    memory = folded(route, again, now=NOW + 1_000)

    assert () == due(memory, route, NOW + 1_299)[1]
    assert 1 == len(due(memory, route, NOW + 1_300)[1])


def test_what_happens_together_is_told_together():
    """The first thing waits for others; the gravest gives the title and the severity."""
    route = Route(id="ops", topics=ALL - {Topic.ORDER}, group_wait_s=30.0)
    memory, none = due(folded(route, incident()), route, NOW)
    memory = fold(memory, 2, order(True, NOW + 20), route, NOW + 20)
    memory, also_none = due(memory, route, NOW + 29)
    memory, (message,) = due(memory, route, NOW + 30)

    assert () == none == also_none
    assert 2 == len(message.notices)
    assert Severity.CRITICAL is message.severity
    assert "pool image: every target is down, unusable or has to wait (and 1 more)" == message.title
    assert 2 == len(message.text.splitlines())
    assert () == memory.waiting


def test_a_clock_set_back_makes_nobody_wait_longer():
    """A message that waits for others since a later time is due."""
    route = Route(id="ops", topics=ALL, group_wait_s=30.0)
    memory, _ = due(folded(route, incident()), route, NOW)

    assert 1 == len(due(memory, route, NOW - 3_600)[1])


def test_reminders_come_until_the_end_and_not_after():
    """Every hour while it lasts; the end takes back a reminder that nobody was sent."""
    zone = ZoneInfo("UTC")  # 11:06 on that day.
    quiet = Quiet(start=12 * 60, end=15 * 60, zone=zone)
    route = Route(id="ops", topics=ALL, reminder_s=3_000.0, quiet=quiet)
    memory, _ = due(folded(route, incident()), route, NOW)
    memory, (first,) = due(memory, route, NOW + 3_000)
    for at in (6_000, 9_000, 12_000):  # In quiet hours one reminder is enough.
        memory, none = due(memory, route, NOW + at)
        assert () == none
    assert [
        ["still after 50m: alpha is down since 2026-11-18 11:06:40Z: timeout, 2 failures"]
    ] == texts([first])
    assert [Part.LASTS] == [w.notice.part for w in memory.waiting]

    over = fold(memory, 2, incident(EventKind.INCIDENT_CLOSED, NOW + 13_000), route, NOW + 13_000)
    _, messages = due(over, route, NOW + 20_000)
    assert [["alpha is up, resolved after 3h 37m"]] == texts(messages)


def test_critical_news_breaks_into_quiet_hours_where_it_may():
    """It alone; the rest is told as one message at their end."""
    quiet = Quiet(start=11 * 60, end=13 * 60, zone=ZoneInfo("UTC"), breaks=True)
    route = Route(id="ops", topics=ALL - {Topic.ORDER}, quiet=quiet)
    memory, night = due(folded(route, incident(), order(True)), route, NOW)
    memory = fold(memory, 3, order(False, NOW + 60), route, NOW + 60)
    memory, over = due(memory, route, NOW + 60)
    memory, morning = due(memory, route, NOW + 7_200)

    assert [["pool image: every target is down, unusable or has to wait"]] == texts(night)
    assert [["pool image: a target can be called again, resolved after 1m"]] == texts(over)
    assert [["alpha is down since 2026-11-18 11:06:40Z: timeout, 2 failures"]] == texts(morning)


def test_profiles_of_one_pool_say_it_once():
    """Every profile's order says that all is bad; the first word counts, in both directions."""
    route = Route(id="ops", topics=frozenset({Topic.ALL_DEGRADED}))
    events = [
        order(True),
        order(True, profile="cheap"),
        order(False),
        order(False, profile="cheap"),
    ]
    _, (message,) = due(folded(route, *events), route, NOW)

    assert [Part.BEGUN, Part.OVER] == [notice.part for notice in message.notices]


@pytest.mark.parametrize(
    ("event", "is_told"),
    [
        (incident(), True),
        (Event(kind=EventKind.MODEL_CHANGED, at=NOW, target="beta", data={"before": 1, "after": 2}), False),
        (order(True), True),
        (order(True, pool="other"), False),
        (Event(kind=EventKind.SPEND_CAP_NEAR, at=NOW, provider="acme", data={"period": "day", "cap_usd": 1, "booked_usd": 1}), True),
        (Event(kind=EventKind.SPEND_CAP_NEAR, at=NOW, provider="lab", data={"period": "day", "cap_usd": 1, "booked_usd": 1}), False),
        (Event(kind=EventKind.OUR_NETWORK_SUSPECTED, at=NOW), True),
        (Event(kind=EventKind.NOTIFICATION_GIVEN_UP, at=NOW, data={"route": "ops", "made_at": NOW, "attempts": 1, "error": "x"}), False),
        (Event(kind=EventKind.NOTIFICATION_GIVEN_UP, at=NOW, data={"route": "else", "made_at": NOW, "attempts": 1, "error": "x"}), True),
    ],
)  # fmt: skip
def test_a_route_hears_of_what_it_concerns(event, is_told):
    """Its targets, pools and their providers, and what is about everybody; never of itself."""
    route = Route(
        id="ops", topics=ALL - {Topic.ORDER}, targets=frozenset({"alpha"}),
        pools=frozenset({"image"}), providers=frozenset({"acme"}),
    )  # fmt: skip
    whole = Route(id="ops", topics=ALL - {Topic.ORDER})

    assert is_told == bool(due(folded(route, event), route, NOW)[1])
    assert (event.data.get("route") != "ops") == bool(due(folded(whole, event), whole, NOW)[1])


def test_a_topic_that_was_not_asked_for_is_not_told():
    """Only what a route chose; an end without a begin is none."""
    route = Route(id="ops", topics=frozenset({Topic.OUTAGE}))

    assert Memory() == folded(route, order(True), incident(EventKind.INCIDENT_CLOSED))


def test_many_notices_make_several_messages():
    """No notice is left out."""
    route = Route(id="ops", topics=ALL - {Topic.ORDER}, at_once=1)
    _, messages = due(folded(route, incident(), order(True)), route, NOW)

    assert [1, 1] == [len(message.notices) for message in messages]
