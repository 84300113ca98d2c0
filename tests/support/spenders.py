"""
Processes that spend and are killed: one warm parent forks them, each works until SIGKILL.

Run as ``python -m tests.support.spenders STORE PORT ROUNDS SEED``. Every round two children reserve,
ask the server at PORT to bill them, and settle, over one file without its lock, until each is
killed at a moment drawn from the seed. Prints how many were killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from monitor.core.quota import quotas_of
from monitor.core.spec import ProviderSpec, QuotaSpec, SpendCap
from monitor.core.spend import Caps, Claim, micros
from monitor.store.writer import Writer
from probes.model import ProbeResult
from tests.support.builders import a_spec

START = 1_795_820_000.0  # 2026-11-27 22:53:20Z: days end, and so does a month.
ROUND_S = 900.0
WAIT_S = 30.0  # Never reached when things work.
# Of 1500 requests from one midnight in Los Angeles to the next, 30 are for probes.
FREE = ProviderSpec(
    id="gratis", quota=QuotaSpec(per_day=1500, resets=ZoneInfo("America/Los_Angeles"))
)
CAPS = Caps(
    overall=SpendCap(usd_per_day=12.0, usd_per_month=36.0),
    providers={
        "acme": ProviderSpec(id="acme", spend_cap=SpendCap(usd_per_day=8.0)),
        "lab": ProviderSpec(id="lab"),
        "gratis": FREE,
    },
    targets={
        "dear": a_spec("dear", price_usd=0.24, spend_cap=SpendCap(usd_per_day=6.0)),
        "cheap": a_spec("cheap", price_usd=0.039, spend_cap=SpendCap(usd_per_month=3.5)),
        "other": a_spec("other", provider="lab", price_usd=0.134),
        "free": a_spec("free", provider="gratis", price_usd=0.0),
    },
)
TARGETS = tuple(CAPS.targets)


def spend(path: Path, port: int, name: str, at: float, ready: int) -> None:
    """Reserve, be billed, settle; for ever."""
    rng = Random(name)
    writer = Writer(path)
    writer.start()
    for number in count():
        spec = CAPS.targets[rng.choice(TARGETS)]
        asked_at = at + number / 1000
        claim = Claim(
            probe_id=f"{name}-{number}", target_id=spec.id, provider=spec.provider,
            micros=micros(spec.price_usd), at=asked_at, caps=CAPS.of(spec.id),
            quotas=quotas_of(spec, CAPS.providers[spec.provider], (), {}, asked_at),
        )  # fmt: skip
        decision = writer.reserve(claim).result(WAIT_S)
        os.write(ready, b"b")
        if decision.refused_by is not None:
            continue
        http = HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        http.request("POST", f"/{claim.probe_id}/{claim.micros}")
        billed = int(http.getresponse().read())
        http.close()
        writer.submit_probe(
            ProbeResult(
                probe_id=claim.probe_id, target_id=spec.id, started_at=claim.at, duration_s=1.0,
                latency_s=1.0, cost_usd=billed / 1e6,
            ),
            spec.provider,
            "here",
        )  # fmt: skip
        if rng.random() < 0.7:
            writer.flush(WAIT_S)


def fork(path: Path, port: int, name: str, at: float, ready: int) -> int:
    """Start one spender; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            spend(path, port, name, at, ready)
        finally:
            os._exit(1)  # It only ever ends by being killed.
    return child


def main(path: Path, port: int, rounds: int, seed: int) -> int:
    """Kill two spenders a round; return how many were killed while they worked."""
    rng = Random(seed)
    killed = 0
    for number in range(rounds):
        read, ready = os.pipe()
        at = START + number * ROUND_S
        children = [fork(path, port, f"{number}{who}", at, ready) for who in "ab"]
        os.close(ready)
        for child in children:
            # After so many answers of the ledger, however slow the machine; sometimes while they
            # still open the file.
            for _ in range(rng.randrange(10)):
                os.read(read, 1)
            time.sleep(rng.uniform(0.0, 0.02))  # The moment of death, drawn, waits for nothing.
            os.kill(child, signal.SIGKILL)
        for child in children:
            killed += os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        os.close(read)
    return killed


if __name__ == "__main__":
    store, port_text, rounds_text, seed_text = sys.argv[1:]
    sys.stdout.write(f"{main(Path(store), int(port_text), int(rounds_text), int(seed_text))}\n")
