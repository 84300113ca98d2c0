"""``imgmon cost``: what a month's pictures cost on each target of a pool, beside what it measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from monitor.cli.common import (
    ConfigProblem,
    config_option,
    read_config,
    say,
    show_tables,
)
from monitor.clock import SystemClock
from monitor.config import Config
from monitor.core.availability import floor_ratio
from monitor.core.cost import Volume, month_of
from monitor.core.plan import MONTH_DAYS
from monitor.core.snapshot import WindowFigures
from monitor.core.spec import TargetSpec
from monitor.core.standing import OBJECTIVE_SPAN_S
from monitor.core.words import exact
from monitor.engine import Engine
from monitor.errors import StoreError
from monitor.store.reader import Reader


@dataclass(frozen=True, slots=True)
class Offer:
    """
    A month's pictures at one target, or as batch jobs of its model.

    Attributes:
        quota_per_day: Requests it takes a day; None where no limit is known.
        figures: None where the store holds no verdict on it, and for batch jobs.
    """

    spec: TargetSpec
    price_usd: float
    volume: Volume
    quota_per_day: int | None
    figures: WindowFigures | None
    is_batch: bool = False

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.spec.id}{', batch' if self.is_batch else ''}"


@click.command()
@click.option("--images", required=True, type=click.IntRange(min=1), help="Pictures a month.")
@click.option("--pool", "pool_id", required=True, help="Id of the pool they are bought from.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def command(images: int, pool_id: str, path: Path, as_json: bool) -> None:
    """
    Print what a month of pictures costs on each target of a pool, cheapest first.

    Prices are the configured ones, those of batch jobs too where they are sold, and a quota counts
    as far as it reaches. Availability and p95 come from the store, which is only read; they are
    unknown where it has no samples.
    """
    config = read_config(path)
    pool = next((pool for pool in config.pools if pool.id == pool_id), None)
    if pool is None:
        there_are = ", ".join(pool.id for pool in config.pools)
        raise ConfigProblem(f"No pool {pool_id}; there are: {there_are}.")
    figures = measured(config)
    offers = [
        offer
        for target_id in pool.targets
        for offer in offers_of(config, target_id, images, figures.get(target_id))
    ]
    offers.sort(key=lambda offer: (offer.volume.usd, offer.volume.over_quota))
    if as_json:
        rows = list(map(_json, offers))
        click.echo(json.dumps({"pool": pool.id, "images": images, "targets": rows}, indent=2))
        return
    show_tables(_table(offers, f"{images} pictures a month, pool {pool.id}"))
    if any(offer.spec.unusable for offer in offers):
        say(["* Has no key: not probed, and not usable until there is one."])
    if any(offer.is_batch for offer in offers):
        say(["Batch jobs are done within 24 h: not comparable with answers in seconds."])
    say(
        f"{offer.spec.id}: {offer.volume.within_quota} fit into its quota of "
        f"{offer.quota_per_day:g} a day; {offer.volume.over_quota} stay over."
        for offer in offers
        if offer.volume.over_quota
    )


def offers_of(
    config: Config, target_id: str, images: int, figures: WindowFigures | None
) -> Iterator[Offer]:
    """Yield what *images* a month cost on a target and, where they are sold, as batch jobs."""
    spec = config.specs[target_id]
    quota = config.providers[spec.provider].quota.per_day
    volume = month_of(images, spec.price_usd, quota)
    yield Offer(spec, spec.price_usd, volume, quota, figures)
    if spec.batch_price_usd is not None:
        # Batch jobs have quotas of their own.
        volume = month_of(images, spec.batch_price_usd, None)
        yield Offer(spec, spec.batch_price_usd, volume, None, None, is_batch=True)


def measured(config: Config) -> dict[str, WindowFigures]:
    """
    Return the figures of each target that the store has verdicts on.

    Of the shortest window that holds a day, where it has any, else of the longest.
    """
    if not config.store_path.exists():
        click.echo(f"warning: nothing is measured yet: no store at {config.store_path}", err=True)
        return {}
    now = SystemClock().wall()
    engine = Engine(config.specs, config.pools, config.policy)
    reader = Reader(config.store_path)
    try:
        since = now - max(config.policy.windows.values())
        for result in reader.replay(since, free_calls=0):
            engine.accept(result)
    except StoreError as error:
        click.echo(f"warning: nothing is known of what was measured: {error}", err=True)
        return {}
    finally:
        reader.close()
    views = engine.tick(now).targets
    telling = {target_id: _telling(view.windows) for target_id, view in views.items()}
    return {target_id: figures for target_id, figures in telling.items() if figures}


def _telling(windows: Mapping[str, WindowFigures]) -> WindowFigures | None:
    by_length = sorted(windows.values(), key=lambda window: window.span_s)
    day = next((w for w in by_length if w.span_s >= OBJECTIVE_SPAN_S), by_length[-1])
    return next((w for w in (day, *reversed(by_length)) if w.provider.n), None)


def _table(offers: list[Offer], title: str) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for heading in ("target", "a picture", "a month", "over quota", "availability", "p95"):
        table.add_column(heading, justify="left" if heading == "target" else "right")
    for offer in offers:
        over = offer.volume.over_quota
        table.add_row(
            f"{offer.name}{'*' if offer.spec.unusable else ''}",
            f"${exact(offer.price_usd)}",
            f"${offer.volume.usd:,.2f}",
            str(over) if over else "",
            "" if offer.is_batch else _availability(offer.figures),
            "within 24 h" if offer.is_batch else _p95(offer.figures),
        )
    return table


def _availability(figures: WindowFigures | None) -> str:
    if figures is None or figures.provider.value is None:
        return "unknown"
    # Floored: a rounded 100 % would claim what was not measured.
    percent = floor_ratio(figures.provider.value, 3) * 100
    return f"{percent:.1f} % ({figures.name}, n={figures.provider.n})"


def _p95(figures: WindowFigures | None) -> str:
    p95 = figures and figures.quantiles[0.95]
    if not p95 or p95.value is None:
        return "unknown"
    return f"{'~' if p95.upper is None else ''}{p95.value:.2f} s"


def _json(offer: Offer) -> dict[str, Any]:
    """Return *offer* for programs; *measured* null where nothing is known."""
    spec, volume, figures = offer.spec, offer.volume, offer.figures
    return {
        "target": spec.id,
        "provider": spec.provider,
        "has_key": spec.unusable is None,
        "batch": offer.is_batch,
        "price_usd": offer.price_usd,
        "usd_per_month": round(volume.usd, 6),
        "quota_per_month": offer.quota_per_day and offer.quota_per_day * MONTH_DAYS,
        "images_within_quota": volume.within_quota,
        "images_over_quota": volume.over_quota,
        "measured": figures
        and {
            "window": figures.name,
            "n": figures.provider.n,
            "availability_ratio": floor_ratio(figures.provider.value),
            "availability_lower": floor_ratio(figures.provider.lower),
            "latency_p95_seconds": figures.quantiles[0.95].value,
            "latency_p95_upper_seconds": figures.quantiles[0.95].upper,
            "latency_n": figures.latency_n,
        },
    }
