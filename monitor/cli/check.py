"""``imgmon check``: one canary to each target, now, or one free call."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from monitor.cli import PROVIDER_BAD
from monitor.cli.common import ConfigProblem, config_option, read_config, show_tables
from monitor.clock import SystemClock
from monitor.limits import PROBES_AT_ONCE_MAX
from monitor.probeables import load_probeables
from monitor.runner import Probeable
from monitor.secrets import Redactor
from probes.canary import draw_canary
from probes.driver import Driver
from probes.model import (
    ErrorClass,
    LivenessFormat,
    Outcome,
    ProbeKind,
    ProbeReason,
    ProbeResult,
)

_COLOURS = {Outcome.GOOD: "green", Outcome.BAD: "red", Outcome.UNUSABLE: "yellow"}


@click.command()
@click.argument("target_ids", metavar="[TARGET]...", nargs=-1)
@config_option
@click.option("--yes", is_flag=True, help="Do not ask before spending.")
@click.option("--free", is_flag=True, help="A free call instead of the canary: host, key, model.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line per target.")
def command(target_ids: tuple[str, ...], path: Path, yes: bool, free: bool, as_json: bool) -> None:
    """
    Send one canary to each target (all, or those named) and print the verdicts.

    Batch targets get their free call in any case, because a job takes hours. Nothing is stored.
    Exit code 1 when a provider is bad or unusable. Free calls cost nothing, and prove nothing of the
    serving of pictures.
    """
    config = read_config(path)
    unknown = sorted(set(target_ids) - set(config.specs))
    if unknown:
        raise ConfigProblem(
            f"No target {', '.join(unknown)}; there are: {', '.join(config.specs)}."
        )
    wanted = [target_id for target_id in config.specs if not target_ids or target_id in target_ids]
    probeables, problems = load_probeables(config)
    for text in problems:
        click.echo(f"warning: {text}", err=True)
    chosen = [probeables[target_id] for target_id in wanted if target_id in probeables]
    paid = [] if free else [probeable for probeable in chosen if not probeable.spec.is_batch]
    price = sum(probeable.spec.price_usd for probeable in paid)
    if price > 0 and not yes:
        click.confirm(f"{len(paid)} canaries cost up to ${price:.3f}. Send them?", abort=True)
    without = {
        probeable.spec.id
        for probeable in chosen
        if probeable not in paid and not isinstance(probeable.format, LivenessFormat)
    }
    asked = [probeable for probeable in chosen if probeable.spec.id not in without]
    results = asyncio.run(send(asked, free=free))
    redact = Redactor(config.secrets)
    rows = []
    for target_id in wanted:
        result = results.get(target_id)
        if target_id in without:
            detail = "its wire format has no free call"
            rows.append(_row(target_id, Outcome.VOID, error=None, detail=detail))
        elif result is None:
            error = config.specs[target_id].unusable or ErrorClass.MONITOR_FAULT
            detail = config.specs[target_id].unusable_detail or "its wire format is broken"
            rows.append(_row(target_id, Outcome.UNUSABLE, error=error.value, detail=detail))
        else:
            rows.append(
                _row(
                    target_id,
                    result.outcome,
                    error=result.error.value if result.error else None,
                    latency_s=result.latency_s,
                    cost_usd=result.cost_usd,
                    detail=redact(result.detail),
                )
            )
    show(rows, as_json=as_json)
    if any(row["outcome"] in (Outcome.BAD, Outcome.UNUSABLE) for row in rows):
        raise SystemExit(PROVIDER_BAD)


async def send(chosen: Sequence[Probeable], *, free: bool = False) -> dict[str, ProbeResult]:
    """Probe every target once, or make its free call, side by side; by target id."""
    driver = Driver(clock=SystemClock())
    rng = random.Random()
    slots = asyncio.Semaphore(PROBES_AT_ONCE_MAX)

    async def one(number: int, probeable: Probeable) -> ProbeResult:
        async with slots:
            if free or probeable.spec.is_batch:
                assert isinstance(probeable.format, LivenessFormat)
                return await driver.liveness(
                    probeable.target,
                    probeable.format,
                    probe_id=f"check-{number}",
                    reason=ProbeReason.MANUAL,
                )
            return await driver.probe(
                probeable.target,
                draw_canary(rng),
                probeable.format,
                probe_id=f"check-{number}",
                kind=ProbeKind.MANUAL,
                reason=ProbeReason.MANUAL,
            )

    try:
        results = await asyncio.gather(*(one(n, p) for n, p in enumerate(chosen)))
    finally:
        await driver.aclose()
    return {result.target_id: result for result in results}


def _row(
    target: str,
    outcome: Outcome,
    *,
    error: str | None,
    detail: str,
    latency_s: float | None = None,
    cost_usd: float = 0.0,
) -> dict[str, object]:
    return {
        "target": target,
        "outcome": outcome,
        "error": error,
        "latency_s": None if latency_s is None else round(latency_s, 3),
        "cost_usd": cost_usd,
        "detail": detail,
    }


def show(rows: Sequence[dict[str, object]], *, as_json: bool) -> None:
    """Print verdicts as a table for people or as JSON lines."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    table = Table("target", "outcome", "error", "latency", "cost")
    table.add_column("detail", overflow="fold")  # A name of a variable is not cut.
    for row in rows:
        outcome = row["outcome"]
        assert isinstance(outcome, Outcome)
        colour = _COLOURS.get(outcome, "white")
        latency = "-" if row["latency_s"] is None else f"{row['latency_s']} s"
        table.add_row(
            str(row["target"]),
            f"[{colour}]{outcome.value}[/]",
            str(row["error"] or "-"),
            latency,
            f"${row['cost_usd']:.4f}",
            str(row["detail"]),
        )
    show_tables(table)
