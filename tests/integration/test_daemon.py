"""The daemon as a whole: real simulator, real SQLite file, real HTTP between them."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import StringIO
from random import Random

import pytest

from monitor.api import encode
from monitor.app import Daemon
from monitor.clock import ManualClock, SystemClock
from monitor.config import parse
from monitor.core.schedule import slot_of
from monitor.core.snapshot import GapReason, Order
from monitor.core.spend import Claim
from monitor.errors import MonitorError
from monitor.limits import PROBES_PER_PROVIDER_MAX
from monitor.logs import configure
from monitor.secrets import Redactor
from monitor.store.writer import Writer
from probes.model import ErrorClass, Limit, LimitPeriod, Outcome, ProbeReason
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.builders import a_result
from tests.support.daemon import KEY, client, configuration, finished, running, until
from tests.support.pictures import encoded, flat
from tests.support.wire_server import answering, response, serving

pytestmark = pytest.mark.anyio
ECHOING = """
[store]
path = "{store}"

[[providers]]
id = "google"
format = "gemini"
base_url = "{base_url}"
api_key = {{ env = "KEY" }}
liveness = "off"

[[targets]]
id = "t"
provider = "google"
model = "m"
size = "512x512"
price_usd = 0.01
interval = "7d"
pools = ["p"]

[[pools]]
id = "p"
"""


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    """Every provider, healthy and quick."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


async def test_a_started_daemon_knows_every_target_before_its_first_slot(simulator, tmp_path):
    """Targets nobody knows anything of are probed at once, outside the availability record."""
    async with running(configuration(simulator, tmp_path / "a.db")) as daemon:
        await until(lambda: finished(daemon) == 2)
        snapshot = daemon.publisher.current.snapshot

    states = {target: view.health.state.value for target, view in snapshot.targets.items()}
    assert {"flash": "healthy", "flare": "healthy"} == states
    assert [0, 0] == [view.windows["1h"].n for view in snapshot.targets.values()]


async def test_scheduled_canaries_fill_windows_order_and_store(simulator, tmp_path):
    """Slots fire, samples enter the windows, rows are on disk, the order has its reasons."""
    path = tmp_path / "a.db"
    async with running(configuration(simulator, path, interval="1s")) as daemon:

        def order() -> Order:
            return daemon.publisher.current.snapshot.orders["image", "balanced"]

        await until(
            lambda: (
                all(
                    view.windows["1h"].good >= 2
                    for view in daemon.publisher.current.snapshot.targets.values()
                )
                # Prices are a margin apart, so what is measured decides, whoever was known first.
                and order().places[0].target == "flash"
            )
        )
        reasons = [place.reasons for place in order().places]
        assert daemon.writer.flush(5)
        rows, _ = daemon.reader.results("flash", None, 100)

    # A machine that stalls voids a probe; it never makes one bad.
    good = [row for row in rows if row.outcome is Outcome.GOOD]
    assert all(reasons)
    assert {ProbeReason.SCHEDULED, ProbeReason.STARTUP} == {row.reason for row in rows}
    assert len([row for row in good if row.reason is ProbeReason.SCHEDULED]) >= 2
    assert all(row.cost_usd == 0.039 and row.latency_s > 0 for row in good)


async def test_an_outage_moves_the_order_and_its_end_moves_it_back(simulator, tmp_path):
    """What fails is demoted with its reason, and only successes in a row bring it back."""
    config = configuration(simulator, tmp_path / "a.db", interval="1s")
    async with running(config) as daemon:

        def first() -> str:
            return daemon.publisher.current.snapshot.orders["image", "balanced"].places[0].target

        def state() -> str:
            return daemon.publisher.current.snapshot.targets["flash"].health.state.value

        await until(lambda: state() == "healthy" and first() == "flash")
        simulator.set_fault("gemini", Fault(kind=FaultKind.OVERLOADED))
        await until(lambda: state() == "down" and first() == "flare")
        place = daemon.publisher.current.snapshot.orders["image", "balanced"].places[1]
        simulator.set_fault("gemini", None)
        await until(lambda: state() in ("degraded", "healthy"))

    assert ("down", "provider") == (place.state.value, place.scope)
    assert "down" == place.reasons[0].code
    assert "overloaded" in place.reasons[0].text


async def test_the_snapshot_after_a_restart_equals_the_one_before(simulator, tmp_path):
    """Restart replays the stored rows through the very same fold."""
    path = tmp_path / "a.db"
    config = configuration(simulator, path)
    async with running(config) as daemon:
        await until(lambda: finished(daemon) == 2)
        for fault in (None, Fault(kind=FaultKind.OVERLOADED), Fault(kind=FaultKind.BLACK), None):
            simulator.set_fault("gemini", fault)
            for target in ("flash", "flare"):
                await daemon.runner.run(target, reason=ProbeReason.SCHEDULED)
            daemon.tick()
    async with running(config) as restarted:
        now = restarted.clock.wall() + 10  # Past the age at which idle views are made anew.
        before, after = daemon.engine.tick(now), restarted.engine.tick(now)

    assert before.targets == after.targets
    assert before.totals == after.totals
    assert before.spending == after.spending
    assert before.orders == after.orders


async def test_no_slot_is_filled_twice_by_restarts(simulator, tmp_path):
    """The file keeps what decides when slots fire: they go on as if nothing had happened."""
    path = tmp_path / "a.db"
    config = configuration(simulator, path, interval="2s")
    seeds = set()
    for _ in range(4):
        async with running(config, seed=len(seeds)) as daemon:
            before = finished(daemon)
            await until(lambda: finished(daemon) > before)  # noqa: B023 - of this very turn
            seeds.add(daemon.schedule._seed)
    async with running(config) as daemon:
        rows = [r for r in daemon.reader.replay(0) if r.reason is ProbeReason.SCHEDULED]

    slots = [(r.target_id, slot_of(r.target_id, 2.0, r.started_at)) for r in rows]
    assert 1 == len(seeds)
    assert slots
    assert len(slots) == len(set(slots))


async def test_a_restart_after_a_long_stop_does_not_probe_everything_at_once(simulator, tmp_path):
    """What nothing recent is known of is asked within a minute, each at its own moment."""
    path, month = tmp_path / "a.db", 30 * 86_400.0
    config = configuration(simulator, path)
    async with running(config) as daemon:
        await until(lambda: finished(daemon) == 2)
        now = daemon.clock.wall()
    later = Daemon(config, clock=ManualClock(wall=now + month), rng=Random(1))
    await later.start()
    delays = later.first_delays()
    await later.stop()

    assert {"flash", "flare"} == set(delays)
    assert all(0 < delay < 60 for delay in delays.values())
    assert len(set(delays.values())) == 2


async def test_first_probes_of_a_provider_take_turns_in_its_minutes(tmp_path):
    """Where probes may use two requests a minute, the third new target starts after that minute."""
    text = ECHOING.format(store=tmp_path / "a.db", base_url="http://127.0.0.1:9")
    (target,) = re.findall(r"(?s)\[\[targets\]\].*?\n\n", text)
    text = text.replace('liveness = "off"', 'liveness = "off"\nquota = { per_minute = 20 }')
    text += "".join(target.replace('id = "t"', f'id = "t{i}"') for i in range(4))
    daemon = Daemon(parse(text, {"KEY": KEY}, "test"), clock=SystemClock(), rng=Random(1))

    assert [0.0, 0.0, 121.0, 121.0, 242.0] == list(daemon.first_delays().values())


async def test_a_restart_asks_nobody_who_is_to_be_waited_for(simulator, tmp_path):
    """A refused key is not tried once more by every new process."""
    config = configuration(simulator, tmp_path / "a.db", interval="1s")
    simulator.set_fault("gemini", Fault(kind=FaultKind.AUTH))
    async with running(config) as daemon:
        await until(lambda: finished(daemon) >= 2)
        stopped_at = daemon.clock.wall()
    # Longer than three slots ago, so that nothing recent is known of either.
    later = Daemon(config, clock=ManualClock(wall=stopped_at + 600), rng=Random(1))
    await later.start()
    delays = later.first_delays()
    await later.stop()

    assert {"flare"} == set(delays)


async def test_a_probe_that_a_kill_cut_off_is_not_sent_again_by_the_restart(simulator, tmp_path):
    """Its money is booked: it may have been billed, and was an attempt of this slot."""
    path = tmp_path / "a.db"
    config = configuration(simulator, path)
    writer = Writer(path)
    writer.start()
    claim = Claim(
        probe_id="cut off", target_id="flash", provider="google", micros=39_000,
        at=SystemClock().wall(), caps=(),
    )  # fmt: skip
    writer.reserve(claim).result(5)
    writer.close()
    async with running(config) as daemon:
        await until(lambda: finished(daemon) == 1)
        delays = daemon.first_delays()

    assert {} == delays
    assert {"openai"} == {request.account for request in simulator.requests}


async def test_an_outage_is_confirmed_at_once_and_so_is_its_end(simulator, tmp_path):
    """With an hour between slots, down and up again stand within a second of their first sign."""
    config = configuration(simulator, tmp_path / "a.db", interval="1h", judging='confirm = "100ms"')
    async with running(config) as daemon:

        def state() -> str:
            return daemon.publisher.current.snapshot.targets["flash"].health.state.value

        await until(lambda: finished(daemon) == 2)
        simulator.set_fault("gemini", Fault(kind=FaultKind.OVERLOADED))
        await daemon.runner.run("flash", reason=ProbeReason.SCHEDULED)
        await until(lambda: state() == "down")
        simulator.set_fault("gemini", None)
        await until(lambda: state() == "healthy")
        assert daemon.writer.flush(5)
        rows, _ = daemon.reader.results("flash", None, 100)
        figures = daemon.publisher.current.snapshot.targets["flash"].windows["1h"]

    reasons = [row.reason for row in rows]
    assert 1 == reasons.count(ProbeReason.SCHEDULED)
    assert reasons.count(ProbeReason.CONFIRM) >= 3
    assert (1, 1) == (figures.n, figures.bad)


async def test_a_daily_cap_is_checked_before_each_probe(simulator, tmp_path):
    """The cap is never passed, also after a restart; each slot it eats is a gap with its reason."""
    path = tmp_path / "a.db"
    config = configuration(
        simulator, path, interval="1s", openai_cap="spend_cap = { usd_per_day = 0.12 }"
    )
    async with running(config) as daemon:
        await until(
            lambda: any(
                target == "flare" and reason.value == "spend_cap"
                for target, reason in daemon.publisher.current.snapshot.totals.gaps
            )
        )
        spent = daemon.publisher.current.snapshot.spending.today_usd
        async with client(daemon) as http:
            metrics = (await http.get("/metrics")).text
    async with running(config) as daemon:
        result = await daemon.runner.run("flare", reason=ProbeReason.MANUAL)

    assert 0.1 == pytest.approx(spent["openai"])
    labels = '{id="openai",period="day",scope="provider"}'
    assert f"imgmon_spend_cap_usd{labels} 0.12" in metrics
    assert f"imgmon_spend_cap_used_ratio{labels} 0.8333" in metrics
    assert result is None
    assert 2 == sum(request.account == "openai" for request in simulator.requests)


async def test_quotas_are_published_as_configured_as_told_and_as_used(simulator, tmp_path):
    """OpenAI's headers teach a limit a minute; without a limit there is no figure."""
    config = configuration(
        simulator, tmp_path / "a.db", openai_cap="quota = { per_day = 1000, share = 0.5 }"
    )
    async with running(config) as daemon:
        await until(lambda: finished(daemon) == 2)
        await daemon._read_books()
        daemon.tick()
        async with client(daemon) as http:
            metrics = (await http.get("/metrics")).text
    lines = {line for line in metrics.splitlines() if line.startswith("imgmon_quota")}

    of = 'provider="openai"'
    assert {
        f'imgmon_quota_limit{{period="day",{of},source="configured"}} 1000.0',
        f'imgmon_quota_limit{{period="minute",{of},source="learned"}} 5000.0',
        f'imgmon_quota_used{{period="day",{of}}} 1.0',
        f'imgmon_quota_used{{period="minute",{of}}} 1.0',
        f'imgmon_quota_remaining{{period="minute",{of}}} 4999.0',
    } == lines  # fmt: skip


async def test_a_learned_limit_survives_a_restart_though_windows_are_short(simulator, tmp_path):
    """It is rebuilt from the rows of its seven days, not only of those that windows need."""
    path = tmp_path / "a.db"
    config = configuration(simulator, path)
    hour = replace(config, policy=replace(config.policy, windows={"1h": 3600.0}))
    now, day = SystemClock().wall(), 86_400.0
    with closing(Writer(path)) as writer:
        writer.start()
        for target, days in (("flash", 6), ("flare", 8)):
            limit = Limit(period=LimitPeriod.DAY, requests=250)
            told = a_result(at=now - days * day, target_id=target, limits=(limit,))
            writer.submit_probe(told, "lab", "here")
    async with running(hour) as daemon:
        known = [
            (target, quota.probes)
            for target in ("flash", "flare")
            for quota in daemon.engine.quotas(target, now)
            if quota.period is LimitPeriod.DAY  # First probes teach others.
        ]

    assert [("flash", 5)] == known


async def test_books_that_cannot_be_read_stop_nothing(simulator, tmp_path):
    """The figures stay what they were, and the order is published all the same."""
    path = tmp_path / "a.db"
    async with running(configuration(simulator, path)) as daemon:
        await until(lambda: finished(daemon) == 2)
        await daemon._read_books()
        before = daemon.engine.spending
        path.rename(tmp_path / "b.db")
        await daemon._read_books()
        daemon.tick()
        (tmp_path / "b.db").rename(path)

    assert {"google": 0.039, "openai": 0.05} == before.today_usd
    assert before == daemon.publisher.current.snapshot.spending


async def test_a_missing_key_makes_only_its_targets_unusable(simulator, tmp_path):
    """Without a key nothing is sent, the state says what to do, the rest of the daemon runs."""
    config = configuration(simulator, tmp_path / "a.db", environ={})
    async with running(config) as daemon:
        view = daemon.publisher.current.snapshot.targets["flash"]
        place = daemon.publisher.current.snapshot.orders["image", "balanced"].places[0]

    assert ErrorClass.AUTH is view.health.error
    assert "KEY is not set" in view.health.detail
    assert (False, "monitor_account") == (place.usable, place.scope)
    assert [] == list(simulator.requests)


async def test_two_daemons_never_share_a_database(simulator, tmp_path):
    """A second one would double the bill, so it refuses to start."""
    config = configuration(simulator, tmp_path / "a.db")
    async with running(config):
        with pytest.raises(MonitorError, match="another imgmon"):
            async with running(config):
                pass


ECHOES = (
    # A refusal, a page that is not the format, and a good picture: the key in every field we keep.
    (401, {"x-request-id": f"req-{KEY}"},
     {"error": {"message": f"Incorrect key: {KEY}", "type": f"t-{KEY}", "code": f"c-{KEY}"}}),
    (200, {"content-type": "text/html"}, f"<html>your key is {KEY}</html>"),
    (200, {"x-request-id": KEY},
     {"modelVersion": f"m-{KEY}", "responseId": f"r-{KEY}", "promptFeedback": {},
      "candidates": [{"finishReason": f"F-{KEY}", "finishMessage": f"because {KEY}"}]}),
    (200, {}, {
        "modelVersion": f"m-{KEY}", "responseId": f"r-{KEY}",
        "candidates": [{"finishReason": f"F-{KEY}", "content": {"parts": [{"inlineData": {
            "mimeType": "image/png", "data": b64encode(encoded(flat((255, 0, 0), (512, 512)))).decode(),
        }}]}}],
    }),
)  # fmt: skip


@pytest.mark.parametrize("echo", ECHOES, ids=["refusal", "page", "empty", "picture"])
async def test_a_key_that_a_provider_echoes_shows_nowhere(tmp_path, echo):
    """A key in any field of an answer reaches neither store, API, metrics nor log."""
    status, headers, document = echo
    body = document if isinstance(document, str) else json.dumps(document)
    log_lines = StringIO()
    async with serving(answering(response(body.encode(), status, headers))) as server:
        config = parse(
            ECHOING.format(store=tmp_path / "a.db", base_url=server.base_url), {"KEY": KEY}, "test"
        )
        configure("json", "debug", Redactor(config.secrets), log_lines)
        async with running(config) as daemon, client(daemon) as http:
            # Drawn colours differ; the first canary of red is a good picture, the others are not.
            for _ in range(12):
                await daemon.runner.run("t", reason=ProbeReason.SCHEDULED)
            daemon.tick()
            assert daemon.writer.flush(5)
            shown = [
                (await http.get(path)).text
                for path in (
                    "/v1/targets",
                    "/v1/targets/t",
                    "/v1/targets/t/results",
                    "/v1/pools/p/priority",
                    "/metrics",
                )
            ]
        sent = {value for request in server.requests for value in request.headers.values()}
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert KEY in sent
    assert "***" in log_lines.getvalue()
    assert KEY not in log_lines.getvalue()
    assert KEY.encode() not in files
    assert not any(KEY in text for text in shown)


async def test_bodies_validate_and_answer_304_until_something_was_measured(simulator, tmp_path):
    """The entity tag is of the bytes; between samples a caller that has them gets 304."""
    async with running(configuration(simulator, tmp_path / "a.db")) as daemon:
        await until(lambda: finished(daemon) == 2)
        async with client(daemon) as http:
            daemon.tick()
            first = await http.get("/v1/pools/image/priority")
            daemon.tick()
            again = await http.get(
                "/v1/pools/image/priority", headers={"If-None-Match": first.headers["etag"]}
            )
            await daemon.runner.run("flash", reason=ProbeReason.SCHEDULED)
            daemon.tick()
            changed = await http.get(
                "/v1/pools/image/priority", headers={"If-None-Match": first.headers["etag"]}
            )

    assert (200, 304, 200) == (first.status_code, again.status_code, changed.status_code)
    assert first.headers["x-imgmon-made-at"] < again.headers["x-imgmon-made-at"]
    assert json.loads(changed.text)["targets"][0]["availability_samples"] == 1


async def test_running_probes_are_drained_at_shutdown_and_stored(simulator, tmp_path):
    """A probe under way when the daemon stops ends, and its row is on disk."""
    path = tmp_path / "a.db"
    config = configuration(simulator, path)
    for account in ("gemini", "openai"):
        simulator.set_fault(account, Fault(kind=FaultKind.SLOW_DRIP, drip_s=1.0))
    async with running(config) as daemon:
        await until(lambda: daemon.runner.running == 2)
    async with running(config) as daemon:
        rows = [*daemon.reader.replay(0)]

    assert 2 == len(rows)


async def test_a_slot_that_waits_for_its_turn_at_shutdown_is_a_gap(simulator, tmp_path):
    """What is under way ends; what would only begin is not sent, and does not vanish in silence."""
    async with running(configuration(simulator, tmp_path / "a.db")) as daemon:
        await until(lambda: finished(daemon) == 2)
        simulator.set_fault("gemini", Fault(kind=FaultKind.SLOW_DRIP, drip_s=0.01))
        slots = [
            asyncio.ensure_future(daemon.runner.run("flash", reason=ProbeReason.SCHEDULED))
            for _ in range(PROBES_PER_PROVIDER_MAX + 1)
        ]
        asked = len(list(simulator.requests)) + PROBES_PER_PROVIDER_MAX
        await until(lambda: len(list(simulator.requests)) == asked)
        await daemon.drain(60)
        daemon.tick()
        gaps = daemon.publisher.current.snapshot.totals.gaps
        ready = daemon.problems()
    results = [await slot for slot in slots]

    assert [False] * PROBES_PER_PROVIDER_MAX + [True] == [result is None for result in results]
    assert {("flash", GapReason.MISSED): 1} == gaps
    assert [] == ready


async def test_the_encoder_keeps_the_bytes_of_what_did_not_change(simulator, tmp_path):
    """Two snapshots without a sample between them share their bodies."""
    async with running(configuration(simulator, tmp_path / "a.db")) as daemon:
        await until(lambda: finished(daemon) == 2)
        daemon.tick()
        one = daemon.publisher.current.bodies
        daemon.tick()
        two = daemon.publisher.current.bodies

    key = encode.priority_key("image", "balanced", "full")
    assert one[key] is two[key]
