"""The rules for Prometheus: valid, tested, and over metrics that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from monitor.exposition import OWN
from monitor.metrics import SPECS
from tests.support.prometheus import installed

ROOT = Path(__file__).resolve().parent.parent
RULES = (ROOT / "grafana" / "rules" / "imgmon.yml").read_text()
CASES = ROOT / "tests" / "data" / "rules" / "imgmon.test.yml"
ALERTS = set(re.findall(r"- alert: (\w+)", RULES))


def promtool(*arguments: object) -> str:
    """What promtool prints, which has to be content."""
    (path,) = installed("promtool")
    done = subprocess.run(
        [path, *map(str, arguments)], cwd=CASES.parent, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_of_prometheus_loads_the_rules():
    """Promtool reads both, and finds the rules beside the configuration."""
    assert "1 rule files found" in promtool("check", "config", ROOT / "grafana" / "prometheus.yml")


def test_the_configuration_of_alertmanager_is_one():
    """Its own checker reads it."""
    (amtool,) = installed("amtool")
    file = ROOT / "grafana" / "alertmanager.yml"
    done = subprocess.run([amtool, "check-config", file], capture_output=True, check=False)

    assert 0 == done.returncode, done.stderr


def test_every_alert_fires_when_it_should_and_not_before():
    """The cases of promtool pass."""
    assert "SUCCESS" in promtool("test", "rules", CASES.name)


def test_every_alert_has_a_case_of_firing_and_one_of_not_firing():
    """Neither is forgotten when an alert is added."""
    # A case is an expectation of one alert: without series it does not fire.
    fires, quiet = set(), set()
    for case in re.split(r"(?=- expr: )", CASES.read_text()):
        if found := re.match(r'- expr: count by \([\w, ]+\) \(ALERTS\{alertname="(\w+)"', case):
            (quiet if "exp_samples: []" in case else fires).add(found[1])

    assert ALERTS == fires
    assert ALERTS == quiet


def test_rules_ask_for_metrics_that_are_exported():
    """A renamed metric fails here and not in silence in somebody's Prometheus."""
    exported = {spec.shown for spec in (*SPECS, *OWN)}
    expressions = re.sub(r"^\s*(#|summary:|description:).*$", "", RULES, flags=re.MULTILINE)
    asked = set(re.findall(r"\bimgmon_\w+", expressions))

    assert set() == asked - exported
    assert len(asked) > 20


def test_every_alert_says_what_how_bad_and_what_to_do():
    """Severity, summary and description, and no address."""
    blocks = re.split(r"(?=- alert: )", RULES)[1:]

    assert len(ALERTS) == len(blocks)
    for block in blocks:
        assert re.search(r"severity: (critical|warning|info)\b", block), block
        assert re.search(r'summary: "\S.+"', block), block
        assert re.search(r'description: "\S.+"', block), block
        assert "://" not in block


def test_the_readme_names_every_alert():
    """The table of alerts equals the rules."""
    section = (ROOT / "README.md").read_text().split("### Prometheus\n")[1]
    table = [line for line in section.split("```")[0].splitlines() if line.startswith("| ")][2:]
    named = re.findall(r"\w+", " ".join(line.split("|")[2] for line in table))

    assert sorted(ALERTS) == sorted(named)
