"""The README says what the code does: every key, metric, route, command and class is in it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from monitor.cli import COMMANDS, main
from monitor.config import cost_words, parse
from monitor.config.schema import FileTable
from monitor.exposition import OWN
from monitor.metrics import SPECS
from probes.model import ERROR_TABLE
from probes.registry import formats

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under *heading*, without marks of code."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("`", "") for cell in line.split("|")[1:-1]] for line in lines]


def keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every key of the file as the README spells it."""
    found = set()
    for name, field in model.model_fields.items():
        inner = [
            kind
            for kind in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if inner and inner[0].model_fields:
            found |= keys(inner[0], f"{prefix}{name}.")
        else:
            found.add(f"{prefix}{field.alias or name}")
    return found


def test_every_configuration_key_is_in_the_readme_and_none_is_invented():
    """The table of keys equals the schema."""
    assert keys(FileTable) == {row[0] for row in rows("Configuration")}


def test_every_metric_is_in_the_readme_and_none_is_invented():
    """The table of metrics equals what a scrape can show, label for label."""
    shown = {
        name: [label for label in labels.split(", ") if label]
        for name, labels, _ in rows("Metrics")
    }

    assert {spec.shown: list(spec.labels) for spec in (*SPECS, *OWN)} == shown


def test_every_route_is_in_the_readme_and_none_is_invented():
    """The table of routes equals the OpenAPI description."""
    import json

    paths = json.loads(CliRunner().invoke(main, ["openapi"]).output)["paths"]
    shown = {row[0].split(" ")[1].split("?")[0] for row in rows("HTTP API")}

    assert {*paths, "/", "/docs", "/openapi.json"} == shown


def test_every_command_is_in_the_readme_and_none_is_invented():
    """The table of commands equals the command line."""
    shown = {row[0].split()[1] for row in rows("Commands")}

    assert set(COMMANDS) == shown


def test_the_error_classes_in_the_readme_are_those_of_the_table():
    """Class, outcome, both views and effect, row for row."""
    expected = [
        [error.value, row.outcome.value, row.provider_view, row.user_view, row.effect.value]
        for error, row in ERROR_TABLE.items()
    ]

    assert expected == [row[:5] for row in rows("Error classes")]


def test_every_wire_format_is_in_the_readme():
    """A reader finds the names that the configuration takes."""
    assert set(formats()) == {row[0] for row in rows("Wire formats")}


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", README, re.DOTALL))
def test_toml_blocks_load(block):
    """Every example configuration is one."""
    keys_needed = re.findall(r'env = "(\w+)"', block)
    url = "https://hooks.example.com/of-the-test"
    environ = {name: url if name.endswith("_URL") else "a-key-of-the-test" for name in keys_needed}
    config = parse(block, environ, "README.md")

    assert tomllib.loads(block)
    assert () == config.warnings


def test_the_stated_price_of_the_first_example_is_what_it_costs():
    """Ten lines of TOML and the dollars a day they imply."""
    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1]
    stated = re.search(r"costs \*\*\$([0-9.]+) a day\*\*", README)[1]
    config = parse(block, {"GEMINI_API_KEY": "k" * 10, "LAOZHANG_API_KEY": "k" * 11}, "README.md")

    assert f"canaries cost up to ${stated} a day" == cost_words(config)


def test_links_to_files_lead_somewhere():
    """No dead link into the repository."""
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)

    assert [] == [link for link in links if not (ROOT / link).exists()]


def test_the_changelog_names_the_unreleased_work():
    """Users learn of changes before a release does."""
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
