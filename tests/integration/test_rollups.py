"""Roll-ups on real files: made with the rows, never without them."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from monitor.core.sketch import LATENCY_BUCKETS_S
from monitor.core.snapshot import GapReason
from monitor.store.migrations import STEPS
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import ErrorClass, ProbeKind, ProbeReason
from tests.support.builders import NOW, a_result
from tests.support.stores import disagreeing

ROOT = Path(__file__).resolve().parents[2]
DAY_S = 86_400.0
KILLS = 12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database goes."""
    return tmp_path / "imgmon.db"


def fill(path: Path, *, days: int = 3) -> None:
    """Store some days of two targets: pictures, failures, confirmations, free calls and gaps."""
    rng = random.Random(7)
    writer = Writer(path)
    writer.start()
    for number in range(days * 24):
        at = NOW + number * 3600.0
        error = rng.choice([None, None, None, ErrorClass.TIMEOUT, ErrorClass.POLICY_BLOCKED])
        kind = rng.choice([ProbeKind.CANARY, ProbeKind.LIVENESS])
        reason = rng.choice([ProbeReason.SCHEDULED, ProbeReason.CONFIRM])
        latency_s = rng.lognormvariate(1.0, 0.7) if error is None else None
        result = a_result(
            error, at, probe_id=f"p-{number}", kind=kind, reason=reason, cost_usd=0.04,
            target_id=rng.choice("ab"), latency_s=latency_s,
        )  # fmt: skip
        writer.submit_probe(result, "acme", "here")
        writer.submit_gap("a", rng.choice(list(GapReason)), at, 600.0)
        if number % 10 == 0:
            writer.flush()
    writer.close()


def as_of_version_5(path: Path) -> None:
    """Make the file what it was before there were roll-ups."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for statement in (
            "DROP TABLE rollups", "DROP TABLE gap_rollups", "DROP INDEX probes_by_time",
            "DROP INDEX probes_by_kind", "PRAGMA user_version = 5",
            "CREATE INDEX ix_probes_started_at ON probes (started_at)",
        ):  # fmt: skip
            raw.execute(statement)


def test_roll_ups_agree_with_rows_over_many_batches(path):
    """Days, kinds, classes and samples apart; the totals are those of all rows."""
    fill(path)

    assert [] == disagreeing(path)
    with closing(sqlite3.connect(path)) as raw:
        ((days, n, samples),) = raw.execute(
            "SELECT count(DISTINCT at), sum(n), sum(n * is_sample) FROM rollups WHERE span_s > 0"
        )
        ((canaries,),) = raw.execute(
            "SELECT count(*) FROM probes WHERE kind = 'canary' AND reason = 'scheduled'"
        )
    assert (4, 72, canaries) == (days, n, samples)


def test_a_file_without_roll_ups_is_given_them_when_it_is_opened(path):
    """With the totals that it had; the index by time alone makes room for the one by kind."""
    fill(path)
    with closing(Reader(path)) as reader:
        before = reader.totals(LATENCY_BUCKETS_S)
    as_of_version_5(path)

    writer = Writer(path)
    writer.start()
    writer.close()

    with closing(Reader(path)) as reader:
        assert before == reader.totals(LATENCY_BUCKETS_S)
    assert [] == disagreeing(path)
    with closing(sqlite3.connect(path)) as raw:
        assert (len(STEPS),) == raw.execute("PRAGMA user_version").fetchone()
        indexes = {name for _, name, *_ in raw.execute("PRAGMA index_list(probes)")}
    assert {"probes_by_target", "probes_by_time", "probes_by_kind"} == indexes


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE rollups SET n = n + 1 WHERE kind = 'canary' AND error = ''",
        "UPDATE rollups SET slots_square = slots_square * 1.001",
        "DELETE FROM rollups WHERE kind = 'liveness'",
        "UPDATE rollups SET sketch = NULL WHERE span_s = 0",
        "UPDATE gap_rollups SET slots_us = slots_us - 1",
        "DELETE FROM probes WHERE id % 7 = 0",
    ],
)
def test_what_does_not_agree_is_found(path, damage):
    """Wherever the difference is, it is named with its key."""
    fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(damage)

    found = disagreeing(path)

    assert found
    assert all(text.startswith(("rollups ", "gap_rollups ")) for text in found)


def test_no_kill_parts_rows_and_roll_ups(path):
    """Law: a process killed at any moment of its writing leaves both or neither."""
    program = (
        "import sys; from pathlib import Path\n"
        "from monitor.store.writer import Writer; from probes.model import ProbeResult\n"
        "from monitor.core.snapshot import GapReason\n"
        "writer = Writer(Path(sys.argv[1])); writer.start()\n"
        "for n in range(10**9):\n"
        "    writer.submit_probe(ProbeResult(probe_id=f'{sys.argv[2]}-{n}', target_id='t',\n"
        "        started_at=1000.0 + 600 * n, duration_s=1.0, latency_s=1.0 + n % 7,\n"
        "        cost_usd=0.01, slot_s=600.0), 'lab', 'here')\n"
        "    writer.submit_gap('t', GapReason.MISSED, 1000.0 + 600 * n, 600.0)\n"
        "    if n % 50 == 0:\n"
        "        writer.flush(); print(n, flush=True)\n"
    )
    rng = random.Random(3)
    for kill in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(path), str(kill)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            for _ in range(rng.randrange(1, 20)):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)

        assert [] == disagreeing(path)
    with closing(sqlite3.connect(path)) as raw:
        (rows,), (rolled,) = raw.execute(
            "SELECT count(*) FROM probes UNION ALL SELECT sum(n) FROM rollups WHERE span_s = 0"
        )
    assert rows == rolled > KILLS
