"""A start reads what still counts, however much was stored before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import event

from monitor.app import Daemon
from monitor.clock import ManualClock
from monitor.config import parse
from monitor.core.reports import Report
from monitor.core.snapshot import GapReason
from monitor.store.reports import Body, store, text_of
from monitor.store.writer import Writer
from probes.model import ProbeKind
from tests.support.builders import NOW, a_result

pytestmark = pytest.mark.anyio
CONFIGURATION = """
[store]
path = "{}"
[[providers]]
id = "google"
preset = "google-gemini"
api_key = {{ env = "K" }}
[[targets]]
id = "alpha"
provider = "google"
model = "gemini-3-pro-image"
size = "1024x1024"
interval = "10m"
pools = ["image"]
[[pools]]
id = "image"
"""
# Grow with every probe or report, and are kept for months or for good.
LARGE = ("probes", "reports", "rollups", "gaps")


def a_daemon(path: Path) -> Daemon:
    """A daemon that was not started, over the file at *path*."""
    config = parse(CONFIGURATION.format(path), {"K": "a-key-0123456789abcdef"}, "monitor.toml")
    return Daemon(config, clock=ManualClock(wall=NOW), rng=Random(1))


def fill(path: Path) -> None:
    """Store an hour of probes, gaps and reports; the newest are free calls, which no log holds."""
    writer = Writer(path)
    writer.start()
    for number in range(60):
        kind = ProbeKind.CANARY if number < 50 else ProbeKind.LIVENESS
        at = NOW - 3_600.0 + 60.0 * number
        result = a_result(None, at, kind=kind, probe_id=f"p-{number}")
        writer.submit_probe(result, "google", "here")
        writer.submit_gap("alpha", GapReason.MISSED, at, 60.0)
    told = [Report(f"r-{n}", "alpha", NOW - 60.0 * n, None, 3.0, 1) for n in range(50)]
    body = Body(client="shop", count=50, text=text_of(told), received_at=NOW, skew_s=0.0)
    writer.ask(partial(store, bodies=[body])).result()
    writer.close()


async def test_a_start_reads_no_large_table_from_end_to_end(tmp_path):
    """Every row is found by a key or an index: years of history cost a start nothing."""
    path = tmp_path / "imgmon.db"
    fill(path)
    first = a_daemon(path)
    await first.open()
    await first.stop()
    daemon, asked = a_daemon(path), set()

    @event.listens_for(daemon.reader._engine, "connect")
    def _listen(connection, _):
        connection.set_trace_callback(asked.add)

    await daemon.open()
    await daemon.stop()

    questions = [sql for sql in asked if "SELECT" in sql]
    assert len(questions) > 10
    with closing(sqlite3.connect(path)) as raw:
        scans = {
            (detail, sql)
            for sql in questions
            for *_, detail in raw.execute(f"EXPLAIN QUERY PLAN {sql}")
            if detail.split()[:2] in [["SCAN", table] for table in LARGE]
        }
    assert set() == scans
