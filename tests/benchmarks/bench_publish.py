"""
What publishing costs: one tick of the engine and its encoding, after one new sample.

    python tests/benchmarks/bench_publish.py [targets]

Ratios hold across machines, milliseconds do not: the first line is the same work done from
scratch (every view made and encoded anew), which is what the incremental way saves.
"""

from __future__ import annotations

import platform
import statistics
import sys
from random import Random
from time import perf_counter

from monitor.api.encode import Encoder
from monitor.core.spec import Objective, Policy, PoolSpec, TargetSpec
from monitor.engine import Engine
from probes.model import ProbeResult

START = 1_795_000_000.0
INTERVAL_S = 600.0
SAMPLES = 4_320  # 30 days at one probe in ten minutes.
ROUNDS = 30


def result(target: str, at: float, rng: Random) -> ProbeResult:
    """One good scheduled probe."""
    took = rng.lognormvariate(1.6, 0.35)
    return ProbeResult(
        probe_id=f"{target}-{at:.0f}",
        target_id=target,
        started_at=at,
        duration_s=took,
        latency_s=took,
        slot_s=INTERVAL_S,
        cost_usd=0.03,
    )


def main(count: int) -> None:
    """Fill the windows, then time ticks."""
    rng = Random(1)
    names = [f"t{number}" for number in range(count)]
    specs = {
        name: TargetSpec(
            id=name, provider=name, model="m", base_url="https://x.example", format="gemini",
            price_usd=0.03, interval_s=INTERVAL_S, deadline_s=120.0,
        )
        for name in names
    }  # fmt: skip
    slo = Objective(availability=0.99, latency_p95_s=20.0)
    pools = [
        PoolSpec(id=f"p{at}", targets=tuple(names[at : at + 5]), slo=slo)
        for at in range(0, count, 5)
    ]
    engine = Engine(specs, pools, Policy())
    for number in range(SAMPLES):
        for name in names:
            engine.accept(result(name, START + number * INTERVAL_S, rng))
    now = START + SAMPLES * INTERVAL_S
    encode = Encoder()
    begun = perf_counter()
    encode(engine.tick(now))
    scratch_s = perf_counter() - begun
    ticks = []
    for number in range(ROUNDS):
        at = now + number + 1
        engine.accept(result(names[number % count], at, rng))
        begun = perf_counter()
        encode(engine.tick(at + 0.5))
        ticks.append(perf_counter() - begun)
    tick_s = statistics.median(ticks)
    print(
        f"{count} targets x {SAMPLES} samples: from scratch {scratch_s * 1e3:.1f} ms, "
        f"after one sample {tick_s * 1e3:.2f} ms (median of {ROUNDS}), "
        f"ratio {tick_s / scratch_s:.3f}; {platform.machine()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
