"""
Daemons with batch targets that are killed: one warm parent forks them, one after another.

Run as ``python -m tests.support.queuers STORE BASE_URL ROUNDS SEED``. Each child runs the whole daemon
over the same file against the queue at BASE_URL, until it is killed at a moment drawn from the seed:
mostly while it works, sometimes while it starts. Prints how many were killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from random import Random

import structlog

from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.config import Config
from tests.support.queues import queue_config

TARGETS = tuple(f"queue-{number}" for number in range(30))


def config_of(store: Path, base_url: str) -> Config:
    """Thirty batch targets with a slot a second each."""
    return queue_config(base_url, store, *TARGETS, interval="1s", deadline="8s", poll="300ms")


async def work(config: Config, seed: str, ready: int) -> None:
    """Run the daemon for ever."""
    daemon = Daemon(config, clock=SystemClock(), rng=Random(seed))
    await daemon.start()
    os.write(ready, b"r")
    await asyncio.Event().wait()


def fork(config: Config, seed: str, ready: int) -> int:
    """Start one daemon; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(work(config, seed, ready))
        finally:
            os._exit(1)  # It only ever ends by being killed.
    return child


def main(config: Config, rounds: int, seed: int) -> int:
    """Kill one daemon a round; return how many were killed while they worked."""
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    rng = Random(seed)
    clock = SystemClock()
    killed, start_s = 0, 0.15
    for number in range(rounds):
        read, ready = os.pipe()
        begun = clock.monotonic()
        child = fork(config, f"{seed}/{number}", ready)
        os.close(ready)
        if rng.random() < 0.9:
            os.read(read, 1)
            start_s = clock.monotonic() - begun
        # The moment of death, drawn, waits for nothing: within as long as a start takes here and now, for
        # what a life of so many seconds gets done is another thing on each machine.
        time.sleep(rng.uniform(0.0, start_s))
        os.kill(child, signal.SIGKILL)
        killed += os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        os.close(read)
    return killed


if __name__ == "__main__":
    store, base_url, rounds_text, seed_text = sys.argv[1:]
    done = main(config_of(Path(store), base_url), int(rounds_text), int(seed_text))
    sys.stdout.write(f"{done}\n")
