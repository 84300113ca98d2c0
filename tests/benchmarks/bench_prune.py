"""
How long pruning holds up the writer: slices over a file with history, most of which is too old.

    python tests/benchmarks/bench_start.py probes --folder big
    python tests/benchmarks/bench_prune.py big/probes.db

Works on a copy beside the file, with probes kept for 63 days; times are from the begin of a slice's
transaction to the end of its commit, checkpoints of the log included.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import statistics
import sys
from pathlib import Path
from time import perf_counter, process_time

import structlog
from bench_start import NOW

from monitor.core.retention import DAY_S, Retention, cutoffs
from monitor.store.pruning import sorts
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from monitor.upkeep import Upkeep


class BenchClock:
    """The monotonic clock of the machine, and the wall time at which the file ends."""

    def wall(self) -> float:
        """The end of the file's history."""
        return NOW

    def monotonic(self) -> float:
        """Real time."""
        return perf_counter()


async def prune(path: Path) -> None:
    """Prune everything and print the times of slices."""
    writer, reader, clock = Writer(path), Reader(path), BenchClock()
    writer.start()
    retention = Retention(probes_s=63 * DAY_S, free_calls_s=8 * DAY_S)
    upkeep = Upkeep(path, writer, reader, retention=retention, clock=clock)
    took, cpu, wall = [], process_time(), perf_counter()
    for sort in sorts(cutoffs(retention, clock.wall())):
        is_more = True
        while is_more:
            upkeep.slowest_s = 0.0
            is_more = await upkeep._slice(sort, lambda _: None)
            took.append(upkeep.slowest_s * 1000)
    cpu, wall = process_time() - cpu, perf_counter() - wall
    writer.close()
    reader.close()
    cuts = statistics.quantiles(took, n=100)
    print(
        f"pruned {upkeep.pruned} rows in {len(took)} slices: p50 {cuts[49]:.1f} ms, p99 "
        f"{cuts[98]:.1f} ms, max {max(took):.1f} ms; {cpu:.0f} s CPU, {wall:.0f} s, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def main() -> None:
    """Prune a copy of the file that is named."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    path = Path(sys.argv[1])
    copy = path.with_name(path.name + ".pruned")
    shutil.copyfile(path, copy)
    asyncio.run(prune(copy))
    for suffix in ("", "-wal", "-shm"):
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
