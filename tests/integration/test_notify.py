"""Notifications over real sockets and a real store."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import create_engine, inspect
from structlog.testing import capture_logs

from monitor.clock import ManualClock, SystemClock
from monitor.config.notify import Channel, Outlet
from monitor.core.events import Event, EventKind
from monitor.core.notices import Topic
from monitor.core.notify import Route
from monitor.core.words import rfc3339
from monitor.limits import NOTIFY_GIVE_UP_S
from monitor.notify.channels import channel_of, client
from monitor.notify.notifier import Notifier
from monitor.secrets import Redactor
from monitor.store import outbox
from monitor.store.migrations import STEPS
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from tests.support.builders import NOW
from tests.support.daemon import until
from tests.support.webhooks import Receiver

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec-of-the-test"
ALL = frozenset(Topic)


def an_outlet(url: str, channel: Channel = Channel.WEBHOOK, **changes) -> Outlet:
    """A route that tells everything at once."""
    route = Route(id=changes.pop("id", "ops"), topics=ALL, at_once=changes.pop("at_once", 50))
    return Outlet(route=route, channel=channel, place=url, **changes)


def drift(model: str, at: float = NOW) -> Event:
    """A fact."""
    data = {"before": "m-0", "after": model}
    return Event(kind=EventKind.MODEL_CHANGED, at=at, target="alpha", data=data)


def outage(kind: EventKind = EventKind.INCIDENT_OPENED, at: float = NOW) -> Event:
    """An outage of alpha."""
    data = {
        "incident": "alpha-1", "scope": "provider", "error": "timeout", "failures": 2,
        "started_at": rfc3339(NOW), "relapses": 0, "ended_at": rfc3339(at),
    }  # fmt: skip
    return Event(kind=kind, at=at, target="alpha", provider="acme", data=data)


class Store:
    """A store with its writer and reader."""

    def __init__(self, path: Path) -> None:
        """Open the file at *path*."""
        self.path = path
        self.writer, self.reader = Writer(path), Reader(path)
        self.writer.start()

    def add(self, *events: Event) -> None:
        """Store *events*."""
        for event in events:
            self.writer.submit_event(event)
        self.writer.flush()

    def rows(self, query: str) -> list[tuple]:
        """What *query* finds."""
        with closing(sqlite3.connect(self.path)) as raw:
            return raw.execute(query).fetchall()

    def is_settled(self) -> bool:
        """Whether all is told."""
        return self.reader.ask(outbox.is_settled)


@pytest.fixture
def store(tmp_path):
    """An empty one."""
    made = Store(tmp_path / "a.db")
    yield made
    made.writer.close()


@asynccontextmanager
async def notifying(store: Store, *outlets: Outlet, clock=None) -> AsyncIterator[Notifier]:
    """A notifier that looks all the time; its routes have begun to read."""
    notifier = Notifier(
        outlets, store.reader, store.writer, clock=clock or SystemClock(),
        rng=Random(1), look_s=0.005, retry_s=0.01,
    )  # fmt: skip
    running = asyncio.create_task(notifier.run())
    try:
        await until(lambda: len(outlets) == store.rows("SELECT count(*) FROM notify_routes")[0][0])
        yield notifier
    finally:
        await notifier.stop()
        await running


async def one_attempt(outlet: Outlet, event: Event | None = None, clock=None):
    """What becomes of a message with one notice."""
    from monitor.core.notify import Memory, due, fold

    memory = fold(Memory(), 7, event or outage(), outlet.route, NOW)
    (message, *_) = due(memory, outlet.route, NOW)[1]
    async with client() as http:
        return await channel_of(
            outlet, http, clock or SystemClock(), Redactor(outlet.secrets)
        ).send(message), message


async def test_a_webhook_is_signed_and_has_the_same_key_in_body_and_header(store):
    """What the README's receiver verifies; a repeat has the same body and key."""
    with Receiver() as receiver:
        outlet = an_outlet(receiver.url, secret=SECRET)
        attempt, message = await one_attempt(outlet, clock=ManualClock(wall=NOW))
        async with client() as http:
            await channel_of(
                outlet, http, ManualClock(wall=NOW + 9), Redactor(outlet.secrets)
            ).send(message)
    first, again = receiver.posted
    verify = readme_receiver()

    assert attempt.is_sent
    assert first.headers["Idempotency-Key"] == first.json["id"] == message.key
    assert first.body == again.body
    assert first.headers["X-Imgmon-Signature"].startswith(f"t={int(NOW)},v1=")
    assert first.headers["X-Imgmon-Signature"] != again.headers["X-Imgmon-Signature"]
    assert verify(SECRET, first.headers["X-Imgmon-Signature"], first.body, NOW + 1)
    assert not verify(SECRET, first.headers["X-Imgmon-Signature"], first.body, NOW + 301)
    assert not verify(SECRET, first.headers["X-Imgmon-Signature"], first.body + b" ", NOW + 1)
    assert not verify("another", first.headers["X-Imgmon-Signature"], first.body, NOW + 1)
    (notice,) = first.json["notices"]
    assert ("begun", "outage", "alpha-1", 7) == tuple(
        notice[key] for key in ("part", "topic", "key", "event")
    )


def readme_receiver():
    """The function that the README shows for checking a signature, run as it stands."""
    text = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(import hashlib.*?)```", text, re.DOTALL)
    names: dict = {}
    exec(code, names)
    return names["is_from_imgmon"]


async def test_without_a_secret_nothing_is_signed():
    """A receiver that was told no secret gets no header that proves nothing."""
    with Receiver() as receiver:
        await one_attempt(an_outlet(receiver.url))

    assert "X-Imgmon-Signature" not in receiver.posted[0].headers


@pytest.mark.parametrize(
    ("answer", "words", "is_refused", "retry_after_s"),
    [
        ((500, {}, b"<h1>oh   no</h1>"), "HTTP 500 Internal Server Error: <h1>oh no</h1>", False, None),
        ((400, {}, b""), "HTTP 400 Bad Request", True, None),
        ((429, {"Retry-After": "17"}, b""), "HTTP 429 Too Many Requests", False, 17.0),
        ((429, {"Retry-After": "99999999"}, b""), "HTTP 429 Too Many Requests", False, 86_400.0),
        (
            (503, {"Retry-After": format_datetime(datetime.fromtimestamp(NOW + 30, UTC), usegmt=True)}, b""),
            "HTTP 503 Service Unavailable", False, 30.0,
        ),
        ((429, {"Retry-After": "soon"}, b""), "HTTP 429 Too Many Requests", False, None),
        (
            (302, {"Location": "http://169.254.169.254/"}, b""),
            "HTTP 302 Found: redirects are not followed; give the final URL", False, None,
        ),
    ],
)  # fmt: skip
async def test_what_came_back_is_told_in_words(answer, words, is_refused, retry_after_s):
    """Status, the beginning of the answer, whether to try again and when."""
    with Receiver(lambda _: answer) as receiver:
        attempt, _ = await one_attempt(an_outlet(receiver.url), clock=ManualClock(wall=NOW))

    assert (False, words, is_refused, retry_after_s) == (
        attempt.is_sent, attempt.words, attempt.is_refused, attempt.retry_after_s
    )  # fmt: skip


async def test_no_token_of_a_url_is_ever_told():
    """Neither what a receiver echoes nor what the client complains of shows it."""
    with Receiver(lambda posted: (500, {}, posted.path.encode())) as receiver:
        outlet = an_outlet(receiver.url)
        echoed, _ = await one_attempt(outlet)
    refused, _ = await one_attempt(outlet)

    assert "HTTP 500 Internal Server Error: /hooks/***" == echoed.words
    assert "ConnectError" in refused.words
    assert "T0K3N" not in refused.words + repr(outlet)


async def test_pagerduty_gets_one_alert_that_is_resolved():
    """Trigger and resolve share the incident as dedup_key; a fact has a key of its own."""
    with Receiver(lambda _: (202, {}, b'{"status":"success"}')) as receiver:
        outlet = an_outlet("R0UT1NG-key", Channel.PAGERDUTY, at_once=1, pagerduty_url=receiver.url)
        await one_attempt(outlet)
        from monitor.core.notify import Memory, due, fold

        memory = fold(Memory(), 1, outage(), outlet.route, NOW)
        memory = fold(memory, 2, outage(EventKind.INCIDENT_CLOSED, NOW + 60), outlet.route, NOW)
        _, (_, over) = due(memory, outlet.route, NOW)
        async with client() as http:
            await channel_of(outlet, http, SystemClock(), Redactor(outlet.secrets)).send(over)
        await one_attempt(outlet, drift("m-1"))
    begun, resolved, fact = (posted.json for posted in receiver.posted)

    assert ("trigger", "alpha-1") == (begun["event_action"], begun["dedup_key"])
    assert ("resolve", "alpha-1") == (resolved["event_action"], resolved["dedup_key"])
    assert ("error", "alpha", "outage") == tuple(
        begun["payload"][key] for key in ("severity", "source", "class")
    )
    assert {"R0UT1NG-key"} == {one["routing_key"] for one in (begun, resolved, fact)}
    assert ("trigger", 32) == (fact["event_action"], len(fact["dedup_key"]))


# On Python 3.11 and 3.12 a plug-in of apprise tries a module that 3.13 lacks.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
async def test_apprise_sends_what_it_knows_and_says_what_it_does_not(store):
    """Over its own JSON service: a message arrives; a refusal comes back in its words."""
    with Receiver() as receiver:
        url = receiver.url.replace("http://", "json://")
        good, _ = await one_attempt(an_outlet(url, Channel.APPRISE))
    with Receiver(lambda _: (403, {}, b"")) as receiver:
        url = receiver.url.replace("http://", "json://")
        bad, _ = await one_attempt(an_outlet(url, Channel.APPRISE))

    assert good.is_sent
    assert not bad.is_sent
    assert "403" in bad.words or "Forbidden" in bad.words
    assert "T0K3N" not in bad.words


async def test_a_route_begins_with_what_happens_after_it_was_made(store):
    """A new route is not told of last year; what comes is told once, and done after the send."""
    store.add(drift("m-old"))
    with Receiver() as receiver:
        async with notifying(store, an_outlet(receiver.url)) as notifier:
            store.add(drift("m-new"))
            await until(lambda: len(receiver.posted) == 1 and store.is_settled())
            figures = notifier.figures()

    assert "alpha: model changed from m-0 to m-new" == receiver.posted[0].json["text"]
    assert [("done", 1)] == store.rows("SELECT fate, attempts FROM deliveries")
    assert {("ops", "sent"): 1, ("ops", "failed"): 0, ("ops", "given_up"): 0} == figures.sends


async def test_a_failure_is_tried_again_under_the_same_key(store):
    """Until it is taken; what is told of it in between shows no secret."""
    answers = [(503, {}, b""), (500, {}, b""), None]
    with Receiver(lambda _: answers.pop(0) if answers else (204, {}, b"")) as receiver:
        async with notifying(store, an_outlet(receiver.url)) as notifier:
            store.add(drift("m-1"))
            await until(store.is_settled)
            await until(lambda: notifier.figures().sends["ops", "sent"] == 1)

    assert 3 == len(receiver.posted)  # The first was turned away at the door.
    assert 1 == len({posted.headers["Idempotency-Key"] for posted in receiver.posted})
    ((attempts, error),) = store.rows("SELECT attempts, error FROM deliveries")
    assert 4 == attempts
    assert "T0K3N" not in error


async def test_a_message_that_is_refused_stops_no_other(store):
    """It is given up after three refusals, as an event; the others arrive meanwhile."""
    with Receiver(lambda p: (422, {}, b"no") if b"m-bad" in p.body else (200, {}, b"")) as receiver:
        other = an_outlet(receiver.url, id="other")
        async with notifying(store, an_outlet(receiver.url, at_once=1), other) as notifier:
            store.add(drift("m-bad"), drift("m-good"))
            await until(lambda: notifier.figures().sends["other", "given_up"] == 1)
            await until(lambda: notifier.figures().sends["ops", "given_up"] == 1)
            await until(store.is_settled)

    told = [posted.json for posted in receiver.posted if b"m-bad" not in posted.body]
    assert any("m-good" in message["text"] for message in told if message["route"] == "ops")
    # Each route hears of the other's loss, not of its own.
    lost = {
        m["route"]: n["data"] for m in told for n in m["notices"] if n["topic"] == "undelivered"
    }
    assert {"ops": "other", "other": "ops"} == {
        route: data["route"] for route, data in lost.items()
    }
    # Python 3.13 names it as RFC 9110 does.
    assert (f"HTTP 422 {HTTPStatus(422).phrase}: no", 3) == (
        lost["ops"]["error"],
        lost["ops"]["attempts"],
    )


async def test_two_routes_that_refuse_all_do_not_tell_of_each_other_for_ever(store):
    """A message that only tells of lost messages is given up in silence."""
    with Receiver(lambda _: (400, {}, b"")) as receiver:
        routes = (an_outlet(receiver.url), an_outlet(receiver.url, id="other"))
        async with notifying(store, *routes) as notifier:
            store.add(drift("m-1"))
            await until(
                lambda: sum(notifier.figures().sends[r, "given_up"] for r in ("ops", "other")) == 4
            )
            await until(store.is_settled)

    assert [(3,)] == store.rows("SELECT count(*) FROM events")


async def test_an_end_never_overtakes_its_begin(store):
    """While the begin waits to be tried again, other messages go on and its end waits."""
    is_up = []
    with Receiver(
        lambda p: (200, {}, b"") if is_up or b"alpha-1" not in p.body else (500, {}, b"")
    ) as receiver:
        async with notifying(store, an_outlet(receiver.url)):
            store.add(outage())
            await until(lambda: len(receiver.posted) >= 1)
            store.add(outage(EventKind.INCIDENT_CLOSED, NOW + 60))
            store.add(drift("m-1"))
            await until(
                lambda: (
                    store.rows("SELECT 1 FROM deliveries WHERE fate = 'done'") != []
                    or len(receiver.posted) > 3
                )
            )
            is_up.append(True)
            await until(store.is_settled)

    parts = [
        n["part"] for p in receiver.posted for n in p.json["notices"] if n["topic"] == "outage"
    ]
    assert "over" == parts[-1]
    assert "begun" in parts[: parts.index("over")]


async def test_after_a_day_a_message_is_given_up(store):
    """And told as an event; the figures say what waits and how long it has."""
    clock = ManualClock(wall=NOW)
    with Receiver(lambda _: (500, {}, b"")) as receiver:
        async with notifying(store, an_outlet(receiver.url), clock=clock) as notifier:
            store.add(drift("m-1"))
            await until(lambda: notifier.figures().sends["ops", "failed"] >= 1)
            clock.advance(NOTIFY_GIVE_UP_S + 700)
            await until(lambda: notifier.figures().sends["ops", "given_up"] == 1)

    assert [("given_up",)] == store.rows("SELECT fate FROM deliveries")
    assert [("notification_given_up",)] == store.rows("SELECT kind FROM events WHERE id > 1")


async def test_messages_of_a_route_without_a_place_wait_for_it(store):
    """A secret that is missing loses nothing; the figures show what waits."""
    with Receiver() as receiver:
        async with notifying(store, an_outlet("")) as notifier:
            store.add(drift("m-1"))
            await until(lambda: store.rows("SELECT 1 FROM deliveries") == [(1,)])
            await notifier.look()
            figures = notifier.figures()
        async with notifying(store, an_outlet(receiver.url)):
            await until(store.is_settled)

    assert 1 == figures.pending
    assert figures.oldest_s >= 0.0
    assert 1 == len(receiver.posted)


async def test_messages_of_a_route_that_is_gone_are_given_up(store):
    """A route that was taken out of the file gets nothing when it is there again."""
    async with notifying(store, an_outlet("")):
        store.add(drift("m-1"))
        await until(lambda: store.rows("SELECT 1 FROM deliveries") == [(1,)])
    with Receiver() as receiver:
        async with notifying(store, an_outlet(receiver.url, id="new")):
            await until(lambda: store.rows("SELECT route_id FROM notify_routes") == [("new",)])

    assert [("given_up", "the route is gone")] == store.rows("SELECT fate, error FROM deliveries")
    assert [] == receiver.posted


async def test_a_memory_of_another_version_is_begun_anew(store):
    """What cannot be read is forgotten, not fatal; events are read on."""
    with Receiver() as receiver:
        async with notifying(store, an_outlet(receiver.url)):
            pass
        with closing(sqlite3.connect(store.path)) as raw:
            raw.execute("UPDATE notify_routes SET memory = '{\"lasting\": 7}'")
            raw.commit()
        async with notifying(store, an_outlet(receiver.url)):
            store.add(drift("m-1"))
            await until(lambda: receiver.posted and store.is_settled())

    assert 1 == len(receiver.posted)


async def test_a_store_that_refuses_stops_no_route_for_good(store):
    """What could not be written is said, and what was stored meanwhile is told afterwards."""
    with Receiver() as receiver:
        async with notifying(store, an_outlet(receiver.url)):
            with capture_logs() as lines:
                store.writer.close()
                store.writer = Writer(store.path)
                store.writer.start()
                store.add(drift("m-1"))
                await until(lambda: any(line["event"] == "notify.store" for line in lines))
        async with notifying(store, an_outlet(receiver.url)):
            await until(store.is_settled)

    assert 1 == len(receiver.posted)


def test_a_file_of_the_version_before_gets_the_outbox(tmp_path):
    """The step makes its tables, and an old file's events are not told."""
    path = tmp_path / "a.db"
    step = [step.__name__ for step in STEPS].index("_add_outbox")
    engine = create_engine(f"sqlite:///{path}")
    for number, one in enumerate(STEPS[:step], start=1):
        with engine.begin() as connection:
            one(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {number}")
    engine.dispose()
    upgraded = Store(path)
    upgraded.add(drift("m-old"))
    memory, read_to = upgraded.writer.ask(
        lambda c: outbox.advance(c, Route(id="ops", topics=ALL), NOW)
    ).result()
    upgraded.writer.close()

    tables = inspect(engine).get_table_names()
    engine.dispose()

    assert {"notify_routes", "deliveries"} <= set(tables)
    assert ((), 1) == (memory.waiting, read_to)
