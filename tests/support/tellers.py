"""
Processes that tell a receiver of events and are killed: each goes on from the file until SIGKILL.

Run as ``python -m tests.support.tellers STORE URL ROUNDS SEED``. Every round a forked child stores
events and runs the notifier over the real outbox and HTTP, until it is killed at a moment drawn from
the seed. At last one runs until all is told. Prints how many were killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from itertools import count
from pathlib import Path
from random import Random

from monitor import logs
from monitor.clock import SystemClock
from monitor.config.notify import Channel, Outlet
from monitor.core.events import Event, EventKind
from monitor.core.notices import Topic
from monitor.core.notify import Route
from monitor.core.words import rfc3339
from monitor.notify.notifier import Notifier
from monitor.secrets import Redactor
from monitor.store import outbox
from monitor.store.reader import Reader
from monitor.store.writer import Writer

SECRET = "a-secret-of-the-test"
ROUTE = Route(
    id="ops", topics=frozenset({Topic.DRIFT, Topic.OUTAGE}), group_wait_s=0.004, at_once=6
)


def event_of(name: str, number: int, at: float) -> Event:
    """The *number*-th event of a child: an outage that opens, one that closes, a fact, a fact."""
    turn, target = number % 4, f"t{number // 4 % 3}"
    if turn in (0, 1):
        incident = f"{name}-{number // 4}"
        data = {
            "incident": incident, "scope": "provider", "error": "timeout", "failures": 2,
            "started_at": rfc3339(at - 1.0), "relapses": 0, "ended_at": rfc3339(at),
        }  # fmt: skip
        kind = (EventKind.INCIDENT_OPENED, EventKind.INCIDENT_CLOSED)[turn]
    else:
        data, kind = {"before": "m-1", "after": f"m-{name}-{number}"}, EventKind.MODEL_CHANGED
    return Event(kind=kind, at=at, target=target, data=data, probe_id=f"{name}-{number}")


def opened(path: Path, url: str, seed: int) -> tuple[Writer, Reader, Notifier]:
    """The store and a notifier over it, as a daemon has them."""
    writer, reader = Writer(path), Reader(path)
    writer.start()
    outlet = Outlet(route=ROUTE, channel=Channel.WEBHOOK, place=url, secret=SECRET)
    notifier = Notifier(
        [outlet], reader, writer, clock=SystemClock(), rng=Random(seed),
        look_s=0.002, retry_s=0.01,
    )  # fmt: skip
    return writer, reader, notifier


async def tell(path: Path, url: str, name: str, seed: int, ready: int) -> None:
    """Store event after event while the notifier tells of them; for ever, a byte for each message."""
    writer, _, notifier = opened(path, url, seed)
    running = asyncio.create_task(notifier.run())
    os.write(ready, b"r")
    sent = 0
    for number in count():
        writer.submit_event(event_of(name, number, SystemClock().wall()))
        if number % 3 == 2:
            await asyncio.to_thread(writer.flush)
            await asyncio.sleep(0.005)  # Most of its life goes by in sending.
        if (now_sent := notifier.figures().sends[ROUTE.id, "sent"]) > sent:
            os.write(ready, b"s" * (now_sent - sent))
            sent = now_sent
    await running


async def tell_the_rest(path: Path, url: str) -> None:
    """Run the notifier until everything is told."""
    writer, reader, notifier = opened(path, url, 0)
    running = asyncio.create_task(notifier.run())
    # What has settled is told by the store alone.
    while not await asyncio.to_thread(reader.ask, outbox.is_settled):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await notifier.stop()
    await running
    writer.close()


def fork(path: Path, url: str, name: str, seed: int, ready: int) -> int:
    """Start one; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(tell(path, url, name, seed, ready))
        finally:
            os._exit(1)  # It only ever ends by being killed.
    return child


def main(path: Path, url: str, rounds: int, seed: int) -> int:
    """Kill one a round; return how many were killed while they worked."""
    logs.configure("json", "error", Redactor([]), sys.stderr)
    rng = Random(seed)
    writer = Writer(path)
    writer.start()
    writer.ask(
        lambda c: outbox.advance(c, ROUTE, 0.0)
    ).result()  # It reads from the first event on.
    writer.close()
    killed = 0
    for number in range(rounds):
        readable, ready = os.pipe()
        child = fork(path, url, str(number), rng.getrandbits(32), ready)
        os.close(ready)
        # Sometimes while it still opens the file, mostly after a few messages, however slow it is.
        for _ in range(rng.randrange(5)):
            os.read(readable, 1)
        time.sleep(rng.uniform(0.0, 0.02))  # The moment of death, drawn, waits for nothing.
        os.kill(child, signal.SIGKILL)
        killed += os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        os.close(readable)
    asyncio.run(tell_the_rest(path, url))
    return killed


if __name__ == "__main__":
    store, url_text, rounds_text, seed_text = sys.argv[1:]
    sys.stdout.write(f"{main(Path(store), url_text, int(rounds_text), int(seed_text))}\n")
