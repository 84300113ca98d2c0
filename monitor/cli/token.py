"""``imgmon token``: who may read, report and operate over the API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich import box
from rich.table import Table

from monitor import tokens
from monitor.cli.common import ConfigProblem, config_option, read_config, show_tables
from monitor.clock import SystemClock
from monitor.config.values import BadValueError, parse_duration
from monitor.core.words import rfc3339
from monitor.tokens import Scope, Token, TokenError


@click.group()
def command() -> None:
    """Make, list and revoke tokens of the HTTP API; a running daemon knows within a second."""


@command.command()
@click.argument("name")
@config_option
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    required=True,
    help="What it allows; again for more. None holds another.",
)
@click.option("--expires", metavar="TIME", help="For how long it is good, like 90d; default: ever.")
@click.option("--replace", is_flag=True, help="End the token of this name that there is.")
def new(name: str, path: Path, scopes: Sequence[str], expires: str | None, replace: bool) -> None:
    """
    Make a token called NAME and print it, once: only its hash is kept.

    Reports are counted under the name of the token they are sent with.
    """
    config = read_config(path)
    if not tokens.is_name(name):
        raise ConfigProblem(f"{name!r} is no name: letters, digits, '.', '_' and '-', at most 64.")
    now = SystemClock().wall()
    try:
        expires_at = None if expires is None else now + parse_duration(expires)
        text = tokens.create(
            config.tokens_path,
            name,
            map(Scope, scopes),
            now=now,
            expires_at=expires_at,
            replace=replace,
        )
    except BadValueError as error:
        raise ConfigProblem(f"--expires {error}; {error.fix}.") from error
    except TokenError as error:
        raise ConfigProblem(f"{error}.") from error
    click.echo(text)
    click.echo(
        "Keep it now: it is stored nowhere. Send it as `Authorization: Bearer ...`.", err=True
    )


@command.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
def list_tokens(path: Path, as_json: bool) -> None:
    """List the tokens there are, without themselves."""
    try:
        found = tokens.read(read_config(path).tokens_path)
    except TokenError as error:
        raise ConfigProblem(f"{error}.") from error
    if as_json:
        rows = [
            {
                "name": token.name,
                "scopes": [scope.value for scope in token.scopes],
                "created_at": rfc3339(token.created_at),
                "expires_at": None if token.expires_at is None else rfc3339(token.expires_at),
            }
            for token in found
        ]
        click.echo(json.dumps(rows, indent=2))
    elif found:
        show_tables(_table(found, SystemClock().wall()))
    else:
        click.echo("There are no tokens: nobody can report or operate.")


@command.command()
@click.argument("name")
@config_option
def revoke(name: str, path: Path) -> None:
    """End the token called NAME."""
    try:
        tokens.revoke(read_config(path).tokens_path, name)
    except TokenError as error:
        raise ConfigProblem(f"{error}.") from error
    click.echo(f"{name} is revoked.")


def _table(found: Sequence[Token], now: float) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("name", "scopes", "made", "ends"):
        table.add_column(heading)
    for token in found:
        ends = "never" if token.expires_at is None else _day(token.expires_at)
        if token.expires_at is not None and token.expires_at <= now:
            ends += " (over)"
        table.add_row(token.name, ", ".join(token.scopes), _day(token.created_at), ends)
    return table


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%MZ")
