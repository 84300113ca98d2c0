"""The examples as people run them: the official packages, the simulator, a live order, real failures."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from monitor.clock import SystemClock
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.orders import a_place, an_order, order_daemon

ROOT = Path(__file__).resolve().parents[2]
K = FaultKind


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    """A simulator without trouble."""
    with SimulatorServer(calm_plan(), SystemClock()) as running:
        yield running


@pytest.fixture
def simulator(server: SimulatorServer) -> Iterator[SimulatorServer]:
    """The simulator; a test's faults end with it."""
    yield server
    server.app.world.player.live.clear()


def run(
    example: str,
    simulator: SimulatorServer,
    daemon_url: str,
    folder: Path,
    python: str = sys.executable,
) -> tuple[subprocess.CompletedProcess[str], bytes | None]:
    """Run an example as its first lines say; return the process and the picture it wrote."""
    native = example == "google_genai.py"
    environ = {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "IMGMON_URL": daemon_url,
        "IMGMON_TOKEN": "reports",
        "OPENAI_API_KEY": "k-openai", "GEMINI_API_KEY": "k-gemini", "LAOZHANG_API_KEY": "k-relay",
        "OPENAI_BASE_URL": f"{simulator.base('openai')}/v1",
        "GEMINI_BASE_URL": simulator.base("gemini"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # Or it asks the internet for prices.
        "LAOZHANG_BASE_URL": simulator.base("laozhang") + ("" if native else "/v1"),
    }  # fmt: skip
    path = folder / "picture"
    done = subprocess.run(
        [python, ROOT / "examples" / example, "A plain blue square.", path],
        env=environ, cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done, path.read_bytes() if path.exists() else None


def order_of(simulator: SimulatorServer, *targets: str) -> dict:
    """The order as the daemon would publish it of the simulator."""
    where = {
        "openai-flare": (f"{simulator.base('openai')}/v1", "gpt-image-2.5-flare"),
        "laozhang-flux": (f"{simulator.base('laozhang')}/v1", "flux-2-pro"),
        "google-flash": (simulator.base("gemini"), "gemini-3.1-flash-image"),
        "laozhang-native": (simulator.base("laozhang"), "gemini-3.1-flash-image"),
        "not-served": (simulator.base("bfl"), "flux-dev"),
    }
    places = [a_place(t, base_url=where[t][0], model=where[t][1]) for t in targets]
    return an_order(targets=places)


CASES = [
    ("openai_sdk.py", ("openai", "laozhang"), ("openai-flare", "laozhang-flux")),
    ("plain_httpx.py", ("openai", "laozhang"), ("openai-flare", "laozhang-flux")),
    ("google_genai.py", ("gemini", "laozhang"), ("google-flash", "laozhang-native")),
]


@pytest.mark.parametrize(("example", "accounts", "targets"), CASES, ids=[c[0] for c in CASES])
def test_an_example_follows_the_live_order_past_a_failure_and_reports_it(
    simulator, tmp_path, example, accounts, targets
):
    """The first of the live order is overloaded, the second draws; both attempts are reported."""
    simulator.set_fault(accounts[1], Fault(kind=K.OVERLOADED))
    order = order_of(simulator, "not-served", targets[1], targets[0])
    with order_daemon(order=order) as daemon:
        done, picture = run(example, simulator, daemon.url, tmp_path)

        assert ("", 0) == (done.stderr, done.returncode)
        assert Image.open(io.BytesIO(picture)).size[0] > 0
        expected = [(targets[1], "overloaded", 1), (targets[0], None, 2)]
        assert expected == [(r["target"], r["error"], r["attempt"]) for r in daemon.rows]


def test_without_a_daemon_an_example_calls_its_static_order(simulator, tmp_path):
    """Rate-limited at the first, drawn by the second, whose answer is a link."""
    simulator.set_fault("openai", Fault(kind=K.RATE_LIMITED))

    done, picture = run("openai_sdk.py", simulator, "http://127.0.0.1:1", tmp_path)

    assert 0 == done.returncode, done.stderr
    assert Image.open(io.BytesIO(picture)).size == (1024, 1024)


def test_a_blocked_prompt_is_not_paid_for_twice(simulator, tmp_path):
    """The second provider is not called; what the SDK raised comes out."""
    simulator.set_fault("openai", Fault(kind=K.POLICY_BLOCKED))
    seen = len(simulator.requests)
    order = order_of(simulator, "openai-flare", "laozhang-flux")
    with order_daemon(order=order) as daemon:
        done, picture = run("openai_sdk.py", simulator, daemon.url, tmp_path)

        assert "rejected by the safety system" in done.stderr
        assert picture is None
        assert [("openai-flare", "policy_blocked")] == [
            (row["target"], row["error"]) for row in daemon.rows
        ]
    assert 1 == len(simulator.requests) - seen


def test_when_nobody_draws_an_example_says_what_each_said(simulator, tmp_path):
    """Classes in order, from the error that the failover raises."""
    simulator.set_fault("openai", Fault(kind=K.BILLING))
    simulator.set_fault("laozhang", Fault(kind=K.SERVER_ERROR))
    order = order_of(simulator, "openai-flare", "laozhang-flux")
    with order_daemon(order=order) as daemon:
        done, _ = run("plain_httpx.py", simulator, daemon.url, tmp_path)

    assert 1 == done.returncode
    assert "openai-flare: billing" in done.stderr
    assert "laozhang-flux: server_error" in done.stderr


def test_a_litellm_router_follows_the_order_and_retries_down_it(simulator, tmp_path):
    """The order's first target is overloaded: the router's retry goes to the second."""
    # 200 MB are too much for the lock: any interpreter that has both packages will do.
    python = os.environ.get("IMGMON_LITELLM_PYTHON", sys.executable)
    probe = [
        python,
        "-c",
        "from importlib.util import find_spec as f; assert f('litellm') and f('httpx')",
    ]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no litellm; point IMGMON_LITELLM_PYTHON to an interpreter that has it")
    simulator.set_fault("laozhang", Fault(kind=K.OVERLOADED))
    seen = len(simulator.requests)
    order = order_of(simulator, "not-served", "laozhang-flux", "openai-flare")
    with order_daemon(order=order) as daemon:
        done, picture = run("litellm_router.py", simulator, daemon.url, tmp_path, python)

    assert 0 == done.returncode, done.stderr
    assert Image.open(io.BytesIO(picture)).size[0] > 0
    called = [one.path.split("/")[1] for one in simulator.requests[seen:]]
    assert ["laozhang", "openai"] == called


def test_the_five_lines_of_the_readme_do_what_they_say(simulator, tmp_path, monkeypatch):
    """As pasted, but for the daemon's address: the live order's first target is drawn by."""
    text = (ROOT / "README.md").read_text().split("## Read the order: five lines", 1)[1]
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    monkeypatch.setenv("HOME", str(tmp_path))
    called = []

    def draw(target: str, model: str, timeout_s: float) -> bytes:
        called.append((target, model, timeout_s))
        return b"picture"

    with order_daemon(order=order_of(simulator, "openai-flare")) as daemon:
        names = {"draw": draw}
        exec(block.replace("http://127.0.0.1:8720", daemon.url), names)
        with names["client"] as client:
            assert client.wait_live(20)
            assert b"picture" == names["failover"].call(
                lambda attempt: draw(attempt.target, attempt.model, attempt.timeout_s)
            )

    assert b"picture" == names["picture"]
    assert ("openai-flare", "", 60) == called[0]  # Static: nobody was asked yet.
    assert ("openai-flare", "gpt-image-2.5-flare", 60) == called[1]
