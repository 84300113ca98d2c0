"""Client reports over the API of a running daemon: stored, believed, bounded."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import httpx
import pytest
from sqlalchemy import Connection

from monitor import tokens
from monitor.clock import SystemClock
from monitor.core.reports import Report, Sums, client_figures
from monitor.core.retention import Retention, cutoffs
from monitor.core.snapshot import State
from monitor.limits import REPORTS_WAITING_MAX
from monitor.store import reports as rows
from monitor.store import summing
from monitor.store.pruning import prune, sorts
from monitor.store.reader import Reader
from monitor.store.summing import add, sum_up, unsummed
from monitor.store.verify import checks
from monitor.store.writer import Writer
from monitor.tokens import Scope
from probes.model import ErrorClass
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.builders import NOW
from tests.support.daemon import client, configuration, finished, running, until
from tests.support.serving import served

pytestmark = pytest.mark.anyio


def rfc3339(at):
    """A wall time as clients send it."""
    return datetime.fromtimestamp(at, UTC).isoformat()


@pytest.fixture
async def world(tmp_path):
    """A daemon whose two targets were probed once, and a client for each of two tokens."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db")
        config = replace(config, reports_per_minute=3000)
        headers = {
            name: {"Authorization": f"Bearer {text}"}
            for name in ("shop", "blog")
            for text in [tokens.create(config.tokens_path, name, [Scope.REPORT], now=0.0)]
        }
        async with running(config) as daemon, client(daemon) as http:
            await until(lambda: finished(daemon) == 2)

            async def send(*reports, name="shop", sent_at=None, via=http, **sent):
                sent_at = daemon.clock.wall() if sent_at is None else sent_at
                body = {"sent_at": rfc3339(sent_at), "reports": list(reports)}
                sent = sent or {"json": body}
                return await via.post("/v1/reports", headers=headers[name], **sent)

            yield daemon, http, send


def row(daemon, number=0, *, age=0.0, **changes):
    """One row of a body, *age* seconds old."""
    at = rfc3339(daemon.clock.wall() - age)
    return {
        "id": f"r-{number}",
        "target": "flash",
        "at": at,
        "error": None,
        "latency_s": 2.0,
    } | changes


async def test_a_repeated_report_changes_nothing(world):
    """A client that got no answer sends the same again; another client's ids are its own."""
    daemon, _, send = world
    first = await send(row(daemon, 1), row(daemon, 2), row(daemon, 2))
    again = await send(row(daemon, 1), row(daemon, 3))
    other = await send(row(daemon, 1), name="blog")

    assert 202 == first.status_code == again.status_code
    assert (2, 1) == (first.json()["accepted"], first.json()["duplicate"])
    assert (1, 1) == (again.json()["accepted"], again.json()["duplicate"])
    assert 1 == other.json()["accepted"]
    assert 2 == daemon.desk.counts.duplicates


async def test_rows_with_something_wrong_are_rejected_one_by_one(world):
    """The others are stored; each rejection says where and why, by the row's place."""
    daemon, _, send = world
    answer = await send(
        row(daemon, 1),
        row(daemon, 2, target="nobody"),
        row(daemon, 3, error="sunspots"),
        row(daemon, 4, age=90_000),
        row(daemon, 5, age=-600),
        {"id": "r-6"},
        "no row",
        row(daemon, 8, latency_s=-1),
        row(daemon, 9, at="yesterday"),
        row(daemon, 10, at="2026-11-25T12:00:00"),
    )
    said = answer.json()

    assert (202, 1, 0) == (answer.status_code, said["accepted"], said["duplicate"])
    assert [
        "/reports/1/target", "/reports/2/error", "/reports/3/at", "/reports/4/at",
        "/reports/5/target", "/reports/6", "/reports/7/latency_s", "/reports/8/at", "/reports/9/at",
    ] == [wrong["pointer"] for wrong in said["rejected"]]  # fmt: skip
    assert "r-2" == said["rejected"][0]["id"]
    assert all(wrong["detail"] for wrong in said["rejected"])
    assert 9 == daemon.desk.counts.rejected


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", "/"),
        (b"{", "/"),
        (b"[]", "/"),
        (b'{"reports": []}', "/sent_at"),
        (b'{"sent_at": "2026-11-25T12:00:00Z", "reports": []}', "/reports"),
        (b'{"sent_at": "2026-11-25T12:00:00Z", "reports": {}}', "/reports"),
        (b'{"sent_at": "now", "reports": [{}]}', "/sent_at"),
        (b'{"sent_at": "2026-11-25T12:00:00Z", "reports": [{}], "more": 1}', "/more"),
        (
            json.dumps({"sent_at": "2026-11-25T12:00:00Z", "reports": [{}] * 1001}).encode(),
            "/reports",
        ),
    ],
)
async def test_what_is_no_body_of_reports_is_a_problem_with_a_pointer(world, body, pointer):
    """Nothing of it is stored."""
    _, http, send = world
    headers = (await send()).request.headers
    answer = await http.post(
        "/v1/reports", content=body, headers={"Authorization": headers["Authorization"]}
    )

    assert 422 == answer.status_code
    assert pointer in [wrong["pointer"] for wrong in answer.json()["errors"]]


async def test_too_large_a_body_is_refused_and_so_is_a_client_without_a_token(world):
    """Before anything of it is read as reports."""
    daemon, http, send = world
    authorization = (await send(row(daemon))).request.headers["Authorization"]
    large = await http.post(
        "/v1/reports", content=b" " * (1024 * 1024 + 1), headers={"Authorization": authorization}
    )
    anonymous = await http.post("/v1/reports", json={})

    assert (413, 401) == (large.status_code, anonymous.status_code)


async def test_a_client_over_its_limit_is_sent_back_with_nothing_taken(world):
    """It hears when to come again; another client is not held up by it."""
    daemon, _, send = world
    for part in range(3):
        rows = [row(daemon, f"{part}-{n}") for n in range(1000)]
        assert 202 == (await send(*rows)).status_code
    over = await send(*[row(daemon, f"over-{n}") for n in range(1000)])

    assert 429 == over.status_code
    assert 1 <= int(over.headers["Retry-After"]) <= 60
    assert 1000 == daemon.desk.counts.refused
    assert 202 == (await send(row(daemon), name="blog")).status_code


async def test_who_goes_away_within_a_body_is_not_counted_as_our_fault(world, caplog):
    """A telephone in a tunnel: 400, which nobody reads, and no error in the log."""
    daemon, _, send = world

    async def cut():
        yield b'{"sent_at": '
        raise ConnectionError("in a tunnel")

    async with served(daemon.api()) as (_, url), httpx.AsyncClient(base_url=url) as over:
        with pytest.raises(ConnectionError):
            await send(via=over, content=cut())
        await until(lambda: any(route == "/v1/reports" for route, _ in daemon.answers))

    assert {400: 1} == {s: n for (route, s), n in daemon.answers.items() if route == "/v1/reports"}
    assert [] == [line for line in caplog.records if line.levelname == "ERROR"]


async def test_a_limit_smaller_than_a_body_still_lets_one_pass(world):
    """Else a client that sends larger bodies would be told to come again for ever."""
    daemon, _, send = world
    daemon.desk._per_minute = 10
    first = await send(*[row(daemon, n) for n in range(50)])
    second = await send(row(daemon, 99))

    assert (202, 429) == (first.status_code, second.status_code)


async def test_what_waits_for_the_disk_is_bounded(world):
    """Above the bound nothing of a body is taken, and it is told when to come again."""
    daemon, _, send = world
    daemon.desk._waiting = REPORTS_WAITING_MAX
    full = await send(row(daemon, 1))
    daemon.desk._waiting = 0
    again = await send(row(daemon, 1))

    assert (429, "1") == (full.status_code, full.headers["Retry-After"])
    assert (202, 1) == (again.status_code, again.json()["accepted"])


async def test_what_waits_when_the_daemon_stops_is_told_and_not_kept(world):
    """Whoever sent it still has it, and hears that it is to come again."""
    daemon, _, send = world
    held = threading.Event()
    daemon.writer.ask(lambda _: held.wait(30))
    first = asyncio.create_task(send(row(daemon, 1)))
    await until(lambda: daemon.desk._waiting == 1)
    second = asyncio.create_task(send(row(daemon, 2)))
    await until(lambda: daemon.desk._waiting == 2)
    (commits,) = [task for task in daemon._tasks if task.get_name() == "report commits"]
    commits.cancel()
    answers = await asyncio.gather(first, second)
    held.set()

    assert [503, 503] == [answer.status_code for answer in answers]
    assert 0 == daemon.desk._waiting


async def test_a_commit_is_bounded_because_money_waits_for_it(world):
    """Six bodies that wait are more than one commit; all of them are taken."""
    daemon, _, send = world
    held = threading.Event()
    daemon.writer.ask(lambda _: held.wait(30))
    sends = [
        send(*[row(daemon, f"{n}-{m}") for m in range(1000)], name=name)
        for n in range(3)
        for name in ("shop", "blog")
    ]
    tasks = [asyncio.create_task(one) for one in sends]
    await until(lambda: daemon.desk._waiting == 6000)
    held.set()
    answers = await asyncio.gather(*tasks)

    assert [1000] * 6 == [answer.json()["accepted"] for answer in answers]
    with daemon.reader.snapshot() as connection:
        assert 6000 == len(list(rows.recent(connection, 0.0)))


async def test_bodies_that_come_together_are_told_apart(world):
    """They are committed in one step; each hears of its own rows."""
    daemon, _, send = world
    answers = await asyncio.gather(
        *(send(*[row(daemon, f"{n % 7}-{m}") for m in range(n + 1)]) for n in range(20))
    )

    assert sum(range(1, 21)) == sum(a.json()["accepted"] + a.json()["duplicate"] for a in answers)
    assert sum(a.json()["accepted"] for a in answers) == sum(20 - n for n in range(7))
    assert 0 == daemon.desk._waiting


async def test_a_skewed_clock_is_corrected_and_noted(world):
    """An hour slow: what it says of its requests is moved by an hour."""
    daemon, _, send = world
    now = daemon.clock.wall()
    answer = await send(row(daemon, age=3600 + 5), sent_at=now - 3600)
    with daemon.reader.snapshot() as connection:
        ((_, stored),) = rows.recent(connection, now - 60)

    assert abs(answer.json()["skew_s"] - 3600) < 5
    assert abs(stored.at - (now - 5)) < 5


async def test_a_failure_demotes_at_once_and_a_canary_proves_the_recovery(world):
    """The target is suspect before the answer is read, and asked by a canary right away."""
    daemon, http, send = world
    before = finished(daemon)
    assert State.HEALTHY is daemon.engine.health("flash", daemon.clock.wall()).state
    first = (await http.get("/v1/pools/image/priority")).json()["targets"][0]["target"]

    await send(row(daemon, error="overloaded", target=first))
    assert State.SUSPECT is daemon.engine.health(first, daemon.clock.wall()).state
    daemon.tick()
    order = (await http.get("/v1/pools/image/priority")).json()["targets"]
    assert first == order[-1]["target"]

    await until(lambda: finished(daemon) > before, seconds=60)
    assert State.HEALTHY is daemon.engine.health(first, daemon.clock.wall()).state


async def test_a_client_that_goes_on_failing_alone_does_not_spend_the_money_of_probes(world):
    """Its failures are asked about once; while canaries go on to be good they become rare."""
    daemon, _, send = world
    for number in range(4):  # Failures that the first canary has answered.
        await send(row(daemon, number, error="overloaded", age=240 - 60 * number))
        assert daemon.engine.extra_due("flash", float("inf")) is None
    canary = daemon.engine.last_start("flash")
    await send(row(daemon, 9, error="overloaded"))

    assert State.SUSPECT is daemon.engine.health("flash", daemon.clock.wall()).state
    assert daemon.engine.extra_due("flash", float("inf")) >= canary + 8 * 30


async def test_a_report_before_any_canary_changes_no_state(world, tmp_path):
    """Nothing is known that it could make worse; it is stored and counted."""
    daemon, _, send = world
    config = replace(daemon.config, store_path=tmp_path / "b.db")
    await daemon.stop()
    async with running(replace(config, specs=daemon.config.specs)) as fresh, client(fresh) as http:
        answer = await http.post(
            "/v1/reports",
            json={"sent_at": rfc3339(fresh.clock.wall()), "reports": [row(fresh, error="timeout")]},
            headers=(await send()).request.headers,
        )

    assert 202 == answer.status_code


async def test_a_clock_that_is_off_by_more_than_a_day_is_no_clock(world):
    """Nothing is taken: a body that comes again after its ids are forgotten cannot count twice."""
    daemon, _, send = world
    now = daemon.clock.wall()
    for off, word in ((-90_000, "behind"), (90_000, "ahead of")):
        answer = await send(row(daemon), sent_at=now + off)
        (wrong,) = answer.json()["errors"]
        assert (409, "/sent_at") == (answer.status_code, wrong["pointer"])
        assert word in wrong["detail"]


async def test_a_row_that_does_not_say_what_it_came_to_is_no_picture(world):
    """What a client forgot is rejected, not counted as good."""
    daemon, _, send = world
    told = row(daemon)
    del told["error"]
    said = (await send(told)).json()

    assert (0, "/reports/0/error") == (said["accepted"], said["rejected"][0]["pointer"])


async def test_a_client_that_fails_alone_is_named_and_demotes_nobody(world):
    """Another one's pictures vouch for the target."""
    daemon, http, send = world
    await send(row(daemon, 1), name="blog")
    await send(row(daemon, 1, error="connection"))
    await daemon.desk.renew()
    daemon.tick()
    said = (await http.get("/v1/targets/flash/windows")).json()["reported"]
    metrics = (await http.get("/metrics")).text

    assert State.HEALTHY is daemon.engine.health("flash", daemon.clock.wall()).state
    assert ["shop"] == said["failing_alone"]
    assert (2, 2, 1, 1) == tuple(
        said["windows"]["1h"][name] for name in ("clients", "reports", "good", "bad")
    )
    assert 0.5 == said["windows"]["1h"]["availability"]["provider"]["value"]
    assert 'imgmon_reports_total{error="connection",outcome="bad",target="flash"} 1.0' in metrics
    assert (
        'imgmon_availability_samples{source="client",target="flash",view="provider",window="1h"} 2.0'
    ) in metrics
    assert 'imgmon_clients_failing_alone{target="flash"} 1.0' in metrics


async def test_a_restart_forgets_no_failure_and_no_figure(world, tmp_path):
    """What came in the last minutes is heard again, after the canaries."""
    daemon, _, send = world
    await send(row(daemon, 1, error="timeout"))
    await daemon.stop()
    async with running(daemon.config) as later, client(later) as http:
        health = later.engine.health("flash", later.clock.wall())
        await until(lambda: later.engine.reports.totals)
        later.tick()
        said = (await http.get("/v1/targets/flash")).json()["reported"]

    assert (State.SUSPECT, ErrorClass.TIMEOUT) == (health.state, health.error)
    assert 1 == said["windows"]["1h"]["bad"]


def a_body(name, reports, at=NOW):
    """What a call brings."""
    text = rows.text_of(reports)
    return rows.Body(client=name, count=len(reports), text=text, received_at=at, skew_s=0.0)


def by_hand(found, target, since):
    """The figures of one target as the raw rows give them."""
    clients = {}
    for name, report in found:
        if report.target == target and report.at >= since:
            sums = clients.setdefault(name, Sums())
            sums.errors[report.error] = sums.errors.get(report.error, 0) + 1
            if report.error is None:
                sums.latency.add(report.latency_s)
    return client_figures(list(clients.values())) if clients else None


def new_of(made, name, reports):
    """Those of *reports* whose ids their client has not used before, in *made* or in a row before."""
    known = {report.id for client, report in made if client == name}
    first = {report.id: report for report in reversed(reports) if report.id not in known}
    return [(name, report) for report in reports if first.get(report.id) is report]


def counts_of(found):
    """How many (client, report) there are by minute, target, client and error, and the newest."""
    counts = {}
    for name, report in found:
        minute, error = int(report.at // 60) * 60, report.error.value if report.error else ""
        n, newest = counts.get(key := (60, minute, report.target, name, error), (0, 0.0))
        counts[key] = (n + 1, max(newest, report.at))
    return counts


def wrong(connection):
    """What verifying finds."""
    return [text for _, check in checks(connection) for text in check()]


def wrong_after(path, damage, span_s):
    """What verifying finds in a copy whose sums of one length are damaged."""
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    with closing(sqlite3.connect(copy)) as raw:
        raw.execute(f"UPDATE rollups SET {damage} WHERE span_s = {span_s} AND sketch IS NOT NULL")
        raw.commit()
    with closing(Reader(copy)) as reader, reader.snapshot() as connection:
        return wrong(connection)


@pytest.mark.parametrize("seed", range(5))
def test_figures_from_sums_are_those_of_the_rows(tmp_path, seed):
    """However the rows came: batches, duplicates, clients; also after the rows are gone."""
    rng, writer = Random(seed), Writer(tmp_path / "a.db")
    writer.start()
    made = []
    for batch in range(20):
        reports = [
            Report(
                f"{batch}-{n}" if rng.random() < 0.9 else "same",
                rng.choice(["alpha", "beta"]),
                NOW - rng.random() * 86_400 * rng.choice([0.01, 0.2, 8]),
                rng.choice(
                    [None, None, ErrorClass.TIMEOUT, ErrorClass.AUTH, ErrorClass.POLICY_BLOCKED]
                ),
                rng.lognormvariate(1, 0.5),
                1,
            )
            for n in range(rng.randint(1, 60))
        ]
        name = rng.choice(["shop", "blog", "app"])

        def work(connection: Connection, name=name, reports=reports):
            return rows.store(connection, [a_body(name, reports)])

        (stored,), counts = writer.ask(work).result(10)
        new = new_of(made, name, reports)
        assert (len(new), len(reports)) == (stored.accepted, stored.accepted + stored.duplicates)
        assert counts_of(new) == counts
        made += new
        if rng.random() < 0.3:
            sum_up(writer)
    sum_up(writer)
    writer.close()
    spans = {"1h": 3600.0, "6h": 21_600.0, "24h": 86_400.0, "7d": 604_800.0, "30d": 2_592_000.0}
    with closing(Reader(tmp_path / "a.db")) as reader, reader.snapshot() as connection:
        kept = list(rows.recent(connection, 0.0))
        figures = rows.figures(connection, lambda _: spans, NOW, {})

        assert [] == wrong(connection)
    for damage in ("n = n + 1", "sketch = NULL", "latency_us = 0"):
        for span_s in (60, 3600, 86_400, 0):
            assert wrong_after(tmp_path / "a.db", damage, span_s), (damage, span_s)

    assert sorted(made, key=repr) == sorted(kept, key=repr)
    assert len(made) == sum(figures.totals.values())
    for target in ("alpha", "beta"):
        for name, span_s in spans.items():
            unit = 60 if span_s <= 21_600 else 3600 if span_s <= 604_800 else 86_400
            expected = by_hand(made, target, (NOW - span_s) // unit * unit)
            assert expected == figures.windows.get(target, {}).get(name)


SENDER = """
import sys
from pathlib import Path
from monitor.core.reports import Report
from monitor.store import reports as rows
from monitor.store.summing import sum_up
from monitor.store.writer import Writer

writer = Writer(Path(sys.argv[1]))
writer.start()
number = 0
while True:
    batch = [Report(f"{sys.argv[2]}-{number + n}", "alpha", 1e9, None, 1.0, 1) for n in range(50)]
    number += 50
    text = rows.text_of(batch)
    body = rows.Body(client="shop", count=50, text=text, received_at=1e9, skew_s=0.0)
    (stored,), _ = writer.ask(lambda c: rows.store(c, [body])).result(30)
    print(stored.accepted, flush=True)
    if number % 150 == 0:
        sum_up(writer)
"""


def test_a_kill_loses_nothing_that_was_accepted(tmp_path):
    """Whatever was said to be stored is there, once in the sums; what was not said may be, too."""
    path, said = tmp_path / "a.db", 0
    for life in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", SENDER, str(path), str(life)], stdout=subprocess.PIPE, text=True
        ) as process:
            for _ in range(20):
                said += int(process.stdout.readline())
            os.kill(process.pid, signal.SIGKILL)
            said += sum(int(line) for line in process.stdout if line.endswith("\n"))
    summed_up(path)
    with closing(Reader(path)) as reader, reader.snapshot() as connection:
        kept = len(list(rows.recent(connection, 0.0)))
        figures = rows.figures(connection, lambda _: {"30d": 2_592_000.0}, 1e9, {})

        assert [] == wrong(connection)
    assert said <= kept <= said + 5 * 50
    assert kept == sum(figures.totals.values())


def summed_up(path, work=lambda _: None):
    """All of a file is summed up, after some *work* on it; how many reports its sums know then."""
    writer = Writer(path)
    writer.start()
    writer.ask(work).result(30)
    sum_up(writer)
    writer.close()
    with closing(sqlite3.connect(path)) as raw:
        ((n,),) = raw.execute("SELECT sum(n) FROM rollups WHERE kind = 'report' AND span_s = 0")
    return n


def told(*ids, at=NOW):
    """What stores a body of *ids*."""
    reports = [Report(name, "alpha", at, None, 1.0, 1) for name in ids]
    return lambda connection: rows.store(connection, [a_body("shop", reports, at)])


def test_rows_after_a_file_was_emptied_are_summed_up(tmp_path):
    """Their ids begin anew, and must not be taken for those of rows that are gone."""
    path = tmp_path / "a.db"
    assert 3 == summed_up(path, told("a", "b", "c"))
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DELETE FROM reports")
        raw.commit()

    assert 5 == summed_up(path, told("d", "e"))


def test_no_row_is_pruned_that_is_in_no_sum(tmp_path):
    """However old it is: a daemon that was killed sums it up at its next start."""
    path = tmp_path / "a.db"
    summed_up(path, told("a", "b"))
    writer = Writer(path)
    writer.start()
    writer.ask(told("c")).result(10)
    later = NOW + 30 * 86_400
    (sort,) = [s for s in sorts(cutoffs(Retention(), later)) if s.name == "reports"]
    pruned = writer.ask(lambda connection: prune(connection, sort, 100)).result(10)
    writer.close()

    assert 2 == pruned
    assert 3 == summed_up(path)


def test_sums_of_an_older_version_are_not_made_again(tmp_path):
    """It made them with their rows, and knew no mark."""
    path = tmp_path / "a.db"
    summed_up(path, told("a", "b", "c"))
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DELETE FROM meta WHERE key = 'reports_summed_to'")
        raw.execute("PRAGMA user_version = 11")
        raw.commit()

    assert 3 == summed_up(path)
    assert 4 == summed_up(path, told("d"))


def test_many_rows_are_summed_up_a_part_at_a_time(tmp_path, monkeypatch):
    """Money that is asked for waits for one part at most; all parts are added at once."""
    monkeypatch.setattr(summing, "REPORTS_SUMMED_AT_ONCE", 2)
    writer = Writer(tmp_path / "a.db")
    writer.start()
    writer.ask(told("a", "b", "c")).result(10)
    first = writer.ask(unsummed).result(10)
    assert 2 == sum(tally.n for tally in first.minutes.values())
    both = writer.ask(lambda connection: unsummed(connection, first)).result(10)
    assert 3 == sum(tally.n for tally in both.minutes.values())
    assert writer.ask(lambda connection: unsummed(connection, both)).result(10) is None
    writer.close()
    assert 3 == summed_up(tmp_path / "a.db")


def test_summing_up_ends_however_much_comes_meanwhile(tmp_path):
    """What came after its begin waits for the next time."""
    writer = Writer(tmp_path / "a.db")
    writer.start()

    class Busy:
        """A writer that has stored one more each time it is asked."""

        asked = 0

        def ask(self, work):
            self.asked += 1
            assert self.asked < 10
            writer.ask(told(f"r-{self.asked}")).result(10)
            return writer.ask(work)

    sum_up(Busy())
    writer.close()
    with closing(Reader(tmp_path / "a.db")) as reader, reader.snapshot() as connection:
        assert 1 == sum(count.n for count in rows.minutes(connection, 0.0).values())


def test_two_that_sum_up_at_once_count_nothing_twice(tmp_path):
    """A stopping daemon sums up while the thread of its last time may still be at it."""
    writer = Writer(tmp_path / "a.db")
    writer.start()
    writer.ask(told("a", "b", "c")).result(10)
    found = writer.ask(unsummed).result(10)
    for _ in range(2):
        writer.ask(lambda connection: add(connection, found)).result(10)
    writer.close()
    assert 3 == summed_up(tmp_path / "a.db")


async def test_sums_follow_what_came(world):
    """A second later, whoever asks for figures or not."""
    daemon, _, send = world
    await send(row(daemon, 1), row(daemon, 2))

    def summed():
        with daemon.reader.snapshot() as connection:
            return sum(count.n for count in rows.minutes(connection, 0.0).values())

    await until(lambda: summed() == 2)


async def test_figures_follow_what_came(world):
    """Within seconds, where it takes little to make them; nobody has to ask."""
    daemon, _, send = world
    await send(row(daemon, 1), row(daemon, 2))

    await until(lambda: sum(daemon.engine.reports.totals.values()) == 2)


async def test_what_a_killed_daemon_did_not_sum_up_its_next_start_hears(world):
    """Its failures count, and its rows are in the figures."""
    daemon, *_ = world
    await daemon.stop()
    writer = Writer(daemon.config.store_path)
    writer.start()
    failed = Report("r", "flash", daemon.clock.wall(), ErrorClass.TIMEOUT, 1.0, 1)
    body = a_body("shop", [failed], daemon.clock.wall())
    writer.ask(lambda connection: rows.store(connection, [body])).result(10)
    writer.close()
    async with running(daemon.config) as later:
        assert State.SUSPECT is later.engine.health("flash", later.clock.wall()).state
        await until(lambda: later.engine.reports.totals)


async def test_a_store_that_refuses_is_told_and_nothing_is_taken(world):
    """503 with a time to come again; the daemon goes on."""
    daemon, _, send = world
    daemon.writer.close()
    answer = await send(row(daemon))

    assert 503 == answer.status_code
    assert "Retry-After" in answer.headers
