"""
An application in a process of its own, calling without pause while its daemon misbehaves.

Run as ``python -m tests.support.chaos_client URL CACHE_DIR CALLS``. For each line on its standard input
(the source that the order is to reach, then what happens to this machine: ``full`` or ``free`` disk, or
a step of its clock in seconds) it makes CALLS calls at least, more until that source is seen, and
prints one JSON line of what it met and how long the client kept it.
"""

from __future__ import annotations

import gc
import json
import resource
import signal
import sys
from contextlib import suppress
from itertools import count
from time import perf_counter_ns, sleep

from monitor.client import Attempt, Failover, PriorityClient, Settings
from monitor.clock import SystemClock

LONGEST_S = 90.0  # Turns a source that is never seen into a failure.


class SteppedClock(SystemClock):
    """The machine's clocks, the wall clock set wrong by *step_s*."""

    step_s = 0.0

    def wall(self) -> float:
        """Return the wrong time."""
        return super().wall() + self.step_s


LONG_NS = 5_000_000


def call_once(
    client: PriorityClient, failover: Failover, number: int
) -> tuple[int, int, str, bool]:
    """
    Ask and fail over once; raise whatever does.

    Returns:
        Nanoseconds of each, the source, and whether the call waited: it gave the processor away of
        its own accord, for a lock or for I/O, and the kernel did not take it.
    """
    before = resource.getrusage(resource.RUSAGE_THREAD)

    def fn(attempt: Attempt) -> str:
        if attempt.number == 1 and number % 7 == 0:
            raise TimeoutError
        return attempt.target

    began = perf_counter_ns()
    order = client.order()
    asked = perf_counter_ns()
    assert order.places
    assert failover.call(fn) in order.targets
    ended = perf_counter_ns()
    after = resource.getrusage(resource.RUSAGE_THREAD)
    waited = after.ru_nvcsw > before.ru_nvcsw and after.ru_nivcsw == before.ru_nivcsw
    return asked - began, ended - asked, order.source.value, waited


def disturb(what: str, clock: SteppedClock) -> None:
    """Fill or free the disk, or set the clock."""
    if what in ("full", "free"):
        limit = 16 if what == "full" else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    else:
        clock.step_s = float(what)


def main(url: str, folder: str, calls: int, *, is_collecting: bool = True) -> None:
    """Work through the lines of standard input."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if not is_collecting:
        gc.disable()
    clock = SteppedClock()
    settings = Settings(
        cache_dir=folder, refresh_s=0.02, wait_s=1.0, timeout_s=0.5, report_s=0.05, reports_max=500
    )
    client = PriorityClient(
        url, "image", static_order=["flash", "flare"], token="t", settings=settings, clock=clock
    )
    failover = Failover(client, cooldown_s=0.01)
    for line in sys.stdin:
        wanted, what = line.split()
        disturb(what, clock)
        seen, raised, asked_ns, called_ns, long = set(), [], [], [], [0, 0]
        failures, ends = client.status.failures, clock.monotonic() + LONGEST_S
        for number in count():
            # Live again, or refused once more: what answers now has been met.
            met = wanted in seen and (wanted == "live" or client.status.failures > failures)
            if (number >= calls and met) or clock.monotonic() > ends:
                break
            try:
                asked, called, source, waited = call_once(client, failover, number)
            except Exception as error:  # noqa: BLE001 - whatever is raised is the finding
                raised.append(repr(error))
                break
            asked_ns.append(asked)
            called_ns.append(called)
            seen.add(source)
            if asked + called > LONG_NS:
                long[waited] += 1
            sleep(0.0004)  # As fast as an application would ever call, not faster.
        answer = {
            "calls": len(asked_ns), "sources": sorted(seen), "raised": raised,
            "order_ns": summary(asked_ns), "failover_ns": summary(called_ns),
            "preempted": long[0], "waited": long[1], "failures": client.status.failures, "waiting": client.status.reports.waiting,
        }  # fmt: skip
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    client.close()


def summary(values: list[int]) -> dict[str, int]:
    """Return median, 99th percentile and maximum."""
    ordered = sorted(values) or [0]
    return {
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[len(ordered) * 99 // 100],
        "max": ordered[-1],
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), is_collecting="--no-gc" not in sys.argv)
