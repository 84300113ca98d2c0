"""What several commands share: reading the configuration, and its option."""

from __future__ import annotations

import os
from pathlib import Path

import click

from monitor.config import Config, load
from monitor.errors import ConfigError

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("monitor.toml"),
    show_default=True,
    help="Configuration file.",
)


class ConfigProblem(click.ClickException):
    """Wrong configuration: every problem at once, exit code 2."""

    exit_code = 2


def read_config(path: Path) -> Config:
    """Return the configuration in *path*; ends the command with all problems if it is wrong."""
    try:
        return load(path, os.environ)
    except ConfigError as error:
        raise ConfigProblem(f"{path} is not usable.\n{error}") from error
