"""
The charts of a report as inline SVG: a few shapes each, coloured by the page's style.

No text is drawn: it would shrink with the picture on a narrow screen. What was not measured is
hatched, and nothing but samples is ever painted in the colour of success.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from monitor.core.incidents import IncidentScope
from monitor.core.report import Day, TargetReport
from monitor.report.blocks import Chart, ChartKind
from monitor.report.words import duration, moment, percent

# Units of a drawing's own; it is scaled to the width of its column.
_WIDTH: Final = 720.0
_STRIP_HEIGHT: Final = 36.0
_LATENCY_HEIGHT: Final = 100.0
_LINE_HEIGHT: Final = 20.0
# Under this share of good canaries a day is bad, not troubled.
BAD_DAY: Final = 0.9
# A day of which little was measured, or an outage of minutes in a month, is still seen.
_LEAST: Final = 2.0


def draw(chart: Chart) -> str:
    """Return *chart* as an ``svg`` element that says what it shows."""
    if chart.kind is ChartKind.AVAILABILITY:
        return _svg(_strip(chart.target.days), _STRIP_HEIGHT, chart, "strip")
    if chart.kind is ChartKind.LATENCY:
        return _svg(_latency(chart.target), _LATENCY_HEIGHT, chart, "latency")
    return _svg(_incidents(chart), _LINE_HEIGHT, chart, "incidents")


def latency_top(target: TargetReport) -> float | None:
    """Return the latency at the upper edge of the chart, in seconds; None without any."""
    shown = [*map(_p95, target.days), target.spec.claim.latency_p95_s]
    return max((1.1 * value_s for value_s in shown if value_s is not None), default=None)


def tone(day: Day) -> str:
    """Return the class of a day's colour; ``none`` where nothing was measured."""
    value = day.figures.provider.value
    if value is None:
        return "ours" if day.figures.unusable else "none"
    if not day.figures.bad:
        return "good"
    return "some" if value >= BAD_DAY else "bad"


def _svg(shapes: Iterable[str], height: float, chart: Chart, name: str) -> str:
    words = escape(f"{chart.title}. {chart.words}")
    return (
        f'<svg class="{name}" viewBox="0 0 {_WIDTH:g} {height:g}" preserveAspectRatio="none" '
        f'role="img" aria-label="{words}">{"".join(shapes)}</svg>'
    )


def _columns(days: tuple[Day, ...]) -> Iterator[tuple[Day, float, float]]:
    """Yield each day with the left edge and the width of its column."""
    width = _WIDTH / len(days)
    for index, day in enumerate(days):
        yield day, index * width, width


def _strip(days: tuple[Day, ...]) -> Iterator[str]:
    for day, x, width in _columns(days):
        figures, colour = day.figures, tone(day)
        height = 0.0
        if colour != "none":
            height = max(_LEAST, figures.coverage * _STRIP_HEIGHT)
        said = f"{moment(day.since)[:10]}: availability {percent(figures.provider.value)}"
        said += f", {figures.bad} of {figures.provider.n} failed"
        said += f", {percent(figures.coverage, 1)} measured"
        left, wide = x + width * 0.06, width * 0.88
        yield f"<g><title>{escape(said)}</title>"
        yield _rect("unmeasured", left, 0, wide, _STRIP_HEIGHT)
        if height:
            yield _rect(colour, left, _STRIP_HEIGHT - height, wide, height)
        yield "</g>"


def _latency(target: TargetReport) -> Iterator[str]:
    top = latency_top(target)
    limit_s = target.spec.claim.latency_p95_s

    def y(value_s: float) -> float:
        return _LATENCY_HEIGHT * (1 - value_s / top) if top else _LATENCY_HEIGHT

    points: list[str] = []
    lines: list[list[str]] = [[]]
    for day, x, width in _columns(target.days):
        p95, middle = _p95(day), x + width / 2
        if not day.figures.n:
            yield _rect("unmeasured", x, 0, width, _LATENCY_HEIGHT)
        if day.figures.bad:
            said = f"{moment(day.since)[:10]}: {day.figures.bad} failed"
            foot = _LATENCY_HEIGHT
            yield _line("failure", (middle, foot - 10), (middle, foot), said)
        if p95 is None:
            lines.append([])
            continue
        lines[-1].append(f"{middle:.1f},{y(p95):.1f}")
        said = f"{moment(day.since)[:10]}: p95 {duration(p95)} of {day.figures.latency_n}"
        points.append(_line("point", (middle, y(p95)), (middle, y(p95)), said))
    if limit_s is not None:
        yield _line("limit", (0, y(limit_s)), (_WIDTH, y(limit_s)), "claimed p95")
    for line in lines:
        yield f'<polyline class="p95" points="{" ".join(line)}"/>' if len(line) > 1 else ""
    yield from points


def _incidents(chart: Chart) -> Iterator[str]:
    period, days = chart.period, chart.target.days

    def x(at: float) -> float:
        return _WIDTH * (min(max(at, period.since), period.ends) - period.since) / period.span_s

    for day in days:
        if not day.figures.n:
            left = x(day.since)
            yield _rect("unmeasured", left, 0, x(day.until) - left, _LINE_HEIGHT)
    for told in chart.target.incidents:
        incident = told.incident
        end = period.ends if incident.is_open else incident.ended_at or incident.failures.last_at
        name = "bad" if incident.scope is IncidentScope.PROVIDER else "ours"
        width = max(_LEAST, x(end) - x(incident.started_at))
        left = min(x(incident.started_at), _WIDTH - width)
        said = (
            f"{incident.failures.error.value} from {moment(incident.started_at)} to {moment(end)}"
        )
        yield f"<g><title>{escape(said)}</title>{_rect(name, left, 0, width, _LINE_HEIGHT)}</g>"


def _p95(day: Day) -> float | None:
    return day.figures.quantiles[0.95].value


def _rect(name: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{name}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'
    )


def _line(name: str, start: tuple[float, float], end: tuple[float, float], said: str) -> str:
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}">'
        f"<title>{escape(said)}</title></line>"
    )
