"""Frozen months in real files: once, whatever dies, whoever prunes."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.core.maintenance import Maintenance
from monitor.core.months import Evidence, month_bounds, month_figures
from monitor.core.snapshot import GapReason
from monitor.core.spec import Objective
from monitor.core.verdict import Verdict
from monitor.errors import StoreError
from monitor.months import Months
from monitor.store import months as rows
from monitor.store.migrations import STEPS
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import ErrorClass, ProbeKind, ProbeReason
from tests.support.builders import a_pool, a_result, a_spec
from tests.support.strategies import samples

pytestmark = pytest.mark.anyio
DAY = 86_400.0
DATA = Path(__file__).resolve().parents[1] / "data" / "months"
CLAIM = Objective(availability=0.9, latency_p95_s=12.0)


def utc(*parts):
    """A time in UTC, in seconds since the epoch."""
    return datetime(*parts, tzinfo=UTC).timestamp()


OCTOBER, NOVEMBER, DECEMBER = utc(2026, 10, 1), utc(2026, 11, 1), utc(2026, 12, 1)


class Store:
    """A store on disk and the months of one target in it."""

    def __init__(self, path, now=DECEMBER + DAY, **changes):
        """Open the file as of *now*."""
        self.clock = ManualClock(wall=now)
        self.writer = Writer(path)
        self.writer.start()
        self.reader = Reader(path)
        spec = a_spec(**{"claim": CLAIM} | changes)
        self.months = Months(
            {"alpha": spec}, [a_pool()], reader=self.reader, writer=self.writer, clock=self.clock
        )

    def probes(self, since, count, error=None, **changes):
        """Store *count* results, one an hour from *since*."""
        for number in range(count):
            at = since + 3600.0 * number
            changes = {"slot_s": 3600.0, "cost_usd": 0.04, "probe_id": f"p-{at}"} | changes
            self.writer.submit_probe(a_result(error, at, **changes), "acme", "here")
        assert self.writer.flush()

    def of(self):
        """The months of the target by name."""
        return {month.month: month for month in self.months.of("alpha")}

    def close(self):
        """Let go of the file."""
        self.reader.close()
        self.writer.close()


@pytest.fixture
def path(tmp_path):
    """Where the file is."""
    return tmp_path / "a.db"


@pytest.fixture
def store(path):
    """A store on the second of December."""
    with closing(Store(path)) as opened:
        yield opened


async def test_a_month_is_frozen_with_all_its_figures(store):
    """Both views, interval, coverage, latencies, timeouts, latency SLI, verdicts, gaps, money."""
    store.probes(NOVEMBER, 40)
    store.probes(NOVEMBER + 40 * 3600.0, 2, ErrorClass.TIMEOUT)
    store.probes(NOVEMBER + 42 * 3600.0, 1, ErrorClass.AUTH)
    store.probes(NOVEMBER + 43 * 3600.0, 1, reason=ProbeReason.CONFIRM, slot_s=0.0)
    store.probes(NOVEMBER + 44 * 3600.0, 1, kind=ProbeKind.LIVENESS, cost_usd=0.0)
    for hour, reason in enumerate([GapReason.SPEND_CAP, GapReason.SPEND_CAP, GapReason.MISSED]):
        store.writer.submit_gap("alpha", reason, NOVEMBER + 3600.0 * (50 + hour), 3600.0)
    assert store.writer.flush()

    assert 1 == await store.months.freeze()
    month = store.of()["2026-11"]
    figures = month.figures
    assert (True, 43, 40, 2, 1) == (
        month.is_final, figures.n, figures.good, figures.bad, figures.unusable,
    )  # fmt: skip
    assert 40 / 42 == pytest.approx(figures.provider.value)
    assert 40 / 43 == pytest.approx(figures.user.value)
    assert 43 / 720 == pytest.approx(figures.coverage)
    assert (5.0, None) == (figures.quantiles[0.95].value, figures.quantiles[0.95].upper)
    assert 2 / 42 == pytest.approx(figures.timeout_ratio)
    assert 40 / 42 == pytest.approx(figures.latency_sli.value)
    assert CLAIM == month.claim
    assert [Verdict.UNDETERMINED] * 2 == [verdict.verdict for verdict in month.verdicts]
    assert {GapReason.SPEND_CAP: 2, GapReason.MISSED: 1} == {
        reason: count.slots for reason, count in figures.gaps.items()
    }
    assert month.figures.since == NOVEMBER


async def test_money_is_what_the_ledger_booked(store, path):
    """The bill of a result, and the price of probes of which none is known; of this month alone."""
    store.probes(NOVEMBER, 1)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.executemany(
            "INSERT INTO reservations (probe_id, target_id, provider, at, micros, is_settled) "
            "VALUES (?, ?, 'acme', ?, ?, 0)",
            [
                ("a", "alpha", NOVEMBER, 40_000), ("b", "alpha", DECEMBER - 0.001, 50_000),
                ("c", "alpha", DECEMBER, 70_000), ("d", "beta", NOVEMBER, 90_000),
            ],
        )  # fmt: skip
    await store.months.freeze()

    assert 0.13 == store.of()["2026-11"].spend_usd


async def test_a_frozen_month_outlives_its_rows(store, path):
    """Pruned, changed or added to: what was frozen stays as it was, to the last bit."""
    store.probes(NOVEMBER, 100)
    store.probes(NOVEMBER + 100 * 3600.0, 3, ErrorClass.OVERLOADED)
    await store.months.freeze()
    before = store.of()["2026-11"]
    store.probes(NOVEMBER + 5.0, 50, ErrorClass.TIMEOUT)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DELETE FROM probes WHERE slot_s = 3600 AND error IS NULL")
        raw.execute("DELETE FROM gaps")

    assert before == store.of()["2026-11"]
    assert 0 == await store.months.freeze()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DELETE FROM probes")
    assert before == store.of()["2026-11"]


async def test_a_month_waits_a_day_for_late_results(store):
    """On the first of December November is shown, and not final; a day later it is frozen."""
    store.probes(NOVEMBER, 10)
    store.clock.step(-1.0)
    assert 0 == await store.months.freeze()
    assert [("2026-11", False), ("2026-12", False)] == [
        (name, month.is_final) for name, month in store.of().items()
    ]

    store.probes(DECEMBER - 3600.0, 1, kind=ProbeKind.BATCH)
    store.clock.advance(1.0)
    assert 1 == await store.months.freeze()
    assert [("2026-11", True), ("2026-12", False)] == [
        (name, month.is_final) for name, month in store.of().items()
    ]
    assert 11 == store.of()["2026-11"].figures.n


async def test_months_that_passed_while_nobody_ran_are_frozen_at_the_next_start(path):
    """Those with rows, each once; a month of which nothing is known is none."""
    with closing(Store(path, now=utc(2026, 8, 15))) as early:
        early.probes(utc(2026, 8, 10), 5)
        assert 0 == await early.months.freeze()
        early.writer.submit_gap("alpha", GapReason.PAUSED, OCTOBER + 60.0, 600.0)
        assert early.writer.flush()
    with closing(Store(path)) as late:
        assert 2 == await late.months.freeze()
        assert ["2026-08", "2026-10", "2026-12"] == list(late.of())
        assert 0 == late.of()["2026-10"].figures.n
    with closing(Store(path)) as again:
        assert 0 == await again.months.freeze()


async def test_two_daemons_freeze_a_month_once(path):
    """Both figure it, one is kept; the other is told so."""
    with closing(Store(path)) as one, closing(Store(path, now=DECEMBER + 2 * DAY)) as other:
        one.probes(NOVEMBER, 20)
        counts = await asyncio.gather(*(s.months.freeze() for s in (one, other, one, other)))

        assert 1 == sum(counts)
        assert one.of()["2026-11"] == other.of()["2026-11"]


async def test_the_claim_of_the_moment_is_frozen_with_the_month(path):
    """A claim that is raised later is another month's."""
    with closing(Store(path)) as first:
        first.probes(NOVEMBER, 100)
        await first.months.freeze()
    with closing(Store(path, claim=Objective(availability=0.9999))) as later:
        later.probes(DECEMBER, 3)
        months = later.of()

        assert Verdict.ATTAINED is months["2026-11"].verdicts[0].verdict
        assert (0.9, 0.9999) == (
            months["2026-11"].claim.availability, months["2026-12"].claim.availability,
        )  # fmt: skip


async def test_maintenance_is_part_of_a_month(path):
    """Ten days of it leave twenty to be covered."""
    rules = (Maintenance(since=NOVEMBER + 10 * DAY, until=NOVEMBER + 20 * DAY),)
    with closing(Store(path, maintenance=rules)) as store:
        store.probes(NOVEMBER, 240)
        await store.months.freeze()
        figures = store.of()["2026-11"].figures

        assert 10 * DAY == figures.maintenance_s
        assert 240 / 480 == pytest.approx(figures.coverage)


async def test_the_running_month_is_there_without_any_row(store):
    """Nothing is known of it, and that is said."""
    (month,) = store.of().values()

    assert ("2026-12", False, 0) == (month.month, month.is_final, month.figures.n)
    assert {Verdict.UNDETERMINED} == {verdict.verdict for verdict in month.verdicts}


async def test_a_store_that_cannot_be_written_freezes_nothing(store):
    """It is told, and tried again later."""
    store.probes(NOVEMBER, 3)
    store.writer.close()

    with pytest.raises(StoreError):
        await store.months.freeze()
    assert not store.of()["2026-11"].is_final


async def said_by(months, capsys):
    """What the task that freezes logs first; it lives on after it."""
    task, said = asyncio.create_task(months.run()), ""
    async with asyncio.timeout(20):
        while not said:
            await asyncio.sleep(0.01)
            said = capsys.readouterr().out
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return said


async def test_freezing_goes_on_while_the_store_refuses(store, capsys):
    """It says why nothing was frozen, and tries again."""
    store.probes(NOVEMBER, 3)
    store.writer.close()

    assert "months.not_frozen" in await said_by(store.months, capsys)


async def test_a_row_that_nobody_understands_does_not_end_the_freezing(store, path, capsys):
    """A reason of another version, say: it is told with its place in the code."""
    store.probes(NOVEMBER, 3)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(
            "INSERT INTO gaps (target_id, at, reason, slot_s) VALUES ('alpha', ?, 'sloth', 600)",
            [NOVEMBER],
        )
    said = await said_by(store.months, capsys)

    assert "months.failed" in said
    assert "sloth" in said


def test_a_file_without_months_is_upgraded(path):
    """One of the version before gets the table, and its rows are frozen like any other."""
    with closing(Store(path)) as store:
        store.probes(NOVEMBER, 5)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DROP TABLE months")
        before = [step.__name__ for step in STEPS].index("_add_months")
        raw.execute(f"PRAGMA user_version = {before}")
    with closing(Store(path)) as upgraded:
        assert 1 == asyncio.run(upgraded.months.freeze())
    with closing(sqlite3.connect(path)) as raw:
        assert (len(STEPS),) == raw.execute("PRAGMA user_version").fetchone()


def test_what_was_frozen_by_an_earlier_version_is_read(path):
    """Figures that were signed are served for ever; fields that come later need a default."""
    figures = (DATA / "frozen-by-schema-6.json").read_text()
    with closing(Store(path)) as store:
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("INSERT INTO months VALUES ('alpha', '2026-11', ?, ?)", [NOVEMBER, figures])
        month = store.of()["2026-11"]

        assert (True, 8.12, 203, 200) == (
            month.is_final, month.spend_usd, month.figures.n, month.figures.good,
        )  # fmt: skip
        assert (10.0, 200 / 203) == (
            month.figures.quantiles[0.95].value, month.figures.latency_sli.value,
        )  # fmt: skip
        assert ["undetermined", "attained"] == [v.verdict.value for v in month.verdicts]


@settings(max_examples=40, deadline=None)
@given(
    appended=st.lists(
        samples(st.floats(0, 30 * DAY, exclude_max=True).map(lambda s: NOVEMBER + s)), max_size=20
    )
)
def test_what_is_frozen_is_read_as_it_was(appended, tmp_path_factory):
    """Law: figures survive the way through the file to the last bit, ratios and bounds included."""
    evidence = Evidence(samples=tuple(appended), gaps=(), spend_usd=0.1)
    month = month_figures(
        "2026-11", a_spec(claim=CLAIM), evidence, threshold_s=12.0, now=DECEMBER + DAY,
        is_final=True,
    )  # fmt: skip
    with closing(Store(tmp_path_factory.mktemp("m") / "a.db")) as store:
        assert store.writer.ask(lambda c: rows.freeze(c, month)).result(20)
        assert not store.writer.ask(lambda c: rows.freeze(c, month)).result(20)

        assert (month,) == store.reader.ask(lambda s: rows.frozen(s, "alpha"))
        assert month_bounds("2026-11") == (NOVEMBER, DECEMBER)
