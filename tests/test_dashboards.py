"""Grafana's dashboards hold together, and ask only for what the exporter has."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations

import pytest

from monitor import metrics
from tests.support.dashboards import (
    BOARDS,
    ROOT,
    SELECTOR,
    expressions,
    panels,
    used_variables,
)

BUILT_IN = {"datasource", "__interval", "__range", "__rate_interval", "__url_time_range"}
# Fields of a panel's own data, in links.
IN_LINKS = {"__value"}
UNITS = {"short", "s", "percentunit", "currencyUSD", "bytes"}
# Metrics that no panel shows, and why.
UNUSED = {
    "imgmon_liveness_timestamp_seconds": "its age says no more than the state of free calls",
    "imgmon_priority_changed_timestamp_seconds": "changes are drawn over time",
    "imgmon_priority_version": "changes are drawn over time",
}
# What Prometheus adds to each series, and every query chooses one of.
SCRAPED = {"instance"}
each = pytest.mark.parametrize("name", BOARDS)


def labels_of() -> dict[str, set[str]]:
    """Every series as a query names it, and its labels."""
    parts = {"histogram": ("_sum", "_count", "_bucket"), "summary": ("", "_sum", "_count")}
    return {
        spec.shown + part: {*spec.labels, *(["le"] if part == "_bucket" else [])}
        for spec in (*metrics.SPECS, *metrics.OWN)
        for part in parts.get(spec.kind, ("",))
    }


def test_the_committed_dashboards_are_what_the_generator_writes(tmp_path):
    """Nobody edits the JSON by hand, and nobody forgets to write it."""
    script = ROOT / "grafana" / "generate.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)

    written = {path.name: path.read_text() for path in tmp_path.iterdir()}

    committed = (ROOT / "grafana" / "dashboards").iterdir()
    assert written == {path.name: path.read_text() for path in committed}


@each
def test_panels_have_ids_and_places_of_their_own(name):
    """No panel lies upon another or beside the grid, and no id is used twice."""
    board = BOARDS[name]
    ids = [panel["id"] for panel in board["panels"]]
    places = [panel["gridPos"] for panel in board["panels"]]

    assert len(ids) == len(set(ids))
    assert all(0 <= p["x"] and p["x"] + p["w"] <= 24 and p["h"] > 0 for p in places)
    assert not [
        (one, other)
        for one, other in combinations(places, 2)
        if one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    ]


def test_dashboards_have_fixed_and_different_addresses():
    """Links between them and bookmarks of them stay."""
    assert {f"imgmon-{name}" for name in BOARDS} == {board["uid"] for board in BOARDS.values()}


@each
def test_every_panel_says_what_it_shows_and_in_which_unit(name):
    """Title, description and a unit that Grafana knows, also where a column has its own."""
    for panel in panels(BOARDS[name]):
        config = panel["fieldConfig"]
        units = {config["defaults"]["unit"]} | {
            each["value"]
            for override in config["overrides"]
            for each in override["properties"]
            if each["id"] == "unit"
        }

        assert panel["title"]
        assert panel["description"].endswith(".")
        assert units <= UNITS


@each
def test_queries_name_metrics_and_labels_that_the_exporter_has(name):
    """A misspelled metric or label would show an empty panel, and nobody would know why."""
    known = labels_of()
    for expr in expressions(BOARDS[name]):
        for metric, selector in SELECTOR.findall(expr):
            named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))

            assert metric in known, expr
            assert named <= known[metric] | SCRAPED, expr


@each
def test_every_query_is_of_one_daemon(name):
    """Two daemons measure from two places: what mixes them is the figure of neither."""
    for expr in expressions(BOARDS[name]):
        found = re.findall(r"\b(?:imgmon|process)_\w+(?:\{([^}]*)\})?", expr)

        if expr != "label_values(imgmon_build_info, instance)":
            assert found
            assert all("instance=" in selector for selector in found), expr


@each
def test_variables_are_defined_and_used(name):
    """No query waits for a variable that nobody can choose, and no choice does nothing."""
    board = BOARDS[name]
    defined = {variable["name"] for variable in board["templating"]["list"]}
    used = used_variables(str(board["panels"]) + str(board["annotations"])) - IN_LINKS
    asked = used | {
        word
        for v in board["templating"]["list"]
        for word in used_variables(v.get("definition", ""))
    }

    assert asked - BUILT_IN <= defined
    assert defined - {"datasource"} <= asked


@each
def test_every_query_asks_the_chosen_datasource(name):
    """A dashboard that names somebody's own datasource works at his desk alone."""
    board = BOARDS[name]
    asked = [asked for panel in panels(board) for asked in panel["targets"]]
    asked += [*panels(board), *board["annotations"]["list"]]
    asked += [v for v in board["templating"]["list"] if v["type"] == "query"]

    assert {"${datasource}"} == {each["datasource"]["uid"] for each in asked}


def test_every_metric_is_shown_or_has_a_reason():
    """What nobody looks at is either missing from the dashboards or not worth exporting."""
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", metric)
        for board in BOARDS.values()
        for expr in expressions(board)
        for metric, _ in SELECTOR.findall(expr)
    }

    assert set(metrics.names()) - shown == set(UNUSED)


def test_unknown_is_never_green():
    """Wherever a state has a colour, unknown is grey and only healthy is green."""
    colours = {
        (option["text"], option["color"])
        for board in BOARDS.values()
        for panel in panels(board)
        for each in [
            panel["fieldConfig"]["defaults"].get("mappings", []),
            *(
                prop["value"]
                for override in panel["fieldConfig"]["overrides"]
                for prop in override["properties"]
                if prop["id"] == "mappings"
            ),
        ]
        for mapping in each
        for option in (
            mapping["options"].values()
            if mapping["type"] == "value"
            else [mapping["options"]["result"]]
        )
    }

    assert {"#808080"} == {c for text, c in colours if text in ("unknown", "undetermined")}
    assert {"healthy", "attained", "answered", "up", "usable", "taken"} == {
        t for t, c in colours if c == "green"
    }
