"""
What a scrape costs with many targets, against prometheus-client's own way, and what the loop feels of it.

    python tests/benchmarks/bench_metrics.py [targets] [seconds]

The engine is fed a sample of one target after another at the rate of a ten-minute schedule and
ticks four times a second, as in the daemon; a page is asked for every second, in text and with gzip
as Prometheus asks. The ratio holds across machines: it is the CPU of a page against one of the very
same series by a collector that yields all of them anew.
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import sys
from collections.abc import Iterable
from random import Random
from time import perf_counter, thread_time

import uvloop
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from monitor.api.encode import Encoder
from monitor.clock import SystemClock
from monitor.core.snapshot import Snapshot
from monitor.core.spec import Objective, Policy, PoolSpec, TargetSpec
from monitor.engine import Engine
from monitor.exposition import Exposition
from monitor.metrics import SPECS, snapshot_pieces
from monitor.publisher import Publisher
from monitor.steps import Steps, unhurried
from probes.model import ErrorClass, ProbeResult

INTERVAL_S = 600.0
SAMPLES = 200
TICK_S = 0.25


class Whole(Collector):
    """All series of a snapshot in one family each, rendered anew: the library's own way."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Yield what is in *snapshot*."""
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Make every family from scratch."""
        families = {spec.name: spec.empty() for spec in SPECS}
        for piece in snapshot_pieces(self._snapshot, dict):
            for family in piece.families().collect():
                families[family.name].samples.extend(family.samples)
        return families.values()


def build(count: int) -> tuple[Engine, list[str], Random]:
    """An engine that knows a day of *count* targets, in pools of five."""
    rng = Random(1)
    names = [f"provider-{number // 5}-model-{number}" for number in range(count)]
    slo = Objective(availability=0.99, latency_p95_s=20.0)
    specs = {
        name: TargetSpec(
            id=name, provider=f"provider-{at // 5}", model="m", base_url="https://x.example",
            format="gemini", price_usd=0.03, interval_s=INTERVAL_S, deadline_s=120.0,
            liveness_s=300.0, claim=slo,
        )
        for at, name in enumerate(names)
    }  # fmt: skip
    pools = [
        PoolSpec(id=f"p{at}", targets=tuple(names[at : at + 5]), slo=slo)
        for at in range(0, count, 5)
    ]
    return Engine(specs, pools, Policy()), names, rng


def result(target: str, at: float, rng: Random) -> ProbeResult:
    """One scheduled probe, one in fifty of them bad."""
    took = rng.lognormvariate(1.6, 0.35)
    error = ErrorClass.OVERLOADED if rng.random() < 0.02 else None
    return ProbeResult(
        probe_id=f"{at:.3f}-{target[-4:]}", target_id=target, started_at=at, duration_s=took,
        latency_s=None if error else took, error=error, slot_s=INTERVAL_S, cost_usd=0.03,
    )  # fmt: skip


class Lag:
    """How late the loop is, by what goes on meanwhile."""

    def __init__(self) -> None:
        """Begin with nothing measured."""
        self.during = ""
        self.late_s: dict[str, list[float]] = {}

    async def beat(self) -> None:
        """Measure for ever."""
        while True:
            before = perf_counter()
            await asyncio.sleep(0.005)
            self.late_s.setdefault(self.during, []).append(perf_counter() - before - 0.005)

    def p99_ms(self, during: str) -> float:
        """Return the 99th percentile in milliseconds."""
        return statistics.quantiles(self.late_s[during], n=100, method="inclusive")[98] * 1e3


class Timed(Exposition):
    """Notes the CPU of each page."""

    def page(self, *, is_open: bool = False) -> bytes:
        """Render it."""
        before = thread_time()
        page = super().page(is_open=is_open)
        COSTS.append(thread_time() - before)
        return page


COSTS: list[float] = []


async def scraped(shown: Exposition, seconds: int) -> int:
    """Ask for a page every second; return the length of the last."""
    for _ in range(seconds):
        scrape = await shown.scrape("", "gzip")
        await asyncio.sleep(1.0)
    return len(scrape.body)


async def ticking(engine: Engine, publisher: Publisher, names: list[str], rng: Random) -> None:
    """Feed samples at the rate of the schedule and publish, as the daemon's pulse does."""
    clock, fed = SystemClock(), 0.0
    while True:
        await asyncio.sleep(TICK_S)
        fed += TICK_S * len(names) / INTERVAL_S
        while fed >= 1:
            fed -= 1
            engine.accept(result(rng.choice(names), clock.wall(), rng))
        await unhurried(pulse(engine, publisher, clock), clock)


def pulse(engine: Engine, publisher: Publisher, clock: SystemClock) -> Steps[None]:
    """Build and publish one snapshot, as the daemon does."""
    snapshot = yield from engine.ticking(clock.wall())
    yield from publisher.publishing(snapshot)


def library_way(snapshot: Snapshot) -> tuple[bytes, float]:
    """Return the page of a collector that makes all anew, and its CPU in seconds."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Whole(snapshot))
    begun = thread_time()
    return generate_latest(registry), thread_time() - begun


async def live(count: int, seconds: int) -> None:
    """Fill the windows, render once the library's way, then run as a daemon does."""
    clock = SystemClock()
    engine, names, rng = build(count)
    start = clock.wall() - SAMPLES * INTERVAL_S
    for number in range(SAMPLES):
        for place, name in enumerate(names):
            engine.accept(result(name, start + (number + place / count) * INTERVAL_S, rng))
    publisher = Publisher(Encoder())
    publisher.publish(engine.tick(clock.wall()))
    page, whole_s = library_way(publisher.current.snapshot)
    shown = Timed(SPECS, lambda: snapshot_pieces(publisher.current.snapshot, dict), clock)
    await shown.scrape("", "gzip")
    first_s = COSTS.pop()
    lag = Lag()
    beat = asyncio.create_task(lag.beat())
    for ticks_too in (False, True):
        ticks = asyncio.create_task(ticking(engine, publisher, names, rng)) if ticks_too else None
        lag.during = f"quiet {ticks_too}"
        await asyncio.sleep(seconds)
        COSTS.clear()
        lag.during = f"scraped {ticks_too}"
        packed = await scraped(shown, seconds)
        lag.during = ""
    for task in (beat, ticks):
        task.cancel()
    ours_s = statistics.median(COSTS)
    print(
        f"{count} targets, {len(page.splitlines())} lines, {len(page) / 1e6:.1f} MB "
        f"({packed / 1e6:.2f} MB gzip): the library's way {whole_s * 1e3:.0f} ms of CPU, ours "
        f"{ours_s * 1e3:.0f} ms (first {first_s * 1e3:.0f} ms), ratio {ours_s / whole_s:.3f}; "
        f"loop lag p99 scraped every second / not: {lag.p99_ms('scraped False'):.1f} / "
        f"{lag.p99_ms('quiet False'):.1f} ms without the engine's ticks, "
        f"{lag.p99_ms('scraped True'):.1f} / {lag.p99_ms('quiet True'):.1f} ms with them; "
        f"{platform.machine()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    uvloop.run(live(given[0] if given else 1000, given[1] if len(given) > 1 else 20))
