"""``imgmon errors``: the table of error classes."""

from __future__ import annotations

import json
from shutil import get_terminal_size
from textwrap import fill

import click

from probes.model import ERROR_TABLE


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
def command(as_json: bool) -> None:
    """Print every error class: whose fault, what it counts for, what it does to the order."""
    rows = [
        {
            "class": error.value,
            "outcome": row.outcome.value,
            "provider_view": row.provider_view,
            "user_view": row.user_view,
            "order": row.effect.value,
            "signal": row.signal,
            "reaction": row.reaction,
        }
        for error, row in ERROR_TABLE.items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    click.echo("P: the provider's own record. U: usable to us.\n")
    width = get_terminal_size().columns
    click.echo(_line("class", "outcome", "P", "U", "order"))
    for row in rows:
        click.echo(_line(*list(row.values())[:5]))
        about = f"{row['signal']}; then: {row['reaction']}"
        click.echo(fill(about, width, initial_indent="    ", subsequent_indent="    "))


def _line(*cells: str) -> str:
    """Return one aligned line."""
    error, outcome, provider_view, user_view, effect = cells
    return f"{error:17}{outcome:10}{provider_view:10}{user_view:10}{effect}"
