"""
What the API promises does not change unnoticed: the description is held against a kept one.

After a change that is wanted: ``imgmon openapi > tests/data/openapi.json``
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner

from monitor.cli import main

KEPT = Path(__file__).resolve().parent / "data" / "openapi.json"


def leaves(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every value of a document with its place; of a list of plain values, each at its own."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{place}/{name}")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value):
            # A parameter keeps its place in the words when another one comes before it.
            yield from leaves(inner, f"{place}/{inner.get('name', number)}")
    else:
        yield place, value


def differences(kept: dict[str, object], made: dict[str, object]) -> list[str]:
    """What is gone, new or other, a line each, by place."""
    before, after = dict(leaves(kept)), dict(leaves(made))
    gone = [f"gone: {place}" for place in before.keys() - after.keys()]
    new = [f"new: {place}" for place in after.keys() - before.keys()]
    other = [
        f"other: {place}: {before[place]!r} is now {after[place]!r}"
        for place in before.keys() & after.keys()
        if before[place] != after[place]
    ]
    return sorted([*gone, *new, *other])


def test_the_description_of_the_api_is_the_kept_one():
    """No field, parameter or answer is renamed, lost or added without somebody deciding it."""
    made = json.loads(CliRunner().invoke(main, ["openapi"]).output)
    kept = json.loads(KEPT.read_text())
    del made["info"]["version"], kept["info"]["version"]  # Grows with every release.

    assert [] == differences(kept, made), (
        "If this is wanted: imgmon openapi > tests/data/openapi.json"
    )


def test_a_renamed_field_shows_as_one_that_is_gone_and_one_that_is_new():
    """The difference names places, not a wall of JSON."""
    made = json.loads(KEPT.read_text())
    fields = made["components"]["schemas"]["PlaceOut"]["properties"]
    fields["index"] = fields.pop("index_usd")
    kept = json.loads(KEPT.read_text())
    place = "/components/schemas/PlaceOut/properties"
    found = differences(kept, made)

    assert f"gone: {place}/index_usd/type" in found
    assert f"new: {place}/index/type" in found
    assert all(place in line for line in found)
