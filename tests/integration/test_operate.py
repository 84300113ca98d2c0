"""What an operator does to a running daemon over the API."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from monitor import tokens
from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.core.pause import Pause
from monitor.core.snapshot import GapReason, State
from monitor.tokens import Scope
from probes.model import ProbeReason
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import client, configuration, finished, running, until
from tests.support.queues import created, queue_config, queue_plan

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path):
    """A daemon whose targets were probed once, its simulator, a client and an operator's header."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(
            simulator, tmp_path / "a.db", openai_cap="spend_cap = { usd_per_day = 0.06 }"
        )
        text = tokens.create(config.tokens_path, "ops", [Scope.OPERATE], now=0.0)
        async with running(config) as daemon, client(daemon) as http:
            http.headers["Authorization"] = f"Bearer {text}"
            await until(lambda: finished(daemon) == 2)
            yield daemon, simulator, http


async def test_an_operator_gets_a_canary_now_and_its_result(world):
    """A manual probe: stored and shown, in the state and not in availability."""
    daemon, _, http = world
    answer = await http.post("/v1/targets/flash/probe?wait=30")
    daemon.tick()
    detail = (await http.get("/v1/targets/flash")).json()

    assert 200 == answer.status_code
    assert ("manual", "good") == tuple(answer.json()["result"][k] for k in ("reason", "outcome"))
    assert answer.json()["result"]["probe"] == detail["last_probe"]["probe"]
    assert 0 == detail["windows"]["24h"]["samples"]


async def test_a_probe_that_a_cap_forbids_is_not_sent_and_says_so(world):
    """The first probe took five of six cents: an operator's word opens no purse."""
    daemon, _, http = world
    answer = await http.post("/v1/targets/flare/probe")

    assert 409 == answer.status_code
    assert "Not sent: spend_cap: cap provider openai" in answer.json()["detail"]
    assert 2 == finished(daemon)


async def test_a_slow_probe_is_answered_before_it_ends_and_a_second_one_is_refused(world):
    """202 after the wait; meanwhile another would only pay twice."""
    daemon, simulator, http = world
    simulator.set_fault("gemini", Fault(kind=FaultKind.SLOW, factor=1000.0))
    started = asyncio.ensure_future(daemon.runner.run("flash", reason=ProbeReason.MANUAL))
    await until(lambda: daemon.runner.is_under_way("flash"))
    second = await http.post("/v1/targets/flash/probe?wait=0")
    await started
    first = await http.post("/v1/targets/flash/probe?wait=0")

    assert 409 == second.status_code
    assert "is under way" in second.json()["detail"]
    assert (202, None) == (first.status_code, first.json()["result"])
    await until(lambda: not daemon.runner.is_under_way("flash"))


async def test_a_paused_target_is_not_probed_and_its_slots_are_gaps(world, tmp_path):
    """Neither slots nor confirmations; it is shown, survives a restart, and ends when told."""
    daemon, _, http = world
    answer = await http.post("/v1/targets/flash/pause", json={"reason": "new contract"})
    sent = await daemon.runner.scheduled("flash", 0.0)
    extra = await daemon.runner.extra("flash")
    daemon.tick()
    shown = (await http.get("/v1/targets/flash")).json()["paused"]
    totals = daemon.publisher.current.snapshot.totals

    assert (200, None, None) == (answer.status_code, sent, extra)
    assert ("new contract", "ops", None) == (shown["reason"], shown["by"], shown["until"])
    assert 1 == totals.gaps["flash", GapReason.PAUSED]
    assert State.HEALTHY is daemon.engine.health("flash", daemon.clock.wall()).state
    manual = await http.post("/v1/targets/flash/probe?wait=30")
    assert 200 == manual.status_code  # Asked for by name.

    await daemon.stop()
    async with running(daemon.config) as later, client(later) as again:
        again.headers["Authorization"] = http.headers["Authorization"]
        assert "new contract" == (await again.get("/v1/targets/flash")).json()["paused"]["reason"]
        assert 200 == (await again.delete("/v1/targets/flash/pause")).status_code
        later.tick()
        assert (await again.get("/v1/targets/flash")).json()["paused"] is None
        assert await later.runner.scheduled("flash", 0.0) is not None


async def test_a_pause_of_so_many_seconds_ends_by_itself(world):
    """A time that is over forbids nothing."""
    daemon, _, http = world
    await http.post("/v1/targets/flash/pause", json={"reason": "a moment", "seconds": 0.001})
    await until(lambda: daemon.pauses.at("flash", daemon.clock.wall()) is None)
    daemon.tick()

    assert (await http.get("/v1/targets/flash")).json()["paused"] is None
    assert await daemon.runner.scheduled("flash", 0.0) is not None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/targets/flash/probe", None),
        ("POST", "/v1/targets/flash/pause", {"reason": "x"}),
        ("DELETE", "/v1/targets/flash/pause", None),
    ],
)
async def test_nobody_operates_without_a_token_for_it(world, method, path, body):
    """Not on loopback either; and a token of another scope is no key to it."""
    daemon, _, http = world
    other = tokens.create(daemon.config.tokens_path, f"r{method}{len(path)}", [Scope.READ], now=0.0)
    daemon.tokens.load()
    anonymous = await http.request(method, path, json=body, headers={"Authorization": ""})
    reader = await http.request(
        method, path, json=body, headers={"Authorization": f"Bearer {other}"}
    )

    assert (401, 403) == (anonymous.status_code, reader.status_code)
    assert 2 == finished(daemon)
    assert {} == daemon.pauses.all(daemon.clock.wall())


async def test_operating_on_nothing_or_with_nonsense_is_a_problem(world):
    """404 for a target that is not there, 422 with a pointer for a body that says nothing."""
    _, _, http = world
    nobody = await http.post("/v1/targets/nobody/probe")
    empty = await http.post("/v1/targets/flash/pause", json={"reason": ""})
    ever = await http.post("/v1/targets/flash/pause", json={"reason": "x", "seconds": 1e12})

    assert (404, 422, 422) == (nobody.status_code, empty.status_code, ever.status_code)
    assert "/reason" == empty.json()["errors"][0]["pointer"]


async def test_a_daemon_without_a_file_has_nothing_to_reload(world):
    """409 with the reason; what was asked changes nothing that is shown."""
    _, _, http = world
    answer = await http.post("/v1/reload")
    shown = (await http.get("/v1/reload")).json()

    assert 409 == answer.status_code
    assert "without a file" in answer.json()["detail"]
    assert ("none", None) == (shown["stage"], shown["detail"])


async def test_a_start_sends_nothing_to_a_paused_target(tmp_path):
    """Nothing is known of it, so it would be asked at once; a pause comes first."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db")
        first = Daemon(config, clock=SystemClock(), rng=Random(1))
        await first.open()
        await first.pauses.set("flash", Pause(first.clock.wall(), None, "not yet", "ops"))
        await first.stop()
        async with running(config) as daemon:
            await until(lambda: daemon.engine.last_start("flare") is not None)
            await until(lambda: daemon.engine.last_start("flash") is not None)  # Tried, not sent.
            totals = daemon.engine.tick(daemon.clock.wall()).totals

    assert {"flare"} == {count.target for count in totals.probes}


async def test_a_batch_queue_is_not_probed_by_hand(tmp_path):
    """Its jobs come by schedule: one made by hand would be left behind at the provider."""
    with SimulatorServer(queue_plan(), SystemClock()) as simulator:
        config = queue_config(simulator.base("gemini"), tmp_path / "a.db")
        text = tokens.create(config.tokens_path, "ops", [Scope.OPERATE], now=0.0)
        async with running(config) as daemon, client(daemon) as http:
            http.headers["Authorization"] = f"Bearer {text}"
            answer = await http.post("/v1/targets/night/probe")

    assert 409 == answer.status_code
    assert "batch queue" in answer.json()["detail"]
    assert [] == created(simulator)
