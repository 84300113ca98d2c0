"""``imgmon config``: check, show and describe the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monitor.cli.common import config_option, read_config
from monitor.config import config_schema, cost_per_day
from monitor.config import show as show_config


@click.group()
def command() -> None:
    """Check, show or describe the configuration file; reads files only."""


@command.command()
@config_option
def check(path: Path) -> None:
    """Say everything that is wrong with the file at once, each with place and fix."""
    config = read_config(path)
    for text in config.warnings:
        click.echo(f"warning: {text}", err=True)
    click.echo(
        f"{path}: {len(config.specs)} targets of {len(config.providers)} providers in "
        f"{len(config.pools)} pools; canaries cost up to ${cost_per_day(config):.2f} a day"
    )


@command.command()
@config_option
def show(path: Path) -> None:
    """Print the effective configuration, presets filled in, secrets masked."""
    click.echo(show_config(read_config(path)))


@command.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    click.echo(json.dumps(config_schema(), indent=2))
