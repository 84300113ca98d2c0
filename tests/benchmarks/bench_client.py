"""
How long the client keeps a caller while its daemon is killed, hangs and lies.

Run as ``python tests/benchmarks/bench_client.py [CALLS]`` (2000 calls by default in each of ten
troubles, those of tests/integration/test_client_chaos.py). Prints p50, p99 and the maximum of
``order()`` and of a whole ``Failover.call`` whose function returns at once, in microseconds; then the
same without garbage collection. On a busy machine maxima are the kernel's, which sets a process aside
for 4 ms and more: a loop that does nothing is timed beside them, and calls over 5 ms are counted apart
by what the kernel says of them: those that waited (for a lock, for I/O) and those it preempted.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.chaos import trouble  # noqa: E402 - the path comes first


def idle_max_us(n: int = 200_000) -> float:
    """Return the longest gap between two readings of the clock: what the machine takes by itself."""
    longest, last = 0, perf_counter_ns()
    for _ in range(n):
        now = perf_counter_ns()
        longest, last = max(longest, now - last), now
    return longest / 1000


def main(calls: int) -> None:
    """Print one line for each trouble and way."""
    print(f"Python {platform.python_version()}, {calls} calls or more each, microseconds")
    for options in ((), ("--no-gc",)):
        print(f"garbage collection {'off' if options else 'on'}; "
              f"longest stall of an idle loop {idle_max_us():.0f}")  # fmt: skip
        with (
            tempfile.TemporaryDirectory() as folder,
            trouble(Path(folder), calls, *options) as met,
        ):
            for one in met:
                times = "  ".join(
                    f"{name[:-3]} p50 {one[name]['p50'] / 1000:.1f} p99 {one[name]['p99'] / 1000:.1f} "
                    f"max {one[name]['max'] / 1000:.0f}"
                    for name in ("order_ns", "failover_ns")
                )
                print(
                    f"{one['trouble']:9} {one['calls']:6} calls  {times}  over 5 ms: "
                    f"{one['waited']} waited, {one['preempted']} preempted"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
