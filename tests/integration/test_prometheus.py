"""A real Prometheus and Alertmanager on a real daemon, from an outage to a webhook and back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.clock import SystemClock
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import KEY, configuration_text
from tests.support.prometheus import Prometheus, free_port, installed, program, wait_until, webhooks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    """Every provider, healthy and quick."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


@pytest.fixture
def daemon(simulator, tmp_path) -> Iterator[str]:
    """The address of a daemon that probes every other second, in a process of its own."""
    port = free_port()
    text = configuration_text(simulator, tmp_path / "a.db", interval="2s", judging='confirm = "1s"')
    (tmp_path / "monitor.toml").write_text(f'[server]\nlisten = "127.0.0.1:{port}"\n{text}')
    command = [sys.executable, "-m", "monitor", "run", "--config", tmp_path / "monitor.toml"]
    with (tmp_path / "daemon.log").open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, "KEY": KEY},
            stdout=output,
            stderr=output,
        )
        try:
            url = f"127.0.0.1:{port}"
            wait_until(lambda: httpx.get(f"http://{url}/readyz", trust_env=False).is_success)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
def hooks() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of webhooks."""
    with webhooks() as receiver:
        yield receiver


@pytest.fixture
def prometheus(daemon, hooks, tmp_path) -> Iterator[Prometheus]:
    """A Prometheus with our files, faster by far, whose alerts go to an Alertmanager and on."""
    server, manager = installed("prometheus", "prometheus-alertmanager")
    own, other = free_port(), free_port()
    folder = tmp_path / "prometheus"
    (folder / "rules").mkdir(parents=True)
    rules = (ROOT / "grafana" / "rules" / "imgmon.yml").read_text()
    (folder / "rules" / "imgmon.yml").write_text(re.sub(r"for: \w+", "for: 0s", rules))
    blackbox = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    text, jobs = (ROOT / "grafana" / "prometheus.yml").read_text().split("  - job_name: imgmon\n")
    assert "dns_sd_configs" in jobs  # Names of containers, which nobody resolves here.
    text += f"  - job_name: imgmon\n    static_configs: [{{targets: ['{daemon}']}}]\n" + blackbox
    text = text.replace("15s", "1s").replace("imgmon:8720", daemon)
    text = text.replace("alertmanager:9093", f"127.0.0.1:{other}")
    text = re.sub(r"targets: \[google-flash.*\]", "targets: [flash, flare, nobody]", text)
    (folder / "prometheus.yml").write_text(text)
    alerts = (ROOT / "grafana" / "alertmanager.yml").read_text()
    alerts = re.sub(r"group_wait: \w+", "group_wait: 0s", alerts)
    alerts = re.sub(r"group_interval: \w+", "group_interval: 1s", alerts)
    alerts += f"    webhook_configs: [{{url: '{hooks[0]}'}}]\n"
    (folder / "alertmanager.yml").write_text(alerts)
    with (
        program(
            manager,
            "--config.file=alertmanager.yml",
            "--storage.path=alerts",
            f"--web.listen-address=127.0.0.1:{other}",
            "--cluster.listen-address=",
            folder=folder,
        ),
        program(
            server,
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--enable-feature=exemplar-storage",
            f"--web.listen-address=127.0.0.1:{own}",
            folder=folder,
        ),
        Prometheus(f"http://127.0.0.1:{own}") as running,
    ):
        yield running


def told(hooks: tuple[str, list[dict[str, Any]]], status: str, name: str) -> dict[str, Any] | None:
    """The alert of that name that a webhook told of last in that status."""
    alerts = [alert for body in hooks[1] for alert in body["alerts"]]
    found = [a for a in alerts if (a["status"], a["labels"]["alertname"]) == (status, name)]
    return found[-1] if found else None


def test_an_outage_reaches_a_webhook_and_its_end_too(prometheus, simulator, hooks):
    """From a scrape over the rules and Alertmanager; stock blackbox queries see it as well."""
    wait_until(lambda: len(prometheus.query("probe_success == 1")) == 2)
    fine = prometheus.query("probe_success == 0")
    up = wait_until(lambda: prometheus.query('up{instance="nobody"} == 0'))
    exemplars = wait_until(
        lambda: prometheus.get(
            "/api/v1/query_exemplars",
            query="imgmon_probe_duration_seconds_bucket",
            start="0",
            end="4000000000",
        )
    )
    simulator.set_fault("gemini", Fault(kind=FaultKind.OVERLOADED))
    alert = wait_until(lambda: told(hooks, "firing", "ProviderDown"))
    failing = wait_until(lambda: prometheus.query("probe_success == 0"))
    why = prometheus.query("probe_failure_info")
    simulator.set_fault("gemini", None)
    wait_until(lambda: told(hooks, "resolved", "ProviderDown"))

    assert {} == fine
    assert [0.0] == list(up.values())  # A target that is not configured is no success of anybody.
    assert {"probe_id"} == set(exemplars[0]["exemplars"][0]["labels"])
    assert ("google", "critical") == (alert["labels"]["provider"], alert["labels"]["severity"])
    assert "google is down" in alert["annotations"]["summary"]
    assert ['"instance": "flash"' in labels for labels in failing] == [True]
    assert any('"error_class": "overloaded"' in labels for labels in why)
    # Nobody else is accused of it.
    for name in ("AllTargetsFailing", "DaemonDown", "StoreErrors", "CollectorErrors"):
        assert told(hooks, "firing", name) is None, name
