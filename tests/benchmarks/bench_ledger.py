"""
What a booking costs: caps of a day and a month in all three scopes, and quotas of all kinds.

    python tests/benchmarks/bench_ledger.py [probes a month]

The file holds a month of probes of ten targets at five providers, every third one free. The first
figure is with caps alone, the second with four quotas beside them.
"""

from __future__ import annotations

import platform
import sqlite3
import statistics
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from monitor.core.quota import kind_of, learn, quotas_of
from monitor.core.spec import ProviderSpec, QuotaSpec, SpendCap, TargetSpec
from monitor.core.spend import Caps, Claim
from monitor.store.writer import Writer
from probes.model import Limit, LimitPeriod

MONTH_BEGIN = 1_793_491_200.0  # 2026-11-01.
MONTH_S = 30 * 86_400.0
CAP = SpendCap(usd_per_day=1e6, usd_per_month=1e6)
PROVIDERS = {
    f"p{n}": ProviderSpec(
        id=f"p{n}", spend_cap=CAP, quota=QuotaSpec(per_minute=10**6, per_day=10**8)
    )
    for n in range(5)
}
TARGETS = {
    f"t{n}": TargetSpec(
        id=f"t{n}", provider=f"p{n % 5}", model="m", base_url="https://x.example", format="gemini",
        price_usd=0.004, interval_s=60.0, deadline_s=30.0, spend_cap=CAP,
    )
    for n in range(10)
}  # fmt: skip
CAPS = Caps(overall=CAP, providers=PROVIDERS, targets=TARGETS)
ROUNDS = 50


def main(probes: int) -> None:
    """Fill the ledger, then time bookings at the end of the month."""
    with tempfile.TemporaryDirectory() as folder, closing(Writer(Path(folder) / "a.db")) as writer:
        writer.start()
        with closing(sqlite3.connect(Path(folder) / "a.db")) as raw:
            raw.executemany(
                "INSERT INTO reservations (probe_id, target_id, provider, at, micros, is_settled)"
                " VALUES (?, ?, ?, ?, ?, 1)",
                (
                    (f"b-{n}", f"t{n % 10}", f"p{n % 5}", MONTH_BEGIN + n * MONTH_S / probes,
                     0 if n % 3 == 0 else 4000)
                    for n in range(probes)
                ),
            )  # fmt: skip
            raw.commit()
        target, provider = TARGETS["t3"], PROVIDERS["p3"]
        limits = [Limit(period=p, requests=10**8, per_model=True) for p in LimitPeriod]
        learned = {kind_of(x, target): learn(None, x, MONTH_BEGIN + MONTH_S) for x in limits}
        figures = []
        for is_quotaed in (False, True):
            times = []
            for number in range(ROUNDS):
                at = MONTH_BEGIN + MONTH_S - 3600 + number
                claim = Claim(
                    probe_id=f"{is_quotaed}-{number}", target_id="t3", provider="p3", micros=4000,
                    at=at, caps=CAPS.of("t3"),
                )  # fmt: skip
                if is_quotaed:
                    found = quotas_of(target, provider, TARGETS.values(), learned, at)
                    assert len(found) == 4
                    claim = replace(claim, quotas=found)
                begun = perf_counter()
                assert writer.reserve(claim).result().refused_by is None
                times.append(perf_counter() - begun)
            figures.append(statistics.median(times) * 1e3)
    print(
        f"{probes} probes a month: {figures[0]:.1f} ms a booking under caps, {figures[1]:.1f} ms with "
        f"quotas too (medians of {ROUNDS}); {platform.machine()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7_500)
