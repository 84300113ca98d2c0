"""Every query of every dashboard, asked of a real Prometheus that holds what our exporter showed."""

from __future__ import annotations

import re
import socket

import pytest

from tests.support.dashboards import (
    BOARDS,
    BUILT_IN,
    filled_in,
    panels,
    prometheus,
)

ODD = {"NaN", "+Inf", "-Inf"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One Prometheus for all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with prometheus(tmp_path_factory.mktemp("prometheus"), port) as running:
        yield running


def chosen(board, server) -> dict[str, str]:
    """What a dashboard shows when it is opened: the default of each variable, or its first value."""
    values = dict(BUILT_IN)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found = server.values(variable["definition"], values)
            default = variable.get("current", {}).get("value")
            assert found, variable["definition"]
            assert variable["multi"] or default is None or default in found
            values[variable["name"]] = "|".join(found) if variable["multi"] else default or found[0]
    return values


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_finds_numbers(name, server):
    """No panel of the demo's market is empty, none holds NaN, and legends name labels that exist."""
    board = BOARDS[name]
    values = chosen(board, server)
    for panel in panels(board):
        for asked in panel["targets"]:
            series = server.ask(filled_in(asked["expr"], values), instant=asked["instant"])
            points = [point for one in series for _, point in one.get("values") or [one["value"]]]
            named = set(re.findall(r"\{\{(\w+)\}\}", asked["legendFormat"]))

            assert points, (panel["title"], asked["expr"])
            assert not ODD & {*points}, (panel["title"], asked["expr"])
            assert all(named <= one["metric"].keys() for one in series), panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_incidents_and_reloads_are_marked(name, server):
    """The marks above the panels find the outages of the day, the reload, and changes of orders."""
    board = BOARDS[name]
    values = chosen(board, server)
    for mark in board["annotations"]["list"]:
        assert server.ask(filled_in(mark["expr"], values), instant=False), mark["expr"]
