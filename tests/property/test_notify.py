"""Laws of what a route is told, for any events at any time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from monitor.core.events import Event, EventKind
from monitor.core.notices import Part, Topic
from monitor.core.notify import Memory, Message, Quiet, Route, as_json, due, fold, message_of
from monitor.core.words import rfc3339
from tests.support.builders import NOW

BERLIN = ZoneInfo("Europe/Berlin")
ALL = frozenset(Topic)
DAY_S = 86_400.0


def incident(kind: EventKind, target: str, number: int, at: float) -> Event:
    """An event of the *number*-th incident of *target*."""
    data = {
        "incident": f"{target}-{number}", "scope": "provider", "error": "timeout", "failures": 2,
        "started_at": rfc3339(at), "relapses": 0, "ended_at": rfc3339(at),
    }  # fmt: skip
    return Event(kind=kind, at=at, target=target, data=data)


@st.composite
def histories(draw):
    """Events in order of time: incidents of three targets that open and close, and facts."""
    events, at, opened = [], NOW, dict[str, int]()
    for number in range(draw(st.integers(0, 25))):
        at += draw(st.sampled_from([0.0, 1.0, 29.0, 31.0, 600.0, 5_000.0, 40_000.0]))
        target = draw(st.sampled_from("abcd"))
        if target == "d":
            data = {"before": "m-1", "after": f"m-{number}"}
            events.append(Event(kind=EventKind.MODEL_CHANGED, at=at, target="d", data=data))
        elif target in opened:
            closed = EventKind.INCIDENT_CLOSED
            events.append(incident(closed, target, opened.pop(target), at))
        else:
            opened[target] = number
            events.append(incident(EventKind.INCIDENT_OPENED, target, number, at))
    return list(enumerate(events, start=1))


quiets = st.none() | st.builds(
    Quiet,
    start=st.integers(0, 1_439),
    end=st.integers(0, 1_439),
    zone=st.just(BERLIN),
    breaks=st.booleans(),
)
routes = st.builds(
    Route,
    id=st.just("ops"),
    topics=st.just(ALL),
    min_duration_s=st.sampled_from([0.0, 30.0, 3_600.0]),
    group_wait_s=st.sampled_from([0.0, 30.0, 300.0]),
    reminder_s=st.sampled_from([None, 1_800.0, 14_400.0]),
    quiet=quiets,
    at_once=st.sampled_from([1, 3, 50]),
)


def loud_from(quiet: Quiet | None, end: float) -> list[float]:
    """The ends of *quiet* hours until *end*: what is loud may be one minute a day."""
    if quiet is None:
        return []
    first = datetime.fromtimestamp(NOW, quiet.zone).replace(hour=0, minute=0, second=0)
    clock = timedelta(minutes=quiet.end)
    days = range(int((end - NOW) / DAY_S) + 2)
    ends = [(first + timedelta(days=day) + clock).timestamp() for day in days]
    return [at for at in ends if NOW <= at <= end]


def played(route: Route, history, looks) -> list[Message]:
    """
    All messages where the route looks at *looks*, and for two days after the last event once each
    ten minutes and whenever quiet hours end.
    """
    memory, messages, rest = Memory(), [], list(history)
    end = (history[-1][1].at if history else NOW) + 2 * DAY_S
    regular = (NOW + 600.0 * n for n in range(int((end - NOW) / 600) + 1))
    for now in sorted({*looks, *regular, *loud_from(route.quiet, end)}):
        while rest and rest[0][1].at <= now:
            number, event = rest.pop(0)
            memory = fold(memory, number, event, route, now)
        memory, made = due(memory, route, now)
        messages += made
    return messages


@example(
    Route(id="ops", topics=ALL, quiet=Quiet(start=8, end=7, zone=BERLIN)),
    [(1, incident(EventKind.INCIDENT_OPENED, "a", 0, NOW))],
    [],
)
@given(routes, histories(), st.lists(st.floats(NOW, NOW + 3 * DAY_S), max_size=20))
def test_all_is_told_once_and_in_order(route, history, looks):
    """Each fact and each outage that lasts is in one message; an end is after its begin."""
    route = replace(
        route, quiet=None if route.quiet and route.quiet.start == route.quiet.end else route.quiet
    )
    messages = played(route, history, looks)
    told = [notice for message in messages for notice in message.notices]
    counts = Counter((n.event, n.part) for n in told if n.part is not Part.LASTS)
    opened = {e.data["incident"]: (n, e) for n, e in history if e.kind is EventKind.INCIDENT_OPENED}
    closed = {e.data["incident"]: (n, e) for n, e in history if e.kind is EventKind.INCIDENT_CLOSED}
    expected = {(n, Part.FACT) for n, e in history if e.kind is EventKind.MODEL_CHANGED}
    for name, (number, begin) in opened.items():
        end = closed.get(name)
        if end is None or end[1].at - begin.at >= route.min_duration_s:
            expected.add((number, Part.BEGUN))
            if end is not None:
                expected.add((end[0], Part.OVER))

    assert expected == counts.keys()
    assert {1} >= set(counts.values())
    assert len(messages) == len({message.key for message in messages})
    assert all(0 < len(message.notices) <= route.at_once for message in messages)
    for name, (number, _) in opened.items():
        of = [n.part for n in told if n.key == name]
        # Nothing before the begin, nothing after the end.
        assert of[:1] in ([], [Part.BEGUN])
        assert Part.OVER not in of[:-1]
        assert number or not of


@given(routes, histories(), st.lists(st.floats(NOW, NOW + 3 * DAY_S), max_size=20))
def test_quiet_hours_are_quiet(route, history, looks):
    """No message is made in them, unless it is critical and may."""
    for message in played(route, history, looks):
        if route.quiet is not None and route.quiet.holds(message.made_at):
            assert route.quiet.breaks
            assert all(notice.is_urgent for notice in message.notices)


@given(routes, histories(), st.data())
def test_memory_survives_the_store(route, history, data):
    """What is remembered and made is the same after a way through JSON."""
    adapter, messages = TypeAdapter(Memory), TypeAdapter(Message)
    memory = Memory()
    for number, event in history:
        now = event.at + data.draw(st.sampled_from([0.0, 1.0, 100.0]))
        memory, made = due(fold(memory, number, event, route, now), route, now)
        assert memory == adapter.validate_json(adapter.dump_json(memory))
        for message in made:
            assert message == messages.validate_json(messages.dump_json(message))
            assert len(message.notices) == len(as_json(message)["notices"])


@given(st.integers(0, 1_439), st.integers(0, 1_439), st.floats(NOW, NOW + 400 * DAY_S))
def test_quiet_hours_and_their_complement_share_the_day(start, end, at):
    """Each moment is in the hours from one time to the other, or in those back."""
    there, back = (Quiet(start=a, end=b, zone=BERLIN) for a, b in ((start, end), (end, start)))

    assert (start == end) == (there.holds(at) and back.holds(at))
    assert there.holds(at) or back.holds(at)


@given(routes, histories())
def test_a_key_belongs_to_one_message_of_one_route(route, history):
    """Another route, another time or other notices make another key."""
    memory = Memory()
    for number, event in history:
        memory = fold(memory, number, event, route, event.at)
    _, made = due(memory, replace(route, quiet=None, group_wait_s=0.0), NOW + 9 * DAY_S)
    for message in made:
        other = message_of(replace(route, id="other"), message.notices, NOW)
        assert message.key != other.key
        assert message.key == message_of(route, message.notices, NOW).key
