"""What voids a probe: our own trouble, never a mark against a provider."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from monitor.app import load_probeables
from monitor.clock import ManualClock
from monitor.config import parse
from monitor.core.snapshot import GapReason
from monitor.engine import Engine
from monitor.lag import LagMeter
from monitor.runner import Runner
from monitor.secrets import Redactor
from probes.model import ErrorClass, Outcome, ProbeReason, ProbeResult
from tests.support.daemon import until

pytestmark = pytest.mark.anyio
KEY = "secret-of-the-test-123"
TEXT = """
[[providers]]
id = "p"
preset = "openai"
api_key = { env = "KEY" }
spend_cap = { usd_per_day = 0.25 }

[[targets]]
id = "t"
provider = "p"
model = "gpt-image-2"
size = "1024x1024"
price_usd = 0.1
interval = "10m"
pools = ["q"]

[[pools]]
id = "q"
"""


class Books:
    """Where rows would go."""

    def __init__(self) -> None:
        """Start empty."""
        self.probes: list[ProbeResult] = []
        self.gaps: list[tuple] = []

    def probe(self, result: ProbeResult, _provider: str) -> None:
        """Keep a probe."""
        self.probes.append(result)

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


async def nothing() -> None:
    """Take no time."""


def build(action=nothing) -> tuple[Runner, Books, ManualClock, LagMeter, Engine]:
    """A runner over one target whose driver performs *action*."""
    config = parse(TEXT, {"KEY": KEY}, "test")
    clock, books = ManualClock(), Books()
    lag = LagMeter(clock)
    engine = Engine(config.specs, config.pools, config.providers, config.policy)
    probeables, _ = load_probeables(config)
    runner = Runner(
        probeables,
        driver=Act(action),
        engine=engine,
        store=books,
        clock=clock,
        rng=Random(1),
        lag=lag,
        redactor=Redactor(config.secrets),
    )
    return runner, books, clock, lag, engine


async def run(runner: Runner) -> ProbeResult | None:
    """One scheduled probe."""
    return await runner.run("t", reason=ProbeReason.SCHEDULED)


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


async def test_the_cap_counts_probes_under_way():
    """Three at once against room for two: the third is a gap before anything is sent."""
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    runner, books, _, _, engine = build(wait)
    probes = [asyncio.create_task(run(runner)) for _ in range(3)]
    await until(lambda: bool(books.gaps))
    go.set()
    results = await asyncio.gather(*probes)

    assert 2 == sum(result is not None for result in results)
    assert [("t", GapReason.SPEND_CAP)] == [gap[:2] for gap in books.gaps]
    assert 0.2 == pytest.approx(engine.ledger.spent_today("p", ManualClock().wall()))


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
    await runner.scheduled("t")
    waiting = await runner.scheduled("t")
    clock.advance(301)
    after = await runner.scheduled("t")

    assert waiting is None
    assert [("t", GapReason.RETRY_AFTER)] == [gap[:2] for gap in books.gaps]
    assert ErrorClass.RATE_LIMITED is after.error


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
