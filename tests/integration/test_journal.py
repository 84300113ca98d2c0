"""Incidents and events on disk: upgraded, upserted, counted, paged, and whole after every kill."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.core.events import Event, EventKind
from monitor.core.snapshot import Order
from monitor.core.spec import PoolSpec, Profile, SpendCap
from monitor.core.spend import Caps
from monitor.store.history import History
from monitor.store.migrations import STEPS
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import ErrorClass
from tests.support import sufferers
from tests.support.builders import NOW, a_result, a_spec

ROOT = Path(__file__).resolve().parents[2]
KILLS = 60
BAD = ErrorClass.SERVER_ERROR


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database goes."""
    return tmp_path / "imgmon.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    """What reads it."""
    with closing(Reader(path)) as reader:
        yield History(reader)


def watched(path: Path, results) -> None:
    """Start over the file, store *results* with what they mean, and stop in order."""
    subject, writer, _ = sufferers.opened(path)
    with closing(writer):
        for result in results:
            writer.submit_probe(result, "acme", "here")
            subject.accept(result)
        for entry in subject.take_entries():
            writer.submit_entry(entry)


def minutes(*errors, target="alpha", start=NOW):
    """One result a minute."""
    return [
        a_result(
            error,
            start + 60.0 * n,
            target_id=target,
            probe_id=f"{target}-{start}-{n}",
            cost_usd=0.04,
        )
        for n, error in enumerate(errors)
    ]


def kinds(history: History) -> list[str]:
    """The kinds of all events in their order, without changes of state."""
    events = [stored.event for stored in history.events(0, 1000)]
    return [event.kind.value for event in events if event.kind is not EventKind.STATE_CHANGED]


def test_an_outage_is_one_row_that_grows_and_closes(path, history):
    """Upserted over restarts in the middle of it; the number it was given first stays."""
    watched(path, minutes(None, BAD, BAD))
    (before,), _ = history.incidents(is_open=True)
    watched(path, minutes(BAD, None, None, start=NOW + 180))
    (after,), cursor = history.incidents()

    assert (before.number, before.incident.id) == (after.number, after.incident.id)
    assert (2, None) == (before.incident.failures.count, before.incident.ended_at)
    assert (3, NOW + 240, NOW + 305) == (
        after.incident.failures.count,
        after.incident.ended_at,
        after.incident.closed_at,
    )
    assert NOW + 60 == after.incident.started_at
    assert ["alpha-" + f"{NOW}-{n}" for n in (1, 2)] == list(after.incident.failures.probes[:2])
    assert None is cursor
    assert ["incident_opened", "incident_closed"] == kinds(history)


def test_a_start_writes_what_the_store_lacks_and_the_next_one_nothing(path, history):
    """Probes whose meaning a kill cut off are followed once, then they are in the log."""
    with closing(Writer(path)) as writer:
        writer.start()
        for result in minutes(None, BAD, BAD, None, None):
            writer.submit_probe(result, "acme", "here")
    watched(path, [])
    first = history.events(0, 1000)
    watched(path, [])

    assert ["incident_opened", "incident_closed"] == kinds(history)
    assert first == history.events(0, 1000)


def test_after_every_kill_the_store_says_what_one_process_would_have(path, history):
    """Law: sixty deaths at drawn moments; every incident and event is there, and none is twice."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.sufferers", str(path), str(KILLS), "20261125"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    watched(path, [])
    with closing(Reader(path)) as reader:
        rows = list(reader.replay(0.0))

    subject = sufferers.engine()
    for result in rows:
        subject.accept(result)
    entries = subject.take_entries()
    incidents = {i.id: i for entry in entries for i in entry.incidents}
    events = [event for entry in entries for event in entry.events]
    found, cursor = {}, None
    while page := history.incidents(before=cursor, limit=100)[0]:
        found |= {stored.incident.id: stored.incident for stored in page}
        cursor = page[-1].number
    told, last = [], 0
    while page := history.events(last, 1000):
        told += [stored.event for stored in page]
        last = page[-1].id

    assert KILLS == int(done.stdout)
    assert incidents == found
    assert sorted(map(repr, events)) == sorted(map(repr, told))
    # It was a test: much happened, in many processes.
    assert len(rows) > 10 * KILLS
    assert len(found) > 10


def test_ids_of_events_grow_and_are_never_given_twice(path, history):
    """Not even when the newest are deleted."""
    with closing(Writer(path)) as writer:
        writer.start()
        for _ in range(3):
            writer.submit_event(Event(kind=EventKind.OUR_NETWORK_SUSPECTED, at=NOW))
        assert writer.flush(30)
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("DELETE FROM events WHERE id > 1")
            raw.commit()
        writer.submit_event(Event(kind=EventKind.OUR_NETWORK_RESTORED, at=NOW + 1))

    assert [1, 4] == [stored.id for stored in history.events(0, 10)]
    assert [4] == [stored.id for stored in history.events(1, 10)]
    assert EventKind.OUR_NETWORK_RESTORED is history.network_event().kind


def test_a_changed_order_and_its_event_are_one_step(path, history):
    """The first order ever is no change; the event names the order, and its row holds the rest."""
    pool, profile = PoolSpec(id="image", targets=("t",)), Profile(name="fast", usd_per_second=0.01)
    order = Order(
        pool=pool, profile=profile, version=1, changed_at=NOW, valid_until=NOW + 9,
        all_degraded=False, places=(),
    )  # fmt: skip
    with closing(Writer(path)) as writer:
        writer.start()
        writer.submit_order(order)
        writer.submit_order(replace(order, version=2, changed_at=NOW + 5))
    (stored,) = history.events(0, 10)

    assert (EventKind.ORDER_CHANGED, NOW + 5, "image") == (
        stored.event.kind,
        stored.event.at,
        stored.event.pool,
    )
    assert {"profile": "fast", "version": 2, "all_degraded": False, "targets": []} == (
        stored.event.data
    )


def test_each_mark_of_a_cap_is_an_event_once_a_period(path, history):
    """Written with the booking that came to it, about whoever the cap is on."""
    spec = a_spec(price_usd=0.5, spend_cap=SpendCap(usd_per_day=1.0))
    caps = Caps(overall=SpendCap(usd_per_day=1.0), providers={}, targets={"alpha": spec})
    with closing(Writer(path)) as writer:
        writer.start()
        for number in range(4):
            writer.reserve(caps.claim(f"p-{number}", spec, NOW + number)).result(30)
    events = [stored.event for stored in history.events(0, 10)]

    assert [
        ("spend_cap_near", "alpha", "target"),
        ("spend_cap_reached", "alpha", "target"),
        ("spend_cap_near", None, "global"),
        ("spend_cap_reached", None, "global"),
    ] == [(event.kind.value, event.target, event.data["scope"]) for event in events]
    assert {(1.0, 1.0, "day")} == {
        (e.data["cap_usd"], e.data["booked_usd"], e.data["period"]) for e in events
    }


def test_counts_are_those_of_all_rows_and_read_only_what_is_new(path, history):
    """By kind, and incidents by target and the class that opened them; a new reader agrees."""
    watched(path, minutes(None, BAD, BAD))
    assert ({("alpha", "server_error"): 1}, 1) == (
        history.counts().incidents,
        history.counts().events["incident_opened"],
    )
    watched(path, minutes(ErrorClass.AUTH, target="gamma", start=NOW + 900))

    assert {("alpha", "server_error"): 1, ("gamma", "auth"): 1} == history.counts().incidents
    with closing(Reader(path)) as reader:
        assert history.counts() == History(reader).counts()


def test_pages_of_incidents_are_filtered(path, history):
    """By target, by being open, by time; newest first, a cursor leads on."""
    for number in range(3):
        start = NOW + 4000 * number
        watched(path, minutes(None, BAD, BAD, None, None, start=start))
    watched(path, minutes(BAD, BAD, target="gamma", start=NOW + 20_000))
    newest, cursor = history.incidents(limit=2)
    rest, end = history.incidents(limit=2, before=cursor)

    assert ["gamma", "alpha", "alpha", "alpha"] == [
        stored.incident.target for stored in (*newest, *rest)
    ]
    assert None is end
    assert (
        3 == len(history.incidents(target="alpha")[0]) == len(history.incidents(is_open=False)[0])
    )
    assert ["gamma"] == [s.incident.target for s in history.incidents(is_open=True)[0]]
    assert 2 == len(history.incidents(since=NOW + 7000)[0])


def test_targets_of_one_upstream_are_one_group(path, history):
    """Each incident of the group lists them all; one that is alone lists itself."""
    watched(path, [*minutes(BAD, BAD), *minutes(BAD, BAD, target="beta", start=NOW + 300)])
    watched(path, minutes(BAD, BAD, target="gamma", start=NOW + 300))
    by_target = {s.incident.target: s for s in history.incidents()[0]}

    assert ("alpha", "beta") == by_target["alpha"].group_targets
    assert ("alpha", "beta") == by_target["beta"].group_targets
    assert () == by_target["gamma"].group_targets


def test_a_file_without_a_journal_is_upgraded_and_its_probes_are_followed(path, history):
    """Incidents of before the upgrade are there after the first start."""
    watched(path, minutes(None, BAD, BAD, None, None))
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for table in ("incidents", "events", "target_logs"):
            raw.execute(f"DROP TABLE {table}")
        raw.execute("PRAGMA user_version = 5")
    watched(path, [])

    assert ["incident_opened", "incident_closed"] == kinds(history)
    assert 1 == len(history.incidents()[0])
    with closing(sqlite3.connect(path)) as raw:
        assert (len(STEPS),) == raw.execute("PRAGMA user_version").fetchone()


def test_a_log_that_cannot_be_read_is_made_anew_without_a_second_event(path, history):
    """Another version wrote it: all stored probes are followed, and what is there stays once."""
    watched(path, minutes(None, BAD, BAD, None, None))
    before = (history.events(0, 100), history.incidents())
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE target_logs SET log = '{\"incidents\": 7}'")
        raw.commit()
    watched(path, [])

    assert before == (history.events(0, 100), history.incidents())


def test_a_log_whose_last_probe_is_gone_goes_by_time(path, history):
    """The row was pruned or never written: older ones are in the log, newer ones are followed."""
    watched(path, minutes(None, BAD, BAD))
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DELETE FROM probes WHERE probe_id = ?", [f"alpha-{NOW}-2"])
        raw.commit()
    with closing(Writer(path)) as writer:
        writer.start()
        for result in minutes(None, None, start=NOW + 180):
            writer.submit_probe(result, "acme", "here")
    watched(path, [])
    ((stored,), _) = history.incidents()

    assert (2, NOW + 180) == (stored.incident.failures.count, stored.incident.ended_at)
    assert ["incident_opened", "incident_closed"] == kinds(history)
