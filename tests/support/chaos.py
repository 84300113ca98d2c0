"""The troubles of a daemon, one after another: a real one that is killed, and stand-ins that lie."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from monitor.clock import SystemClock
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import KEY, configuration_text
from tests.support.orders import OrderDaemon, order_daemon, wait_until
from tests.support.wire_server import (
    Received,
    Script,
    WireServer,
    answering,
    cut_after,
    dripping,
    hanging,
    response,
)

ROOT = Path(__file__).resolve().parents[2]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n"

# What answers, the source an order then has, what happens to the client's machine meanwhile.
TROUBLES: tuple[tuple[str, str, str], ...] = (
    ("daemon", "live", "0"),
    ("killed", "memory", "0"),
    ("hanging", "memory", "full"),
    ("daemon", "live", "86400"),
    ("garbage", "memory", "-86400"),
    ("500", "memory", "free"),
    ("daemon", "live", "0"),
    ("dripping", "memory", "3e9"),
    ("reset", "memory", "0"),
    ("daemon", "live", "full"),
)


def forwarding(port: int) -> Script:
    """Pass requests on to the daemon at *port*; hang up when there is none."""

    async def script(received: Received, writer: asyncio.StreamWriter, _: WireServer) -> None:
        try:
            reader, upstream = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        names = {**received.headers, "connection": "close"}
        lines = [f"{received.method} {received.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in names.items() if name]
        try:
            upstream.write("\r\n".join([*lines, "", ""]).encode() + received.body)
            writer.write(await reader.read())
        except OSError:
            writer.close()
        finally:
            upstream.close()

    return script


LIES: dict[str, Script] = {
    "hanging": hanging,
    "garbage": answering(response(b'{"schema":1,"pool":"image","targets":[{"target":"evil"')),
    "500": answering(response(b"<html>500</html>", 500)),
    "dripping": dripping(HEAD),
    "reset": cut_after(b"HTTP/1.1 2", reset=True),
}


def start_daemon(config: Path) -> subprocess.Popen[bytes]:
    """Run the real daemon in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "monitor", "run", "--config", str(config)],
        cwd=ROOT, env={"KEY": KEY, "PATH": ""}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def trouble(folder: Path, calls: int, *options: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield what an application met in each of TROUBLES, with *calls* calls at least in each."""
    config = folder / "monitor.toml"
    with SimulatorServer(calm_plan(), SystemClock()) as simulator, order_daemon() as front:
        port = free_port()
        listen = f'[server]\nlisten = "127.0.0.1:{port}"\n'
        config.write_text(listen + configuration_text(simulator, folder / "a.db"))
        command = [sys.executable, "-m", "tests.support.chaos_client", front.url]
        with subprocess.Popen(
            [*command, str(folder / "cache"), str(calls), *options],
            cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as application:  # fmt: skip
            yield _met(front, port, config, application)


def _met(
    front: OrderDaemon, port: int, config: Path, application: subprocess.Popen[str]
) -> Iterator[dict[str, Any]]:
    daemon: subprocess.Popen[bytes] | None = None
    try:
        for name, source, machine in TROUBLES:
            if name == "daemon" and daemon is None:
                daemon = start_daemon(config)
                wait_until(lambda: is_ready(port), 60)
            elif name == "killed" and daemon is not None:
                daemon.kill()
                daemon.wait()
                daemon = None
            front.answer = LIES.get(name, forwarding(port))
            application.stdin.write(f"{source} {machine}\n")
            application.stdin.flush()
            line = application.stdout.readline()
            assert line, application.stderr.read()
            yield {"trouble": name, **json.loads(line)}
        application.stdin.close()
        assert application.wait(30) == 0
    finally:
        application.kill()
        if daemon is not None:
            daemon.kill()
            daemon.wait()


def free_port() -> int:
    """A port nobody listens on right now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(port: int) -> bool:
    """Whether the daemon at *port* has an order."""
    try:
        address = f"http://127.0.0.1:{port}/v1/pools/image/priority"
        return httpx.get(address, trust_env=False).is_success
    except httpx.TransportError:
        return False
