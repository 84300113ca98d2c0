"""``imgmon report``: what was measured in a period, as Markdown, HTML, CSV or JSON."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from monitor.cli.common import ConfigProblem, NothingToRead, config_option, read_config
from monitor.clock import SystemClock
from monitor.config import Config
from monitor.core.report import DAY_S, Period, Report, Stored, TargetReport, report_target
from monitor.core.spec import TargetSpec
from monitor.errors import StoreError
from monitor.limits import REPORT_DAYS_MAX
from monitor.report import csv, figures, html, markdown
from monitor.report.document import compose
from monitor.store.period import PeriodReader
from monitor.version import __version__

FORMATS: Final = ("md", "html", "csv", "json")


class Moment(click.ParamType[float]):
    """A UTC day or a moment with its zone, as seconds since the epoch."""

    name = "moment"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return *value* in seconds; ends the command when it is neither."""
        if isinstance(value, float):
            return value
        try:
            return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC).timestamp()
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail(
                f"{value!r} is no UTC day and no moment with a zone; "
                "write 2026-10-01 or 2026-10-01T06:00:00Z",
                param,
                ctx,
            )
        return moment.timestamp()


@click.command()
@config_option
@click.option("--from", "since", type=Moment(), help="Start, included: UTC day or RFC 3339.")
@click.option("--to", "until", type=Moment(), help="End, excluded; default: now.")
@click.option("--pool", default=None, help="Only the targets of this pool.")
@click.option("--target", "targets", multiple=True, help="Only this target; may be repeated.")
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), help="Default: by the file's name, else md."
)
@click.option(
    "--table",
    type=click.Choice(tuple(csv.TABLES)),
    default="targets",
    show_default=True,
    help="Of CSV: what a row is.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="File; default: print it."
)
def command(
    *,
    path: Path,
    since: float | None,
    until: float | None,
    pool: str | None,
    targets: tuple[str, ...],
    kind: str | None,
    table: str,
    output: Path | None,
) -> None:
    """
    Report what was measured in a period: the last full calendar month (UTC) if none is given.

    Reads the store alone: no daemon is asked, nothing is sent. Exit code 3 when there is no store.
    """
    config = read_config(path)
    now = SystemClock().wall()
    period = period_of(since, until, now)
    specs = chosen(config, pool, targets)
    subject = ", ".join(filter(None, [pool and f"pool {pool}", *targets])) or "all targets"
    report = Report(
        period=period,
        subject=subject,
        vantage=config.vantage,
        version=__version__,
        generated_at=now,
        targets=read(config, specs, period),
    )
    kind = kind or (output and output.suffix.lstrip(".").lower()) or "md"
    if kind not in FORMATS:
        there_are = ", ".join(FORMATS)
        raise ConfigProblem(f"No format is called {kind!r}; give --format, one of {there_are}.")
    text = render(report, kind, table)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        # Line ends as they are: CSV has its own.
        output.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigProblem(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"{output}: {len(specs)} targets, {len(text.encode()):,} bytes", err=True)


def period_of(since: float | None, until: float | None, now: float) -> Period:
    """Return the period asked for; ends the command when there can be none."""
    if since is None:
        if until is not None:
            raise ConfigProblem("--to needs --from: when does the period begin?")
        month = datetime.fromtimestamp(now, UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        until = month.timestamp()
        since = (month - timedelta(days=1)).replace(day=1).timestamp()
    until = now if until is None else until
    if since >= until:
        raise ConfigProblem("--from must be before --to, which is now if it is not given.")
    if since >= now:
        raise ConfigProblem("--from is still to come: nothing can be measured yet.")
    if until - since > REPORT_DAYS_MAX * DAY_S:
        raise ConfigProblem(f"A report covers at most {REPORT_DAYS_MAX} days; give a later --from.")
    return Period(since=since, until=until, ends=min(until, now))


def chosen(config: Config, pool_id: str | None, targets: tuple[str, ...]) -> list[TargetSpec]:
    """Return the targets asked for, in the order of the file; all if none is."""
    wanted = set(config.specs)
    if pool_id is not None:
        pools = {pool.id: pool for pool in config.pools}
        if pool_id not in pools:
            raise ConfigProblem(f"No pool {pool_id}; there are: {', '.join(pools)}.")
        wanted &= set(pools[pool_id].targets)
    if targets:
        for target in targets:
            if target not in wanted:
                there_are = ", ".join(spec for spec in config.specs if spec in wanted)
                raise ConfigProblem(f"No target {target}; there are: {there_are}.")
        wanted &= set(targets)
    return [spec for spec in config.specs.values() if spec.id in wanted]


def read(config: Config, specs: list[TargetSpec], period: Period) -> tuple[TargetReport, ...]:
    """Return the report of each of *specs* from the store of *config*."""
    if not config.store_path.exists():
        raise NothingToRead(f"nothing is measured yet: no store at {config.store_path}")
    since, until = period.since, period.ends
    try:
        with closing(PeriodReader(config.store_path)) as reader:
            return tuple(
                report_target(spec, period, stored(reader, spec.id, since, until)) for spec in specs
            )
    except StoreError as error:
        raise ConfigProblem(str(error)) from error


def stored(reader: PeriodReader, target: str, since: float, until: float) -> Stored:
    """Return what the store holds of *target* in the period."""
    return Stored(
        probes=tuple(reader.generations(target, since, until)),
        gaps=reader.gaps_of(target, since, until),
        incidents=reader.incidents_of(target, since, until),
        first_at=reader.first_sample(target),
        reported=reader.reported(target, since, until),
    )


def render(report: Report, kind: str, table: str) -> str:
    """Return *report* in the format *kind*."""
    if kind == "json":
        return json.dumps(figures.document(report), indent=2) + "\n"
    if kind == "csv":
        return csv.render(report, table)
    document = compose(report)
    return html.render(document) if kind == "html" else markdown.render(document)
