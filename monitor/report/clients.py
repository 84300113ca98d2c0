"""What clients reported of a target, in words of its own: a source beside the canaries."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.core.reports import ClientFigures, Reported
from monitor.report.blocks import Block, Table
from monitor.report.words import count, duration, interval, moment, percent, share


def client_blocks(reported: Reported) -> Iterator[Block]:
    """Yield what clients saw of a target, and what of it is no longer known."""
    figures = reported.figures
    sides = (
        ("Provider's own record", figures.provider, figures.bad),
        ("Usable to the clients", figures.user, figures.bad + figures.unusable),
    )
    yield Table(
        caption=(
            f"As clients saw it: {count(figures.n)} reports of {count(figures.clients)} clients, "
            "in no figure above"
        ),
        headings=("view", "availability", "95 % interval", "good", "failed", "n"),
        rows=tuple(
            (
                name,
                percent(ratio.value),
                interval(ratio),
                count(figures.good),
                count(failed),
                count(ratio.n),
            )
            for name, ratio, failed in sides
        ),
        numbers=frozenset(range(1, 6)),
    )
    yield _latency(figures)
    if reported.left_out:
        days = ", ".join(moment(day)[:10] for day in reported.left_out)
        yield (
            f"Not counted are reports of {days}: only a part of that is in the period, and sums by the "
            "hour are no longer kept."
        )


def _latency(figures: ClientFigures) -> str:
    timeouts = f"timeouts: {share(figures.timeout_ratio)}."
    if not figures.latency_n:
        return f"No report says how long a picture took; {timeouts}"
    return (
        f"Pictures took clients {duration(figures.quantiles[0.5])} (p50) and "
        f"{duration(figures.quantiles[0.95])} (p95), within 1 %, over {count(figures.latency_n)} of "
        f"them; {timeouts}"
    )
