"""``imgmon replay``: what clients would have felt, had they followed one rule or another."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor.cli.common import ConfigProblem, read_config, say, show_tables
from monitor.cli.variants import DEFAULTS, KEYS, Duration, Variant
from monitor.clock import SystemClock
from monitor.core.spec import PROFILES
from monitor.core.words import span
from monitor.errors import StoreError
from monitor.replay.chart import bars
from monitor.replay.compare import Clients, Line, compare, excess, premium
from monitor.replay.monitored import Settings
from monitor.replay.synthetic import synthetic
from monitor.replay.traces import (
    Record,
    TraceError,
    latency_of,
    read_outages,
    record_of,
    world_of,
)
from monitor.replay.world import World, outages
from monitor.store.reader import Reader

# Traces tell no prices: the first service costs this, each further one so much more.
_FIRST_USD, _STEP_USD = 0.03, 0.0075
_DAY_S: Final = 86_400.0
# From so many requests on, other processes save more time than they take to begin.
_REQUESTS_MANY: Final = 5_000
_QUANTILES: Final = (0.5, 0.95, 0.99)


@click.command()
@click.option("--trace", type=click.Path(path_type=Path), help="A CSV file of outages.")
@click.option("--history", is_flag=True, help="What the store of --config holds of --pool.")
@click.option("--config", "path", type=click.Path(path_type=Path), default=Path("monitor.toml"))
@click.option("--pool", help="For --history.")
@click.option("--service", "names", multiple=True, help="Of the trace; default its first four.")
@click.option(
    "--services",
    type=click.IntRange(1, 20),
    default=4,
    show_default=True,
    help="How many to draw, without a trace or history.",
)
@click.option(
    "--days",
    type=click.FloatRange(0.1, 400),
    default=30.0,
    show_default=True,
    help="How long; of a trace or history its last days.",
)
@click.option(
    "--every",
    type=Duration(),
    default="1m",
    show_default=True,
    help="Mean time between two requests.",
)
@click.option(
    "--deadline",
    type=Duration(),
    default="30s",
    show_default=True,
    help="Within which clients want a picture.",
)
@click.option(
    "--profile",
    type=click.Choice([p.name for p in PROFILES]),
    default="balanced",
    show_default=True,
)
@click.option(
    "--policy",
    "variants",
    type=Variant(),
    multiple=True,
    help=f"A monitor: NAME:key=value,... of {', '.join(KEYS)}. Repeatable.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    help="Processes; default one a processor, and one where little is asked.",
)
@click.option("--chart", type=click.Path(path_type=Path), help="Also draw an SVG here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def command(  # noqa: PLR0917 - one argument an option
    trace: Path | None,
    history: bool,
    path: Path,
    pool: str | None,
    names: tuple[str, ...],
    services: int,
    days: float,
    every: float,
    deadline: float,
    profile: str,
    variants: tuple[Settings, ...],
    seed: int,
    jobs: int | None,
    chart: Path | None,
    as_json: bool,
) -> None:
    """
    Compare what clients do today with this monitor's order, on outages.

    The outages are drawn by seed, fitted to real ones; or those of a trace; or those of your own
    targets. Nothing is sent. Clients ask at random, try three services and give up after 2 min.
    """
    chosen = next(p for p in PROFILES if p.name == profile)
    try:
        if trace is not None:
            world = _traced(trace, names, days, seed)
        elif history:
            world = _remembered(path, pool, days, seed)
        else:
            world = synthetic(services=services, days=days, seed=seed)
    except TraceError as error:
        raise ConfigProblem(str(error)) from error
    clients = Clients(every_s=every, deadline_s=deadline, usd_per_second=chosen.usd_per_second)
    monitors = variants or tuple(Variant().convert(text, None, None) for text in DEFAULTS)
    with _progress() as progress:
        lines = compare(
            world,
            clients,
            [replace(m, profile=chosen) for m in monitors],
            progress,
            processes=_processes(days * _DAY_S / every) if jobs is None else jobs,
        )
    if chart is not None:
        chart.write_text(_chart(lines))
    if as_json:
        click.echo(json.dumps(_json(world, lines), indent=2))
        return
    show_tables(_felt(world, lines), _seen(world, lines))
    say([_words(world, lines[0])])


def _traced(path: Path, names: Sequence[str], days: float, seed: int) -> World:
    known = {record.service: record for record in read_outages(path)}
    if unknown := [name for name in names if name not in known]:
        there = ", ".join(known)
        raise TraceError(f"{path}: tells of no service {unknown[0]!r}; of these: {there}")
    records = [known[name] for name in names] or list(known.values())[:4]
    prices = [_FIRST_USD + _STEP_USD * number for number in range(len(records))]
    return _last_days(records, prices, days, seed)


def _last_days(records: Sequence[Record], prices: Sequence[float], days: float, seed: int) -> World:
    end = min(record.end for record in records)
    begin = max(end - days * _DAY_S, *(record.begin for record in records))
    return world_of(records, prices, seed=seed, begin=begin, end=end)


def _remembered(path: Path, pool_id: str | None, days: float, seed: int) -> World:
    """Return what the store tells of a pool's targets, at their prices and latencies."""
    config = read_config(path)
    pool = next((p for p in config.pools if pool_id in (None, p.id)), None)
    if pool is None:
        known = ", ".join(p.id for p in config.pools)
        raise TraceError(f"{path}: no pool has the id {pool_id!r}; there are: {known}")
    if not config.store_path.exists():
        raise TraceError(f"{config.store_path}: there is no history yet; run the daemon first")
    since = SystemClock().wall() - days * _DAY_S
    with closing(Reader(config.store_path)) as reader:
        try:
            results = list(reader.replay(since, free_calls=0))
        except StoreError as error:
            raise TraceError(str(error)) from error
    records, prices, latencies = [], [], []
    for target_id in pool.targets:
        told = sorted((r for r in results if r.target_id == target_id), key=lambda r: r.started_at)
        if (record := record_of(target_id, told)) is not None:
            records.append(record)
            prices.append(config.specs[target_id].price_usd)
            latencies.append(latency_of(told))
    if not records:
        raise TraceError(f"{config.store_path}: holds no history of pool {pool.id}")
    world = _last_days(records, prices, days, seed)
    return replace(
        world,
        services=tuple(
            service if seen is None else replace(service, latency_s=seen[0], latency_spread=seen[1])
            for service, seen in zip(world.services, latencies, strict=True)
        ),
    )


def _processes(requests: float) -> int:
    """Return how many processes help with so many *requests*: each takes a second to begin."""
    return 1 if requests < _REQUESTS_MANY else (os.cpu_count() or 1)


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """Give what moves a progress bar, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replaying", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _felt(world: World, lines: Sequence[Line]) -> Table:
    """Return the table of what clients felt and paid."""
    table = Table(title="What clients felt", box=box.SIMPLE, title_justify="left")
    table.add_column("rule", overflow="fold", min_width=19)
    for heading in (
        "wasted of 1000", "beyond oracle", "in time", "p50", "p95", "p99", "$ each", "pre- mium",
        "orders a day",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    oracle = lines[-1]
    for line in lines:
        score = line.score
        extra, dearer = excess(line, oracle), premium(line, oracle)
        table.add_row(
            line.name,
            f"{1000 * score.wasted_ratio:.2f}",
            "" if line is oracle else f"{1000 * extra:+.2f}",
            f"{100 * score.within_ratio:.2f} %",
            *(_seconds(value) for value in score.quantiles(_QUANTILES)),
            "" if score.usd_per_image is None else f"{score.usd_per_image:.4f}",
            "" if dearer is None or line is oracle else f"{100 * dearer:+.1f} %",
            f"{score.changes / world.days:.1f}",
        )
    return table


def _seen(world: World, lines: Sequence[Line]) -> Table:
    """Return the table of what the monitors saw."""
    table = Table(title="What the monitors saw", box=box.SIMPLE, title_justify="left")
    table.add_column("monitor", overflow="fold", min_width=19)
    for heading in (
        "outages", "called down", "median delay", "false a month", "canaries a day", "$ a day",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for line in lines:
        if (seen := line.seen) is not None:
            table.add_row(
                line.name,
                str(len(seen.delays) + seen.missed),
                str(len(seen.delays)),
                span(median(seen.delays)) if seen.delays else "",
                f"{30 * seen.false_downs / seen.target_days:.2f}",
                f"{seen.probes / world.days:.0f}",
                f"{seen.spent_usd / world.days:.2f}",
            )
    return table


def _words(world: World, line: Line) -> str:
    begun = [spell for _, spell in outages(world.services)]
    down_s = sum(spell.end - spell.begin for spell in begun)
    return (
        f"{line.score.requests} requests to {len(world.services)} services over {world.days:.1f} "
        f"days with {len(begun)} outages of {span(down_s)} together. Wasted: first attempts that "
        "gave no picture; the oracle knows every state, but not the luck of an attempt. False: "
        "called down while nothing was wrong, per target and 30 days. Dollars at list price, half "
        "of it for failed attempts."
    )


def _chart(lines: Sequence[Line]) -> str:
    return bars(
        "First attempts that gave no picture, of 1000",
        [(line.name, 1000 * line.score.wasted_ratio) for line in lines],
    )


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def _json(world: World, lines: Sequence[Line]) -> dict[str, Any]:
    oracle = lines[-1]
    return {
        "seed": world.seed,
        "days": world.days,
        "services": [
            {"id": s.id, "price_usd": s.price_usd, "spells": len(s.spells)} for s in world.services
        ],
        "rules": [_json_line(line, oracle, world) for line in lines],
    }


def _json_line(line: Line, oracle: Line, world: World) -> dict[str, Any]:
    score, seen = line.score, line.seen
    p50, p95, p99 = score.quantiles(_QUANTILES)
    found: dict[str, Any] = {
        "rule": line.name,
        "requests": score.requests,
        "wasted": score.wasted,
        "wasted_ratio": score.wasted_ratio,
        "excess_ratio": excess(line, oracle),
        "failed": score.failed,
        "within_deadline_ratio": score.within_ratio,
        "p50_s": p50,
        "p95_s": p95,
        "p99_s": p99,
        "usd_per_image": score.usd_per_image,
        "premium_ratio": premium(line, oracle),
        "order_changes_per_day": score.changes / world.days,
    }
    if seen is not None:
        found["monitor"] = {
            "outages": len(seen.delays) + seen.missed,
            "called_down": len(seen.delays),
            "median_delay_s": median(seen.delays) if seen.delays else None,
            "false_downs": seen.false_downs,
            "canaries": seen.probes,
            "canaries_usd": seen.spent_usd,
        }
    return found
