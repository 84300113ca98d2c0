"""Committed dashboards, the questions they ask, and a real Prometheus that holds a market's history."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.market import END, write_openmetrics

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
BOARDS = {path.stem: json.loads(path.read_text()) for path in FILES}
DAY_S = 86_400
# Grafana's own, as it would fill them in for a day shown 1000 pixels wide.
BUILT_IN = {"__interval": "30m", "__range": "24h", "__rate_interval": "20m", "datasource": "p"}
# A metric of ours, and what stands in its braces.
SELECTOR = re.compile(r"\b(imgmon_\w+)(?:\{([^}]*)\})?")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|([a-zA-Z_]\w*))")


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every panel that shows data."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: Mapping[str, Any]) -> list[str]:
    """All that a dashboard asks: queries, variables and annotations."""
    return [
        *(asked["expr"] for panel in panels(board) for asked in panel["targets"]),
        *(v["definition"] for v in board["templating"]["list"] if v["type"] == "query"),
        *(mark["expr"] for mark in board["annotations"]["list"]),
    ]


def used_variables(text: str) -> set[str]:
    """The names of the variables in *text*."""
    return {one or other for one, other in _VARIABLE.findall(text)}


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """*text* with the values of its variables, which must all be known."""
    return _VARIABLE.sub(lambda match: values[match[1] or match[2]], text)


class Prometheus:
    """A server on loopback, asked as Grafana asks it."""

    def __init__(self, url: str) -> None:
        """Ask at *url*."""
        self.url = url

    def get(self, path: str, **parameters: Any) -> Any:
        """The data of an answer; what is wrong with a query fails the test with Prometheus's words."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{parameters}: {error.read().decode()}")

    def ask(self, expr: str, *, instant: bool) -> list[dict[str, Any]]:
        """The series that *expr* finds at the end of the history, or over its last day."""
        if instant:
            return self.get("query", query=expr, time=END)["result"]
        found = self.get("query_range", query=expr, start=END - DAY_S, end=END, step=300)
        return found["result"]

    def values(self, definition: str, chosen: Mapping[str, str]) -> list[str]:
        """The values of a variable defined by ``label_values(selector, label)``."""
        selector, label = re.fullmatch(r"label_values\((.+), *(\w+)\)", definition).groups()
        return self.get(
            f"label/{label}/values",
            **{"match[]": filled_in(selector, chosen)},
            start=END - DAY_S,
            end=END,
        )


@contextmanager
def prometheus(folder: Path, port: int) -> Iterator[Prometheus]:
    """A real Prometheus over the market's history; skips where there is no ``promtool``."""
    server, tool = shutil.which("prometheus"), shutil.which("promtool")
    if server is None or tool is None:
        pytest.skip("no Prometheus is installed (Debian: apt-get install prometheus)")
    write_openmetrics(folder / "history.om")
    # One pass over the file: by default it is read once for every two hours in it.
    subprocess.run(
        [
            tool, "tsdb", "create-blocks-from", "--max-block-duration=768h", "openmetrics",
            folder / "history.om", folder / "data",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "prometheus.yml").write_text("global: {}\n")
    process = subprocess.Popen(
        [
            server, f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{port}", "--web.cors.origin=.*",
        ],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if "ready to receive web requests" in line:
                    break
            else:
                pytest.fail(f"Prometheus does not become ready: {''.join(said)}")
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
