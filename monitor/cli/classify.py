"""``imgmon classify``: recorded replies through the real driver."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from monitor.api.encode import timestamp
from monitor.cli import INPUT_WRONG, PROVIDER_BAD
from monitor.clock import SystemClock
from probes import registry
from probes.model import Format, Outcome
from probes.recorded import classify_recording, recorded_target


class _FixedWall(SystemClock):
    """The machine's monotonic clock under a wall clock that stands still."""

    def __init__(self, wall: float) -> None:
        self._wall = wall

    def wall(self) -> float:
        """Return the fixed time."""
        return self._wall


@click.command()
@click.option("--format", "name", required=True, help="Wire format, e.g. gemini.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]),
    help="When the replies came (UTC), for retry times; default now.",
)
@click.option("--relay", is_flag=True, help="The host is a gateway that relays to other vendors.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(name: str, at: datetime | None, relay: bool, files: tuple[Path, ...]) -> None:
    """
    Print one JSON line per FILE: file, class ("ok" for a picture), outcome, retry_at.

    A FILE is a JSON document with "request" and "response" {status, headers, body}. Exit code 1
    when a reply is the provider's fault or unusable, 2 when a file cannot be read.
    """
    try:
        wire_format = registry.load(name)
    except registry.FormatError as error:
        raise click.UsageError(str(error)) from error
    clock = SystemClock() if at is None else _FixedWall(at.replace(tzinfo=UTC).timestamp())
    exit_code = 0
    for file in files:
        line = classify_file(file, wire_format, clock, relay=relay)
        if line["outcome"] is None:
            exit_code = INPUT_WRONG
        elif line["outcome"] != Outcome.GOOD.value:
            exit_code = max(exit_code, PROVIDER_BAD)
        click.echo(json.dumps(line, ensure_ascii=False))
    raise SystemExit(exit_code)


def classify_file(
    file: Path, wire_format: Format, clock: SystemClock, *, relay: bool
) -> dict[str, Any]:
    """Return the line of one file; class and outcome are null when it cannot be read."""
    try:
        document = json.loads(file.read_bytes())
        target = recorded_target(wire_format, relay=relay)
        result = asyncio.run(classify_recording(document, wire_format, clock, target=target))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        problem = f"is no recording (JSON with a response): {type(error).__name__}: {error}"[:200]
        return {"file": str(file), "class": None, "outcome": None, "problem": problem}
    return {
        "file": str(file),
        "class": result.error.value if result.error else "ok",
        "outcome": result.outcome.value,
        "retry_at": timestamp(result.retry_at),
        "code": result.code,
        "finish_reason": result.finish_reason,
        "detail": result.detail,
    }
