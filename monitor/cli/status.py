"""``imgmon status``: every order with state and figures, once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import RenderableType

from monitor.api.schemas import LivenessOut, PriorityOut, TargetDetailOut
from monitor.cli import PROVIDER_BAD
from monitor.cli.common import ConfigProblem, columns, config_option, say, show_tables, url_option
from monitor.cli.sources import Asked, Source, dump
from monitor.cli.table import loose_view, order_view
from monitor.core.snapshot import State


@dataclass(frozen=True, slots=True)
class Board:
    """
    What is shown of one moment.

    Attributes:
        orders: Of each pool asked for, under its own profile.
        loose: Targets in no pool; empty when one pool is asked for.
        liveness: Target to what its free calls say.
    """

    orders: tuple[PriorityOut, ...]
    loose: tuple[TargetDetailOut, ...]
    liveness: dict[str, LivenessOut]

    @property
    def is_any_down(self) -> bool:
        """Whether a target that is shown is down."""
        states = {place.state for order in self.orders for place in order.targets}
        return State.DOWN in states | {target.state for target in self.loose}


@click.command()
@click.option("--pool", "pool", default=None, help="Only this pool.")
@config_option
@url_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def command(pool: str | None, path: Path, url: str | None, as_json: bool) -> None:
    """
    Show each pool's order with states, availability and p95, once.

    Asks the running daemon; when it cannot be reached, reads its store and says how old that is.
    Exit code 1 when a target that is shown is down, 3 when there is neither daemon nor store.
    """
    source = Asked(path, url).source()
    board = board_of(source, pool)
    if as_json:
        document = {
            "source": source.origin,
            "orders": [dump(order) for order in board.orders],
            "in_no_pool": [dump(target) for target in board.loose],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        show_tables(*views(board))
        say(filter(None, [source.said]))
    if board.is_any_down:
        raise SystemExit(PROVIDER_BAD)


def board_of(source: Source, pool: str | None) -> Board:
    """Return what *source* publishes of *pool*, or of everything."""
    pools = {p.pool: p for p in source.pools().pools}
    if pool is not None and pool not in pools:
        raise ConfigProblem(f"No pool {pool}; there are: {', '.join(pools)}.")
    shown = [p for p in pools.values() if pool in (None, p.pool)]
    orders = tuple(source.order(p.pool, p.default_profile) for p in shown)
    targets = source.targets().targets
    pooled = {place.target for order in orders for place in order.targets}
    loose = [t.target for t in targets if t.target not in pooled] if pool is None else []
    return Board(
        orders=orders,
        loose=tuple(source.target(target) for target in loose),
        liveness={target.target: target.liveness for target in targets},
    )


def views(board: Board) -> list[RenderableType]:
    """Return the tables of *board*."""
    width = columns()
    shown = [order_view(order, board.liveness, width=width) for order in board.orders]
    return [*shown, loose_view(board.loose)] if board.loose else shown
