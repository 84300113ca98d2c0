"""
Every dashboard drawn by Grafana's own libraries, over a real Prometheus, in a real browser.

Run by ``python3 dev.py dashboards``, which fetches and bundles the libraries. ``IMGMON_SHOTS`` names a
folder to keep the pictures in.
"""

from __future__ import annotations

import base64
import json
import os
import socket
from pathlib import Path

import pytest

from tests.support.browser import chromium
from tests.support.dashboards import BOARDS, DAY_S, panels, prometheus
from tests.support.market import END

PAGE = """<!doctype html>
<meta charset="utf-8">
<link rel="stylesheet" href="page.css">
<style>body {{ margin: 0 }}</style>
<div id="page"></div>
<script>window.RENDER = {render}</script>
<script src="page.js"></script>
"""
# A target of the market with an outage, a slow stretch and a verdict to show.
CHOSEN = {"target": {"target": "google-flash"}}
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


def drawn(name, board, bundle, server, tmp_path) -> dict:
    """What a reader of *board* sees, and would complain of."""
    render = {"board": board, "prometheus": server.url, "from": END - DAY_S, "to": END}
    render["chosen"] = CHOSEN.get(name, {})
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


def test_a_panel_that_finds_nothing_is_noticed(bundle, server, tmp_path):
    """The check can fail: a metric that nobody exports leaves its panel empty."""
    board = json.loads(json.dumps(BOARDS["itself"]))
    panel = next(p for p in panels(board) if p["type"] == "timeseries")
    panel["targets"][0]["expr"] = panel["targets"][1]["expr"] = "imgmon_no_such_metric"

    seen = drawn("broken", board, bundle, server, tmp_path)

    assert [f"empty: {panel['title']}"] == seen["problems"]
