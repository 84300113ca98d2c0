"""
What a month's report of thirty targets at ten minutes costs, free calls in the file beside it.

    python tests/benchmarks/bench_report.py

Reads a store of 134 000 canaries and as many free calls, in this process, without its imports.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from monitor.cli.report import read
from monitor.config import parse
from monitor.core.report import Period, Report
from monitor.report import csv, html
from monitor.report.document import compose
from monitor.store.writer import Writer
from probes.model import ProbeKind, ProbeResult

SINCE = 1_790_812_800.0  # 2026-10-01.
SLOTS = 31 * 144
TARGETS = 30
HEAD = """
[store]
path = "{store}"
[[providers]]
id = "acme"
format = "openai-images"
base_url = "http://localhost/v1"
"""
TARGET = """
[[targets]]
id = "target-{number}"
provider = "acme"
model = "painter"
price_usd = 0.04
interval = "10m"
claim = {{ availability = 0.999, latency_p95 = "12s" }}
"""


def fill(path: Path) -> None:
    """Write the month."""
    rng = Random(1)
    writer = Writer(path, queue_max=1_000_000)
    writer.start()
    for number in range(TARGETS):
        for slot in range(SLOTS):
            at = SINCE + 600 * slot + rng.uniform(0, 60)
            values = {"target_id": f"target-{number}", "duration_s": 5.0, "latency_s": 5.0}
            canary = ProbeResult(
                probe_id=f"c-{number}-{slot}", started_at=at, slot_s=600.0, cost_usd=0.04, **values
            )
            call = ProbeResult(
                probe_id=f"f-{number}-{slot}", started_at=at + 300, kind=ProbeKind.LIVENESS,
                slot_s=300.0, **values,
            )  # fmt: skip
            for probe in (canary, call):
                writer.submit_probe(probe, "acme", "default")
        writer.flush(600.0)
    writer.close()


def main() -> None:
    """Fill, read, write; one line each."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "imgmon.db"
        fill(path)
        text = HEAD.format(store=path)
        text += "".join(TARGET.format(number=number) for number in range(TARGETS))
        config = parse(text, {}, "benchmark")
        period = Period(since=SINCE, until=SINCE + 31 * 86_400, ends=SINCE + 31 * 86_400)
        started = time.process_time()
        targets = read(config, list(config.specs.values()), period)
        took_s = time.process_time() - started
        print(
            f"read and figure {TARGETS} targets, {TARGETS * SLOTS} canaries: {took_s:.2f} s of CPU"
        )
        report = Report(
            period=period, subject="all", vantage="here", version="0", generated_at=period.until,
            targets=targets,
        )  # fmt: skip
        started = time.process_time()
        page = html.render(compose(report))
        took_s = time.process_time() - started
        print(f"HTML of {len(page) / 1e6:.1f} MB: {took_s:.2f} s of CPU")
        started = time.process_time()
        csv.render(report, "days")
        print(f"CSV by day: {time.process_time() - started:.2f} s of CPU")


if __name__ == "__main__":
    main()
