"""
Client reports over HTTP: how many a second are on disk, and what readers of the order feel of it.

    python tests/benchmarks/bench_reports.py [seconds]

A daemon in a process of its own on a new file, ten targets; two more processes send batches of 1000
under four tokens and read the order 100 times a second, over connections that stay open. Prints the
most that is taken, each batch answered after its commit; the order's p99 while 20 000 reports a second
come, against its p99 of quiet rounds in between, as a ratio of medians; and, after a SIGKILL, whether
all that was accepted is in the file. All three processes share the cores. The reader reads at random, in
no rhythm with the senders.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import platform
import random
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from monitor import tokens
from monitor.clock import SystemClock
from monitor.tokens import Scope

TARGETS = 10
BATCH = 1000
CLIENTS = 4
READS_A_S = 100
PACED_ROWS_S = 20_000
ROUNDS = 9  # A p99 of a few hundred reads is the fourth of them: one round says little.


def the_config(store: Path, port: int) -> str:
    """Ten targets without a key: nothing is probed, everything is served."""
    targets = "".join(
        f'[[targets]]\nid = "t{n}"\nprovider = "p"\nmodel = "gemini-3.1-flash-image"\n'
        'size = "1024x1024"\ninterval = "1h"\npools = ["image"]\n'
        for n in range(TARGETS)
    )
    return (
        f'[server]\nlisten = "127.0.0.1:{port}"\n[store]\npath = "{store}"\n'
        '[log]\nlevel = "error"\n[reports]\nper_client_per_minute = 100000000\n'
        '[[providers]]\nid = "p"\npreset = "google-gemini"\napi_key = { env = "NO_SUCH_KEY" }\n'
        f'{targets}[[pools]]\nid = "image"\n'
    )


class Batches:
    """Bodies of 1000 rows; only ids and the time change from one to the next."""

    def __init__(self, seed: int) -> None:
        """Draw the rows by *seed*."""
        rng, now = random.Random(seed), "@now@"
        rows = [
            {
                "id": f"@id@-{n:03}",
                "target": f"t{rng.randrange(TARGETS)}",
                "at": now,
                "error": rng.choice(["timeout", "overloaded"]) if rng.random() < 0.02 else None,
                "latency_s": round(rng.lognormvariate(2.0, 0.35), 3),
                "attempt": 1,
            }
            for n in range(BATCH)
        ]
        self._text = json.dumps({"sent_at": now, "reports": rows}).encode()
        self._prefix = f"{rng.getrandbits(64):016x}"
        self._made = 0

    def next(self) -> bytes:
        """The next body."""
        self._made += 1
        stamp = datetime.fromtimestamp(SystemClock().wall(), UTC).isoformat().encode()
        marked = self._text.replace(b"@id@", f"{self._prefix}.{self._made:06}".encode())
        return marked.replace(b"@now@", stamp)


async def send(port: int, texts: list[str], seconds: float, rows_a_s: float) -> None:
    """Send under each token; at most *rows_a_s* in all, 0 for no limit. Prints what was accepted."""
    taken, refused, took = 0, 0, list[float]()
    began = time.perf_counter()

    async def one(number: int, text: str) -> None:
        nonlocal taken, refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        batches, sent = Batches(random.SystemRandom().getrandbits(32)), 0
        every_s = BATCH * len(texts) / rows_a_s if rows_a_s else 0.0
        while (now := time.perf_counter() - began) < seconds:
            due = (sent + number / len(texts)) * every_s
            if due > now:
                await asyncio.sleep(due - now)
            body, started = batches.next(), time.perf_counter()
            writer.write(
                b"POST /v1/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n"
                b"Content-Type: application/json\r\nAuthorization: Bearer %s\r\n\r\n"
                % (len(body), text.encode())
            )
            writer.write(body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            answer = json.loads(await reader.readexactly(length))
            sent += 1
            took.append(time.perf_counter() - started)
            if b" 202 " in head.split(b"\r\n")[0]:
                assert not answer["rejected"], answer["rejected"][0]
                taken += answer["accepted"]
            else:
                refused += 1
        writer.close()

    await asyncio.gather(*(one(n, text) for n, text in enumerate(texts)))
    p50 = statistics.median(took)
    print(json.dumps({"taken": taken, "refused": refused, "s": time.perf_counter() - began,
                      "p50": p50, "max": max(took)}))  # fmt: skip


def read(port: int, seconds: float) -> None:
    """Read the order at random; prints every time in milliseconds."""
    rng = random.Random(port)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        time.sleep(rng.expovariate(READS_A_S))
        started = time.perf_counter()
        connection.request("GET", "/v1/pools/image/priority")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        times.append((time.perf_counter() - started) * 1e3)
    print(json.dumps(times))


def begin(role: str, *arguments: object) -> subprocess.Popen[str]:
    """Start one of the roles in a process of its own."""
    command = [sys.executable, __file__, role, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]):
    """What the process printed."""
    return json.loads(process.communicate()[0])


def p99(times: list[float]) -> float:
    """The nearest-rank 99th percentile."""
    return sorted(times)[-(-99 * len(times) // 100) - 1]


def cpu_s(process: int) -> float:
    """CPU seconds of a process so far, all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(port: int) -> None:
    """Until the daemon is ready to answer."""
    for _ in range(300):
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            try:
                connection.request("GET", "/v1/pools")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
        time.sleep(0.1)
    raise SystemExit("the daemon does not answer")


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "imgmon.db"
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = Path(folder) / "imgmon.toml"
        config.write_text(the_config(store, port))
        texts = [
            tokens.create(
                Path(folder) / "imgmon.tokens.json", f"client-{n}", [Scope.REPORT], now=0.0
            )
            for n in range(CLIENTS)
        ]
        daemon = subprocess.Popen([sys.executable, "-m", "monitor", "run", "--config", str(config)])
        try:
            wait_for(port)
            idle, busy, taken = [], [], 0
            for _ in range(ROUNDS):
                idle.append(p99(said(begin("read", port, seconds))))
                sender = begin("send", port, seconds + 2, PACED_ROWS_S, *texts)
                time.sleep(1)
                busy.append(p99(said(begin("read", port, seconds))))
                paced = said(sender)
                taken += paced["taken"]
            before = cpu_s(daemon.pid)
            most = said(begin("send", port, seconds, 0, *texts))
            row_us = (cpu_s(daemon.pid) - before) / most["taken"] * 1e6
            taken += most["taken"]
        finally:
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.wait()
        with closing(sqlite3.connect(store)) as raw:
            ((stored,),) = raw.execute("SELECT count(*) FROM reports")
    cores = os.cpu_count()
    print(
        f"reports: {most['taken'] / most['s']:,.0f} rows/s accepted and committed, {CLIENTS} clients, "
        f"batches of {BATCH}, p50 {most['p50'] * 1e3:.0f} ms, max {most['max'] * 1e3:.0f} ms a batch, "
        f"{row_us:.0f} us CPU of the daemon a row; {cores} cores, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    print(
        f"order: p99 {statistics.median(busy):.2f} ms at {paced['taken'] / paced['s']:,.0f} reports/s, "
        f"{statistics.median(idle):.2f} ms idle: "
        f"{statistics.median(busy) / statistics.median(idle):.2f} times over {ROUNDS} rounds of "
        f"{seconds:g} s"
    )
    print(f"after SIGKILL: {taken} accepted, {stored} in the file")


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        asyncio.run(send(int(sys.argv[2]), sys.argv[5:], float(sys.argv[3]), float(sys.argv[4])))
    elif sys.argv[1:2] == ["read"]:
        read(int(sys.argv[2]), float(sys.argv[3]))
    else:
        main()
