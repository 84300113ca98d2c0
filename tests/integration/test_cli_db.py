"""``imgmon db`` on real files, beside a writer that goes on."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main
from monitor.clock import SystemClock
from monitor.core.snapshot import GapReason
from monitor.store.lock import StoreLock
from monitor.store.migrations import STEPS
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import ErrorClass, ProbeKind
from tests.support.builders import a_result
from tests.support.stores import disagreeing

DAY_S = 86_400.0
CONFIG = """
[store]
path = "{store}"

[[providers]]
id = "lab"
base_url = "https://api.example.com/v1"
format = "openai-images"

[[targets]]
id = "pic"
provider = "lab"
model = "m-1"
price_usd = 0.01
interval = "15m"
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of 450 days with all sorts of rows; its configuration lies beside it."""
    path = tmp_path / "imgmon.db"
    (tmp_path / "monitor.toml").write_text(CONFIG.format(store=path))
    rng, now = random.Random(5), SystemClock().wall()
    writer = Writer(path)
    writer.start()
    for number in range(900):
        at = now - 450 * DAY_S + number * DAY_S / 2
        error = rng.choice([None, None, ErrorClass.TIMEOUT])
        kind = rng.choice([ProbeKind.CANARY, ProbeKind.LIVENESS])
        cost = 0.01 if kind is ProbeKind.CANARY else 0.0
        result = a_result(
            error, at, probe_id=f"p-{number}", kind=kind, cost_usd=cost, target_id="pic"
        )
        writer.submit_probe(result, "lab", "here")
        writer.submit_gap("pic", GapReason.MISSED, at, 900.0)
    writer.close()
    return path


def run(store: Path, *arguments: str, exit_code: int = 0) -> str:
    """What ``imgmon db`` prints."""
    name, *rest = arguments
    config = ["--config", str(store.with_name("monitor.toml"))]
    done = CliRunner().invoke(main, ["db", name, *config, *rest])
    assert exit_code == done.exit_code, done.output
    return done.output


def change(path: Path, *statements: str) -> None:
    """Do to a file what no imgmon does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for statement in statements:
            raw.execute(statement)


def as_of_version_5(path: Path) -> None:
    """Make the file what it was before there were roll-ups."""
    change(path, "DROP TABLE rollups", "DROP TABLE gap_rollups", "PRAGMA user_version = 5")


def test_a_sound_store_is_verified(store):
    """In sentences and as JSON; also while the daemon has it, and after rows were pruned."""
    assert "no problems." in run(store, "verify")
    run(store, "prune")
    with StoreLock(store):
        said = json.loads(run(store, "verify", "--json"))

    assert [] == said["problems"]
    assert said["checks"] > 15


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("UPDATE rollups SET n = n + 1 WHERE span_s > 0", "roll-ups of canary"),
        ("UPDATE rollups SET cost_micros = 0 WHERE span_s = 0", "sums of all time"),
        ("DELETE FROM gaps WHERE id = 100", "roll-ups of gaps"),
        ("UPDATE reservations SET micros = micros + 1 WHERE id = 3", "ledger"),
        ("UPDATE reservations SET is_settled = 0 WHERE micros > 0", "ledger"),
        ("DELETE FROM reservations WHERE micros > 0", "ledger"),
        ("PRAGMA journal_mode = DELETE", "schema"),
        ("PRAGMA user_version = 99", "schema"),
    ],
)
def test_what_is_wrong_is_named_and_ends_with_1(store, damage, check):
    """Each kind of difference by the check that found it."""
    change(store, damage)

    said = json.loads(run(store, "verify", "--json", exit_code=1))

    assert check in {problem["check"] for problem in said["problems"]}
    assert all(problem["problem"] for problem in said["problems"])


def test_a_damaged_file_is_found(store):
    """By the integrity check, or by SQLite itself when it cannot even be read."""
    raw = bytearray(store.read_bytes())
    page = int.from_bytes(raw[16:18], "big")
    raw[page * 40 : page * 60] = b"\x5a" * (20 * page)
    store.write_bytes(raw)

    done = CliRunner().invoke(
        main, ["db", "verify", "--config", str(store.with_name("monitor.toml"))]
    )

    assert done.exit_code in {1, 2}
    assert "integrity" in done.output or "malformed" in done.output


def test_a_backup_is_whole_while_the_store_is_written(store, tmp_path):
    """It holds what was there when it began, agrees in itself, and is no half file at any moment."""
    writer = Writer(store)
    writer.start()
    is_done = threading.Event()

    def write() -> None:
        number = 0
        while not is_done.is_set():
            number += 1
            result = a_result(probe_id=f"new-{number}", target_id="pic", cost_usd=0.01)
            writer.submit_probe(result, "lab", "here")
            writer.flush()

    writing = threading.Thread(target=write)
    writing.start()
    copy = tmp_path / "copy of it.db"
    said = json.loads(run(store, "backup", str(copy), "--json"))
    is_done.set()
    writing.join()
    writer.close()

    assert said["bytes"] == copy.stat().st_size
    assert [] == list(tmp_path.glob("*.partial"))
    with closing(Reader(copy)) as reader:
        assert sum(reader.totals((1.0,)).probes.values()) >= 900
    assert [] == disagreeing(copy)


def test_a_backup_replaces_nothing_unless_told_to(store, tmp_path):
    """And never the store itself, nor a file that a daemon uses, nor leaves one half done."""
    copy = tmp_path / "copy.db"
    copy.write_text("precious")

    assert "add --force" in run(store, "backup", str(copy), exit_code=2)
    assert "precious" == copy.read_text()
    assert "the database itself" in run(store, "backup", str(store), "--force", exit_code=2)
    with StoreLock(copy):
        assert "another imgmon" in run(store, "backup", str(copy), "--force", exit_code=2)
    absent = tmp_path / "absent" / "copy.db"
    assert "cannot back up" in run(store, "backup", str(absent), exit_code=2)
    assert f"{copy}: " in run(store, "backup", str(copy), "--force")
    assert [] == disagreeing(copy)


def test_a_backup_of_a_damaged_store_is_not_given_the_name(store, tmp_path):
    """What the old backup was stays."""
    change(store, "PRAGMA journal_mode = DELETE")
    raw = bytearray(store.read_bytes())
    page = int.from_bytes(raw[16:18], "big")
    # The newest pages are those of rows: a file whose schema cannot be read is not even copied.
    raw[-20 * page :] = b"\x5a" * (20 * page)
    store.write_bytes(raw)
    copy = tmp_path / "copy.db"
    copy.write_text("precious")

    said = run(store, "backup", str(copy), "--force", exit_code=2)

    assert "the copy is damaged" in said
    assert "precious" == copy.read_text()
    assert [] == list(tmp_path.glob("*.partial"))


def test_what_would_be_pruned_is_counted_first(store):
    """The dry run changes nothing; then just that goes, and totals stay."""
    with closing(Reader(store)) as reader:
        before = reader.totals((1.0,))
        counted = json.loads(run(store, "prune", "--dry-run", "--json"))
        assert before == reader.totals((1.0,))
        assert 900 == len(list(reader.replay(0.0)))
        removed = json.loads(run(store, "prune", "--json"))
        again = run(store, "prune", "--dry-run")

        assert before == reader.totals((1.0,))
        assert 900 > len(list(reader.replay(0.0))) > 350
    assert 0 == counted["removed"]
    assert sum(counted["may_go"].values()) <= removed["removed"]
    assert counted["may_go"]["liveness"] > counted["may_go"]["canary"] > 0
    assert "0 rows may go" in again


def test_an_upgrade_leaves_a_backup_of_what_was(store):
    """With the old version; the second run finds nothing to do, a running daemon stops it."""
    as_of_version_5(store)
    assert "run imgmon db upgrade" in run(store, "verify", exit_code=1)
    assert "run imgmon db upgrade" in run(store, "prune", exit_code=2)
    with StoreLock(store):
        assert "another imgmon" in run(store, "upgrade", exit_code=2)

    said = json.loads(run(store, "upgrade", "--json"))

    assert (5, len(STEPS)) == (said["from"], said["to"])
    with closing(sqlite3.connect(said["backup"])) as raw:
        assert (5,) == raw.execute("PRAGMA user_version").fetchone()
    assert "no problems" in run(store, "verify")
    assert "the newest" in run(store, "upgrade")


def test_a_store_that_is_not_there_is_told(tmp_path):
    """Nothing is made by looking."""
    store = tmp_path / "imgmon.db"
    store.with_name("monitor.toml").write_text(CONFIG.format(store=store))

    assert "there is no store" in run(store, "verify", exit_code=2)
    assert not store.exists()
