"""
Processes that watch failing targets and are killed: each goes on from the file until SIGKILL.

Run as ``python -m tests.support.sufferers STORE ROUNDS SEED``. Every round a forked child starts over
the file as a daemon does, then stores results and what the journal makes of them, until it is killed
at a moment drawn from the seed. Prints how many were killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from itertools import count
from pathlib import Path
from random import Random

from monitor.core.snapshot import Totals
from monitor.core.spec import Policy, PoolSpec
from monitor.engine import Engine, Past
from monitor.store.history import History
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import ErrorClass, ProbeResult
from tests.support.builders import NOW, a_result, a_spec

TARGETS = {
    "alpha": a_spec("alpha", upstream="cloud"),
    "beta": a_spec("beta", upstream="cloud"),
    "gamma": a_spec("gamma", provider="lab"),
}
SPAN_S = 60.0  # Between two results.


def result_of(number: int) -> ProbeResult:
    """The *number*-th result: which, follows from the number alone."""
    rng = Random(f"result/{number}")
    is_bad_hour = Random(f"hour/{number // 20}").random() < 0.5
    errors = [ErrorClass.TIMEOUT, ErrorClass.SERVER_ERROR, ErrorClass.AUTH, ErrorClass.OUR_NETWORK]
    error = rng.choice(errors) if is_bad_hour and rng.random() < 0.8 else None
    return a_result(
        error,
        NOW + SPAN_S * number,
        probe_id=f"p-{number:06d}",
        target_id=rng.choice(list(TARGETS)),
        cost_usd=0.04,
    )


def engine() -> Engine:
    """An engine over all targets, without a pool that could decide anything."""
    return Engine(TARGETS, [PoolSpec(id="p", targets=tuple(TARGETS))], Policy())


def opened(path: Path) -> tuple[Engine, Writer, int]:
    """Start over the file at *path* as a daemon does; also the number of its next result."""
    writer = Writer(path)
    writer.start()
    reader = Reader(path)
    subject = engine()
    rows = list(reader.replay(0.0))
    past = Past(totals=Totals(), orders={}, kept=History(reader).logs(), at=NOW)
    subject.restore(rows, past)
    for entry in subject.take_entries():
        writer.submit_entry(entry)
    return subject, writer, len(rows)


def suffer(path: Path, ready: int) -> None:
    """Store result after result with what it means; for ever."""
    subject, writer, first = opened(path)
    for number in count(first):
        result = result_of(number)
        writer.submit_probe(result, TARGETS[result.target_id].provider, "here")
        subject.accept(result)
        for entry in subject.take_entries():
            writer.submit_entry(entry)
        if number % 10 == 9:
            writer.flush()
            os.write(ready, b"r")


def main() -> None:
    """Have children killed, round by round."""
    path, rounds, rng = Path(sys.argv[1]), int(sys.argv[2]), Random(int(sys.argv[3]))
    killed = 0
    for _ in range(rounds):
        readable, ready = os.pipe()
        child = os.fork()
        if child == 0:
            suffer(path, ready)
        os.close(ready)
        # After so many commits, however slow the machine, and a moment: in the midst of the next.
        for _ in range(rng.randrange(1, 4)):
            assert os.read(readable, 1) == b"r"
        time.sleep(rng.uniform(0.0, 0.01))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        os.close(readable)
        killed += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    sys.stdout.write(f"{killed}\n")


if __name__ == "__main__":
    main()
