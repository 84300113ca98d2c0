"""``imgmon plan``: what the configuration costs, how soon it sees an outage, what it can prove."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from math import ceil
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from monitor.cli.common import config_option, read_config, say, show_tables
from monitor.config import plan_of
from monitor.config.values import duration_text
from monitor.core.availability import floor_ratio
from monitor.core.plan import MONTH_DAYS, SPANS_DAYS, Plan, TargetPlan
from monitor.core.words import span


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def command(path: Path, as_json: bool) -> None:
    """
    Print what the canaries cost, how soon they see an outage, and what they can prove.

    Reads files only and sends nothing. A month is 30 days, prices are list prices, and an outage
    is a hard one that begins at a random moment.
    """
    config = read_config(path)
    planned = plan_of(config)
    if as_json:
        click.echo(json.dumps(_json(planned), indent=2))
        return
    show_tables(_costs(planned.targets), _finds(planned.targets), _proves(planned.targets))
    if any(target.spec.unusable for target in planned.targets):
        say(["* Has no key: planned all the same, but not probed until there is one."])
    say([_free_calls(planned.targets)])
    say(f"warning: {text}" for text in planned.warnings)


def _costs(targets: Iterable[TargetPlan]) -> Table:
    """Return the table of canaries and dollars, with their sums."""
    targets = tuple(targets)
    table = _table(
        "What it costs",
        ("target", "every", "a day", "a month", "$ a day", "$ a month", "are sent", "of quota"),
    )
    for target in targets:
        usd = target.usd_per_day
        table.add_row(
            _name(target),
            duration_text(target.spec.interval_s),
            _count(target.canaries_per_day),
            _count(target.canaries_per_day * MONTH_DAYS),
            f"{usd:.2f}",
            f"{usd * MONTH_DAYS:.2f}",
            "all" if target.left_per_day == target.canaries_per_day else _left(target),
            "" if target.quota_share is None else f"{target.quota_share * 100:.1f} %",
        )
    table.add_section()
    canaries = sum(target.canaries_per_day for target in targets)
    usd = sum(target.usd_per_day for target in targets)
    left_usd = sum(target.left_usd_per_day for target in targets)
    table.add_row(
        "sum",
        "",
        _count(canaries),
        _count(canaries * MONTH_DAYS),
        f"{usd:.2f}",
        f"{usd * MONTH_DAYS:.2f}",
        "all" if left_usd == usd else f"${left_usd:.2f} a day",
        "",
    )
    return table


def _finds(targets: Iterable[TargetPlan]) -> Table:
    """Return the table of detection times and of what clean spans prove."""
    table = _table(
        "When it sees an outage, and what availability a span without a failure proves",
        ("target", "mean", "in 90 %", "if it hangs", *(f"clean {name}" for name in SPANS_DAYS)),
    )
    for target in targets:
        table.add_row(
            _name(target),
            span(target.detection.mean_s),
            span(target.detection.p90_s),
            f"+ {span(target.detection.hang_s)}",
            *(_percent(target.proves[name]) for name in SPANS_DAYS),
        )
    return table


def _proves(targets: Iterable[TargetPlan]) -> Table:
    """Return the table of what proves the claims."""
    table = _table(
        "What proves the claims: good canaries in a row",
        ("target", "claim", "canaries", "days", "$", "in 30 days: every", "$ a month"),
    )
    for target in targets:
        for proof in target.proofs:
            every = proof.month_interval_s
            table.add_row(
                _name(target),
                proof.words,
                _or_never(proof.canaries, "d"),
                _or_never(proof.days and ceil(proof.days * 10) / 10, ".1f"),
                _or_never(proof.usd, ".2f"),
                "never" if every is None else duration_text(every),
                _or_never(proof.month_usd, ".2f"),
            )
    return table


def _table(title: str, headings: Iterable[str]) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for heading in headings:
        is_word = heading in ("target", "every", "claim")
        table.add_column(heading, justify="left" if is_word else "right")
    return table


def _name(target: TargetPlan) -> str:
    return f"{target.spec.id}{'*' if target.spec.unusable else ''}"


def _free_calls(targets: Iterable[TargetPlan]) -> str:
    """Return how often each target's free call is made; who, where that differs."""
    by_pace: dict[str, list[str]] = {}
    for target in targets:
        every = target.spec.liveness_s
        pace = "none" if every is None else f"every {duration_text(every)}"
        by_pace.setdefault(pace, []).append(target.spec.id)
    if len(by_pace) > 1:
        by_pace = {f"{pace} ({', '.join(ids)})": ids for pace, ids in by_pace.items()}
    return f"Free calls: {', '.join(by_pace)}. They cost nothing and measure nothing."


def _count(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _left(target: TargetPlan) -> str:
    return f"{_count(target.left_per_day)} a day"


def _percent(ratio: float | None) -> str:
    # Floored: no more is proven than is said.
    return "nothing" if ratio is None else f"{floor_ratio(ratio, 4) * 100:.2f} %"


def _or_never(number: float | None, spelling: str) -> str:
    return "never" if number is None else format(number, spelling)


def _json(planned: Plan) -> dict[str, Any]:
    """Return *planned* for programs: seconds, US dollars, ratios of 0..1; null for never."""
    sums = {
        "planned": _money(_all(planned, "canaries_per_day"), _all(planned, "usd_per_day")),
        "within_limits": _money(_all(planned, "left_per_day"), _all(planned, "left_usd_per_day")),
    }
    targets = list(map(_target_json, planned.targets))
    return {"targets": targets, "sum": sums, "warnings": list(planned.warnings)}


def _all(planned: Plan, name: str) -> Iterator[float]:
    return (getattr(target, name) for target in planned.targets)


def _target_json(target: TargetPlan) -> dict[str, Any]:
    spec = target.spec
    return {
        "target": spec.id,
        "provider": spec.provider,
        "has_key": spec.unusable is None,
        "interval_s": spec.interval_s,
        "liveness_s": spec.liveness_s,
        "price_usd": spec.price_usd,
        "planned": _money([target.canaries_per_day], [target.usd_per_day]),
        "within_limits": _money([target.left_per_day], [target.left_usd_per_day]),
        "quota_ratio": _rounded(target.quota_share),
        "outage_seen": {
            "mean_s": _rounded(target.detection.mean_s),
            "p90_s": _rounded(target.detection.p90_s),
            "hang_adds_s": target.detection.hang_s,
        },
        "clean_proves": dict(target.proves),
        "claims": {
            proof.kind: {
                "claim": proof.claim,
                "canaries": proof.canaries,
                "days": _rounded(proof.days),
                "usd": _rounded(proof.usd),
                "within_month": proof.is_within_month,
                "month_interval_s": proof.month_interval_s,
                "month_usd": _rounded(proof.month_usd),
            }
            for proof in target.proofs
        },
    }


def _money(canaries: Iterable[float], usd: Iterable[float]) -> dict[str, float | None]:
    a_day, usd_a_day = sum(canaries), sum(usd)
    return {
        "canaries_per_day": _rounded(a_day),
        "canaries_per_month": _rounded(a_day * MONTH_DAYS),
        "usd_per_day": _rounded(usd_a_day),
        "usd_per_month": _rounded(usd_a_day * MONTH_DAYS),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
