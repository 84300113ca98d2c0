"""What voids a probe or stops it: our own trouble and our own money, never a provider's mark."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from monitor.books import StoreLedger
from monitor.clock import ManualClock
from monitor.config import parse
from monitor.core.maintenance import Maintenance
from monitor.core.quota import Quota
from monitor.core.snapshot import GapReason, State
from monitor.core.spec import TargetSpec
from monitor.core.spend import Caps, Decision
from monitor.engine import Engine
from monitor.fitness import Fitness
from monitor.lag import LagMeter
from monitor.network import NetworkWatch
from monitor.probeables import load_probeables
from monitor.runner import Ledger, Runner
from monitor.secrets import Redactor
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import (
    ErrorClass,
    Limit,
    LimitPeriod,
    Outcome,
    Phase,
    ProbeKind,
    ProbeReason,
    ProbeResult,
)
from tests.support.daemon import until

pytestmark = pytest.mark.anyio
KEY = "secret-of-the-test-123"
TEXT = """
[[providers]]
id = "p"
preset = "openai"
api_key = { env = "KEY" }
spend_cap = { usd_per_day = 0.25 }
quota = { per_minute = 1000 }

[[providers]]
id = "unbounded"
base_url = "https://api.example.com/v1"
format = "openai-images"
api_key = { env = "KEY" }

[[providers]]
id = "tier"
base_url = "https://tier.example.com/v1"
format = "openai-images"
quota = { per_day = 100, resets = "America/Los_Angeles" }

[[targets]]
id = "t"
provider = "p"
model = "gpt-image-2"
size = "1024x1024"
price_usd = 0.1
interval = "10m"
pools = ["q"]

[[targets]]
id = "free"
provider = "unbounded"
model = "gpt-image-2"
size = "1024x1024"
price_usd = 0
interval = "10m"
pools = ["q"]

[[targets]]
id = "quotaed"
provider = "tier"
model = "m"
price_usd = 0
interval = "10m"
pools = ["q"]

[[pools]]
id = "q"
"""


class Books:
    """Keeps what passes, for the test to see; money is granted unless a real ledger decides."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        """Start empty, over *ledger* where there is one."""
        self.ledger = ledger
        self.probes: list[ProbeResult] = []
        self.gaps: list[tuple] = []

    async def reserve(
        self, probe_id: str, spec: TargetSpec, at: float, quotas: tuple[Quota, ...]
    ) -> Decision:
        """Ask the ledger."""
        if self.ledger is None:
            return Decision(refused_by=None)
        return await self.ledger.reserve(probe_id, spec, at, quotas)

    def probe(self, result: ProbeResult, provider: str) -> None:
        """Keep a probe."""
        self.probes.append(result)
        if self.ledger is not None:
            self.ledger.probe(result, provider)

    def gap(self, *gap: object) -> None:
        """Keep a gap."""
        self.gaps.append(gap)


class Act:
    """A driver that does what the test says instead of speaking HTTP."""

    def __init__(self, action) -> None:
        """Perform *action* once a probe."""
        self.action = action

    async def probe(self, target, _canary, _fmt, **given) -> ProbeResult:
        """Run the action, then report a good or the given result."""
        extra = await self.action() or {"latency_s": 1.0}
        return ProbeResult(
            target_id=target.id,
            started_at=0.0,
            duration_s=1.0,
            **{"cost_usd": 0.1, **given, **extra},
        )

    async def liveness(self, target, fmt, **given) -> ProbeResult:
        """The same for a free call."""
        return await self.probe(target, None, fmt, kind=ProbeKind.LIVENESS, cost_usd=0.0, **given)


async def nothing() -> None:
    """Take no time."""


def build(
    action=nothing, writer: Writer | None = None
) -> tuple[Runner, Books, ManualClock, LagMeter, Engine]:
    """A runner over a paid and a free target whose driver performs *action*."""
    config = parse(TEXT, {"KEY": KEY}, "test")
    caps = Caps(overall=config.spend_cap, providers=config.providers, targets=config.specs)
    books = Books(StoreLedger(writer, "here", caps) if writer else None)
    clock = ManualClock()
    lag = LagMeter(clock)
    engine = Engine(config.specs, config.pools, config.policy, config.providers)
    probeables, _ = load_probeables(config)
    runner = Runner(
        probeables,
        driver=Act(action),
        engine=engine,
        store=books,
        clock=clock,
        rng=Random(1),
        fitness=Fitness(lag, clock),
        redactor=Redactor(config.secrets),
    )
    return runner, books, clock, lag, engine


@contextmanager
def opened(path: Path):
    """A started writer that waits for no lock, closed at the end."""
    with closing(Writer(path, pragmas=["PRAGMA busy_timeout = 1"])) as writer:
        writer.start()
        yield writer


async def run(runner: Runner, target: str = "t") -> ProbeResult | None:
    """One scheduled probe."""
    return await runner.run(target, reason=ProbeReason.SCHEDULED)


def set_maintenance(engine: Engine, runner: Runner, since: float, until: float) -> None:
    """Announce maintenance of target ``t``."""
    rules = (Maintenance(since=since, until=until),)
    spec = replace(runner._probeables["t"].spec, maintenance=rules)
    runner._probeables["t"] = replace(runner._probeables["t"], spec=spec)
    engine._tracked["t"].spec = spec


async def test_in_maintenance_a_slot_is_a_gap_and_nothing_is_sent():
    """Planned or waiting for its turn, scheduled or confirming; afterwards all is as before."""
    runner, books, clock, _, engine = build()
    now = clock.wall()
    set_maintenance(engine, runner, now, now + 3600.0)

    assert await runner.scheduled("t", 0.0) is None
    assert await run(runner) is None  # Planned before it began.
    assert await runner.run("t", reason=ProbeReason.CONFIRM) is None
    assert [] == books.probes
    assert [("t", GapReason.MAINTENANCE, now, 600.0)] * 2 == books.gaps
    figures = engine.tick(now).targets["t"].windows["1h"]
    assert {GapReason.MAINTENANCE: 2} == {r: c.slots for r, c in figures.gaps.items()}

    clock.advance(3600.0)
    assert (await runner.scheduled("t", 0.0)).outcome is Outcome.GOOD


async def test_a_stalled_event_loop_voids_the_probe():
    """A latency measured while the loop stood still is ours."""
    lag: list[LagMeter] = []

    async def stall() -> None:
        lag[0].note(2.5)

    runner, books, _, meter, _ = build(stall)
    lag.append(meter)
    result = await run(runner)

    assert (ErrorClass.MONITOR_FAULT, Outcome.VOID) == (result.error, result.outcome)
    assert "stalled for 2.5 s" in result.detail
    assert [result] == books.probes


async def test_a_stepped_wall_clock_voids_the_probe():
    """Wall and monotonic durations that disagree by seconds mean the clock was set."""
    clocks: list[ManualClock] = []

    async def step() -> None:
        clocks[0].step(-3600)

    runner, _, clock, _, _ = build(step)
    clocks.append(clock)

    assert "stepped by -3600.0 s" in (await run(runner)).detail


async def test_a_crash_of_ours_voids_the_probe_and_the_next_one_runs():
    """Whatever is raised in the driver, the daemon goes on, and books the worst case."""
    crashes = iter([True, False])

    async def crash() -> None:
        if next(crashes):
            raise RuntimeError(KEY)

    runner, books, *_ = build(crash)
    first, second = await run(runner), await run(runner)

    assert (ErrorClass.MONITOR_FAULT, None) == (first.error, second.error)
    assert (0.1, "RuntimeError") == (first.cost_usd, first.detail.split()[0])
    assert KEY not in str(books.probes)


async def test_the_cap_counts_probes_under_way(tmp_path, capsys):
    """Three at once against room for two: the third is a gap before anything is sent."""
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    path = tmp_path / "a.db"
    with opened(path) as writer, closing(Reader(path)) as reader:
        runner, books, clock, *_ = build(wait, writer)
        probes = [asyncio.create_task(run(runner)) for _ in range(3)]
        await until(lambda: bool(books.gaps))
        (under_way,) = reader.booked(clock.wall())
        go.set()
        results = await asyncio.gather(*probes)
    logged = capsys.readouterr().out

    assert 2 == sum(result is not None for result in results)
    assert [("t", GapReason.SPEND_CAP)] == [gap[:2] for gap in books.gaps]
    assert 200_000 == under_way.day_micros
    assert "cap provider p per day" in logged
    assert (1, 1) == (logged.count("spend_cap.near"), logged.count("spend_cap.reached"))


async def test_a_quota_is_a_gap_with_its_reason_in_words(tmp_path, capsys):
    """Two of a hundred requests are for probes, free as they are; the day after there are two more."""
    with opened(tmp_path / "a.db") as writer:
        runner, books, clock, *_ = build(writer=writer)
        sent = [await run(runner, "quotaed") for _ in range(3)]
        clock.advance(86_400)
        sent.append(await run(runner, "quotaed"))
    logged = capsys.readouterr().out

    assert [True, True, False, True] == [result is not None for result in sent]
    assert [("quotaed", GapReason.QUOTA_GUARD)] == [gap[:2] for gap in books.gaps]
    assert (
        "quota of tier per day: 2 probes are booked, they may use 2 (2 %) of 100 requests "
        "(configured)"
    ) in logged


async def test_what_a_reply_told_of_a_limit_holds_the_next_probes(tmp_path):
    """None left: until the reset; a number: its share a minute; free calls are asked nothing."""
    limit = Limit(period=LimitPeriod.MINUTE, requests=20, remaining=0, resets_at=0.0)

    async def tell() -> dict:
        told = replace(limit, resets_at=clock.wall() + 90)
        return {"latency_s": 1.0, "cost_usd": 0.0, "limits": (told,)}

    with opened(tmp_path / "a.db") as writer:
        runner, books, clock, *_ = build(tell, writer)
        first = await run(runner, "free")
        clock.advance(89)
        held = await run(runner, "free")
        call = await runner.free_call("free")
        clock.advance(90)
        again = [await run(runner, "free") for _ in range(2)]

    assert [True, False, True, True, False] == [
        result is not None for result in (first, held, call, *again)
    ]
    assert [("free", GapReason.QUOTA_GUARD)] * 2 == [gap[:2] for gap in books.gaps]


async def test_without_a_store_only_what_needs_no_booking_is_sent(tmp_path, capsys):
    """Neither money nor a quota's request that cannot be booked: a gap of ours; the rest runs on."""
    sent = []

    async def count() -> dict:
        sent.append(1)
        return {"latency_s": 1.0, "cost_usd": 0.0}

    path = tmp_path / "a.db"
    with opened(path) as writer:
        runner, books, *_ = build(count, writer)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            paid, quotaed = await run(runner), await run(runner, "quotaed")
            free = await run(runner, "free")
            other.execute("COMMIT")
        after = await run(runner)
    logged = capsys.readouterr().out

    assert (None, None, "free", "t") == (paid, quotaed, free.target_id, after.target_id)
    assert 2 == len(sent)
    assert [("t", GapReason.MISSED), ("quotaed", GapReason.MISSED)] == [
        gap[:2] for gap in books.gaps
    ]
    assert "probe.not_sent" in logged
    assert "locked" in logged


async def test_a_slow_reservation_is_not_a_step_of_the_clock():
    """A probe starts when its money is there, however long the disk took."""

    class SlowDisk(Books):
        async def reserve(self, *_: object) -> Decision:
            clock.advance(60)
            return Decision(refused_by=None)

    runner, books, clock, *_ = build()
    books.ledger = SlowDisk()
    asked = clock.wall()
    result = await run(runner)

    assert (None, asked + 60) == (result.error, result.started_at)


async def test_what_was_cancelled_at_shutdown_is_void_and_booked():
    """A probe that does not end in the grace period says nothing, but may have cost."""
    stuck = asyncio.Event()

    async def hang() -> None:
        stuck.set()
        await asyncio.Event().wait()

    runner, books, *_ = build(hang)
    probe = asyncio.create_task(run(runner))
    await stuck.wait()
    await runner.drain(grace_s=0.01)
    await probe

    assert [(ErrorClass.MONITOR_FAULT, 0.1)] == [(r.error, r.cost_usd) for r in books.probes]
    assert await run(runner) is None


async def test_a_retry_time_is_a_gap_with_its_reason():
    """While a provider said when to come back, no slot is paid for."""
    now = ManualClock().wall()

    async def limited() -> dict:
        return {"error": ErrorClass.RATE_LIMITED, "retry_at": now + 300, "cost_usd": 0.0}

    runner, books, clock, _, _ = build(limited)
    await runner.scheduled("t", draw=0.5)
    waiting = await runner.scheduled("t", draw=0.5)
    clock.advance(301)
    after = await runner.scheduled("t", draw=0.5)

    assert waiting is None
    assert [("t", GapReason.RETRY_AFTER)] == [gap[:2] for gap in books.gaps]
    assert ErrorClass.RATE_LIMITED is after.error


async def test_slots_that_chance_leaves_out_of_an_outage_are_no_gaps():
    """Those that are sent speak for them: their rows say for how long."""

    async def fail() -> dict:
        return {"error": ErrorClass.OVERLOADED, "cost_usd": 0.0}

    runner, books, *_ = build(fail)
    for _ in range(9):
        await runner.run("t", reason=ProbeReason.CONFIRM)
    left_out = await runner.scheduled("t", draw=0.9)
    first = await runner.scheduled("t", draw=0.9)  # The first slot of all is never left out.
    second = await runner.scheduled("t", draw=0.9)
    lucky = await runner.scheduled("t", draw=0.1)

    assert [] == books.gaps
    assert (600.0, None, None) == (left_out.slot_s, first, second)
    assert (ProbeReason.SCHEDULED, 3600.0) == (lucky.reason, lucky.slot_s)


async def test_a_probe_under_way_is_its_own_confirmation():
    """What a second one would find out is about to be known."""
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    runner, books, *_ = build(wait)
    slow = asyncio.create_task(run(runner))
    await until(lambda: runner.running == 1)
    meanwhile = await runner.extra("t")
    go.set()
    await slow
    afterwards = await runner.extra("t")

    assert meanwhile is None
    assert (ProbeReason.CONFIRM, 0.0) == (afterwards.reason, afterwards.slot_s)
    assert 2 == len(books.probes)


async def test_a_confirmation_without_money_is_no_gap_and_waits(tmp_path):
    """No slot was lost; the next attempt comes later, not at once."""
    path = tmp_path / "a.db"

    async def fail() -> dict:
        return {"error": ErrorClass.TIMEOUT, "cost_usd": 0.1}

    with opened(path) as writer:
        runner, books, clock, _, engine = build(fail, writer)
        results = [await runner.extra("t") for _ in range(3)]
        due = engine.extra_due("t", clock.wall() + 1e6)

    assert [True, True, False] == [result is not None for result in results]
    assert [] == books.gaps
    # Two failures and an attempt that came to nothing: 30 s, doubled twice.
    assert clock.wall() + 120 == pytest.approx(due, abs=2)


async def test_what_a_provider_echoes_is_redacted_before_it_is_kept():
    """Detail, body head and code pass the redactor before store, log and API see them."""

    async def echo() -> dict:
        return {
            "error": ErrorClass.PROTOCOL,
            "detail": f"no {KEY}",
            "body_head": KEY,
            "code": KEY,
            "finish_reason": KEY,
        }

    runner, books, *_ = build(echo)
    await run(runner)

    assert KEY not in str(books.probes)
    assert "no ***" == books.probes[0].detail


async def test_blocks_of_the_harmless_canary_are_warned_of(capsys):
    """Three in a row are worth a word: over-blocking, or a limited account."""

    async def block() -> dict:
        return {"error": ErrorClass.POLICY_BLOCKED, "cost_usd": 0.0}

    runner, *_ = build(block)
    for _ in range(3):
        await run(runner)

    assert 1 == capsys.readouterr().out.count("canary.blocked")


async def test_a_probe_that_is_held_for_our_network_at_shutdown_is_void():
    """It was sent, so it is booked; what came of it nobody knows for sure, so nobody is blamed."""
    asked = asyncio.Event()

    async def lost():
        return {"error": ErrorClass.CONNECTION, "failed_phase": Phase.DNS, "cost_usd": 0.0}

    async def silent(_url: str, _deadline_s: float) -> bool:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    runner, books, clock, lag, engine = build(lost)
    watch = NetworkWatch(["https://r"], ask=silent, clock=clock, on_change=lambda _: None)
    runner.fitness = Fitness(lag, clock, watch)
    await run(runner)
    held = asyncio.ensure_future(run(runner, "free"))
    await asked.wait()
    await runner.drain(grace_s=0.0)
    await watch.aclose()
    first, second = books.probes

    assert (ErrorClass.CONNECTION, ErrorClass.MONITOR_FAULT) == (first.error, second.error)
    assert "the monitor was shutting down" == (await held).detail
    assert State.SUSPECT is engine.health("t", clock.wall()).state
    assert State.UNKNOWN is engine.health("free", clock.wall()).state
