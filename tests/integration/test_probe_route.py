"""``GET /probe``: blackbox_exporter's words from what is stored, and nothing sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.api.probe_routes import generation_families
from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.core.snapshot import Health, LastProbe, State
from probes.model import ErrorClass, Phase, ProbeReason
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.builders import a_result, a_spec, a_view
from tests.support.daemon import client, configuration, finished, running, until

pytestmark = pytest.mark.anyio
VERDICT = {"probe_success", "probe_failure_info"}


@pytest.fixture
def simulator():
    """Every provider, healthy and quick."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


@pytest.fixture
async def api(simulator, tmp_path) -> AsyncIterator[tuple[Daemon, httpx.AsyncClient]]:
    """A daemon with a probe of each of its two targets, and its API."""
    config = configuration(simulator, tmp_path / "a.db", liveness="5m")
    async with running(config) as daemon, client(daemon) as http:
        await until(lambda: finished(daemon) >= 2)
        daemon.tick()
        yield daemon, http


def shown(text: str) -> dict[str, float]:
    """Name and labels to value."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def judged(error: ErrorClass | None, state: State, **changes: object) -> dict[str, float]:
    """What is shown of a target in *state* whose newest generation came to *error*."""
    view = a_view(health=Health(state=state, since=None, error=error))
    last = LastProbe.of(a_result(error, **changes))
    collected = generation_families(replace(view, last=last), is_current=True).collect()
    return {
        " ".join([s.name, *s.labels.values()]): s.value
        for family in collected
        for s in family.samples
    }


async def test_a_good_generation_is_a_success_with_its_phases(api):
    """Every number that a stock dashboard of blackbox_exporter draws, where it is known."""
    daemon, http = api
    answer = await http.get("/probe?target=flash&module=http_2xx")
    found = shown(answer.text)
    last = daemon.publisher.current.snapshot.targets["flash"].last

    assert (1, 1, 200) == tuple(
        found[name] for name in ("probe_success", "probe_data_available", "probe_http_status_code")
    )
    assert last.started_at == found["probe_last_run_timestamp_seconds"]
    assert last.duration_s == found["probe_duration_seconds"]
    assert last.phases[Phase.DNS] == found["probe_dns_lookup_time_seconds"]
    assert (0, 1.1, 120) == tuple(
        found[name] for name in ("probe_http_ssl", "probe_http_version", "probe_timeout_seconds")
    )
    assert last.received_bytes == found["probe_http_content_length"] > 1000
    phases = {n.split()[1] for n in found if n.startswith("probe_http_duration_seconds")}
    assert {"resolve", "connect", "processing", "transfer"} == phases  # No TLS, so no tls.
    assert not {name for name in found if name.startswith("probe_failure_info")}
    assert "probe_ip_protocol" not in found


async def test_a_failure_says_why(api, simulator):
    """Success is 0 and the reason is an error class, a label with a bound."""
    daemon, http = api
    simulator.set_fault("gemini", Fault(kind=FaultKind.OVERLOADED))
    await daemon.runner.run("flash", reason=ProbeReason.SCHEDULED)
    daemon.tick()
    found = shown((await http.get("/probe?target=flash")).text)

    assert (0, 1, 503) == (
        found["probe_success"],
        found["probe_failure_info overloaded"],
        found["probe_http_status_code"],
    )


async def test_a_scrape_sends_nothing(api, simulator):
    """However often it is asked, no provider hears of it and no money is booked."""
    daemon, http = api
    before = len(simulator.requests)
    for module in ("", "&module=canary", "&module=http_2xx", "&module=liveness"):
        for _ in range(5):
            assert (await http.get(f"/probe?target=flash{module}")).is_success

    assert before == len(simulator.requests)
    assert 2 == sum(k.kind == "canary" for k in daemon.publisher.current.snapshot.totals.probes)


async def test_free_calls_are_a_module_of_their_own(api):
    """The newest free call, or that none is known."""
    daemon, http = api
    none = shown((await http.get("/probe?target=flash&module=liveness")).text)
    await daemon.runner.free_call("flash")
    daemon.tick()
    found = shown((await http.get("/probe?target=flash&module=liveness")).text)
    at = daemon.publisher.current.snapshot.targets["flash"].liveness.at

    assert {"probe_data_available": 0} == none
    assert at is not None
    assert {
        "probe_success": 1, "probe_data_available": 1, "probe_last_run_timestamp_seconds": at,
    } == found  # fmt: skip


async def test_what_does_not_exist_is_refused(api):
    """A target that nobody configured is 404 and says where the list is; a module is 422."""
    _, http = api
    nobody = await http.get("/probe?target=nobody")

    assert 404 == nobody.status_code
    assert "/v1/targets" in nobody.json()["detail"]
    assert 422 == (await http.get("/probe?target=flash&module=icmp")).status_code
    assert 422 == (await http.get("/probe")).status_code


async def test_a_stale_snapshot_shows_no_success(api):
    """When the daemon is stuck, its last success is not believed for ever."""
    daemon, http = api
    snapshot = daemon.publisher.current.snapshot
    daemon.publisher.publish(replace(snapshot, stale_after=0.0))
    found = shown((await http.get("/probe?target=flash")).text)

    assert 0 == found["probe_data_available"]
    assert not VERDICT & {name.split()[0] for name in found}


@pytest.mark.parametrize("state", [State.UNKNOWN, State.HEALTHY])
async def test_nothing_fresh_or_nothing_said_is_no_verdict(state):
    """An unknown state, and a void probe in any state, are no data; its time is still told."""
    error = None if state is State.UNKNOWN else ErrorClass.POLICY_BLOCKED
    found = judged(error, state)

    assert 0 == found["probe_data_available"]
    assert "probe_last_run_timestamp_seconds" in found
    assert not VERDICT & {name.split()[0] for name in found}


async def test_a_target_without_a_probe_has_no_data():
    """Neither a verdict nor a time."""
    (timeout, available) = generation_families(
        a_view(spec=a_spec(deadline_s=60.0)), is_current=True
    ).collect()

    assert ("probe_timeout_seconds", 60.0) == (timeout.name, timeout.samples[0].value)
    assert ("probe_data_available", 0) == (available.name, available.samples[0].value)


async def test_what_works_but_not_for_us_is_no_success():
    """Also where a free call found it out after a good picture."""
    refused = judged(ErrorClass.BILLING, State.UNUSABLE, http_status=402)
    view = a_view(health=Health(state=State.UNUSABLE, since=None, error=ErrorClass.AUTH))
    found = {
        " ".join([s.name, *s.labels.values()]): s.value
        for family in generation_families(
            replace(view, last=LastProbe.of(a_result())), is_current=True
        ).collect()
        for s in family.samples
    }

    assert (0, 1) == (refused["probe_success"], refused["probe_failure_info billing"])
    assert (0, 1) == (found["probe_success"], found["probe_failure_info auth"])


async def test_a_failure_without_an_answer_has_no_http_figures():
    """A name that does not resolve has a verdict and no status, version or length."""
    found = judged(ErrorClass.CONNECTION, State.DOWN, phases={Phase.DNS: 0.5})

    assert {
        "probe_success", "probe_failure_info connection", "probe_duration_seconds",
        "probe_dns_lookup_time_seconds", "probe_http_duration_seconds resolve",
        "probe_timeout_seconds", "probe_data_available", "probe_last_run_timestamp_seconds",
    } == set(found)  # fmt: skip
