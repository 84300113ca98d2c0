"""Badges: one figure of one target as a small SVG, for pages that show pictures alone."""

from __future__ import annotations

from enum import StrEnum
from html import escape
from typing import Final

from monitor.core.snapshot import State, TargetView, WindowFigures
from monitor.core.words import percent, seconds
from monitor.page.html import TONES, availability_text

# Contrast with white letters is at least 4.5 to 1 on each.
_COLOURS: Final = {
    "good": "#1a7f37",
    "unsure": "#8a5a00",
    "bad": "#cf222e",
    "ours": "#0550ae",
    "unknown": "#57606a",
}
_LABEL: Final = "#24292f"
# Mean width of a letter of 11 px, and the space beside words; textLength makes any font fit.
_LETTER: Final = 6.6
_SIDE: Final = 6


class BadgeKind(StrEnum):
    """What a badge shows."""

    AVAILABILITY = "availability"
    P95 = "p95"
    STATE = "state"


def badge(view: TargetView, kind: BadgeKind, window: WindowFigures) -> str:
    """Return the badge of *kind*; availability and p95 are those of *window*."""
    target = view.spec.id
    if kind is BadgeKind.STATE:
        state = view.health.state
        why = f": {view.health.error.value}" if view.health.error else ""
        return _draw(target, state.value, TONES[state], f"{target} is {state.value}{why}")
    if kind is BadgeKind.P95:
        quantile = window.quantiles.get(0.95)
        value = quantile.value if quantile else None
        said = "unknown" if value is None else seconds(value, up=True)
        label, n = f"{target} p95 {window.name}", window.latency_n
        is_over = value is not None and (window.latency_threshold_s or value) < value
        tone = "unknown" if value is None else "unsure" if is_over else "good"
        return _draw(label, said, tone, f"{label}: {said}, n={n}")
    ratio = window.provider
    said, label = availability_text(ratio), f"{target} {window.name}"
    about = f"{label}: {said} available, n={ratio.n}, {percent(window.coverage)} % measured"
    return _draw(label, said, _availability_tone(view, window), about)


def _availability_tone(view: TargetView, window: WindowFigures) -> str:
    """Return good or bad only where the interval decides the claim; else unsure, or unknown."""
    ratio, claim = window.provider, view.spec.claim.availability
    if ratio.value is None or ratio.lower is None or ratio.upper is None:
        return "unknown"
    if claim is None:
        return TONES[State.HEALTHY] if ratio.value == 1 else "unsure"
    if ratio.lower >= claim:
        return "good"
    return "bad" if ratio.upper < claim else "unsure"


def _draw(label: str, said: str, tone: str, about: str) -> str:
    left, right = (len(text) * _LETTER + 2 * _SIDE for text in (label, said))
    width = left + right
    words = "".join(
        f'<text x="{x + _SIDE:.1f}" y="14" textLength="{size - 2 * _SIDE:.1f}" '
        f'lengthAdjust="spacingAndGlyphs">{escape(text)}</text>'
        for x, size, text in ((0.0, left, label), (left, right, said))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="20" role="img" '
        f'aria-label="{escape(about)}"><title>{escape(about)}</title>'
        f'<rect width="{left:.1f}" height="20" fill="{_LABEL}"/>'
        f'<rect x="{left:.1f}" width="{right:.1f}" height="20" fill="{_COLOURS[tone]}"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">{words}</g></svg>\n'
    )
