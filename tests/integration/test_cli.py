"""The command line as a person types it: output, exit codes, bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from monitor.cli import COMMANDS, main
from monitor.clock import SystemClock
from probes.model import ErrorClass
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import KEY, configuration_text
from tests.support.dashboards import BOARDS, SELECTOR, expressions

ROOT = Path(__file__).resolve().parents[2]
REPLIES = ROOT / "tests" / "data" / "replies"


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    """Every provider, healthy and quick."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


@pytest.fixture
def config(simulator, tmp_path, monkeypatch) -> Path:
    """A configuration file with two targets at the simulator."""
    monkeypatch.setenv("KEY", KEY)
    path = tmp_path / "monitor.toml"
    text = configuration_text(simulator, tmp_path / "a.db", interval="1h", liveness="5m")
    path.write_text(text)
    return path


def imgmon(*arguments: object, answer: str = "") -> tuple[int, str]:
    """Run a command in process; its exit code and everything it printed."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], input=answer)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_every_command_explains_itself():
    """Each has help with a sentence, and all are listed."""
    code, text = imgmon("--help")

    assert 0 == code
    for name in COMMANDS:
        assert name in text
        code, help_text = imgmon(name, "--help")
        assert (0, True) == (code, "Usage:" in help_text)


def test_errors_prints_every_class_of_the_table():
    """The table of error classes, for people and for programs."""
    _, text = imgmon("errors")
    _, raw = imgmon("errors", "--json")

    assert [error.value for error in ErrorClass] == [row["class"] for row in json.loads(raw)]
    assert "quota_exhausted" in text


def test_openapi_prints_the_description():
    """Without a configuration or a daemon."""
    code, text = imgmon("openapi")

    assert 0 == code
    assert "/v1/pools/{pool}/priority" in json.loads(text)["paths"]


def test_check_asks_before_it_spends(config, simulator):
    """The question names the sum; no is no."""
    code, text = imgmon("check", "--config", config, answer="n\n")

    assert "2 canaries cost up to $0.089" in text
    assert 1 == code
    assert [] == list(simulator.requests)


def test_check_prints_a_verdict_for_each_target(config, simulator):
    """Good ones are exit code 0; a bad provider is 1."""
    fine, text = imgmon("check", "--config", config, "--yes")
    simulator.set_fault("openai", Fault(kind=FaultKind.SERVER_ERROR))
    bad, raw = imgmon("check", "flare", "--config", config, "--yes", "--json")

    assert (0, 1) == (fine, bad)
    assert "flash" in text
    assert "good" in text
    assert ("flare", "bad", "server_error") == tuple(
        json.loads(raw)[key] for key in ("target", "outcome", "error")
    )


def test_check_makes_free_calls_without_asking(config, simulator):
    """Nothing is drawn; a refused key is found out all the same."""
    fine, text = imgmon("check", "--free", "--config", config)
    simulator.set_fault("openai", Fault(kind=FaultKind.OVERLOADED))
    overloaded, _ = imgmon("check", "--free", "flare", "--config", config)
    simulator.set_fault("openai", Fault(kind=FaultKind.AUTH))
    refused, raw = imgmon("check", "--free", "flare", "--config", config, "--json")

    assert (0, 0, 1) == (fine, overloaded, refused)
    assert "counted" in text
    assert ("unusable", "auth", 0.0) == tuple(
        json.loads(raw)[key] for key in ("outcome", "error", "cost_usd")
    )
    assert all(meter.generations == 0 for meter in simulator.app.world.meters.values())


MUTE = """
class Mute:
    name = "mute"
    options = {}
    def exchange(self, target, canary):
        yield
"""


def test_check_says_where_there_is_no_free_call(config, plug_in):
    """Nothing is known of it, which is no failure of the provider."""
    plug_in(MUTE, mute="Mute")
    config.write_text(
        config.read_text().replace('id = "flash"\n', 'id = "flash"\nformat = "mute"\n')
    )
    code, raw = imgmon("check", "--free", "flash", "--config", config, "--json")
    row = json.loads(raw)

    assert (0, "void", None) == (code, row["outcome"], row["error"])
    assert "no free call" in row["detail"]


def test_check_names_the_targets_there_are(config):
    """A typing error is wrong input, not a provider's failure."""
    code, text = imgmon("check", "flesh", "--config", config, "--yes")

    assert 2 == code
    assert "No target flesh; there are: flash, flare." in text


def test_check_says_which_key_is_missing(config, monkeypatch):
    """Without a key nothing is sent, and the row says what to do."""
    monkeypatch.delenv("KEY")
    code, raw = imgmon("check", "--config", config, "--yes", "--json")

    assert 1 == code
    assert "KEY" in json.loads(raw.splitlines()[-1])["detail"]


def test_config_check_counts_and_prices(config):
    """What is configured and what it costs a day, in one line."""
    code, text = imgmon("config", "check", "--config", config)

    assert 0 == code
    assert "2 targets of 2 providers in 1 pool; canaries cost up to $2.14 a day" in text
    assert re.search(r"^digest [0-9a-f]{12}$", text, re.MULTILINE)


def test_config_check_says_what_the_caps_leave(config):
    """Whole canaries, five of each, where the cap pays for 5.6."""
    path = Path(config)
    path.write_text(path.read_text() + "\n[spend_cap]\nusd_per_day = 0.5\n")
    code, text = imgmon("config", "check", "--config", config)

    assert 0 == code
    assert "canaries cost up to $2.14 a day, of which caps and quotas leave $0.45" in text


def test_config_show_masks_the_key(config):
    """The effective configuration never holds a secret."""
    code, text = imgmon("config", "show", "--config", config)

    assert 0 == code
    assert "flash" in text
    assert KEY not in text


def test_config_schema_is_json(config):
    """For editors that complete TOML."""
    code, text = imgmon("config", "schema")

    assert (0, "object") == (code, json.loads(text)["type"])


def test_a_bad_file_says_everything_at_once_and_exits_2(config):
    """All problems with place and fix, no traceback."""
    config.write_text(config.read_text().replace('interval = "1h"', 'intervall = "1h"'))
    code, text = imgmon("config", "check", "--config", config)

    assert 2 == code
    assert "targets[0].intervall" in text
    assert "targets[1].intervall" in text
    assert "interval" in text


def test_a_missing_file_says_where_to_start(tmp_path):
    """The message names the example."""
    code, text = imgmon("run", "--config", tmp_path / "none.toml")

    assert 2 == code
    assert "monitor.example.toml" in text


def test_classify_prints_one_line_a_file():
    """File, class, outcome, retry time; the exit code says whether all were good."""
    files = sorted((REPLIES / "gemini").glob("*.json"))
    code, text = imgmon("classify", "--format", "gemini", "--at", "2026-11-22T12:00:00Z", *files)
    lines = [json.loads(line) for line in text.splitlines()]
    expected = [json.loads(file.read_text())["expected"] for file in files]

    assert 1 == code
    assert [str(file) for file in files] == [line["file"] for line in lines]
    assert ["ok" if e == "good" else e for e in expected] == [line["class"] for line in lines]
    assert any(line["retry_at"] == "2026-11-23T08:00:00.000Z" for line in lines)


def test_classify_of_what_is_no_recording_is_wrong_input(tmp_path):
    """The line says what is wrong with the file; the others are still classified."""
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    code, text = imgmon("classify", "--format", "gemini", bad, tmp_path / "none.json")

    assert 2 == code
    assert [None, None] == [json.loads(line)["class"] for line in text.splitlines()]


def test_classify_names_the_formats_there_are():
    """An unknown format is wrong input."""
    code, text = imgmon("classify", "--format", "gemeni", "x.json")

    assert 2 == code
    assert "openai-images" in text


def test_simulate_refuses_a_plan_it_cannot_read(tmp_path):
    """A bad plan says where it is wrong."""
    plan = tmp_path / "plan.toml"
    plan.write_text("seed = 'x'\n")
    code, text = imgmon("simulate", "--plan", plan)

    assert 2 == code
    assert "seed" in text


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(*arguments: object, **environ: str) -> subprocess.Popen[str]:
    """The real command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "monitor", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environ},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_for(url: str, process: subprocess.Popen[str]) -> httpx.Response:
    """The first answer of 200 from *url*; fails when the process ends before."""
    with httpx.Client(trust_env=False, timeout=2) as http:
        for _ in range(300):
            try:
                answer = http.get(url)
                if answer.is_success:
                    return answer
            except httpx.TransportError:
                pass
            try:
                process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"ended early: {process.stdout.read()}")
    pytest.fail("did not answer in time")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_serves_until_a_signal_and_then_stops_cleanly(config, number):
    """Both signals drain, commit and exit with 0, and the log is JSON without the key."""
    port = free_port()
    config.write_text(
        f'[server]\nlisten = "127.0.0.1:{port}"\n[log]\nformat = "json"\n' + config.read_text()
    )
    with start("run", "--config", config, KEY=KEY) as process:
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
    events = [json.loads(line)["event"] for line in output.splitlines()]

    assert 0 == process.returncode
    assert "daemon.started" in events
    assert "daemon.stopped" == events[-1]
    assert KEY not in output


def test_a_taken_port_is_said_in_one_line(config):
    """No traceback: what, where, and what to do; nothing is probed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config.write_text(f'[server]\nlisten = "127.0.0.1:{port}"\n' + config.read_text())
        with start("run", "--config", config, KEY=KEY) as process:
            output, _ = process.communicate(timeout=30)

    assert 2 == process.returncode
    assert f"cannot listen on 127.0.0.1:{port}" in output
    assert "Traceback" not in output


# What panels ask for that is not there within ten seconds: it takes an outage, a quota, a dozen samples
# or a minute, and no provider of the demo announces the end of a model.
LATER = {
    "imgmon_burn_rate",
    "imgmon_burn_rate_lower",
    "imgmon_claim_attained",
    "imgmon_clients_failing_alone",
    "imgmon_error_budget_remaining_ratio",
    "imgmon_error_budget_remaining_ratio_lower",
    "imgmon_latency_quantile_seconds_upper",
    "imgmon_model_shutdown_timestamp_seconds",
    "imgmon_reported_latency_quantile_seconds",
    "imgmon_reporting_clients",
    "imgmon_reports_total",
    "imgmon_retry_at_timestamp_seconds",
    "imgmon_store_oldest_row_timestamp_seconds",
}
REPORTED = 'imgmon_http_requests_total{route="/v1/reports",status="202"}'


def panels_wait_for(page: str) -> set[str]:
    """The metrics that some panel shows and *page* has not."""
    there = {re.match(r"\w+", line)[0] for line in page.splitlines() if line[:1] not in ("#", "")}
    asked = {
        metric
        for board in BOARDS.values()
        for expr in expressions(board)
        for metric, _ in SELECTOR.findall(expr)
    }
    return asked - there


def test_the_demo_shows_its_order_and_stops_by_itself():
    """Order, table and what dashboards show are there; two clients report; nothing is left behind."""
    port, simulator_port = free_port(), free_port()
    with start(
        "demo", "--port", port, "--simulator-port", simulator_port, "--seconds", 11, COLUMNS="200"
    ) as process:
        answer = wait_for(f"http://127.0.0.1:{port}/v1/pools/image/priority?view=ids", process)
        missing, page = {""}, ""
        while (missing - LATER or REPORTED not in page) and process.poll() is None:
            page = wait_for(f"http://127.0.0.1:{port}/metrics", process).text
            missing = panels_wait_for(page)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
        output, _ = process.communicate(timeout=60)

    assert 0 == process.returncode
    assert set() == missing - LATER
    assert REPORTED in page
    assert 5 == len(answer.json()["targets"])
    assert "google-flash" in output
    assert "healthy" in output
    assert re.search(r"[1-9]\d* free calls", output)
    assert "Traceback" not in output
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{simulator_port}/", trust_env=False, timeout=2)


def test_a_demo_that_is_killed_leaves_no_simulator_behind():
    """Its input ends with the demo, and so does the simulator; the next demo finds the port free."""
    port, simulator_port = free_port(), free_port()
    with start("demo", "--port", port, "--simulator-port", simulator_port) as process:
        wait_for(f"http://127.0.0.1:{simulator_port}/_control/plan", process)
        process.kill()
        process.wait(timeout=30)

    with httpx.Client(trust_env=False, timeout=2) as http:
        for _ in range(300):
            try:
                http.get(f"http://127.0.0.1:{simulator_port}/_control/plan")
            except httpx.TransportError:
                break
        else:
            pytest.fail("the simulator still answers")


def test_a_demo_takes_no_other_simulator_for_its_own(simulator):
    """One that answers on the port is somebody else's, with troubles at other times."""
    port = simulator.url.rpartition(":")[2]
    with start("demo", "--port", free_port(), "--simulator-port", port) as process:
        output, _ = process.communicate(timeout=60)

    assert 2 == process.returncode
    assert f"cannot listen on 127.0.0.1:{port}" in output


def test_the_demo_says_when_its_simulator_cannot_start():
    """A taken port ends the demo with the reason."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with start("demo", "--port", free_port(), "--simulator-port", port) as process:
            output, _ = process.communicate(timeout=60)

    assert 2 == process.returncode
    assert "simulator" in output
    assert "Traceback" not in output
