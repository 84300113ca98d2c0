"""A server of orders whose every answer a test decides: real sockets, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import blake2b
from time import sleep
from typing import Any
from urllib.parse import parse_qs, urlsplit

from monitor.clock import SystemClock
from tests.support.wire_server import Received, Script, WireServer, response, serving

CLOCK = SystemClock()
VALID_UNTIL = "2036-01-01T00:00:00.000Z"


def a_place(target: str = "alpha", **changes: Any) -> dict[str, Any]:
    """One place as the daemon shows it."""
    place = {
        "rank": 1, "tier": 1, "target": target, "provider": "acme", "model": f"{target}-model",
        "base_url": f"https://{target}.example", "format": "openai-images", "state": "healthy",
        "usable": True, "scope": None, "success_probability": 0.99, "availability": 0.99,
        "availability_samples": 90, "latency_p95_s": 8.9, "latency_samples": 90,
        "latency_estimated": False, "price_usd": 0.04, "index_usd": 0.05, "retry_at": None,
        "last_sample_at": None, "samples": 90, "reasons": [{"code": "cheapest", "text": "cheap"}],
    }  # fmt: skip
    return place | changes


def an_order(*targets: str, **changes: Any) -> dict[str, Any]:
    """An order as the daemon publishes it; version 1 unless said otherwise."""
    order = {
        "schema": 1, "pool": "image", "profile": "balanced", "version": 1,
        "changed_at": "2026-11-25T00:00:00.000Z", "generated_at": "2026-11-25T00:00:00.000Z",
        "valid_until": VALID_UNTIL, "stale": False, "all_degraded": False,
        "our_network_suspect": None, "targets": [a_place(one) for one in targets or ("alpha",)],
    }  # fmt: skip
    return order | changes


@dataclass
class OrderDaemon:
    """
    What the server says now; a test changes it while it runs.

    Attributes:
        order: The document, or bytes that are sent as they are.
        answer: A script that takes over order requests; None for the daemon's own.
        ahead_s: The server's wall clock minus the true one.
        reports: Bodies of the reports that were taken.
        report_answers: Raw answers to reports, or scripts, one each, before the usual 202.
    """

    order: dict[str, Any] | bytes = field(default_factory=lambda: an_order("alpha", "beta"))
    answer: Script | None = None
    knows_long_polls: bool = True
    ahead_s: float = 0.0
    asked: list[Received] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    report_answers: list[bytes | Script] = field(default_factory=list)
    url: str = ""
    port: int = 0

    async def __call__(
        self, received: Received, writer: asyncio.StreamWriter, server: WireServer
    ) -> None:
        """Answer one request."""
        self.asked.append(received)
        if received.method == "POST":
            answer = self.report_answers.pop(0) if self.report_answers else self._taken(received)
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(received, writer, server)
        elif self.answer is not None:
            await self.answer(received, writer, server)
        else:
            query = parse_qs(urlsplit(received.path).query)
            while self.knows_long_polls and "wait" in query and not server.hang_up.is_set():
                if self.answer is not None or query["version"] != [str(self._version)]:
                    break
                await asyncio.sleep(0.005)
            writer.write(self._order(received))

    @property
    def _version(self) -> int:
        return self.order["version"] if isinstance(self.order, dict) else -1

    def _order(self, received: Received) -> bytes:
        is_raw = isinstance(self.order, bytes)
        body = self.order if is_raw else json.dumps(self.order).encode()
        etag = f'"{blake2b(body, digest_size=8).hexdigest()}"'
        headers = {"etag": etag, "date": formatdate(CLOCK.wall() + self.ahead_s, usegmt=True)}
        if received.headers.get("if-none-match") == etag:
            return response(status=304, headers=headers | {"x-imgmon-valid-until": VALID_UNTIL})
        return response(body, headers=headers)

    def _taken(self, received: Received) -> bytes:
        body = json.loads(received.body)
        self.reports.append(body)
        taken = {"accepted": len(body["reports"]), "duplicate": 0, "rejected": [], "skew_s": 0.0}
        return response(json.dumps(taken).encode(), 202)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every report that was taken, oldest first."""
        return [row for body in list(self.reports) for row in body["reports"]]


@contextmanager
def order_daemon(**parts: Any) -> Iterator[OrderDaemon]:
    """Serve an :class:`OrderDaemon` from a thread."""
    daemon = OrderDaemon(**parts)
    ready = threading.Event()
    end: list[Callable[[], object]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        end.append(lambda: loop.call_soon_threadsafe(stop.set))
        async with serving(daemon) as server:
            daemon.url, daemon.port = server.base_url, server.port
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="orders", daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield daemon
    finally:
        end[0]()
        thread.join(10)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for *condition*; the limit only turns a hang into a failure."""
    ends = CLOCK.monotonic() + seconds
    while not condition():
        assert CLOCK.monotonic() < ends, "it never came true"
        sleep(0.005)
