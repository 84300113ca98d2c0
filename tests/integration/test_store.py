"""The store on real files: batches, full disks, locks, crashes, strangers."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from monitor.clock import ManualClock
from monitor.core.snapshot import GapReason, Order
from monitor.core.spec import PoolSpec, Profile
from monitor.errors import StoreError
from monitor.limits import WRITE_BATCH_MAX
from monitor.store.lock import StoreLock
from monitor.store.migrations import STEPS
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import Limit, LimitPeriod, ProbeResult

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 30.0  # Never reached when things work.
POOL = PoolSpec(id="image", targets=("t",))
PROFILE = Profile(name="fast", usd_per_second=0.01)


def a_result(number: int, **changes) -> ProbeResult:
    """A good probe that can be told from others."""
    values = {"target_id": "t", "started_at": 1000.0 + number, "duration_s": 1.0, "latency_s": 1.0}
    return ProbeResult(**({"probe_id": f"p-{number:06d}"} | values | changes))


def an_order(version: int) -> Order:
    """An order without places."""
    return Order(
        pool=POOL, profile=PROFILE, version=version, changed_at=1.0, valid_until=2.0,
        all_degraded=False, places=(),
    )  # fmt: skip


def submit(writer: Writer, *numbers: int) -> list[bool]:
    """Queue probes."""
    return [writer.submit_probe(a_result(number), "lab", "here") for number in numbers]


def stored(path: Path) -> list[str]:
    """The ids of all stored probes, in order."""
    with closing(Reader(path)) as reader:
        return [result.probe_id for result in reader.replay(0.0)]


def wait_until(is_so, writer: Writer) -> None:
    """Wait for a state of the writer; its condition is notified at each change but failures."""
    ticker = threading.Event()
    for _ in range(int(WAIT_S / 0.02)):
        if is_so(writer.stats):
            return
        ticker.wait(0.02)
    pytest.fail(f"never came: {writer.stats}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database goes; a name that needs quoting in URLs."""
    return tmp_path / "imgmon 100%?#.db"


@pytest.fixture
def writer(path: Path):
    """A started writer, closed at the end."""
    writer = Writer(path, clock=ManualClock(wall=5000.0))
    writer.start()
    yield writer
    writer.close()


def test_rows_are_committed_in_the_order_they_came(writer, path):
    """Over several batches."""
    numbers = range(WRITE_BATCH_MAX * 2 + 7)

    assert all(submit(writer, *numbers))
    assert writer.flush(WAIT_S)

    assert [f"p-{number:06d}" for number in numbers] == stored(path)
    stats = writer.stats
    assert (0, len(numbers), 0, 0, 5000.0, "", False) == (
        stats.queue, stats.committed, stats.errors, stats.dropped, stats.last_commit_at,
        stats.last_error, stats.is_failing,
    )  # fmt: skip


def test_a_batch_is_committed_without_being_asked(writer, path):
    """After a short wait for company."""
    submit(writer, 1)

    wait_until(lambda stats: stats.committed == 1, writer)

    assert ["p-000001"] == stored(path)


def test_a_fresh_file_has_a_log_ahead_and_a_version(writer, path):
    """The journal mode is read back; the file says which schema it has and who made it."""
    with closing(sqlite3.connect(path)) as raw:
        assert ("wal",) == raw.execute("PRAGMA journal_mode").fetchone()
        assert (len(STEPS),) == raw.execute("PRAGMA user_version").fetchone()
        ((made_by,),) = raw.execute("SELECT value FROM meta WHERE key = 'created_by'")
    assert made_by.startswith("imgmon ")


def test_closing_commits_what_is_queued(path):
    """And opening again finds it; rows that come after are counted as lost."""
    writer = Writer(path)
    writer.start()
    submit(writer, 1, 2)
    writer.close()

    assert [False] == submit(writer, 3)
    assert 1 == writer.stats.dropped
    again = Writer(path)
    again.start()
    submit(again, 4)
    again.close()
    assert ["p-000001", "p-000002", "p-000004"] == stored(path)


def test_a_writer_that_never_started_can_be_closed(path):
    """For a start that failed elsewhere."""
    Writer(path).close()

    assert not path.exists()


def test_a_full_queue_drops_and_counts(path):
    """The caller learns of it at once; nothing grows without bound."""
    writer = Writer(path, queue_max=3)

    assert [True, True, True, False, False] == submit(writer, 1, 2, 3, 4, 5)
    assert 2 == writer.stats.dropped

    writer.start()
    writer.close()
    assert ["p-000001", "p-000002", "p-000003"] == stored(path)


def test_a_full_disk_loses_nothing_and_hurts_nobody(path):
    """Rows wait in memory, attempts are counted, and all are stored once there is room."""
    limits = []
    writer = Writer(path, pragmas=limits)
    writer.start()
    submit(writer, *range(10))
    assert writer.flush(WAIT_S)
    limits.append("PRAGMA max_page_count = 1")
    writer._engine.dispose()

    assert all(submit(writer, *range(10, 400)))
    wait_until(lambda stats: stats.errors > 1, writer)

    stats = writer.stats
    assert (390, 10, 0, True) == (stats.queue, stats.committed, stats.dropped, stats.is_failing)
    assert "full" in stats.last_error
    assert "p-0003" not in stats.last_error
    assert not writer.flush(0.0)
    assert 10 == len(stored(path))

    limits.clear()
    assert writer.flush(WAIT_S)
    assert [f"p-{number:06d}" for number in range(400)] == stored(path)
    assert not writer.stats.is_failing
    writer.close()


def test_a_locked_file_is_waited_for(path):
    """Another process may hold the write lock for longer than the busy timeout."""
    writer = Writer(path, pragmas=["PRAGMA busy_timeout = 1"])
    writer.start()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        submit(writer, 1)
        wait_until(lambda stats: stats.errors > 0, writer)
        assert "locked" in writer.stats.last_error
        other.execute("COMMIT")
    writer.close()

    assert ["p-000001"] == stored(path)


def test_closing_gives_up_in_time(path):
    """Rows that cannot be stored by then are counted as lost."""
    writer = Writer(path, pragmas=["PRAGMA busy_timeout = 1"])
    writer.start()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        submit(writer, 1, 2)
        wait_until(lambda stats: stats.errors > 0, writer)
        writer.close(timeout=0.01)

    assert (0, 2) == (writer.stats.queue, writer.stats.dropped)
    assert [] == stored(path)


def test_a_row_that_cannot_be_stored_takes_no_other_with_it(writer, path):
    """It is found, dropped and counted; its neighbours are stored in order."""
    submit(writer, 1, 2)
    writer.submit_probe(a_result(3, received_bytes=2**70), "lab", "here")
    submit(writer, 4)

    assert writer.flush(WAIT_S)

    assert ["p-000001", "p-000002", "p-000004"] == stored(path)
    assert (3, 1, False) == (
        writer.stats.committed, writer.stats.dropped, writer.stats.queue > 0,
    )  # fmt: skip


def test_a_reader_sees_whole_batches_while_rows_are_written(path):
    """Never more than is committed, never a gap, never a row twice."""
    writer = Writer(path)
    writer.start()
    seen = []

    def read() -> None:
        while not seen or seen[-1] < 2000:
            ids = stored(path)
            assert [f"p-{number:06d}" for number in range(len(ids))] == ids
            seen.append(len(ids))

    reading = threading.Thread(target=read)
    reading.start()
    submit(writer, *range(2000))
    assert writer.flush(WAIT_S)
    reading.join(WAIT_S)
    writer.close()

    assert not reading.is_alive()
    assert sorted(seen) == seen


def test_rows_committed_before_a_kill_are_there_after_it(path):
    """After kill -9 in the middle of writing: the file is whole and opens again."""
    program = (
        "import sys; from pathlib import Path\n"
        "from monitor.store.writer import Writer; from probes.model import ProbeResult\n"
        "writer = Writer(Path(sys.argv[1])); writer.start()\n"
        "for n in range(10**9):\n"
        "    writer.submit_probe(ProbeResult(probe_id=f'p-{n:06d}', target_id='t',\n"
        "        started_at=1000.0 + n, duration_s=1.0, latency_s=1.0), 'lab', 'here')\n"
        "    if n % 700 == 0:\n"
        "        writer.flush(); print(n, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        committed = [int(process.stdout.readline()) for _ in range(4)]
        process.send_signal(signal.SIGKILL)

    ids = stored(path)
    assert len(ids) > committed[-1]
    assert [f"p-{number:06d}" for number in range(len(ids))] == ids
    again = Writer(path)
    again.start()  # Runs the integrity check.
    again.close()


def test_orders_survive_with_their_version(writer, path):
    """The newest of each pool and profile; the first is no change of one."""
    for version in (1, 2, 3):
        writer.submit_order(an_order(version))
    writer.submit_gap("t", GapReason.SPEND_CAP, 5.0, 60.0)
    assert writer.flush(WAIT_S)

    with closing(Reader(path)) as reader:
        other = Profile(name="cheap", usd_per_second=0.0)
        assert an_order(3) == reader.last_order(POOL, PROFILE)
        assert reader.last_order(POOL, other) is None
        assert {("image", "fast"): 2} == reader.totals((1.0,)).order_changes
        assert {("t", GapReason.SPEND_CAP): 1} == reader.totals((1.0,)).gaps
        assert 0 < path.stat().st_size <= reader.size_bytes()


def test_an_absent_file_is_told_by_readers(path):
    """It has no size, and a query says which file is meant."""
    with closing(Reader(path)) as reader:
        assert 0 == reader.size_bytes()
        with pytest.raises(StoreError, match=r"cannot read .*imgmon 100%\?#.db: unable to open"):
            list(reader.replay(0.0))
        assert not path.exists()


def test_readers_cannot_write(writer, path):
    """The connection is opened read-only."""
    with (
        closing(Reader(path)) as reader,
        reader.session() as session,
        pytest.raises(Exception, match="readonly"),
    ):
        session.connection().exec_driver_sql("DELETE FROM probes")


def test_a_newer_file_is_left_alone(path):
    """An older imgmon would misread it."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 99")
        raw.commit()
    before = path.read_bytes()

    with pytest.raises(
        StoreError, match=r"schema version 99, this imgmon knows \d+; run the newer"
    ):
        Writer(path).start()

    assert before == path.read_bytes()


def test_a_file_of_a_version_with_fewer_columns_is_upgraded(path, writer):
    """Its rows stay, and what was not asked then reads as not told."""
    submit(writer, 1)
    writer.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for column in ("shutdown_on", "balance_usd", "limits"):
            raw.execute(f"ALTER TABLE probes DROP COLUMN {column}")
        raw.execute("PRAGMA user_version = 2")

    upgraded = Writer(path)
    upgraded.start()
    told = Limit(period=LimitPeriod.DAY, requests=20)
    upgraded.submit_probe(a_result(2, limits=(told,), shutdown_on="2026-12-01"), "lab", "here")
    upgraded.close()
    with closing(Reader(path)) as reader:
        old, new = reader.replay(0.0)

    assert ((), None) == (old.limits, old.shutdown_on)
    assert ((told,), "2026-12-01") == (new.limits, new.shutdown_on)


def test_another_programs_database_is_left_alone(path):
    """Not a byte of it is changed."""
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE cats (name TEXT)")
        raw.commit()
    before = path.read_bytes()

    with pytest.raises(StoreError, match="another program; set another"):
        Writer(path).start()

    assert before == path.read_bytes()


def test_a_file_that_is_no_database_is_told(path):
    """Its name and the fact."""
    path.write_bytes(b"not a database" * 1000)

    with pytest.raises(StoreError, match=r"cannot use .*file is not a database"):
        Writer(path).start()


def test_a_damaged_file_is_refused(path):
    """The integrity check runs at every start and says what to do."""
    writer = Writer(path)
    writer.start()
    submit(writer, *range(500))
    writer.close()
    raw = bytearray(path.read_bytes())
    page = int.from_bytes(raw[16:18], "big")
    raw[page * 4 : -page] = b"\x5a" * (len(raw) - page * 5)
    path.write_bytes(raw)

    with pytest.raises(StoreError, match=r"damaged|malformed"):
        Writer(path).start()


def test_a_file_that_cannot_have_a_log_ahead_is_told(path):
    """Somebody reads it in the old journal mode, so the mode cannot be changed now."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA user_version = 1")
        other.execute("BEGIN")
        other.execute("SELECT * FROM sqlite_schema").fetchall()

        with pytest.raises(StoreError, match=r"cannot use .*locked"):
            Writer(path, pragmas=["PRAGMA busy_timeout = 1"]).start()


def test_a_missing_folder_is_told(tmp_path):
    """It is not made: a typing error would start an empty history."""
    with pytest.raises(StoreError, match=r"there is no folder .*; make it"):
        Writer(tmp_path / "absent" / "imgmon.db").start()


def test_a_second_daemon_is_told_who_holds_the_file(path):
    """By process id; once the first is gone the file is free."""
    program = (
        "import sys; from pathlib import Path; from monitor.store.lock import StoreLock\n"
        "with StoreLock(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert "held\n" == process.stdout.readline()
        with (
            pytest.raises(StoreError, match=rf"another imgmon \(pid {process.pid}\) uses"),
            StoreLock(path),
        ):
            pytest.fail("two daemons at once")
        process.kill()

    with StoreLock(path):
        pass
    with StoreLock(path):
        pass


def test_a_lock_in_a_missing_folder_is_told(tmp_path):
    """With what to do."""
    with pytest.raises(StoreError, match=r"cannot lock .*make its folder"):
        StoreLock(tmp_path / "absent" / "imgmon.db").__enter__()
