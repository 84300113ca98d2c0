"""``imgmon order``: the order of one pool, with the reasons of each place."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from monitor.api.schemas import PriorityOut
from monitor.cli.common import ConfigProblem, config_option, say, show_tables, url_option
from monitor.cli.sources import Asked, dump
from monitor.cli.table import coloured


@click.command()
@click.argument("pool")
@click.option("--profile", default=None, help="What a second is worth; default: the pool's own.")
@config_option
@url_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def command(pool: str, profile: str | None, path: Path, url: str | None, as_json: bool) -> None:
    """
    Print the targets of POOL in the order to call them in, best first, with all reasons.

    Asks the running daemon; when it cannot be reached, reads its store and says how old that is.
    Exit code 3 when there is neither.
    """
    source = Asked(path, url).source()
    pools = {p.pool: p for p in source.pools().pools}
    if pool not in pools:
        raise ConfigProblem(f"No pool {pool}; there are: {', '.join(pools)}.")
    name = profile or pools[pool].default_profile
    if name not in pools[pool].profiles:
        there_are = ", ".join(pools[pool].profiles)
        raise ConfigProblem(f"No profile {name} in pool {pool}; there are: {there_are}.")
    order = source.order(pool, name)
    if as_json:
        click.echo(json.dumps({"source": source.origin, **dump(order)}, indent=2))
        return
    show_tables(_table(order))
    if order.all_degraded:
        say(["Nothing is up: least bad first."])
    say(filter(None, [source.said]))


def _table(order: PriorityOut) -> Table:
    title = f"{order.pool} / {order.profile}: order {order.version}, since {order.changed_at}"
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for heading in ("#", "target", "state"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why here")
    for place in order.targets:
        why = "; ".join(reason.text for reason in place.reasons)
        table.add_row(str(place.rank), place.target, coloured(place.state), escape(why))
    return table
