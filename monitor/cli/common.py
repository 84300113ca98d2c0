"""What several commands share: reading the configuration, and its option."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import Final

import click
from rich.console import Console, RenderableType

from monitor.cli import INPUT_WRONG, UNREACHABLE
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


def _web_address(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} is no address; write for example http://127.0.0.1:8720")
    return url


url_option = click.option(
    "--url",
    default=None,
    metavar="URL",
    callback=_web_address,
    help="Where the daemon answers; default: the configured address.",
)

# Tables that go into a pipe or a file have this many columns.
_PLAIN_COLUMNS: Final = 100


class ConfigProblem(click.ClickException):
    """Wrong configuration: every problem at once, exit code 2."""

    exit_code = INPUT_WRONG


class NothingToRead(click.ClickException):
    """No daemon answers and nothing is stored."""

    exit_code = UNREACHABLE


def read_config(path: Path) -> Config:
    """Return the configuration in *path*; ends the command with all problems if it is wrong."""
    try:
        return load(path, os.environ)
    except ConfigError as error:
        raise ConfigProblem(f"{path} is not usable.\n{error}") from error


def show_tables(*tables: RenderableType) -> None:
    """Print *tables*, folded to the terminal; to 100 columns where there is none."""
    console = Console(width=columns())
    with console.capture() as capture:
        console.print(*tables, sep="")
    for line in capture.get().splitlines():
        click.echo(line.rstrip())


def say(texts: Iterable[str]) -> None:
    """Print each of *texts* as a paragraph, folded like the tables, at 100 columns at most."""
    width = min(_PLAIN_COLUMNS, columns())
    for text in texts:
        click.echo(fill(text, width, subsequent_indent="  ", break_on_hyphens=False))


def columns() -> int:
    """Return how many columns tables have: the terminal's, 100 where there is none."""
    console = Console()
    return console.width if console.is_terminal else _PLAIN_COLUMNS
