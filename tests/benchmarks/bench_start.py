"""
What a start costs: a daemon with history, from opening its file to its first snapshot.

    python tests/benchmarks/bench_start.py [all | probes | window] [--folder FOLDER]

``all``: 1.3 million probes and 10 million client reports. 30 targets for 400 days, a canary every 15
minutes and a free call every 5 minutes of which 30 days are kept, 2 % failures with confirmations,
gaps; a week of the reports of three clients with their sums by minute, hour and day. ``probes``: the
same without reports. ``window``: a million probes within the 30 days that windows look at.

The file is made in FOLDER (else in one that goes afterwards) when it is not there; the first start on
it, which follows what is in no log yet, is not counted. Then three processes start on it, one after
another: CPU seconds of all threads, user and system, from a built daemon to the first snapshot, and of
the process, imports included. The pages of the file are in the cache of the system.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import structlog

from monitor.app import Daemon
from monitor.clock import ManualClock
from monitor.config import Config, parse
from monitor.core.reports import Report
from monitor.store.opening import open_for_writing
from monitor.store.reports import Body, store, text_of
from monitor.store.rollups import fill
from monitor.store.summing import add, unsummed
from monitor.store.tables import probe_values
from monitor.store.writer import Writer
from probes.model import (
    ErrorClass,
    ImageFacts,
    Phase,
    ProbeKind,
    ProbeReason,
    ProbeResult,
)

NOW = 1_795_000_000.0
DAY_S = 86_400.0
TARGETS = 30
# By scenario: days of canaries, seconds between two, days of free calls.
SCENARIOS = {"all": (400, 900.0, 30), "probes": (400, 900.0, 30), "window": (30, 77.76, 0)}
STARTS = 3
REPORTS = 10_000_000
REPORT_DAYS = 7
ERRORS = (ErrorClass.TIMEOUT, ErrorClass.OVERLOADED, ErrorClass.SERVER_ERROR)


def the_config(path: Path) -> Config:
    """Thirty targets of six providers in one pool."""
    providers = "".join(
        f'[[providers]]\nid = "p{n}"\npreset = "google-gemini"\napi_key = {{ env = "K" }}\n'
        "spend_cap = { usd_per_day = 50 }\n"
        for n in range(6)
    )
    targets = "".join(
        f'[[targets]]\nid = "t{n:02}"\nprovider = "p{n % 6}"\nmodel = "gemini-3-pro-image"\n'
        'size = "1024x1024"\ninterval = "15m"\npools = ["image"]\n'
        for n in range(TARGETS)
    )
    text = f'[store]\npath = "{path}"\n{providers}{targets}[[pools]]\nid = "image"\n'
    return parse(text, {"K": "a-key-of-the-benchmark"}, "bench.toml")


def a_canary(rng: random.Random, target: str, at: float, *, is_bad: bool, **changes: Any) -> Any:
    """The columns of a canary's row, as large as real ones."""
    latency_s = rng.lognormvariate(2.0, 0.35)
    error = rng.choice(ERRORS) if is_bad else None
    image = None if is_bad else ImageFacts(
        format="JPEG", width=1024, height=1024, size_bytes=250_000,
        sha256=f"{rng.getrandbits(256):064x}", dominant_rgb=(237, 28, 36),
    )  # fmt: skip
    values: dict[str, Any] = {
        "probe_id": f"{int(at * 1000):013x}-{rng.getrandbits(40):010x}",
        "target_id": target, "started_at": at, "duration_s": latency_s,
        "latency_s": None if is_bad else latency_s, "error": error, "slot_s": 900.0,
        "detail": "the server answered 503: upstream connect error" if is_bad else "",
        "http_status": 503 if is_bad else 200, "cost_usd": 0.0 if is_bad else 0.134,
        "phases": {phase: 0.01 + rng.random() for phase in list(Phase)[:6]},
        "received_bytes": 350_000, "image": image, "model_version": "gemini-3-pro-image-2026-09",
        "request_id": f"{rng.getrandbits(96):024x}", "http_version": "HTTP/2", "reused": False,
    }  # fmt: skip
    return probe_values(ProbeResult(**values | changes), f"p{int(target[1:]) % 6}", "default")


def a_free_call(rng: random.Random, target: str, at: float) -> Any:
    """The columns of a free call's row."""
    return a_canary(
        rng, target, at, is_bad=False, kind=ProbeKind.LIVENESS, image=None, cost_usd=0.0,
        latency_s=0.2 + rng.random() / 10, duration_s=0.3, slot_s=300.0, model_version=None,
        received_bytes=900,
    )  # fmt: skip


def history(days: float, every_s: float, free_days: float) -> Iterator[tuple[dict[str, Any], bool]]:
    """All rows in the order in which they came, and whether each is a gap."""
    rng = random.Random(20261125)
    for slot in range(int(days * DAY_S / every_s)):
        for number in range(TARGETS):
            target = f"t{number:02}"
            at = NOW - days * DAY_S + slot * every_s + number * every_s / TARGETS
            if rng.random() < 0.01:
                gap = {"target_id": target, "at": at, "reason": "spend_cap", "slot_s": every_s}
                yield gap, True
                continue
            is_bad = rng.random() < 0.02
            yield a_canary(rng, target, at, is_bad=is_bad, slot_s=every_s), False
            if is_bad:
                confirm = {"reason": ProbeReason.CONFIRM, "slot_s": 0.0}
                yield a_canary(rng, target, at + 30, is_bad=False, **confirm), False
            if at >= NOW - free_days * DAY_S:
                for call in (300.0, 600.0):
                    yield a_free_call(rng, target, at + call), False


def make(path: Path, rows: Iterable[tuple[dict[str, Any], bool]]) -> None:
    """Write *rows* to a file, and print what an upgrade of it would take."""
    writer = Writer(path)
    writer.start()
    writer.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous = OFF")
        raw.execute("BEGIN")
        statements: dict[bool, str] = {}
        for values, is_gap in rows:
            if is_gap not in statements:
                marks = ", ".join(f":{name}" for name in values)
                table = "gaps" if is_gap else "probes"
                statements[is_gap] = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
            raw.execute(statements[is_gap], values)
        raw.execute(
            "INSERT INTO reservations (probe_id, target_id, provider, at, micros, is_settled) "
            "SELECT probe_id, target_id, provider, started_at, round(cost_usd * 1e6), 1 "
            f"FROM probes WHERE kind = 'canary' AND started_at > {NOW - 90 * DAY_S}"
        )
        raw.execute("INSERT INTO meta VALUES ('pruned_before.ledger', ?)", (NOW - 90 * DAY_S,))
        raw.execute("COMMIT")
    engine = open_for_writing(path, ())
    started = process_time()
    with engine.begin() as connection:
        fill(connection)
    engine.dispose()
    print(f"roll-ups of an old file: {process_time() - started:.1f} s CPU, once")


def add_client_reports(path: Path) -> None:
    """Store ten million reports as the daemon does, a body of ten thousand at a time."""
    rng = random.Random(20261125)
    engine = open_for_writing(path, ("PRAGMA synchronous = OFF",))
    count = 10_000
    for first in range(0, REPORTS, count):
        at = NOW - REPORT_DAYS * DAY_S * (1 - first / REPORTS)
        span_s = REPORT_DAYS * DAY_S * count / REPORTS
        found = [
            Report(
                f"r{first + n:09}",
                f"t{rng.randrange(TARGETS):02}",
                at + span_s * n / count,
                rng.choice(ERRORS) if rng.random() < 0.02 else None,
                rng.lognormvariate(2.0, 0.35),
                1,
            )
            for n in range(count)
        ]
        client = f"client-{first // count % 3}"
        text, received_at = text_of(found), at + span_s
        body = Body(client=client, count=count, text=text, received_at=received_at, skew_s=0.0)
        with engine.begin() as connection:
            store(connection, [body])
            add(connection, unsummed(connection))
    engine.dispose()


async def start(config: Config) -> dict[str, float]:
    """CPU and wall seconds from a built daemon to its first snapshot, and what comes beside work."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    daemon = Daemon(config, clock=ManualClock(wall=NOW), rng=random.Random(1))
    cpu, wall = process_time(), perf_counter()
    await daemon.open()
    opened = process_time()
    await daemon._read_books()
    daemon.tick()
    took = {"open": opened - cpu, "start": process_time() - cpu, "wall": perf_counter() - wall}
    whole = os.times()
    took["process"] = whole.user + whole.system
    figures = process_time()
    await daemon.desk.renew()
    took["reports' figures, afterwards"] = process_time() - figures
    await daemon.stop()
    return took


def started(path: Path) -> dict[str, float]:
    """What :func:`start` says in a process of its own."""
    call = [sys.executable, __file__, "--once", str(path)]
    told: dict[str, float] = json.loads(subprocess.check_output(call))
    return told


def main() -> None:
    """Make the file where it is missing, start on it three times and print the medians."""
    parser = argparse.ArgumentParser(description="What a start costs.")
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS, default="all")
    parser.add_argument("--folder", type=Path, help="where the file is kept for the next time")
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once is not None:
        print(json.dumps(asyncio.run(start(the_config(given.once)))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        path = (given.folder or Path(temporary)) / f"{given.scenario}.db"
        if not path.exists():
            make(path, history(*SCENARIOS[given.scenario]))
            if given.scenario == "all":
                add_client_reports(path)
            print(f"the first start on it: {started(path)['start']:.2f} s CPU, once")
        took = [started(path) for _ in range(STARTS)]
        with closing(sqlite3.connect(path)) as raw:
            ((probes,), (reports,)) = (
                raw.execute(f"SELECT count(*) FROM {table}").fetchone()
                for table in ("probes", "reports")
            )
        size = path.stat().st_size
    for name in took[0]:
        seconds = sorted(one[name] for one in took)
        every = ", ".join(f"{value:.2f}" for value in seconds)
        print(f"{name}: median {median(seconds):.2f} s ({every})")
    print(
        f"{given.scenario}: {probes} probes, {reports} reports, {size / 1e6:.0f} MB, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


if __name__ == "__main__":
    main()
