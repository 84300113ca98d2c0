"""The order as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitor.api.schemas import LivenessOut, PlaceOut, PriorityOut, TargetDetailOut
from monitor.core.availability import floor_ratio
from monitor.core.reasons import telling
from monitor.core.snapshot import State
from monitor.core.standing import OBJECTIVE_SPAN_S

COLOURS: Final[Mapping[str, str]] = {
    State.HEALTHY: "green",
    State.SUSPECT: "yellow",
    State.DEGRADED: "yellow",
    State.DOWN: "red",
    State.UNUSABLE: "magenta",
    State.UNKNOWN: "dim",
}
_FAILED: Final = frozenset({State.SUSPECT, State.DEGRADED, State.DOWN})

# Fewer columns fold reasons into a strip that nobody reads.
_WIDE: Final = 110


def order_view(
    order: PriorityOut,
    liveness: Mapping[str, LivenessOut],
    *,
    width: int,
    elapsed_s: float | None = None,
    caption: str | None = None,
) -> RenderableType:
    """
    Return *order* with state, availability, p95, price and the most telling reasons.

    The reasons stand beside the rest where *width* columns have room for both, else below.

    Args:
        order: As the API gives it.
        liveness: Target to what its free calls say.
        width: Columns there are.
        elapsed_s: Time since the start, for the title.
        caption: Line below the table.
    """
    title = f"{order.pool} / {order.profile}: order {order.version}"
    if elapsed_s is not None:
        title += f", {elapsed_s:.0f} s"
    is_wide = width >= _WIDE
    table = Table(title=title, caption=caption)
    for heading in ("#", "target", "state", "availability", "p95", "price"):
        table.add_column(heading, no_wrap=True)
    if is_wide:
        table.add_column("why here")
    reasons = [_why(place, liveness[place.target]) for place in order.targets]
    for place, reason in zip(order.targets, reasons, strict=True):
        cells = [
            str(place.rank),
            place.target,
            coloured(place.state),
            _availability(place.availability, place.availability_samples),
            _p95(place.latency_p95_s, is_estimated=place.latency_estimated),
            f"${place.price_usd:.3f}",
        ]
        table.add_row(*cells, *([escape(reason)] if is_wide else []))
    if is_wide:
        return table
    below = zip(order.targets, reasons, strict=True)
    return Group(table, *(Text(f"{place.rank}  {reason}") for place, reason in below))


def loose_view(targets: Iterable[TargetDetailOut]) -> Table:
    """Return *targets* that are in no pool, hence have no place, with the figures of a day."""
    table = Table(title="in no pool")
    for heading in ("target", "state", "availability", "p95", "price"):
        table.add_column(heading, no_wrap=True)
    table.add_column("why")
    for target in targets:
        windows = sorted(target.windows.values(), key=lambda window: window.span_s)
        day = next((w for w in windows if w.span_s >= OBJECTIVE_SPAN_S), windows[-1])
        provider, p95 = day.availability.provider, day.latency_s.p95
        table.add_row(
            target.target,
            coloured(target.state),
            _availability(provider.value, provider.samples),
            _p95(p95.value, is_estimated=p95.upper is None),
            f"${target.price_usd:.3f}",
            escape(target.detail),
        )
    return table


def coloured(state: str) -> str:
    """Return *state* in rich's markup."""
    return f"[{COLOURS[state]}]{state}[/]"


def _why(place: PlaceOut, liveness: LivenessOut) -> str:
    """Return the most telling reasons that no other column shows, and what free calls explain."""
    said = telling(place.reasons)
    if liveness.error is not None:
        said.append(f"free calls fail: {liveness.error}")
    elif liveness.state == "ok" and place.state in _FAILED:
        said.append("free calls are answered")
    return "; ".join(said)


def _availability(value: float | None, n: int) -> str:
    if value is None:
        return "unknown"
    # Floored: a rounded 100 % would claim what was not measured.
    return f"{floor_ratio(value, 3) * 100:.1f} % (n={n})"


def _p95(value: float | None, *, is_estimated: bool) -> str:
    if value is None:
        return "unknown"
    return f"{'~' if is_estimated else ''}{value:.2f} s"
