"""The order as a table for people."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from monitor.core.availability import floor_ratio
from monitor.core.snapshot import LifeSign, Liveness, Order, Place, Snapshot, State
from probes.model import ProbeKind

COLOURS: Final = {
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
    counts = snapshot.totals.probes.items()
    free = sum(n for key, n in counts if key.kind == ProbeKind.LIVENESS)
    drawn = sum(n for _, n in counts) - free
    is_wide = width >= _WIDE
    caption = f"{drawn} probes, ${spent:.2f} at list price; {free} free calls"
    table = Table(title=title, caption=caption)
    for heading in ("#", "target", "state", "availability", "p95", "price"):
        table.add_column(heading, no_wrap=True)
    if is_wide:
        table.add_column("why here")
    reasons = [_why(p, snapshot.targets[p.target].liveness) for p in order.places]
    for place, reason in zip(order.places, reasons, strict=True):
        colour = COLOURS[place.state]
        cells = [
            str(place.rank),
            place.target,
            f"[{colour}]{place.state.value}[/]",
            _availability(place),
            _p95(place),
            f"${place.price_usd:.3f}",
        ]
        table.add_row(*cells, *([escape(reason)] if is_wide else []))
    if is_wide:
        return table
    below = zip(order.places, reasons, strict=True)
    return Group(table, *(Text(f"{place.rank}  {reason}") for place, reason in below))


def _why(place: Place, liveness: Liveness) -> str:
    """Return the most telling reasons that no other column shows, and what free calls explain."""
    telling = [reason.text for reason in place.reasons if reason.code not in _SHOWN]
    said = telling[:2] or [place.reasons[0].text]
    if liveness.error is not None:
        said.append(f"free calls fail: {liveness.error.value}")
    elif liveness.state is LifeSign.OK and place.state in _FAILED:
        said.append("free calls are answered")
    return "; ".join(said)


def _availability(place: Place) -> str:
    if place.availability is None:
        return "unknown"
    # Floored: a rounded 100 % would claim what was not measured.
    return f"{floor_ratio(place.availability, 3) * 100:.1f} % (n={place.availability_n})"


def _p95(place: Place) -> str:
    if place.latency_p95_s is None:
        return "unknown"
    return f"{'~' if place.latency_estimated else ''}{place.latency_p95_s:.2f} s"
