"""A whole daemon in maintenance, over a restart, and past the end of a month."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from random import Random

import pytest

from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.config import parse
from monitor.core.months import month_bounds, month_of
from monitor.core.snapshot import GapReason
from monitor.store.writer import Writer
from probes.model import ErrorClass
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.builders import a_result
from tests.support.daemon import KEY, client, configuration_text, finished, running, until

pytestmark = pytest.mark.anyio
FOR_EVER = """
[[maintenance]]
providers = ["google"]
from = 2026-01-01T00:00:00Z
until = 2126-01-01T00:00:00Z
"""


@pytest.fixture
def simulator():
    """Every provider, healthy and quick."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


def gaps_of(daemon, target="flash"):
    """Slots of maintenance in the published hour."""
    window = daemon.publisher.current.snapshot.targets[target].windows["1h"]
    count = window.gaps.get(GapReason.MAINTENANCE)
    return count.slots if count else 0


async def test_in_maintenance_a_daemon_sends_nothing_and_says_so(simulator, tmp_path):
    """Neither first probes nor slots; the other provider is probed; a restart keeps the gaps."""
    text = configuration_text(simulator, tmp_path / "a.db", interval="1s")
    config = parse(text + FOR_EVER, {"KEY": KEY}, "test")
    async with running(config) as daemon, client(daemon) as http:
        await until(lambda: gaps_of(daemon) >= 2 and finished(daemon) >= 2)
        hour = (await http.get("/v1/targets/flash/windows")).json()["windows"]["1h"]
        probes = daemon.publisher.current.snapshot.totals.probes
        scrape = (await http.get("/metrics")).text

    assert {"flare"} == {key.target for key in probes}
    assert hour["gaps"]["maintenance"]["slots"] >= 2
    assert (0, 0.0, 3600.0) == (hour["samples"], hour["coverage_ratio"], hour["maintenance_s"])
    assert hour["since"] is not None
    assert 'imgmon_maintenance_seconds{target="flash",window="1h"} 3600.0' in scrape

    daemon = Daemon(parse(text, {"KEY": KEY}, "test"), clock=SystemClock(), rng=Random(1))
    await daemon.open()
    daemon.tick()
    try:
        assert gaps_of(daemon) >= hour["gaps"]["maintenance"]["slots"]
    finally:
        await daemon.stop()


async def test_a_month_that_ended_is_frozen_at_the_start_and_outlives_its_rows(simulator, tmp_path):
    """Over HTTP: final and the same after the rows are gone, beside the month that runs."""
    path, now = tmp_path / "a.db", SystemClock().wall()
    first_of_this, _ = month_bounds(month_of(now))
    last = month_of(month_bounds(month_of(first_of_this - 40 * 86_400.0))[0])
    since, _ = month_bounds(last)
    with closing(Writer(path)) as writer:
        writer.start()
        for slot in range(120):
            error = ErrorClass.TIMEOUT if slot == 7 else None
            result = a_result(
                error, since + 600.0 * slot, target_id="flash", probe_id=f"{slot}", cost_usd=0.04
            )
            writer.submit_probe(result, "google", "here")
    text = configuration_text(simulator, path).replace(
        'model = "gemini-3.1-flash-image"',
        'model = "gemini-3.1-flash-image"\nclaim = { availability = 0.9, latency_p95 = "12s" }',
    )
    config = parse(text, {"KEY": KEY}, "test")

    async def months():
        async with running(config) as daemon, client(daemon) as http:
            await until(lambda: daemon.months.of("flash")[0].is_final)
            return (await http.get("/v1/targets/flash/months")).json()["months"]

    before = await months()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DELETE FROM probes WHERE started_at < ?", [first_of_this])
        raw.execute("DELETE FROM reservations WHERE at < ?", [first_of_this])
    after = await months()

    assert before[0] == after[0]
    assert [(last, True), (month_of(now), False)] == [(m["month"], m["is_final"]) for m in after]
    assert (120, 119, 1, 4.8) == tuple(
        after[0][key] for key in ("samples", "good", "bad", "spend_usd")
    )
    assert ["attained", "attained"] == [claim["verdict"] for claim in after[0]["claims"]]
    assert datetime.fromtimestamp(since, UTC).isoformat()[:10] == after[0]["begins_at"][:10]
