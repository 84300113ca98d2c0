"""The command line: parse, call, print, exit code. Subcommands are imported when they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from monitor.version import __version__

# Exit codes (DESIGN.md 5).
PROVIDER_BAD: Final = 1
STORE_BAD: Final = 1
INPUT_WRONG: Final = 2
UNREACHABLE: Final = 3

# Command to module: a daemon's import time is no part of `imgmon errors`.
COMMANDS: Final = {
    "agent": "agent",
    "batches": "batches",
    "check": "check",
    "classify": "classify",
    "config": "config",
    "cost": "cost",
    "db": "db",
    "demo": "demo",
    "errors": "errors",
    "incidents": "incidents",
    "notify": "notify",
    "openapi": "openapi",
    "order": "order",
    "plan": "plan",
    "replay": "replay",
    "report": "report",
    "results": "results",
    "run": "run",
    "simulate": "simulate",
    "status": "status",
    "token": "token",
    "watch": "watch",
}


class LazyGroup(click.Group):
    """Finds commands by name in :data:`COMMANDS` and imports them when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command named *cmd_name*, None for no such command."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"monitor.cli.{COMMANDS[cmd_name]}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imgmon")
def main() -> None:
    """Measure image-generation APIs and publish the order clients should call them in."""
