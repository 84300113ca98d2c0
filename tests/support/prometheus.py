"""Debian's Prometheus and Alertmanager on free ports of loopback, and a receiver of webhooks."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep
from typing import Any, Self

import httpx
import pytest


def installed(*names: str) -> list[str]:
    """The paths of programs, or a skip that says what to install."""
    paths = [shutil.which(name) for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; on Debian: dev.py packages")
    return [path for path in paths if path is not None]


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def program(*command: object, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block; its output is in *folder*."""
    name = Path(str(command[0])).name
    with (folder / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first true answer of *found*; the limit only turns a hang into a failure."""
    for _ in range(int(seconds / 0.1)):
        try:
            if answer := found():
                return answer
        except (httpx.TransportError, httpx.HTTPStatusError):
            pass  # Not there yet, or it starts.
        sleep(0.1)
    pytest.fail("did not come in time")


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        """Ask the server at *url*."""
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def query(self, expression: str) -> dict[str, float]:
        """The instant vector of *expression*: labels as text to value."""
        found = self.get("/api/v1/query", query=expression)["result"]
        return {
            json.dumps(series["metric"], sort_keys=True): float(series["value"][1])
            for series in found
        }

    def get(self, path: str, **params: str) -> Any:
        """What the API says under ``data``; it answers 503 while it starts."""
        answer = self._http.get(path, params=params)
        answer.raise_for_status()
        return answer.json()["data"]


@contextmanager
def webhooks() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address to post to, and what was posted."""
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
