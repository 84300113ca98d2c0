"""``imgmon config``: check, show and describe the configuration."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monitor.cli.common import config_option, read_config
from monitor.config import config_schema, cost_words
from monitor.config import show as show_config
from monitor.config.difference import digest


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
    counts = (
        _count(len(config.specs), "target"),
        _count(len(config.providers), "provider"),
        _count(len(config.pools), "pool"),
    )
    click.echo(f"{path}: {counts[0]} of {counts[1]} in {counts[2]}; {cost_words(config)}")
    click.echo(f"digest {digest(config)}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@command.command()
@config_option
def show(path: Path) -> None:
    """Print the effective configuration, presets filled in, secrets masked."""
    click.echo(show_config(read_config(path)))


@command.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    click.echo(json.dumps(config_schema(), indent=2))
