"""Figures of a stretch of the past: a calendar month, a day of a report."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.core.gaps import Gap
from monitor.core.maintenance import Rules
from monitor.core.snapshot import WindowFigures
from monitor.core.window import History, Sample


def figures_between(
    samples: Iterable[Sample],
    since: float,
    until: float,
    name: str = "period",
    *,
    threshold_s: float | None = None,
    gaps: Iterable[Gap] = (),
    maintenance: Rules = (),
) -> WindowFigures:
    """
    Return the figures of the samples with ``since <= at < until``: of a calendar month, say.

    *gaps* likewise; *threshold_s* and *maintenance* are those of :class:`History`. All times are wall
    times in seconds; what lies outside is left out. Where the period has not ended, pass what it has
    of now as *until*.
    """
    assert since < until
    history = History({name: until - since}, threshold_s=threshold_s, maintenance=maintenance)
    for gap in gaps:
        if since <= gap.at < until:
            history.gap(gap.at, gap.reason, gap.slot_s)
    for sample in samples:
        if since <= sample.at < until:
            history.append(sample)
    # A window includes its end and not its start; this one is the other way round.
    return history.figures(until - 1e-6)[name]
