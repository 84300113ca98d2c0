"""The ledger on real files: bills, upgrades, stores that refuse, and a thousand deaths."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zlib import crc32
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import create_engine

from monitor.core.quota import QuotaUse, quotas_of
from monitor.core.spec import ProviderSpec, QuotaSpec, SpendCap
from monitor.core.spend import Caps, Claim, Mark, period_start
from monitor.errors import StoreError
from monitor.store.migrations import STEPS, migrate
from monitor.store.opening import open_for_writing
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import ProbeKind, ProbeResult
from probes.retry import midnight_before
from tests.support import spenders
from tests.support.builders import NOW, a_spec

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 30.0  # Never reached when things work.
CAPS = Caps(
    overall=SpendCap(usd_per_day=1.0), providers={}, targets={"t": a_spec("t", provider="lab")}
)
KILLS = 1000
PACIFIC = ZoneInfo("America/Los_Angeles")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database goes."""
    return tmp_path / "imgmon.db"


@contextmanager
def opened(path: Path, **options):
    """A started writer, closed at the end."""
    with closing(Writer(path, **options)) as writer:
        writer.start()
        yield writer


def a_claim(number: int, micros: int = 400_000, caps: Caps = CAPS) -> Claim:
    """Forty cents for one probe of the target."""
    return Claim(
        probe_id=f"p-{number}", target_id="t", provider="lab", micros=micros, at=NOW,
        caps=caps.of("t"),
    )  # fmt: skip


def is_granted(writer: Writer, claim: Claim) -> bool:
    """Whether the money was set aside."""
    return writer.reserve(claim).result(WAIT_S).refused_by is None


def a_bill(number: int, usd: float) -> ProbeResult:
    """What a probe came to."""
    return ProbeResult(
        probe_id=f"p-{number}", target_id="t", started_at=NOW, duration_s=1.0, latency_s=1.0,
        cost_usd=usd,
    )  # fmt: skip


def books(path: Path) -> list[tuple]:
    """Every line of the ledger: probe, micro-dollars, whether it is settled."""
    with closing(sqlite3.connect(path)) as raw:
        query = "SELECT probe_id, micros, is_settled FROM reservations ORDER BY id"
        return raw.execute(query).fetchall()


def test_a_granted_reservation_is_in_the_file_when_it_is_told(path):
    """Another connection sees it at its worst case, before anything was sent."""
    with opened(path) as writer:
        assert is_granted(writer, a_claim(1))
        assert [("p-1", 400_000, 0)] == books(path)


@pytest.mark.parametrize(("billed", "micros"), [(0.25, 250_000), (0.0, 0), (0.7, 700_000)])
def test_a_bill_replaces_its_reservation(path, billed, micros):
    """Less, nothing, or more than was reserved; together with the probe's row."""
    with opened(path) as writer:
        is_granted(writer, a_claim(1))
        writer.submit_probe(a_bill(1, billed), "lab", "here")
        assert writer.flush(WAIT_S)

    assert [("p-1", micros, 1)] == books(path)


def test_what_nothing_was_reserved_for_is_booked_with_its_row(path):
    """A route that was thought free, and costs; a free one, which is a request; no free call."""
    with opened(path) as writer:
        writer.submit_probe(a_bill(1, 0.9), "lab", "here")
        writer.submit_probe(a_bill(2, 0.0), "lab", "here")
        assert writer.flush(WAIT_S)
        writer.submit_probe(replace(a_bill(4, 0.0), kind=ProbeKind.LIVENESS), "lab", "here")
        assert writer.flush(WAIT_S)

        assert not is_granted(writer, a_claim(3))
    assert [("p-1", 900_000, 1), ("p-2", 0, 1)] == books(path)


def test_what_is_under_way_in_a_process_that_died_stays_booked(path):
    """Two probes never settled leave room for none of their price, after any restart."""
    with opened(path) as writer:
        assert [True, True, False] == [is_granted(writer, a_claim(n)) for n in (1, 2, 3)]
    with opened(path) as writer:
        assert not is_granted(writer, a_claim(4))
        assert is_granted(writer, a_claim(5, 200_000))


def test_a_row_that_was_dropped_leaves_its_worst_case(path):
    """A full queue loses the bill, not the money."""
    with opened(path, queue_max=0) as writer:
        is_granted(writer, a_claim(1))
        assert not writer.submit_probe(a_bill(1, 0.01), "lab", "here")

    assert [("p-1", 400_000, 0)] == books(path)


def test_each_mark_of_a_cap_is_told_once_a_period(path):
    """Also over a restart; a cap of another amount is another cap."""

    def marks(writer: Writer, number: int, caps: Caps = CAPS) -> list[Mark]:
        return [mark for mark, _ in writer.reserve(a_claim(number, caps=caps)).result(WAIT_S).marks]

    with opened(path) as writer:
        assert [[], [Mark.NEAR], [Mark.REACHED], []] == [marks(writer, n) for n in (1, 2, 3, 4)]
    raised = Caps(overall=SpendCap(usd_per_day=0.8), providers={}, targets=CAPS.targets)
    with opened(path) as writer:
        assert [] == marks(writer, 5)
        assert [Mark.NEAR, Mark.REACHED] == marks(writer, 6, raised)


def test_a_store_that_refuses_is_told_at_once_and_books_nothing(path):
    """Nobody may spend on a promise; once it takes rows again, money flows again."""
    with opened(path, pragmas=["PRAGMA busy_timeout = 1"]) as writer:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.submit_probe(a_bill(0, 0.1), "lab", "here")
            with pytest.raises(StoreError, match=r"cannot write .*locked"):
                is_granted(writer, a_claim(1))
            assert writer.stats.is_failing
            other.execute("COMMIT")
        assert is_granted(writer, a_claim(2))
        assert writer.flush(WAIT_S)

    assert {("p-2", 400_000, 0), ("p-0", 100_000, 1)} == set(books(path))


def test_a_closed_store_grants_nothing(path):
    """Neither before it is opened nor after."""
    with pytest.raises(StoreError, match="is closed"):
        is_granted(Writer(path), a_claim(1))
    with opened(path) as writer:
        pass
    with pytest.raises(StoreError, match="is closed"):
        is_granted(writer, a_claim(1))


def test_a_quota_counts_free_and_paid_probes(path):
    """All of its provider, or of the targets that use a model; one too many is not booked."""
    lab = ProviderSpec(id="lab", quota=QuotaSpec(per_day=100, share=0.03))
    whole = quotas_of(CAPS.targets["t"], lab, (), {}, NOW)
    model = tuple(replace(quota, targets=("u", "v"), probes=1) for quota in whole)

    def asked(number: int, micros: int, quotas=whole, target: str = "t"):
        claim = replace(a_claim(number, micros), quotas=quotas, caps=(), target_id=target)
        return writer.reserve(claim).result(WAIT_S).refused_by

    with opened(path) as writer:
        assert [None] * 3 == [asked(n, usd) for n, usd in ((1, 0), (2, 400_000), (3, 0))]
        assert QuotaUse(whole[0], 3) == asked(4, 0)
        assert None is asked(5, 0, model, "u")
        assert QuotaUse(model[0], 1) == asked(6, 0, model, "v")

    assert [("p-1", 0, 0), ("p-2", 400_000, 0), ("p-3", 0, 0), ("p-5", 0, 0)] == books(path)


def test_a_cap_refuses_before_a_quota_does(path):
    """And a claim that a quota refuses counts in no cap's mark."""
    lab = ProviderSpec(id="lab", quota=QuotaSpec(per_day=50))
    quotas = quotas_of(CAPS.targets["t"], lab, (), {}, NOW)
    with opened(path) as writer:
        first, second, third = (
            writer.reserve(replace(a_claim(number, micros), quotas=quotas)).result(WAIT_S)
            for number, micros in ((1, 700_000), (2, 200_000), (3, 400_000))
        )

    assert (None, ()) == (first.refused_by, first.marks)
    assert (QuotaUse(quotas[0], 1), ()) == (second.refused_by, second.marks)
    assert "global per day" == str(third.refused_by.cap)


def test_who_stops_waiting_before_the_turn_comes_books_nothing(path):
    """A probe cancelled while the disk is slow costs nothing."""
    with opened(path) as writer:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first = writer.reserve(a_claim(1))
            while not first.running():
                threading.Event().wait(0.001)
            assert writer.reserve(a_claim(2)).cancel()
            other.execute("COMMIT")
        assert first.result(WAIT_S).refused_by is None

    assert [("p-1", 400_000, 0)] == books(path)


def test_a_file_without_a_ledger_is_upgraded_and_its_probes_are_booked(path):
    """Version 1 knew costs only: what was paid today counts against today's cap."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        STEPS[0](connection)
        connection.exec_driver_sql("PRAGMA user_version = 1")
    engine.dispose()
    with closing(sqlite3.connect(path)) as raw:
        tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_schema")}
        for number, usd in ((1, 0.134), (2, 0.0), (3, 0.6)):
            raw.execute(
                "INSERT INTO probes (probe_id, vantage, target_id, provider, started_at, duration_s,"
                " outcome, kind, reason, slot_s, detail, phases, cost_usd, received_bytes, reused)"
                " VALUES (?, '', 't', 'lab', ?, 1, 'good', 'canary', 'manual', 0, '', '{}', ?, 0, 0)",
                (f"p-{number}", NOW, usd),
            )
        raw.commit()

    with opened(path) as writer, closing(Reader(path)) as reader:
        (row,) = reader.booked(NOW)
        assert not is_granted(writer, a_claim(9))
        assert is_granted(writer, a_claim(10, 266_000))

    assert {"reservations", "cap_marks"}.isdisjoint(tables)
    assert ("lab", "t", 734_000, 734_000) == (
        row.provider, row.target_id, row.day_micros, row.month_micros,
    )  # fmt: skip
    assert [
        ("p-1", 134_000, 1), ("p-3", 600_000, 1), ("p-2", 0, 1), ("p-10", 266_000, 0)
    ] == books(path)  # fmt: skip
    engine = open_for_writing(path, ())
    migrate(engine, 2)
    engine.dispose()


def test_free_probes_of_the_newest_day_are_booked_by_an_upgrade(path):
    """Version 3 booked money alone: requests of today count, older ones and free calls do not."""
    with opened(path) as writer:
        for number, hours, usd, kind in (
            (1, 0, 0.0, ProbeKind.CANARY), (2, 24, 0.0, ProbeKind.MANUAL),
            (3, 26, 0.0, ProbeKind.CANARY), (4, 1, 0.0, ProbeKind.LIVENESS),
            (5, 1, 0.2, ProbeKind.CANARY),
        ):  # fmt: skip
            bill = replace(a_bill(number, usd), started_at=NOW - hours * 3600.0, kind=kind)
            writer.submit_probe(bill, "lab", "here")
        assert writer.flush(WAIT_S)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("DELETE FROM reservations WHERE micros = 0")
        raw.execute("PRAGMA user_version = 3")
        raw.commit()
    with opened(path):
        pass

    assert {("p-1", 0, 1), ("p-2", 0, 1), ("p-5", 200_000, 1)} == set(books(path))


class Meter(ThreadingHTTPServer):
    """A provider that bills on arrival: a share of the price drawn from the probe's name."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), _Bill)
        self.billed: Counter[str] = Counter()

    def handle_error(self, request, client_address) -> None:
        """The caller was killed: the bill stands."""


class _Bill(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Bill first, then answer."""
        probe_id, price = self.path.strip("/").split("/")
        billed = int(price) * (crc32(probe_id.encode()) % 4) // 3
        self.server.billed[probe_id] += billed
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(billed).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_no_death_of_a_process_passes_a_cap_or_a_quota_or_loses_a_bill(path):
    """Law: after each of a thousand kills the ledger holds at least what the provider was asked."""
    with opened(path):
        pass
    with Meter() as meter:
        serving = threading.Thread(target=meter.serve_forever)
        serving.start()
        arguments = [str(path), str(meter.server_port), str(KILLS // 2), "20261122"]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "tests.support.spenders", *arguments],
                cwd=ROOT, capture_output=True, text=True, check=True,
            )  # fmt: skip
        finally:
            meter.shutdown()
            serving.join()
    with opened(path), closing(sqlite3.connect(path)) as raw:  # Opening runs the integrity check.
        rows = raw.execute(
            "SELECT probe_id, target_id, provider, at, micros, is_settled FROM reservations"
        ).fetchall()
        reached = raw.execute(
            "SELECT DISTINCT cap FROM cap_marks WHERE mark = 'reached'"
        ).fetchall()
        probes = raw.execute("SELECT probe_id FROM probes").fetchall()

    assert KILLS == int(done.stdout)
    booked = {row[0]: row[4] for row in rows}
    assert [] == [probe for probe, usd in meter.billed.items() if usd > booked.get(probe, -1)]
    assert {probe: meter.billed[probe] for (probe,) in probes} == {
        row[0]: row[4] for row in rows if row[5]
    }
    for cap in spenders.CAPS.all():
        sums: Counter[float] = Counter()
        for _, target, provider, at, usd, _ in rows:
            if cap.id in ("", target, provider):
                sums[period_start(cap.period, at)] += usd
        assert max(sums.values()) <= cap.micros
    days = Counter(midnight_before(row[3], PACIFIC) for row in rows if row[2] == "gratis")
    assert {30} == set(list(days.values())[1:-1]) == {max(days.values())}
    # It was a test, on a slow machine too: money flowed, caps bit, many died with a request out.
    assert reached
    assert len(meter.billed) > KILLS / 10
    assert sum(not row[5] for row in rows) > KILLS / 10
