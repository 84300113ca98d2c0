"""Finding wire formats: built-in ones, plug-ins, and what is wrong with a plug-in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from probes.registry import FormatError, formats, load

BUILT_IN = ("gemini", "imagen", "openai-images", "openai-chat", "bfl", "gemini-batch")


SOUND = """
class Mine:
    name = "mine"
    options = {}
    def exchange(self, target, canary):
        yield
"""


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_format_is_found_by_its_name(name):
    """Each knows its own name and explains each of its options in one line."""
    found = load(name)

    assert name == found.name
    assert all(isinstance(help_, str) and "\n" not in help_ for help_ in found.options.values())


def test_the_names_start_with_the_built_in_ones(plug_in):
    """Plug-ins follow in alphabetical order."""
    plug_in(SOUND, zebra="Mine", mine="Mine")

    assert (*BUILT_IN, "mine", "zebra") == formats()
    assert "mine" == load("mine").name


def test_an_unknown_name_is_told_with_the_known_ones():
    """The message helps to spell it right."""
    with pytest.raises(FormatError, match=r"no wire format 'gemni'; known: gemini, imagen, "):
        load("gemni")


def test_a_plug_in_may_not_take_a_built_in_name(plug_in):
    """Which one is meant would depend on what is installed; other formats go on."""
    plug_in(SOUND, gemini="Mine")

    with pytest.raises(FormatError, match=r"'gemini' is defined more than once: .*:Mine, probes"):
        load("gemini")
    assert "bfl" == load("bfl").name


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere_to_be_found", "is broken: ModuleNotFoundError"),
        ("", "is broken: AttributeError"),
        ("def Mine(): raise ValueError('no')", r"is broken: ValueError\('no'\)"),
        (SOUND.replace('"mine"', '"theirs"'), "its name: 'theirs'"),
        (SOUND.replace("options = {}", "options = 7"), "is no Format"),
    ],
)
def test_a_broken_plug_in_is_named(plug_in, code, message):
    """Whatever a plug-in does on import or call, the error says which format and where."""
    plug_in(code, mine="Mine")

    with pytest.raises(FormatError, match=message) as told:
        load("mine")
    assert str(told.value).startswith("wire format 'mine' (plugin_")


def test_formats_are_imported_only_when_used():
    """A daemon that probes one provider does not load the others' code."""
    code = "import sys, probes.registry as r; r.load('bfl'); print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert "probes.formats.bfl" in loaded.stdout.split()
    assert "probes.formats.gemini" not in loaded.stdout.split()
