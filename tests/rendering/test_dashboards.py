"""
Every dashboard drawn by Grafana's own libraries, over a real Prometheus, in a real browser.

Run by ``python3 dev.py dashboards``, which fetches and bundles the libraries. ``IMGMON_SHOTS`` names a
folder to keep the pictures in.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import sys
from pathlib import Path

import httpx
import pytest

from monitor.clock import SystemClock
from tests.support.browser import chromium
from tests.support.dashboards import BOARDS, DAY_S, ROOT, Prometheus, panels, prometheus
from tests.support.market import END, SCRAPE_S
from tests.support.prometheus import Prometheus as Asked
from tests.support.prometheus import free_port, installed, program, wait_until

PAGE = """<!doctype html>
<meta charset="utf-8">
<link rel="stylesheet" href="page.css">
<style>body {{ margin: 0 }}</style>
<div id="page"></div>
<script>window.RENDER = {render}</script>
<script src="page.js"></script>
"""
# A target of the market with an outage, a slow stretch and a verdict to show.
CHOSEN = {"imgmon-target": {"target": "google-flash"}}
# Seconds between scrapes of the demo, and of it that are drawn.
FAST_S, SPAN_S = 5, 180
MINUTE_S = 60
# What comes last in the demo: by its outage, its quota, its clients and its first minute.
LAST = (
    'imgmon_burn_rate{window="3d"}',
    "imgmon_claim_attained",
    "imgmon_retry_at_timestamp_seconds",
    "imgmon_store_oldest_row_timestamp_seconds",
    'imgmon_reporting_clients{target="google-flash"}',
)
# Panels that say in words why they have no figure: it would take hours, or an announcement.
TOO_YOUNG = {
    "Median, $window, against that of one range before",
    "Seconds by hour of the week, UTC",
    "Model ends in",
}
# Pixels of a unit of Grafana's grid with its gap, and of what is above the grid.
UNIT_PX, HEAD_PX, WIDTH_PX = 38, 130, 1500
# Grafana shows these at the least once, so the page shows that its values were read, not guessed.
SHOWN = {
    "overview": ("openai-flare", "unusable", "down", "100.00%", "$0.070"),
    "target": ("healthy", "p95", "overloaded", "model_changed", "Mon"),
    "slo": ("attained", "missed", "undetermined"),
    "spend": ("quota_guard", "google cap", "at month's end"),
    "itself": ("loop lag", "monitor_fault", "up"),
}


@pytest.fixture(scope="module")
def bundle() -> Path:
    """The folder with the bundled page."""
    folder = os.environ.get("IMGMON_RENDER")
    if folder is None:
        pytest.skip("run it by: python3 dev.py dashboards")
    return Path(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One Prometheus for all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with prometheus(tmp_path_factory.mktemp("prometheus"), port) as running:
        yield running


def drawn(name, board, bundle, server, tmp_path, *, end=END, span_s=DAY_S, scrape_s=SCRAPE_S):
    """What a reader of *board* sees, and would complain of."""
    render = {"board": board, "prometheus": server.url, "from": end - span_s, "to": end}
    render |= {"chosen": CHOSEN.get(board["uid"], {}), "scrape": int(scrape_s)}
    page = bundle / f"{name}.html"
    # A script ends at its closing tag, wherever that is.
    page.write_text(PAGE.format(render=json.dumps(render).replace("<", "\\u003c")))
    height = HEAD_PX + UNIT_PX * max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in board["panels"])
    with chromium(tmp_path / "profile") as tab:
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=WIDTH_PX, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        tab.open(page.as_uri())
        answer = tab.call(
            "Runtime.evaluate", expression="whenDrawn()", awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        if shots := os.environ.get("IMGMON_SHOTS"):
            shot = tab.call("Page.captureScreenshot")["data"]
            (Path(shots) / f"{name}.png").write_bytes(base64.b64decode(shot))
        return answer["result"]["value"]


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_drawn_whole(name, bundle, server, tmp_path):
    """All its panels are there with their numbers, and none is empty, failed or unknown."""
    seen = drawn(name, BOARDS[name], bundle, server, tmp_path)

    assert [] == seen["problems"]
    assert len(panels(BOARDS[name])) == seen["panels"] == seen["titles"]
    assert [] == [word for word in SHOWN[name] if word not in seen["text"]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A Prometheus with the configuration of the repository, but faster, that scraped the demo's minutes."""
    (program_path,) = installed("prometheus")
    folder = tmp_path_factory.mktemp("demo")
    port, simulator_port, own = free_port(), free_port(), free_port()
    shutil.copytree(ROOT / "grafana" / "rules", folder / "rules")
    text = (ROOT / "grafana" / "prometheus.yml").read_text().partition("    dns_sd_configs:")[0]
    static = (
        f"    static_configs: [{{targets: ['127.0.0.1:{port}'], labels: {{instance: demo}}}}]\n"
    )
    (folder / "prometheus.yml").write_text(text.replace("15s", f"{FAST_S}s") + static)
    imgmon = Path(sys.executable).with_name("imgmon")
    with (
        program(imgmon, "demo", "--port", port, "--simulator-port", simulator_port, folder=folder),
        program(
            program_path, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{own}", "--web.cors.origin=.*", folder=folder,
        ),
        Asked(f"http://127.0.0.1:{own}") as asked,
    ):  # fmt: skip
        wait_until(lambda: httpx.get(f"http://127.0.0.1:{own}/-/ready", trust_env=False).is_success)
        for metric in LAST:
            often = f"count_over_time({metric}[1m]) > 2"
            wait_until(lambda often=often: asked.query(often), seconds=150)
        wait_until(lambda: asked.query(f"imgmon_reports_total @ {whole_minute()}"), seconds=70)
        yield Prometheus(f"http://127.0.0.1:{own}")


def whole_minute():
    """The last one, on which bars stand; a counter that is there from the first report on may come later."""
    return int(SystemClock().wall() // MINUTE_S * MINUTE_S)


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_of_the_demo_is_empty(name, bundle, demo, tmp_path):
    """Within two minutes of it every panel has something to show, but what its age forbids."""
    end = SystemClock().wall()
    seen = drawn(
        f"demo-{name}", BOARDS[name], bundle, demo, tmp_path, end=end, span_s=SPAN_S, scrape_s=FAST_S,
    )  # fmt: skip

    assert [] == [p for p in seen["problems"] if p.removeprefix("empty: ") not in TOO_YOUNG]


def test_a_panel_that_finds_nothing_is_noticed(bundle, server, tmp_path):
    """The check can fail: a metric that nobody exports leaves its panel empty."""
    board = json.loads(json.dumps(BOARDS["itself"]))
    panel = next(p for p in panels(board) if p["type"] == "timeseries")
    for asked in panel["targets"]:
        asked["expr"] = "imgmon_no_such_metric"

    seen = drawn("broken", board, bundle, server, tmp_path)

    assert [f"empty: {panel['title']}"] == seen["problems"]
