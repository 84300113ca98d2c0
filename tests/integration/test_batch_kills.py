"""A daemon that is killed at any moment pays for no slot twice and forgets no job."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from monitor.clock import SystemClock
from probes.simulator.server import SimulatorServer
from tests.support.daemon import running, until
from tests.support.queuers import config_of
from tests.support.queues import PRICE_USD, created, jobs, queue_plan
from tests.support.stores import disagreeing

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[2]
KILLS = 100
SEED = 20261124
# A loaded machine makes fewer jobs between two deaths: it goes on until it was a test.
ROUNDS_MAX = 5
JOBS_MIN = KILLS / 4


def kill_daemons(store: Path, base_url: str, seed: int) -> int:
    """Run a daemon KILLS times until its death; return how many died."""
    arguments = [str(store), base_url, str(KILLS), str(seed)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.queuers", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


async def test_no_death_of_a_process_pays_twice_or_forgets_a_job(tmp_path):
    """Law: one job a slot, each with one result, none left behind, and the ledger covers the bill."""
    store = tmp_path / "a.db"
    with SimulatorServer(queue_plan(batch_s=0.1), SystemClock()) as simulator:
        base_url = simulator.base("gemini")
        killed = rounds = 0
        while rounds < ROUNDS_MAX and len(created(simulator)) <= JOBS_MIN:
            killed += await asyncio.to_thread(kill_daemons, store, base_url, SEED + rounds)
            rounds += 1
        config = config_of(store, base_url)
        # What is left goes on under slots that do not fire any more.
        rare = {t: replace(s, interval_s=7 * 86_400.0) for t, s in config.specs.items()}
        async with running(replace(config, specs=rare)) as daemon:
            open_at_last = len(jobs(daemon))
            await until(lambda: not jobs(daemon))
        async with httpx.AsyncClient(headers={"x-goog-api-key": "k"}) as http:
            left = (await http.get(f"{base_url}/v1/batches")).json()["operations"]
        labels = Counter(created(simulator))
        meter = simulator.app.world.meter("gemini")

    with closing(sqlite3.connect(store)) as raw:
        slots = raw.execute("SELECT probe_id, target_id, slot, name FROM batch_jobs").fetchall()
        probes = raw.execute(
            "SELECT probe_id, error, cost_usd FROM probes WHERE kind = 'batch'"
        ).fetchall()
        ledger = dict(raw.execute("SELECT probe_id, micros FROM reservations"))
    assert rounds * KILLS == killed
    assert [] == disagreeing(store)
    # Never two jobs for one slot: no label was sent twice, and no slot has two labels.
    assert {1} == set(labels.values())
    assert labels.keys() <= {row[0] for row in slots}
    assert len(slots) == len({(target, slot) for _, target, slot, _ in slots})
    # No job forgotten: each has its one result, and nothing is left at the provider.
    assert {row[0] for row in slots} == {probe for probe, _, _ in probes}
    assert len(slots) == len(probes)
    assert [] == left
    # Every job that was made is known by its name; what is void was never made.
    assert {probe for probe, _, _, name in slots if name} == set(labels)
    assert {probe for probe, error, _ in probes if error} == (
        {row[0] for row in slots} - labels.keys()
    )
    # Ledger >= meter, for each job: what was drawn is booked, and so is what may have been.
    assert {round(PRICE_USD * 1e6)} == {ledger[label] for label in labels}
    assert sum(ledger.values()) / 1e6 >= meter.billed_usd > 0
    # It was a test: many jobs, many deaths in the middle of one.
    assert len(labels) > JOBS_MIN
    assert open_at_last or any(error for _, error, _ in probes)
