"""One chart of a replay, as an SVG file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

_WIDTH, _LABEL, _VALUE, _ROW, _TOP = 760, 230, 70, 28, 44
_BAR: Final = 16


def bars(title: str, values: Sequence[tuple[str, float]]) -> str:
    """Return horizontal bars of *values* (name, at least 0), the longest of full width."""
    most = max((value for _, value in values), default=0.0) or 1.0
    height = _TOP + _ROW * len(values) + 8
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
            f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="14">'
        ),
        (
            "<style>text{fill:#1f2328}rect{fill:#2f6fb3}"
            "@media (prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#6cb0f5}}</style>"
        ),
        f'<text x="0" y="22" font-size="16" font-weight="600">{escape(title)}</text>',
    ]
    for row, (name, value) in enumerate(values):
        y = _TOP + _ROW * row
        length = (_WIDTH - _LABEL - _VALUE) * value / most
        parts += [
            f'<text x="{_LABEL - 10}" y="{y + 13}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
            f'<text x="{_LABEL + length + 8:.1f}" y="{y + 13}">{value:.2f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
