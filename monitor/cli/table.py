"""The order as a table for people."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitor.core.availability import floor_ratio
from monitor.core.snapshot import Order, Place, Snapshot, State

COLOURS: Final = {
    State.HEALTHY: "green",
    State.SUSPECT: "yellow",
    State.DEGRADED: "yellow",
    State.DOWN: "red",
    State.UNUSABLE: "magenta",
    State.UNKNOWN: "dim",
}

# Fewer columns fold reasons into a strip that nobody reads.
_WIDE: Final = 110
# Reasons whose numbers stand in columns of their own.
_SHOWN: Final = frozenset({"within_slo", "latency", "availability", "last_sample"})


def order_view(
    order: Order, snapshot: Snapshot, *, width: int, elapsed_s: float | None = None
) -> RenderableType:
    """
    Return *order* with state, availability, p95, price and the most telling reasons.

    The reasons stand beside the rest where *width* columns have room for both, else below.
    """
    title = f"{order.pool.id} / {order.profile.name}: order {order.version}"
    if elapsed_s is not None:
        title += f", {elapsed_s:.0f} s"
    spent = sum(snapshot.totals.spend_usd.values())
    probes = sum(snapshot.totals.probes.values())
    is_wide = width >= _WIDE
    table = Table(title=title, caption=f"{probes} probes, ${spent:.2f} at list price")
    for heading in ("#", "target", "state", "availability", "p95", "price"):
        table.add_column(heading, no_wrap=True)
    if is_wide:
        table.add_column("why here")
    for place in order.places:
        colour = COLOURS[place.state]
        cells = [
            str(place.rank),
            place.target,
            f"[{colour}]{place.state.value}[/]",
            _availability(place),
            _p95(place),
            f"${place.price_usd:.3f}",
        ]
        table.add_row(*cells, *([escape(_why(place))] if is_wide else []))
    if is_wide:
        return table
    reasons = (Text(f"{place.rank}  {_why(place)}") for place in order.places)
    return Group(table, *reasons)


def _why(place: Place) -> str:
    """Return the two most telling reasons that no other column shows already."""
    telling = [reason.text for reason in place.reasons if reason.code not in _SHOWN]
    return "; ".join(telling[:2] or [place.reasons[0].text])


def _availability(place: Place) -> str:
    if place.availability is None:
        return "unknown"
    # Floored: a rounded 100 % would claim what was not measured.
    return f"{floor_ratio(place.availability, 3) * 100:.1f} % (n={place.availability_n})"


def _p95(place: Place) -> str:
    if place.latency_p95_s is None:
        return "unknown"
    return f"{'~' if place.latency_estimated else ''}{place.latency_p95_s:.2f} s"
