"""``imgmon agent``, asked over its socket, and by the real HAProxy where it is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from monitor.cli import main
from monitor.cli.agent import agent_word
from monitor.client.held import Held, Told
from monitor.client.order import read_order, static_places
from monitor.clock import ManualClock
from tests.support.chaos import free_port
from tests.support.orders import OrderDaemon, a_place, an_order, order_daemon, wait_until

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def agent(url: str, *arguments: object) -> Iterator[int]:
    """Run the command; yield the port it answers on."""
    command = [sys.executable, "-m", "monitor", "agent", "image", "--url", url, "--port", "0"]
    home = {"HOME": str(arguments[0])} if arguments else {}
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, env={**os.environ, **home}
    ) as process:
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(30)
        finally:
            process.kill()


def ask(port: int, target: str) -> str:
    """What the agent says of *target*."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{target}\n".encode())
        return connection.makefile().readline().strip()


def words(*places: dict) -> dict[str, str]:
    """What is said of each of *places*, and of a stranger."""
    import json

    clock = ManualClock()
    held = Held("image", static_places(["x"]), clock, 40.0)
    body = json.dumps(an_order(targets=list(places))).encode()
    held.confirm(
        Told(
            decision=read_order(body, "image", None), body=body, etag=None, confirmed_at=0.0,
            server_ahead_s=clock.wall() - clock.monotonic(),
        )
    )  # fmt: skip
    order = held.order()
    return {target: agent_word(order, target) for target in (*order.targets, "stranger")}


def test_the_first_has_its_weight_and_the_rest_are_behind_it():
    """One percent keeps a server in reach; waiting, refused and down ones get nothing new."""
    said = words(
        a_place("first"),
        a_place("second", tier=2, state="suspect"),
        a_place("waits", retry_at="2036-01-01T00:00:00Z", state="unusable"),
        a_place("refused", usable=False, state="unusable"),
        a_place("down", state="down"),
    )

    assert {
        "first": "ready up 100%", "second": "ready up 1%", "waits": "drain up #unusable",
        "refused": "drain up #unusable", "down": "ready down #down",
        "stranger": "ready down #not in the order",
    } == said  # fmt: skip


def test_when_all_are_down_the_least_bad_one_is_up():
    """Nobody is helped by a proxy without servers."""
    said = words(a_place("first", state="down", tier=4), a_place("second", state="down", tier=4))

    assert ("ready up 100%", "ready down #down") == (said["first"], said["second"])


def test_the_agent_answers_by_the_live_order_and_changes_nothing_while_none_is_known(tmp_path):
    """Before any order every server keeps its weight; then the order decides."""
    with order_daemon(order=b"garbage") as daemon, agent(daemon.url, tmp_path) as port:
        assert ["ready up 100%"] * 2 == [ask(port, "alpha"), ask(port, "beta")]
        daemon.order = an_order("beta", "alpha")
        wait_until(lambda: ask(port, "alpha") == "ready up 1%")
        assert "ready up 100%" == ask(port, "beta")
        assert "ready down #not in the order" == ask(port, "\xff" * 500)


def test_arguments_that_cannot_work_are_said_in_a_line():
    """A taken port and a pool that is no id: exit code 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for pool, port, expected in (
            ("image", taken.getsockname()[1], "cannot listen on"),
            ("no/pool", 0, "pool is"),
        ):
            arguments = ["agent", pool, "--url", "http://127.0.0.1:1", "--port", str(port)]
            done = CliRunner().invoke(main, arguments)
            assert 2 == done.exit_code
            assert expected in done.output


@contextmanager
def proxied(daemon: OrderDaemon, home: Path) -> Iterator[str]:
    """HAProxy as in the example, over two servers that answer with their names."""
    haproxy = shutil.which("haproxy")
    if haproxy is None:
        pytest.skip("no haproxy binary; apt-get install haproxy")
    listen = free_port()
    with (
        order_daemon(order=b"flash") as flash,
        order_daemon(order=b"flare") as flare,
        agent(daemon.url, home) as agent_port,
    ):
        environ = {
            **os.environ,
            "LISTEN": f"127.0.0.1:{listen}",
            "AGENT_PORT": str(agent_port),
            "FLASH": f"127.0.0.1:{flash.port}",
            "FLARE": f"127.0.0.1:{flare.port}",
        }
        with subprocess.Popen(
            [haproxy, "-db", "-f", ROOT / "examples" / "haproxy.cfg"],
            env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                yield f"http://127.0.0.1:{listen}"
            finally:
                process.kill()


def answered_by(url: str, n: int = 20) -> list[str]:
    """Who answers *n* requests."""
    try:
        return [httpx.get(url, trust_env=False).text for _ in range(n)]
    except httpx.TransportError:
        return []


def test_haproxy_follows_the_order(tmp_path):
    """Requests go to the first target; when the order turns they go to the other one."""
    first, second = an_order("flash", "flare"), an_order("flare", "flash", version=2)
    second["targets"][1] |= {"state": "down", "tier": 4}
    with order_daemon(order=first) as daemon, proxied(daemon, tmp_path) as url:
        wait_until(lambda: answered_by(url).count("flash") >= 19, 60)
        daemon.order = second
        wait_until(lambda: answered_by(url) == ["flare"] * 20, 60)
