"""The recipe for nginx: the real nginx and curl, a live daemon, targets that fail."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from monitor.app import Daemon
from monitor.clock import SystemClock
from probes.model import ErrorClass
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.builders import a_result
from tests.support.chaos import free_port
from tests.support.daemon import configuration, finished, running, until
from tests.support.serving import served
from tests.support.wire_server import Script, answering, response, serving

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@contextmanager
def ended(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* until the end of the block."""
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.terminate()


@asynccontextmanager
async def proxied(url: str, flash: str, flare: str) -> AsyncIterator[str]:
    """Nginx and the script as in the example, before two providers; nginx starts second."""
    nginx, curl = shutil.which("nginx"), shutil.which("curl")
    if nginx is None or curl is None:
        pytest.skip("no nginx or curl; apt-get install nginx-light curl")
    listen = free_port()
    # A socket's path has at most 107 bytes: pytest's own folders are deeper.
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        os.chmod(name, 0o755)  # noqa: PTH101 - started by root, its workers are somebody else
        text = (EXAMPLES / "nginx.conf").read_text()
        for given, real in (
            ("/run/imgmon", name),
            ("127.0.0.1:8080", f"127.0.0.1:{listen}"),
            ("https://generativelanguage.googleapis.com", flash),
            ("https://api.laozhang.ai", flare),
        ):
            assert given in text
            text = text.replace(given, real)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # Files of its own user.
        own = ["access_log off;", *(f"{kind}_temp_path {name}/{kind};" for kind in kinds)]
        (folder / "nginx.conf").write_text(text.replace("http {", f"http {{ {' '.join(own)}"))
        where = f"pid {name}/pid; error_log {name}/error.log;"
        command = [nginx, "-p", name, "-c", f"{name}/nginx.conf", "-g"]
        script = ["sh", str(EXAMPLES / "nginx-order.sh"), url, "image", name]
        stack.enter_context(
            ended([*script, *command, where, "-s", "reload"], folder / "script.log")
        )
        await until((folder / "image.conf").exists)
        stack.enter_context(ended([*command, f"{where} daemon off;"], folder / "nginx.log"))
        yield f"http://127.0.0.1:{listen}"


def named(name: str, *statuses: int) -> Script:
    """Answer with *name* and each of *statuses* in turn, the last one again and again."""
    return answering(*(response(name.encode(), status) for status in statuses))


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[tuple[Daemon, str]]:
    """A daemon that has found both targets well, and its address."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        async with (
            running(configuration(simulator, tmp_path / "a.db")) as daemon,
            served(daemon.api()) as (_, url),
        ):
            await until(lambda: finished(daemon) == 2)
            yield daemon, url


async def answers(url: str, wanted: list[tuple[int, str]]) -> None:
    """Post until the answers are *wanted*."""
    seen: list[tuple[int, str]] = []
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(30):
        while seen != wanted:
            try:
                replies = [await http.post(url, content=b"{}") for _ in wanted]
                seen = [(reply.status_code, reply.text) for reply in replies]
            except httpx.TransportError:
                seen = []
            await asyncio.sleep(0.05)


async def test_nginx_follows_the_order(daemon):
    """Requests go to the first target; when it is down they go to the other one."""
    monitor, url = daemon
    async with (
        serving(named("flash", 200)) as flash,
        serving(named("flare", 200)) as flare,
        proxied(url, flash.base_url, flare.base_url) as front,
    ):
        await answers(front, [(200, "flash")] * 5)
        for _ in range(2):
            failed = a_result(ErrorClass.OVERLOADED, SystemClock().wall(), target_id="flash")
            monitor.engine.accept(failed)
        monitor.tick()
        await answers(front, [(200, "flare")] * 5)


async def test_what_the_first_refuses_goes_to_the_other_and_what_it_began_does_not(daemon):
    """A 503 and a provider that is not there are passed on; a 500 may have been paid for."""
    _, url = daemon
    async with (
        serving(named("flash", 503, 500)) as flash,
        serving(named("flare", 200)) as flare,
        proxied(url, flash.base_url, flare.base_url) as front,
    ):
        await answers(front, [(500, "flash")])
        assert flare.requests
    async with serving(named("flare", 200)) as flare:
        gone = f"http://127.0.0.1:{free_port()}"
        async with proxied(url, gone, flare.base_url) as front:
            await answers(front, [(200, "flare")])


async def test_without_a_daemon_the_last_order_stands(tmp_path):
    """The script goes on asking, and leaves the file alone."""
    (tmp_path / "image.conf").write_text("as it was")
    command = ["sh", str(EXAMPLES / "nginx-order.sh"), f"http://127.0.0.1:{free_port()}", "image"]
    with ended([*command, str(tmp_path), "false"], tmp_path / "log") as process:
        await until(lambda: b"curl: (7)" in (tmp_path / "log").read_bytes())
        assert process.poll() is None
    assert "as it was" == (tmp_path / "image.conf").read_text()
