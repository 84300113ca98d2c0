"""The metrics of a whole daemon, as Prometheus reads and lints them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.core.events import EventKind
from monitor.core.snapshot import GapReason
from probes.model import ErrorClass, Outcome, ProbeReason
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import client, configuration, finished, measured, running, until
from tests.support.prometheus import installed

pytestmark = pytest.mark.anyio


@pytest.fixture
async def daemon(tmp_path) -> AsyncIterator[Daemon]:
    """A daemon with good and failed samples of the schedule, free calls, and caps."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        cap = "spend_cap = { usd_per_day = 5.0 }"
        config = configuration(
            simulator, tmp_path / "a.db", liveness="5m", openai_cap=cap, judging='confirm = "1h"'
        )
        async with running(config) as daemon:
            await until(lambda: finished(daemon) >= 2)
            for target in ("flash", "flare"):
                await measured(daemon, target, ProbeReason.SCHEDULED)
            simulator.set_fault("gemini", Fault(kind=FaultKind.OVERLOADED))
            await measured(daemon, "flash", ProbeReason.SCHEDULED)
            daemon.tick()
            assert daemon.writer.flush(5)
            yield daemon


def series(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Name to (label values, sorted by label) to value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def test_promtool_finds_nothing_to_lint(daemon):
    """Names, types, help and reserved labels are as Prometheus wants them, on a page with data."""
    (promtool,) = installed("promtool")
    page = daemon.exposition.page()
    done = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=page, capture_output=True, check=False
    )

    assert b"imgmon_latency_quantile_seconds{" in page
    assert (0, b"") == (done.returncode, done.stdout + done.stderr)


async def test_openmetrics_names_the_probes_behind_the_buckets(daemon):
    """Exemplars are within OpenMetrics' 128 characters and name probes that the store holds."""
    page = daemon.exposition.page(is_open=True).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    exemplars = [
        sample.exemplar
        for sample in families["imgmon_probe_duration_seconds"].samples
        if sample.exemplar
    ]
    stored = {
        result.probe_id
        for target in ("flash", "flare")
        for result in daemon.reader.results(target, None, 100, None)[0]
    }

    assert exemplars
    for exemplar in exemplars:
        assert sum(len(key + value) for key, value in exemplar.labels.items()) <= 128
        assert exemplar.labels["probe_id"] in stored


async def test_counters_are_there_before_their_first_event(daemon):
    """``rate`` sees a first error, gap or event: of every class, but no kind that a target lacks."""
    found = series(daemon.exposition.page().decode())
    probes = found["imgmon_probes_total"]
    canaries = {
        error: value
        for (error, kind, _, of), value in probes.items()
        if (kind, of) == ("canary", "flare")
    }

    assert {"", *(error.value for error in ErrorClass)} == set(canaries)
    assert (2, 0) == (canaries[""], canaries["timeout"])
    assert {"canary", "liveness"} == {kind for _, kind, _, _ in probes}
    assert not any(error == "no_image" for error, kind, _, _ in probes if kind == "liveness")
    assert {reason.value for reason in GapReason} == {
        reason for reason, _ in found["imgmon_gaps_total"]
    }
    assert {(kind.value,) for kind in EventKind} == set(found["imgmon_events_total"])
    assert 1 == probes["overloaded", "canary", Outcome.BAD.value, "flash"]


async def test_no_value_stands_for_no_data(daemon):
    """No NaN, no -1: what is unknown has no series."""
    for family in text_families(daemon.exposition.page().decode()):
        for sample in family.samples:
            assert sample.value >= 0, sample  # Which NaN is not either.


async def test_a_target_that_is_gone_takes_its_series_along(daemon):
    """Also those of its counters, which the store keeps for good."""
    before = daemon.exposition.page().decode()
    snapshot = daemon.publisher.current.snapshot
    left = {target: view for target, view in snapshot.targets.items() if target != "flash"}
    daemon.publisher.publish(replace(snapshot, targets=left, orders={}))
    after = daemon.exposition.page().decode()

    assert 'target="flash"' in before
    assert 'target="flash"' not in after
    assert 'target="flare"' in after


async def test_the_store_failing_under_a_scrape_costs_only_what_it_tells(daemon, monkeypatch):
    """The page keeps what was known, counts the error, and goes on with the rest."""
    before = daemon.exposition.page().decode()
    size = next(line for line in before.splitlines() if line.startswith("imgmon_store_bytes "))

    def gone() -> int:
        raise OSError("the disk is gone")

    monkeypatch.setattr(daemon.reader, "size_bytes", gone)
    after = daemon.exposition.page().decode()

    assert size in after
    assert "imgmon_collector_errors_total 1.0" in after
    assert "process_cpu_seconds_total" in after
    assert 'imgmon_target_state{state="healthy",target="flare"} 1.0' in after


async def test_answers_are_counted_by_route_and_never_by_path(daemon):
    """A path that somebody makes up adds no series of its own."""
    async with client(daemon) as http:
        for path in ("/v1/targets/flash", "/v1/targets/nobody", "/a", "/b", "/livez"):
            await http.get(path)
    found = series(daemon.exposition.page().decode())["imgmon_http_requests_total"]

    assert {
        ("/v1/targets/{target}", "200"): 1,
        ("/v1/targets/{target}", "404"): 1,
        ("other", "404"): 2,
        ("/livez", "200"): 1,
    } == found


async def test_a_scraper_gets_gzip_and_its_second_page_from_the_first(daemon):
    """Over HTTP: the coding is said, caches may tell answers apart, and the page is not made twice."""
    async with client(daemon) as http:
        packed = await http.get("/metrics", headers={"Accept-Encoding": "gzip"})
        plain = await http.get("/metrics", headers={"Accept-Encoding": "identity"})
        again = await http.get("/metrics", headers={"Accept-Encoding": "identity"})

    assert ("gzip", None) == tuple(r.headers.get("content-encoding") for r in (packed, plain))
    assert "accept-encoding" in plain.headers["vary"].lower()
    assert plain.content == again.content
    assert "imgmon_build_info" in packed.text


async def test_the_next_probe_of_each_target_is_told(daemon):
    """The slot of the grid, or the confirmation before it."""
    found = series(daemon.exposition.page().decode())
    now = daemon.clock.wall()
    due = found["imgmon_next_probe_timestamp_seconds"]

    assert {("flash",), ("flare",)} == set(due)
    assert all(now < at < now + 7 * 86_400 for at in due.values())
    assert due["flash",] < now + 2 * 3_600
    assert {("flare",): 7 * 86_400.0, ("flash",): 7 * 86_400.0} == found[
        "imgmon_probe_interval_seconds"
    ]


async def test_the_oldest_row_is_known_after_upkeep(daemon):
    """When the oldest generation started; free calls do not count."""
    oldest = daemon.reader.oldest_generation_at()
    rows = [r for t in ("flash", "flare") for r in daemon.reader.results(t, None, 100, None)[0]]

    assert min(r.started_at for r in rows if r.kind.value == "canary") == oldest
