"""What systemd is told, over its own kind of socket, by a real daemon."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from fastapi import FastAPI

from monitor import serve, systemd
from monitor.api.holds import Holds
from monitor.api.server import build_server
from monitor.app import Daemon
from monitor.clock import ManualClock, SystemClock
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import KEY, configuration, configuration_text

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "packaging" / "imgmon.service"


@pytest.fixture
def manager(tmp_path):
    """The socket of a service manager, and where it is."""
    place = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(place)
        listener.settimeout(30)
        yield listener, place


@pytest.fixture
def simulator():
    """Providers that answer."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


def test_a_daemon_tells_when_it_is_ready_alive_and_stopping(manager, simulator, tmp_path):
    """READY once it listens, WATCHDOG while orders are fresh, STOPPING after SIGTERM; then exit 0."""
    listener, place = manager
    file = tmp_path / "monitor.toml"
    text = configuration_text(simulator, tmp_path / "a.db")
    file.write_text(text + '\n[server]\nlisten = "127.0.0.1:0"\n')
    environ = os.environ | {"KEY": KEY, "NOTIFY_SOCKET": place, "WATCHDOG_USEC": "300000"}
    command = [sys.executable, "-m", "monitor", "run", "--config", str(file)]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL) as process:
        said = [listener.recv(100).decode() for _ in range(4)]
        process.terminate()
        while said[-1] != "STOPPING=1":
            said.append(listener.recv(100).decode())

    assert 0 == process.returncode
    assert "READY=1" == said[0]
    assert {"WATCHDOG=1"} == set(said[1:-1])


def drained(listener: socket.socket) -> list[str]:
    """What was said and not yet heard."""
    heard = []
    listener.setblocking(False)
    try:
        while True:
            heard.append(listener.recv(100).decode())
    except BlockingIOError:
        return heard


@pytest.mark.anyio
async def test_a_daemon_whose_orders_are_stale_is_not_called_alive(manager, monkeypatch):
    """A loop that turns while nothing is published any more says nothing, so it is restarted."""
    listener, place = manager
    monkeypatch.setenv("NOTIFY_SOCKET", place)
    monkeypatch.setenv("WATCHDOG_USEC", "3000")
    app = FastAPI()
    app.state.holds = Holds()
    server = build_server(app)

    freshness = [True, False, False, True, False]

    def is_fresh() -> bool:
        if len(freshness) == 1:
            server.stop()
        return freshness.pop(0)

    await serve._watched(is_fresh, server)

    assert ["WATCHDOG=1"] * 2 == drained(listener)


def test_orders_are_fresh_for_half_a_minute(simulator, tmp_path):
    """Before the first snapshot and long after the last one they are not."""
    clock = ManualClock()
    daemon = Daemon(configuration(simulator, tmp_path / "a.db"), clock=clock, rng=Random(1))
    before = daemon.publisher.is_fresh(clock.wall())
    daemon.tick()
    new = daemon.publisher.is_fresh(clock.wall())
    clock.advance(31.0)

    assert (False, True, False) == (before, new, daemon.publisher.is_fresh(clock.wall()))


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_who_is_watched(environ, seconds):
    """Only this process, and only for a time above zero."""
    assert seconds == systemd.watchdog_s(environ)


def test_an_abstract_socket_and_one_that_is_gone(tmp_path):
    """A name that begins with @ is abstract; without a listener nothing is told and nothing raised."""
    name = f"@imgmon-test-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind("\0" + name[1:])
        assert systemd.tell("READY=1", {"NOTIFY_SOCKET": name})
        assert b"READY=1" == listener.recv(100)

    assert not systemd.tell("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert not systemd.tell("READY=1", {"NOTIFY_SOCKET": "vsock:2:1"})
    assert not systemd.tell("READY=1", {})


def test_the_unit_is_one_that_systemd_takes():
    """The check of systemd itself finds nothing but that the daemon is not installed there."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("no systemd-analyze here")
    done = subprocess.run([tool, "verify", str(UNIT)], capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if "/opt/imgmon/bin/imgmon" not in line]

    assert [] == [line for line in lines if "imgmon.service" in line]


def test_the_unit_leaves_what_metrics_of_the_process_are_read_from():
    """Where /proc holds processes alone, prometheus-client tells nothing of this one."""
    settings = [line for line in UNIT.read_text().splitlines() if not line.startswith("#")]

    assert [] == [line for line in settings if line.startswith("ProcSubset=")]
