"""
The order as plain text: one target a line, best first, columns between tabs, for shells.

No heading, so that ``head -n 1`` is the best target. Columns are only ever added at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from monitor.api import encode
from monitor.core.snapshot import Order, Place, TargetView
from monitor.core.words import exact
from monitor.publisher import Body, Published, body_of

TEXT: Final = "text/plain; charset=utf-8"
COLUMNS: Final = (
    "target", "state", "usable", "base_url", "model", "provider", "format", "price_usd",
    "latency_p95_s", "retry_at",
)  # fmt: skip


def order_text(current: Published, order: Order, view: str) -> Body:
    """Return *order* in lines; the view ``ids`` has the first column alone."""
    views = current.snapshot.targets
    columns = 1 if view == "ids" else len(COLUMNS)
    lines = (
        "\t".join(list(_cells(place, views[place.target]))[:columns]) for place in order.places
    )
    return body_of("".join(f"{line}\n" for line in lines).encode())


def _cells(place: Place, view: TargetView) -> Iterator[str]:
    p95 = place.latency_p95_s
    for cell in (
        place.target,
        place.state.value,
        "yes" if place.usable else "no",
        view.spec.base_url,
        view.spec.model,
        view.spec.provider,
        view.spec.format,
        exact(place.price_usd),
        "" if p95 is None else exact(round(p95, 4)),
        encode.timestamp(place.retry_at) or "",
    ):
        yield " ".join(cell.split())  # A tab within would be a column of its own.


def prefers_text(accept: str) -> bool:
    """Return whether an Accept header asks for plain text rather than JSON (RFC 9110, 12.5.1)."""
    return _quality(accept, "text", "plain") > _quality(accept, "application", "json")


def _quality(accept: str, kind: str, subtype: str) -> float:
    """Return the quality of a media type, 0..1: that of the most specific range that covers it."""
    best = (-1, 0.0)
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        try:
            precision = ("*/*", f"{kind}/*", f"{kind}/{subtype}").index(media)
            given = [p[2:] for p in parameters if p.startswith("q=")]
            best = max(best, (precision, float(given[0]) if given else 1.0))
        except ValueError:
            continue  # Another type, or a quality that is no number.
    return best[1]
