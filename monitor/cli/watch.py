"""``imgmon watch``: the orders of a running daemon, live."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from pathlib import Path
from time import sleep
from typing import Final

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from monitor.cli.common import NothingToRead, columns, config_option, url_option
from monitor.cli.sources import Asked, Remote, UnreachableError
from monitor.cli.status import board_of, views

_EVERY_S: Final = 2.0


@click.command()
@click.option("--pool", default=None, help="Only this pool.")
@click.option(
    "--times", type=click.IntRange(min=1), default=None, help="Stop by itself after so many looks."
)
@config_option
@url_option
def command(pool: str | None, times: int | None, path: Path, url: str | None) -> None:
    """
    Show a running daemon's orders, states and figures, renewed every two seconds.

    Ctrl-C ends it. While the daemon does not answer, what it said last stays, and why is said
    below. Exit code 3 when it does not answer at first.
    """
    remote = Asked(path, url).remote()
    try:
        last: RenderableType = Group(*views(board_of(remote, pool)))
    except UnreachableError as error:
        raise NothingToRead(str(error)) from error
    console = Console(width=columns())
    with suppress(KeyboardInterrupt), Live(last, console=console, auto_refresh=False) as live:
        live.refresh()
        for looks in count(2):
            if times is not None and looks > times:
                break
            sleep(_EVERY_S)
            last, shown = _look(remote, pool, last)
            live.update(shown, refresh=True)


def _look(
    remote: Remote, pool: str | None, last: RenderableType
) -> tuple[RenderableType, RenderableType]:
    """Return what the daemon says now and what to show: the same, or *last* and what is wrong."""
    try:
        now = Group(*views(board_of(remote, pool)))
    except UnreachableError as error:
        return last, Group(last, Text(f"{error}; this is what it said last", style="red"))
    return now, now
