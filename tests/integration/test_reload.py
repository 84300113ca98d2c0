"""Reloads of a real process: by signal and over the API, with readers, probes and systemd beside."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from monitor import tokens
from monitor.clock import SystemClock
from monitor.tokens import Scope
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.chaos import free_port
from tests.support.daemon import KEY, configuration_text

ROOT = Path(__file__).resolve().parents[2]
SUCCESSFUL = "imgmon_config_last_reload_successful"
SUCCESS_AT = "imgmon_config_last_reload_success_timestamp_seconds"
THIRD = """
[[targets]]
id = "lite"
provider = "google"
model = "gemini-3.1-flash-lite-image"
size = "512x512"
price_usd = 0.02
interval = "7d"
pools = ["image"]
"""


@dataclass
class World:
    """A daemon in a process of its own, its file, and an operator of it."""

    process: subprocess.Popen[bytes]
    simulator: SimulatorServer
    manager: socket.socket
    file: Path
    log: Path
    http: httpx.Client
    tokens_path: Path
    exit_code: int = 0

    def text(self) -> str:
        """What the file says."""
        return self.file.read_text()

    def signal(self) -> None:
        """Ask for a reload by signal."""
        self.process.send_signal(signal.SIGHUP)

    def told(self) -> str:
        """The next word to systemd."""
        return self.manager.recv(200).decode()

    def reload(self) -> dict:
        """What the API says of the newest reload."""
        return self.http.get("/v1/reload").json()

    def wait(self, what) -> None:
        """Wait until *what* holds; the limit only turns a hang into a failure."""
        for _ in range(1200):
            if what():
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        pytest.fail(self.log.read_text())

    def ended(self) -> dict:
        """The newest reload, once it is at its end."""
        self.wait(lambda: self.reload()["stage"] in {"done", "failed"})
        return self.reload()

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        lines = self.http.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    def results(self, target: str) -> list[dict]:
        """Stored probes of a target."""
        return self.http.get(f"/v1/targets/{target}/results").json()["results"]


@pytest.fixture
def world(tmp_path):
    """A daemon that has probed each of its two targets once."""
    place, port = str(tmp_path / "notify"), free_port()
    file, log = tmp_path / "monitor.toml", tmp_path / "log"
    with (
        SimulatorServer(calm_plan(), SystemClock()) as simulator,
        closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager,
        log.open("w") as stream,
    ):
        manager.bind(place)
        manager.settimeout(60)
        text = configuration_text(simulator, tmp_path / "a.db")
        server = f'\n[server]\nlisten = "127.0.0.1:{port}"\n[log]\nformat = "json"\n'
        file.write_text(text + server)
        tokens_path = tmp_path / "a.tokens.json"
        token = tokens.create(tokens_path, "ops", [Scope.OPERATE], now=0.0)
        command = [sys.executable, "-m", "monitor", "run", "--config", str(file)]
        environ = os.environ | {"KEY": KEY, "NOTIFY_SOCKET": place}
        with (
            subprocess.Popen(command, cwd=ROOT, env=environ, stderr=stream) as process,
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {token}"},
                trust_env=False,
                timeout=90,
            ) as http,
        ):
            made = World(process, simulator, manager, file, log, http, tokens_path)
            try:
                assert "READY=1" == made.told()
                made.wait(lambda: made.results("flash") and made.results("flare"))
                yield made
            finally:
                process.terminate()
        assert made.exit_code == process.returncode, log.read_text()


class Reading(threading.Thread):
    """A client that asks for the order again and again, and notes what it is answered."""

    def __init__(self, url: httpx.URL) -> None:
        """Ask the daemon at *url*."""
        super().__init__()
        self.url = url
        self.is_over = threading.Event()
        self.statuses: set[int] = set()
        self.versions: list[tuple[int, int]] = []
        self.trouble: list[str] = []

    def run(self) -> None:
        """Ask; each failed connection is trouble."""
        etag = ""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30) as http:
            while not self.is_over.wait(0.05):
                try:
                    answer = http.get(
                        "/v1/pools/image/priority", headers={"If-None-Match": etag or '"none"'}
                    )
                    etag = answer.headers["etag"]
                    self.versions.append((
                        int(answer.headers["x-imgmon-version"]),
                        int(answer.headers["x-imgmon-order-version"]),
                    ))  # fmt: skip
                    stale = answer.headers["x-imgmon-stale"]
                    self.statuses |= {answer.status_code, http.get("/readyz").status_code}
                    self.statuses.add(http.get("/v1/targets/flash/results").status_code)
                    if stale != "false":
                        self.trouble.append("stale")
                except (httpx.HTTPError, KeyError) as error:
                    self.trouble.append(repr(error))


@contextmanager
def reading(world: World):
    """Within this, a client reads."""
    reader = Reading(world.http.base_url)
    reader.start()
    try:
        yield reader
    finally:
        reader.is_over.set()
        reader.join()


def test_a_signal_adds_a_target_while_readers_read_and_a_probe_runs(world):
    """No reader meets an error or an older version, and the probe under way is stored as good."""
    began = world.metric(SUCCESS_AT)
    order = world.http.get("/v1/pools/image/priority")
    version = order.headers["x-imgmon-order-version"]
    # A hundred pieces: the probe takes longer than the grace of a shutdown.
    world.simulator.set_fault("gemini", Fault(kind=FaultKind.SLOW_DRIP, drip_s=0.1))
    sent = world.http.post("/v1/targets/flash/probe?wait=0")
    held: list[httpx.Response] = []
    path = f"/v1/pools/image/priority?wait=60&version={version}"
    poll = threading.Thread(target=lambda: held.append(world.http.get(path)))
    with reading(world) as reader:
        poll.start()
        world.file.write_text(world.text() + THIRD)
        world.signal()
        said = [world.told()]
        while said[-1] != "READY=1":
            said.append(world.told())
        poll.join()
        world.simulator.set_fault("gemini", None)
        world.wait(lambda: world.results("lite"))
    done = world.reload()
    flash = world.results("flash")
    world.wait(lambda: world.metric(SUCCESS_AT) > began)

    assert 202 == sent.status_code
    assert all(word.startswith("RELOADING=1\nMONOTONIC_USEC=") for word in said[:-1])
    assert ("done", ["lite"]) == (done["stage"], done["difference"]["targets"]["added"])
    assert [("manual", "good"), ("startup", "good")] == [(r["reason"], r["outcome"]) for r in flash]
    assert ([], {200, 304}) == (reader.trouble, reader.statuses)
    assert sorted(reader.versions) == reader.versions
    assert [200] == [answer.status_code for answer in held]
    assert 1.0 == world.metric(SUCCESSFUL)


def test_a_file_that_cannot_be_used_changes_nothing(world):
    """All problems with their paths by POST, the same in the log by signal; what ran runs on."""
    good = world.text()
    world.file.write_text(good.replace('interval = "7d"', 'interval = "soon"') + "\n[nonsense]\n")
    refused = world.http.post("/v1/reload")
    shown = world.reload()
    world.signal()
    world.wait(lambda: "reload.refused" in world.log.read_text())
    world.wait(lambda: world.metric(SUCCESSFUL) == 0.0)  # A scrape may be a second old.
    world.file.write_text(good.replace("a.db", "b.db").replace("listen = ", "#"))
    moved = world.http.post("/v1/reload").json()
    pointers = [error["pointer"] for error in refused.json()["errors"]]

    assert 422 == refused.status_code
    assert ["file/nonsense", "file/targets[0].interval", "file/targets[1].interval"] == pointers
    assert "failed" == shown["stage"]
    assert ["file/server.listen", "file/store.path"] == [e["pointer"] for e in moved["errors"]]
    assert all("needs a restart" in error["detail"] for error in moved["errors"])
    assert 1 == len(world.results("flash"))

    world.file.write_text(good)
    same = world.http.post("/v1/reload")
    assert (200, "done") == (same.status_code, same.json()["stage"])
    world.wait(lambda: world.metric(SUCCESSFUL) == 1.0)
    assert "reload.begun" not in world.log.read_text()


def test_only_an_operator_reloads_and_only_one_reload_is_under_way(world):
    """401, 403, then 202; a second one is refused until the probe under way has ended."""
    other = tokens.create(world.tokens_path, "shop", [Scope.READ, Scope.REPORT], now=0.0)
    world.wait(
        lambda: 403 == world.http.post(
            "/v1/reload", headers={"Authorization": f"Bearer {other}"}
        ).status_code
    )  # fmt: skip
    nobody = world.http.post("/v1/reload", headers={"Authorization": ""})
    world.simulator.set_fault("gemini", Fault(kind=FaultKind.SLOW_DRIP, drip_s=0.02))
    world.http.post("/v1/targets/flash/probe?wait=0")
    world.file.write_text(world.text().replace("price_usd = 0.039", "price_usd = 0.04"))
    begun = world.http.post("/v1/reload")
    second = world.http.post("/v1/reload")
    done = world.ended()

    assert 401 == nobody.status_code
    assert (202, "under_way") == (begun.status_code, begun.json()["stage"])
    assert {"flash": ["price_usd"]} == begun.json()["difference"]["targets"]["changed"]
    assert 409 == second.status_code
    assert "under way" in second.json()["detail"]
    assert "done" == done["stage"]
    assert "good" == world.results("flash")[0]["outcome"]


def test_a_configuration_that_does_not_start_leaves_the_one_before(world, tmp_path):
    """What was right when it was read may be broken when it is needed: logged, shown, undone."""
    good, other = world.text(), tmp_path / "other.json"
    world.file.write_text(good.replace("[server]\n", f'[server]\ntokens = "{other}"\n') + THIRD)
    world.simulator.set_fault("gemini", Fault(kind=FaultKind.SLOW_DRIP, drip_s=0.02))
    world.http.post("/v1/targets/flash/probe?wait=0")
    with reading(world) as reader:
        begun = world.http.post("/v1/reload")
        other.write_text("{}")  # While the probe is under way.
        failed = world.ended()
    targets = [target["target"] for target in world.http.get("/v1/targets").json()["targets"]]
    refused = world.http.post("/v1/reload").json()
    world.file.write_text(good + THIRD)
    again = world.http.post("/v1/reload")

    assert 202 == begun.status_code
    assert ["server.tokens"] == begun.json()["difference"]["other"]
    assert "failed" == failed["stage"]
    assert "is no file of tokens" in failed["detail"]
    assert ([], True) == (reader.trouble, reader.statuses <= {200, 304})
    assert sorted(reader.versions) == reader.versions
    assert ["flash", "flare"] == targets
    assert "reload.failed" in world.log.read_text()
    assert ["file/server.tokens"] == [error["pointer"] for error in refused["errors"]]
    assert 202 == again.status_code
    assert "done" == world.ended()["stage"]
    world.wait(lambda: world.results("lite"))


def test_a_daemon_that_cannot_go_on_says_why_and_ends(world, tmp_path):
    """Somebody else takes the store in between: neither configuration starts; exit code 2."""
    path = tmp_path / "a.db.lock"
    path.unlink()  # Whoever holds it holds a file that nobody else finds any more.
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        world.file.write_text(world.text() + THIRD)
        world.signal()
        world.exit_code = 2
        world.process.wait(60)

    assert "another imgmon" in world.log.read_text().splitlines()[-1]
    assert "runs on" not in world.log.read_text()
