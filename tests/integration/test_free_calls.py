"""Free calls in the runner and the daemon: when they are made, what they may touch and may not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO

import pytest

from monitor.clock import SystemClock
from monitor.config import parse
from monitor.core.snapshot import LifeSign, State, TargetView
from monitor.limits import FREE_CALLS_PER_PROVIDER_MAX, PROBES_PER_PROVIDER_MAX
from monitor.logs import configure
from monitor.runner import Runner
from monitor.secrets import Redactor
from probes.model import ErrorClass, Outcome, ProbeKind, ProbeReason, ProbeResult
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.integration.test_runner import KEY, Books, build, run
from tests.support.daemon import client, configuration, finished, running, until
from tests.support.wire_server import answering, response, serving

pytestmark = pytest.mark.anyio


# --- The runner -------------------------------------------------------------------------------


class Penniless(Books):
    """Books that cannot be asked for money."""

    async def reserve(self, *_: object):
        """A free call never comes here."""
        raise AssertionError("asked for money")


async def call(runner: Runner, target: str = "t") -> ProbeResult | None:
    """The free call of one slot."""
    return await runner.free_call(target)


async def test_a_free_call_books_nothing_and_is_kept_like_any_result():
    """No reservation, no cost; engine and store get it, and no gap is left."""
    runner, books, _, _, engine = build()
    books.ledger = Penniless()
    result = await call(runner)
    view = engine.tick(result.started_at + 1).targets["t"]

    assert (ProbeKind.LIVENESS, ProbeReason.SCHEDULED, 300.0, 0.0) == (
        result.kind, result.reason, result.slot_s, result.cost_usd,
    )  # fmt: skip
    assert ([result], []) == (books.probes, books.gaps)
    assert (LifeSign.OK, None, 0) == (view.liveness.state, view.last, view.windows["1h"].n)


async def test_a_free_call_beside_a_canary_is_left_out_without_a_gap():
    """A picture just now proves more; half an interval later nobody knows."""
    runner, books, clock, *_ = build()
    first = await call(runner)
    clock.advance(300)
    canary = await run(runner)
    clock.advance(1)  # So long it took.
    beside = await call(runner)
    clock.advance(150)
    between = await call(runner)

    assert beside is None
    assert [first, canary, between] == books.probes
    assert [] == books.gaps


async def test_hanging_canaries_hold_up_no_free_call_and_the_reverse():
    """Each has slots of its own: what is slow tells nothing of what is quick."""
    release = asyncio.Event()
    hanging: list[str] = []

    async def hang() -> None:
        hanging.append("")
        await release.wait()

    runner, books, *_ = build(hang)
    canaries = [asyncio.create_task(run(runner)) for _ in range(PROBES_PER_PROVIDER_MAX)]
    calls = [asyncio.create_task(call(runner)) for _ in range(FREE_CALLS_PER_PROVIDER_MAX + 1)]
    await until(lambda: len(hanging) == PROBES_PER_PROVIDER_MAX + FREE_CALLS_PER_PROVIDER_MAX)
    under_way = runner.running
    release.set()
    await asyncio.gather(*canaries, *calls)

    # The call too many waited for its turn and was made after all.
    assert PROBES_PER_PROVIDER_MAX + FREE_CALLS_PER_PROVIDER_MAX + 1 == under_way
    assert len(calls) == sum(r.kind is ProbeKind.LIVENESS for r in books.probes)


async def test_our_own_trouble_voids_a_free_call_too():
    """A stalled loop says nothing about a front end."""

    async def stall() -> None:
        meter.note(2.5)

    runner, _, _, meter, engine = build(stall)
    result = await call(runner)

    assert (ErrorClass.MONITOR_FAULT, Outcome.VOID) == (result.error, result.outcome)
    assert LifeSign.UNKNOWN is engine.tick(result.started_at).targets["t"].liveness.state


async def test_a_crash_of_ours_costs_nothing_in_a_free_call():
    """The next one is made."""
    crashes = iter([True, False])

    async def crash() -> None:
        if next(crashes):
            raise RuntimeError(KEY)

    runner, books, *_ = build(crash)
    first, second = await call(runner), await call(runner)

    assert (ErrorClass.MONITOR_FAULT, 0.0, None) == (first.error, first.cost_usd, second.error)
    assert KEY not in str(books.probes)


async def test_free_calls_are_drained_at_shutdown_and_none_is_made_after():
    """One that does not end in time is void."""
    stuck = asyncio.Event()

    async def hang() -> None:
        stuck.set()
        await asyncio.Event().wait()

    runner, books, *_ = build(hang)
    calling = asyncio.create_task(call(runner))
    await stuck.wait()
    await runner.drain(grace_s=0.01)
    await calling

    assert [(ErrorClass.MONITOR_FAULT, 0.0)] == [(r.error, r.cost_usd) for r in books.probes]
    assert await call(runner) is None


async def test_without_a_key_or_a_free_call_none_is_planned():
    """A target without a key would only be refused, for ever."""
    runner, *_ = build()
    (probeable, *_) = runner._probeables.values()
    keyless = replace(probeable, target=replace(probeable.target, api_key=""))
    off = replace(probeable, spec=replace(probeable.spec, liveness_s=None))
    runner._probeables = {"t": probeable, "keyless": keyless, "off": off}

    assert {"t": 300.0} == runner.liveness_intervals


@pytest.mark.parametrize(("days", "count"), [(31, 0), (30, 1), (1, 1), (-5, 1)])
async def test_a_models_end_within_a_month_is_told_once(capsys, days, count):
    """However often the day is read; another day is news again."""
    day = f"2026-11-{18 + days:02d}" if 0 < 18 + days <= 30 else f"2026-12-{days - 12:02d}"
    days_told = [day, day, day]

    async def tell() -> dict:
        return {"latency_s": 1.0, "shutdown_on": days_told.pop()}

    runner, _, clock, *_ = build(tell)
    clock.step(1_795_000_000.0 - clock.wall())  # 2026-11-18.
    for _ in range(3):
        await call(runner)
        clock.advance(300)

    assert count == capsys.readouterr().out.count("model.shutdown")


# --- The daemon -------------------------------------------------------------------------------


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    """Every provider, healthy and quick."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


def rows_of(daemon, kind: ProbeKind) -> list[ProbeResult]:
    """The stored probes of one kind."""
    assert daemon.writer.flush(5)
    return [row for row in daemon.reader.replay(0) if row.kind is kind]


async def test_free_calls_run_between_canaries_and_disturb_nothing(simulator, tmp_path):
    """Rows, signal, counters and metrics are there; windows, newest probe and histogram are not."""
    config = configuration(simulator, tmp_path / "a.db", liveness="1s")
    async with running(config) as daemon, client(daemon) as http:

        def views() -> list[TargetView]:
            return list(daemon.publisher.current.snapshot.targets.values())

        await until(lambda: all(v.liveness.state is LifeSign.OK and v.last for v in views()))
        await until(lambda: finished(daemon) >= 8)
        daemon.tick()
        document = (await http.get("/v1/targets/flash")).json()
        metrics = (await http.get("/metrics")).text
        calls = rows_of(daemon, ProbeKind.LIVENESS)
        page = (await http.get("/v1/targets/flash/results?kind=canary")).json()

    assert {"flash", "flare"} == {row.target_id for row in calls}
    assert {(0.0, 1.0)} == {(row.cost_usd, row.slot_s) for row in calls}
    assert [0, 0] == [view.windows["1h"].n for view in views()]
    assert [State.HEALTHY] * 2 == [view.health.state for view in views()]
    assert ("ok", 1.0, None) == tuple(
        document["liveness"][key] for key in ("state", "interval_s", "error")
    )
    assert document["last_probe"]["image"]["format"] == "PNG"
    assert ["canary"] == [row["kind"] for row in page["results"]]
    assert 'imgmon_liveness_success{target="flash"} 1.0' in metrics
    assert 'imgmon_liveness_timestamp_seconds{target="flash"}' in metrics
    assert 'imgmon_probes_total{error="",kind="liveness",outcome="good",target="flash"}' in metrics
    assert 'imgmon_probe_duration_seconds_count{target="flash"} 1.0' in metrics
    assert {} == dict(daemon.publisher.current.snapshot.totals.gaps)


async def test_a_free_call_tells_a_refused_key_from_an_outage_of_pictures(simulator, tmp_path):
    """Overloaded models leave it green; a refused key turns it red, and the state stays as it was."""
    config = configuration(simulator, tmp_path / "a.db", liveness="1s")
    async with running(config) as daemon, client(daemon) as http:

        def flash() -> TargetView:
            return daemon.publisher.current.snapshot.targets["flash"]

        await until(lambda: flash().last is not None)
        simulator.set_fault("gemini", Fault(kind=FaultKind.OVERLOADED))
        for _ in range(2):
            await daemon.runner.run("flash", reason=ProbeReason.SCHEDULED)
        down_at = daemon.clock.wall()
        await until(lambda: (flash().liveness.at or 0) > down_at)
        during = flash()
        simulator.set_fault("gemini", Fault(kind=FaultKind.AUTH))
        await until(lambda: flash().liveness.state is LifeSign.FAILING)
        daemon.tick()
        refused, metrics = flash(), (await http.get("/metrics")).text
        simulator.set_fault("gemini", None)
        await until(lambda: flash().liveness.state is LifeSign.OK)
        mended = flash()

    assert (State.DOWN, LifeSign.OK) == (during.health.state, during.liveness.state)
    assert (State.DOWN, ErrorClass.AUTH) == (refused.health.state, refused.liveness.error)
    assert 'imgmon_liveness_success{target="flash"} 0.0' in metrics
    assert State.DOWN is mended.health.state
    assert during.windows["1h"].n == mended.windows["1h"].n == 2


async def test_a_restart_with_free_calls_among_the_rows_changes_nothing(simulator, tmp_path):
    """Views and totals are those of before: both sides leave free calls out of the latencies."""
    config = configuration(simulator, tmp_path / "a.db", liveness="1s")
    async with running(config) as daemon:
        await until(lambda: finished(daemon) >= 8)
        await daemon.runner.run("flash", reason=ProbeReason.SCHEDULED)
    async with running(config) as restarted:
        now = restarted.clock.wall() + 10  # Past the age at which idle views are made anew.
        before, after = daemon.engine.tick(now), restarted.engine.tick(now)
        assert rows_of(restarted, ProbeKind.LIVENESS)

    assert before.targets == after.targets
    assert before.totals == after.totals
    assert before.orders == after.orders


async def test_without_a_key_no_free_call_is_made(simulator, tmp_path):
    """The provider is not asked at all."""
    config = configuration(simulator, tmp_path / "a.db", liveness="1s", environ={})
    async with running(config) as daemon:
        assert {} == daemon.runner.liveness_intervals
        view = daemon.publisher.current.snapshot.targets["flash"]

    assert LifeSign.UNKNOWN is view.liveness.state
    assert [] == list(simulator.requests)


ACCOUNTS = """
[store]
path = "{store}"

[[providers]]
id = "openai"
preset = "openai"
base_url = "{sim}/openai/v1"
api_key = {{ env = "KEY" }}
liveness = "1s"

[[providers]]
id = "bfl"
preset = "bfl"
base_url = "{sim}/bfl"
api_key = {{ env = "KEY" }}
allow_private_downloads = true
liveness = "1s"

[[providers]]
id = "laozhang"
preset = "laozhang"
base_url = "{sim}/laozhang/v1"
api_key = {{ env = "KEY" }}
balance_key = {{ env = "BALANCE" }}
liveness = "1s"

[[targets]]
id = "mini"
provider = "openai"
model = "gpt-image-1-mini"
price_usd = 0.005
interval = "7d"
pools = ["p"]

[[targets]]
id = "flux"
provider = "bfl"
model = "flux-2-pro"
size = "256x256"
price_usd = 0.03
interval = "7d"
pools = ["p"]

[[targets]]
id = "relay"
provider = "laozhang"
model = "gemini-3-pro-image"
price_usd = 0.09
interval = "7d"
pools = ["p"]

[[pools]]
id = "p"
"""
TOKEN = "system-token-0123456789"


async def test_shutdown_days_and_balances_are_published(simulator, tmp_path):
    """In the target's document and as metrics; what nobody told has no series."""
    text = ACCOUNTS.format(store=tmp_path / "a.db", sim=simulator.url)
    config = parse(text, {"KEY": KEY, "BALANCE": TOKEN}, "test")
    lines = StringIO()
    configure("json", "info", Redactor(config.secrets), lines)
    async with running(config) as daemon, client(daemon) as http:
        await until(
            lambda: all(
                view.liveness.state is LifeSign.OK
                for view in daemon.publisher.current.snapshot.targets.values()
            )
        )
        daemon.tick()
        targets = (await http.get("/v1/targets")).json()["targets"]
        metrics = (await http.get("/metrics")).text
    told = {t["target"]: t["liveness"] for t in targets}
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert {"mini": "2026-12-01", "flux": None, "relay": None} == {
        target: liveness["shutdown_on"] for target, liveness in told.items()
    }
    assert {"mini": None, "flux": 50.0, "relay": 10.0} == {
        target: liveness["balance_usd"] for target, liveness in told.items()
    }
    assert all(liveness["answered_at"] for liveness in told.values())
    assert 'imgmon_model_shutdown_timestamp_seconds{target="mini"} 1.7960832e+09' in metrics
    assert 'imgmon_balance_usd{target="relay"} 10.0' in metrics
    assert 'imgmon_balance_usd{target="mini"}' not in metrics
    assert 'imgmon_model_shutdown_timestamp_seconds{target="flux"}' not in metrics
    assert TOKEN in {r.headers.get("authorization") for r in simulator.requests}
    assert TOKEN not in lines.getvalue() + metrics + json.dumps(targets)
    assert TOKEN.encode() not in files


ECHO = {"error": {"message": f"bad key {KEY}, token {TOKEN}", "code": KEY, "type": TOKEN}}


@pytest.mark.parametrize("status", [200, 401])
async def test_a_key_that_the_answer_to_a_free_call_echoes_shows_nowhere(
    tmp_path,
    status,
):
    """Neither the API key nor the token of the balance reaches store, API, metrics or log."""
    headers = {"x-request-id": f"req-{KEY}-{TOKEN}"}
    models = {"object": "list", "data": [{"id": KEY}], "note": TOKEN}
    listed = response(json.dumps(models if status == 200 else ECHO).encode(), status, headers)
    echoed = response(json.dumps(ECHO).encode(), 401, headers)
    lines = StringIO()

    def by_token(server) -> bytes:
        is_balance = server.requests[-1].headers.get("authorization") == TOKEN
        return echoed if is_balance else listed

    async with serving(answering(by_token)) as server:
        text = ACCOUNTS.format(store=tmp_path / "a.db", sim=server.base_url)
        config = parse(text, {"KEY": KEY, "BALANCE": TOKEN}, "test")
        configure("json", "debug", Redactor(config.secrets), lines)
        async with running(config) as daemon, client(daemon) as http:
            await until(lambda: bool(daemon.engine._tracked["relay"].calls.at))
            daemon.tick()
            calls = rows_of(daemon, ProbeKind.LIVENESS)
            shown = [
                (await http.get(path)).text
                for path in ("/v1/targets", "/v1/targets/relay/results", "/metrics")
            ]
        sent = {value for request in server.requests for value in request.headers.values()}
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert calls
    assert f"Bearer {KEY}" in sent
    assert (TOKEN in sent) == (status == 200)
    assert "***" in lines.getvalue()
    for secret in (KEY, TOKEN):
        assert secret not in lines.getvalue() + "".join(shown)
        assert secret.encode() not in files


async def test_after_a_refused_key_free_calls_alone_run_until_one_canary_proves_it(
    simulator, tmp_path
):
    """While the key is refused nothing is paid; when a free call is answered, one canary is."""
    config = configuration(simulator, tmp_path / "a.db", liveness="1s", judging='confirm = "100ms"')
    async with running(config) as daemon:

        def flash() -> TargetView:
            return daemon.publisher.current.snapshot.targets["flash"]

        def drawn() -> int:
            return simulator.app.world.meter("gemini").generations

        await until(lambda: flash().health.state is State.HEALTHY)
        simulator.set_fault("gemini", Fault(kind=FaultKind.AUTH))
        await daemon.runner.run("flash", reason=ProbeReason.SCHEDULED)
        refused_at = daemon.clock.wall()
        await until(lambda: (flash().liveness.at or 0) > refused_at + 1.0)
        waiting, before = flash(), drawn()
        simulator.set_fault("gemini", None)
        await until(lambda: flash().health.state is State.HEALTHY)
        after = drawn()
        calls = [r for r in rows_of(daemon, ProbeKind.LIVENESS) if r.started_at > refused_at]

    assert (State.UNUSABLE, ErrorClass.AUTH) == (waiting.health.state, waiting.health.error)
    assert (LifeSign.FAILING, ErrorClass.AUTH) == (waiting.liveness.state, waiting.liveness.error)
    assert ErrorClass.AUTH in {call.error for call in calls}
    assert 1 == after - before
