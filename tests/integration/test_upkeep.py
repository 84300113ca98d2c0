"""Care of a real file beside the daemon's work."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.clock import ManualClock
from monitor.core.retention import Retention
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from monitor.upkeep import Upkeep
from probes.model import ProbeResult

pytestmark = pytest.mark.anyio


def a_file(path: Path, rows: int = 3000) -> None:
    """Store some probes."""
    writer = Writer(path)
    writer.start()
    for number in range(rows):
        writer.submit_probe(
            ProbeResult(
                probe_id=f"p-{number}", target_id="t", started_at=1e9 + number, duration_s=1.0,
                latency_s=1.0,
            ), "lab", "here",
        )  # fmt: skip
    writer.close()


def damage(path: Path) -> None:
    """Overwrite pages in the middle, as a bad disk does."""
    raw = bytearray(path.read_bytes())
    page = int.from_bytes(raw[16:18], "big")
    middle = len(raw) // page // 2 * page
    raw[middle : middle + 20 * page] = b"\x5a" * (20 * page)
    path.write_bytes(raw)


@pytest.mark.parametrize("is_damaged", [False, True])
async def test_a_large_file_is_read_for_damage_beside_the_work(tmp_path, is_damaged):
    """The start is not held up by it; what is found makes the daemon unwell and says what to do."""
    path = tmp_path / "imgmon.db"
    a_file(path)
    if is_damaged:
        damage(path)
    writer, reader = Writer(path, checked_at_once=0), Reader(path)
    writer.start()
    upkeep = Upkeep(path, writer, reader, retention=Retention(), clock=ManualClock())

    assert not writer.is_checked
    await upkeep.check()

    writer.close()
    reader.close()
    assert is_damaged == (upkeep.problem is not None)
    assert not is_damaged or "restore a backup" in upkeep.problem


async def test_reading_for_damage_ends_when_the_daemon_does(tmp_path):
    """At the next question whether to go on, and without a verdict."""
    path = tmp_path / "imgmon.db"
    a_file(path, rows=20_000)
    reader, asked = Reader(path), []

    assert reader.damage(lambda: asked.append(1)) is None
    to_the_end = len(asked)
    assert reader.damage(lambda: asked.append(1) or True) is None

    reader.close()
    assert 2 == len(asked) - to_the_end < to_the_end  # Once to stop, once to know why.


async def test_a_file_that_is_gone_is_a_problem_too(tmp_path):
    """Nothing raises out of the care of the store."""
    path = tmp_path / "imgmon.db"
    a_file(path, rows=1)
    writer, reader = Writer(path, checked_at_once=0), Reader(tmp_path / "gone.db")
    writer.start()
    upkeep = Upkeep(path, writer, reader, retention=Retention(), clock=ManualClock())

    await upkeep.check()

    writer.close()
    reader.close()
    assert "unable to open" in upkeep.problem
