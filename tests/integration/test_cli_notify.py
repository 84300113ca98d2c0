"""``imgmon notify``, and a daemon that tells of what happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from monitor.cli import main
from monitor.clock import SystemClock
from monitor.config import parse
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import KEY, client, configuration_text, running, until
from tests.support.webhooks import Receiver

ROOT = Path(__file__).resolve().parents[2]
ROUTES = """
[[routes]]
id = "ops"
webhook = { env = "OPS_URL" }
group_wait = "1ms"

[[routes]]
id = "on-call"
pagerduty = { env = "OPS_KEY" }
pagerduty_url = "PD"

[[routes]]
id = "missing"
webhook = { env = "NO_URL" }
"""


@pytest.fixture
def simulator():
    """Every provider, healthy and quick."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


@pytest.fixture
def receiver():
    """One that takes all."""
    with Receiver() as made:
        yield made


@pytest.fixture
def config(simulator, receiver, tmp_path, monkeypatch) -> Path:
    """Two targets at the simulator, and routes to the receiver."""
    for name, value in (("KEY", KEY), ("OPS_URL", receiver.url), ("OPS_KEY", "R0UT1NG-key")):
        monkeypatch.setenv(name, value)
    path = tmp_path / "monitor.toml"
    text = configuration_text(simulator, tmp_path / "a.db")
    path.write_text(text + ROUTES.replace("PD", receiver.url))
    return path


def imgmon(*arguments: object) -> tuple[int, str]:
    """Run a command in process; its exit code and everything it printed."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_a_test_message_arrives_and_says_that_it_is_one(config, receiver):
    """Exit code 0 and what came back; nothing of it is stored."""
    code, text = imgmon("notify", "test", "ops", "--config", config)

    assert (0, "ops: sent, HTTP 200 OK\n") == (code, text)
    assert "this is a test of imgmon; nothing is wrong" == receiver.posted[0].json["text"]
    assert not (config.parent / "a.db").exists()


def test_a_test_of_pagerduty_leaves_no_alert_open(config, receiver):
    """It is triggered and resolved."""
    code, text = imgmon("notify", "test", "on-call", "--config", config)
    actions = [posted.json["event_action"] for posted in receiver.posted]
    keys = {posted.json["dedup_key"] for posted in receiver.posted}

    assert (0, 2) == (code, text.count("sent"))
    assert (["trigger", "resolve"], 1) == (actions, len(keys))


def test_a_test_that_does_not_arrive_says_why(config, receiver):
    """Exit code 1, and no token."""
    receiver.answer = lambda _: (403, {}, b"who are you?")
    code, text = imgmon("notify", "test", "ops", "--config", config)

    assert (1, "ops: not sent, HTTP 403 Forbidden: who are you?\n") == (code, text)


def test_a_route_that_is_unknown_or_leads_nowhere_is_wrong_input(config):
    """Exit code 2, with the names that there are, or what is missing."""
    unknown = imgmon("notify", "test", "opps", "--config", config)
    missing = imgmon("notify", "test", "missing", "--config", config)

    assert 2 == unknown[0] == missing[0]
    assert "There is no route 'opps'" in unknown[1]
    assert "there are: ops, on-call, missing." in unknown[1]
    assert "route missing: environment variable NO_URL is not set" in missing[1]


@pytest.mark.anyio
async def test_a_daemon_tells_of_a_cap_that_bites_and_counts_it(simulator, receiver, tmp_path):
    """From a probe that is not paid for to a webhook, and to the metrics."""
    text = configuration_text(
        simulator, tmp_path / "a.db", openai_cap="spend_cap = { usd_per_day = 0.01 }"
    )
    environ = {"KEY": KEY, "OPS_URL": receiver.url, "OPS_KEY": "R0UT1NG-key"}
    config = parse(text + ROUTES.replace("PD", receiver.url), environ, "test")
    async with running(config) as daemon:
        await until(lambda: any("spend cap of openai" in p.body.decode() for p in receiver.posted))
        await until(lambda: daemon.notifier.figures().sends["ops", "sent"] > 0)
        async with client(daemon) as http:
            page = (await http.get("/metrics")).text
        shown = {
            (sample.name, sample.labels.get("route"), sample.labels.get("result")): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if "notification" in sample.name
        }

    assert 1.0 <= shown["imgmon_notification_sends_total", "ops", "sent"]
    # There from the start, so that a rate has something to begin with.
    assert 0.0 == shown["imgmon_notification_sends_total", "on-call", "given_up"]
    assert 0.0 <= shown["imgmon_notifications_pending", None, None]
    assert 0.0 == shown["imgmon_notification_oldest_pending_seconds", None, None]


def test_a_daemon_without_apprise_never_imports_it(config):
    """Its 130 ms and its plug-ins are for those who have such a route."""
    code = "import sys, monitor.app, monitor.cli.notify; print('apprise' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=dict(os.environ), capture_output=True,
        text=True, check=True,
    )  # fmt: skip

    assert "False" == done.stdout.strip()
