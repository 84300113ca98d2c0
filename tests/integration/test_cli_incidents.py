"""``imgmon incidents`` as a person types it, over a store that a daemon has left."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main
from probes.model import ErrorClass
from tests.support import sufferers
from tests.support.builders import NOW, a_result

TEXT = """
[store]
path = "{store}"

[[providers]]
id = "acme"
base_url = "https://api.acme.example"
format = "openai-images"

[[targets]]
id = "alpha"
provider = "acme"
model = "m"
price_usd = 0.04
interval = "10m"
"""
BAD = ErrorClass.SERVER_ERROR


@pytest.fixture
def path(tmp_path) -> Path:
    """A configuration file; its store is not there yet."""
    path = tmp_path / "monitor.toml"
    path.write_text(TEXT.format(store=tmp_path / "a.db"))
    return path


def store(path: Path, target: str, errors, start=NOW) -> None:
    """Have a daemon see one result a minute."""
    subject, writer, _ = sufferers.opened(path.with_name("a.db"))
    with closing(writer):
        for minute, error in enumerate(errors):
            result = a_result(
                error,
                start + 60.0 * minute,
                target_id=target,
                probe_id=f"{target}-{start}-{minute}",
                cost_usd=0.04,
            )
            writer.submit_probe(result, "acme", "here")
            subject.accept(result)
        for entry in subject.take_entries():
            writer.submit_entry(entry)


def imgmon(path: Path, *arguments: str) -> tuple[int, str]:
    """Run the command; its exit code and what it printed."""
    given = ["incidents", "--config", str(path), *arguments]
    result = CliRunner().invoke(main, given, env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_without_a_store_or_an_incident_it_says_so(path):
    """Nothing is made, and nothing is wrong."""
    assert (0, "There is no incident.\n") == imgmon(path)
    assert not path.with_name("a.db").exists()
    assert (0, "There is no open incident of alpha.\n") == imgmon(
        path, "--open", "--target", "alpha"
    )


def test_a_table_tells_from_when_to_when_and_how_sure_that_is(path):
    """A closed outage with its bounds, a relapse, a group, and what is open."""
    closed = [None, BAD, BAD, None, None, BAD, BAD, None, None, None]
    store(path, "alpha", closed)
    store(path, "beta", [BAD, BAD], start=NOW + 120)
    store(path, "gamma", [ErrorClass.AUTH], start=NOW + 240)
    code, output = imgmon(path)

    assert 0 == code
    cells = {" ".join(line.split()[:4]): " ".join(line.split()) for line in output.splitlines()}
    alpha = cells["alpha provider server_error 2026-11-18"]
    assert "2026-11-18 2026-11-18 5m to 6m 4 1 relapse;" in alpha
    assert "11:07:40Z 11:13:40Z with beta (cloud)" in " ".join(output.split())
    assert "auth 2026-11-18 open" in cells["gamma our account auth"]
    assert "alpha" not in imgmon(path, "--open")[1].replace("with alpha", "")
    assert ["gamma"] == [
        one["target"] for one in json.loads(imgmon(path, "--json", "--target", "gamma")[1])
    ]


def test_json_is_what_the_api_gives(path):
    """Every field, for programs; bounds of the end included."""
    store(path, "alpha", [None, BAD, ErrorClass.TIMEOUT, BAD, None, None])
    ((one,), _) = (json.loads(imgmon(path, "--json", "--limit", "1")[1]), None)

    assert {
        "incident": one["incident"],
        "scope": "provider",
        "error": "server_error",
        "started_at": "2026-11-18T11:07:40.000Z",
        "confirmed_at": "2026-11-18T11:08:45.000Z",
        "failures": 3,
        "relapses": 0,
        "target": "alpha",
        "open": False,
        "errors": {"server_error": 2, "timeout": 1},
        "last_failed_at": "2026-11-18T11:09:40.000Z",
        "ended_at": "2026-11-18T11:10:40.000Z",
        "closed_at": "2026-11-18T11:11:45.000Z",
        "duration_s": 180.0,
        "probes": [f"alpha-{NOW}-{minute}" for minute in (1, 2, 3)],
        "group": None,
    } == one


def test_an_end_that_nobody_saw_is_told_as_such(path):
    """A target was taken out of the file while it failed."""
    store(path, "delta", [])
    store(path, "alpha", [BAD, BAD, BAD])
    with closing(sqlite3.connect(path.with_name("a.db"))) as raw:
        raw.execute("UPDATE incidents SET closed_at = started_at + 900")
        raw.commit()

    assert "not seen 2m at least" in " ".join(imgmon(path)[1].split())


def test_a_store_that_cannot_be_read_is_told(path):
    """With its name, and exit code 2."""
    path.with_name("a.db").write_bytes(b"not a database" * 1000)
    code, output = imgmon(path)

    assert 2 == code
    assert "cannot read" in output
