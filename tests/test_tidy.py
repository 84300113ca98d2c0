"""House style that matters is a test, not a page nobody reads."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("monitor", "probes")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 400
TOP_LEVEL = {
    ".ci", ".gitattributes", ".gitignore", ".dockerignore", "CHANGELOG.md", "CONTRIBUTING.md",
    "DESIGN.md", "Dockerfile", "LICENSE", "README.md", "compose.yaml", "dev.py", "examples", "grafana",
    "monitor", "monitor.example.toml", "packaging", "probes", "pyproject.toml", "requirements.lock", "tests",
}  # fmt: skip
BANNED_WORDS = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")


def name(path: Path) -> str:
    """The path as a test id."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_modules_and_functions_stay_small(path: Path):
    """No module is over 400 lines and no function over 70."""
    text = path.read_text()
    long = [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    ]

    assert [] == long
    assert len(text.splitlines()) <= MODULE_LINES_MAX


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_is_left_for_later(path: Path):
    """Code holds no marker of unfinished work."""
    text = path.read_text()

    assert [] == [word for word in BANNED_WORDS if word in text]


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_every_test_states_its_behaviour(path: Path):
    """Each test function has a docstring, and none patches an import path."""
    tree = ast.parse(path.read_text())
    silent = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert [] == silent
    assert "unittest" + ".mock" not in path.read_text()


def test_broad_excepts_are_where_they_are_meant_to_be():
    """Only loops that must go on whatever happens catch every exception."""
    broad = {
        name(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and isinstance(node.type, ast.Name)
        and node.type.id in ("Exception", "BaseException")
    }

    assert broad <= {
        "monitor/runner.py",
        "monitor/serve.py",  # A reload that fails in any way leaves what ran before.
        "monitor/batches.py",
        "monitor/months.py",
        "monitor/notify/channels.py",  # A plug-in of apprise may raise anything.
        "monitor/notify/notifier.py",
        "monitor/app.py",
        "monitor/exposition.py",  # One figure that cannot be had must not cost all the others.
        "monitor/client/background.py",
        "monitor/client/errors.py",  # An exception's own attributes may raise anything.
        "monitor/client/failover.py",  # Whatever the application's function raises is judged.
        "monitor/store/writer.py",
        "probes/driver.py",
        "probes/steps.py",  # A plug-in may raise anything; it stops its own probe.
        "probes/image.py",  # Decoders raise whatever their parsing trips over.
        "probes/registry.py",
        "probes/sockets.py",  # Closes the socket, then raises on.
    }


def test_the_top_level_is_what_the_design_says():
    """A reader finds nothing at the top that is not expected there."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    if not listed:
        pytest.skip("not a git checkout")

    assert {path.split("/")[0] for path in listed.splitlines()} <= TOP_LEVEL


def test_no_file_names_a_machine_or_a_registry():
    """The repository speaks of the project alone."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    banned = ("/wo" + "rk/", "/ro" + "ot/", "pypi" + ".org", "pythonhosted" + ".org")
    found = [
        (file, word)
        for file in filter(None, listed.split("\0"))
        for word in banned
        if word in (ROOT / file).read_bytes().decode(errors="replace")
    ]

    assert [] == found
