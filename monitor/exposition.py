"""
The text of a scrape, put together from pieces of which only those that changed are rendered anew.

prometheus-client renders every line, at about 10 us each; with a thousand targets that is seconds
of a page's life. So what it rendered of a piece (a target, an order) is kept until the piece is
another. Nothing here knows what is measured.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder, generate_latest, gzip_accepted
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from monitor.clock import Clock

log = structlog.get_logger("imgmon.metrics")

# However many scrapers come: Prometheus asks every 15 s, and figures change with probes.
RENDER_S_MIN: Final = 1.0
_GZIP_LEVEL: Final = 1  # A ninth of the bytes; level 6 costs three times as much for 7 % less.
_EOF: Final = b"# EOF\n"


@dataclass(frozen=True, slots=True)
class Spec:
    """One family: its name without ``_total`` or ``_info``, what it says, its labels."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    kind: str = "gauge"

    @property
    def shown(self) -> str:
        """The name as a query uses it."""
        return self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")

    def empty(self) -> Metric:
        """Return the family without series."""
        return Metric(self.name, self.text, self.kind)


OWN: Final = (
    Spec("imgmon_collector_errors", "Parts of a scrape that could not be rendered.", (), "counter"),
    Spec("imgmon_scrape_render_seconds", "Time the last scrape took to render."),
)


class Families(Collector):
    """Families by name, filled by :meth:`put`; one without a value is not there."""

    def __init__(self, specs: Mapping[str, Spec]) -> None:
        """Know the families of *specs*, by name."""
        self._specs = specs
        self._filled: dict[str, Metric] = {}

    def put(
        self,
        name: str,
        labels: Sequence[str],
        value: float | None,
        *,
        suffix: str = "",
        bound: str | None = None,
        exemplar: Exemplar | None = None,
    ) -> None:
        """
        Add one series; None adds none.

        Args:
            name: Of the family, as in its spec.
            labels: Values, in the order of the spec.
            value: In the unit of the name.
            suffix: Of the series' name, where the kind of its family does not say it.
            bound: Of a bucket, its ``le``.
            exemplar: Of a bucket.
        """
        if value is None:
            return
        spec = self._specs[name]
        named = dict(zip(spec.labels, labels, strict=True))
        if bound is not None:
            named["le"] = bound
        family = self._filled.get(name)
        if family is None:
            family = self._filled[name] = spec.empty()
        shown = name + suffix if suffix else spec.shown
        family.add_sample(shown, named, value, exemplar=exemplar)

    def collect(self) -> Iterable[Metric]:
        """Return the families that have series."""
        return self._filled.values()


@dataclass(frozen=True, slots=True)
class Piece:
    """
    Part of a page.

    Attributes:
        key: What it is of.
        state: All that its text follows from: it is kept while this is equal. None is never kept.
        families: Gives a collector of its families; may raise, and so may that.
    """

    key: Hashable
    state: object
    families: Callable[[], Collector]


@dataclass(frozen=True, slots=True)
class Scrape:
    """An answer to a scraper: its headers ``Content-Type`` and ``Content-Encoding``, and its body."""

    media_type: str
    body: bytes
    is_gzip: bool


class _One(Collector):
    """A registry of one family, which is what the library renders."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


@dataclass(slots=True)
class _Kept:
    """The lines of one piece, by family."""

    state: object
    lines: Mapping[str, bytes]
    is_failing: bool = False


class _Text:
    """What is kept of a page in one format."""

    def __init__(self, encode: Callable[[Collector], bytes], specs: Iterable[Spec]) -> None:
        self._encode = encode
        # Every family has its head, also while it has no series; in this order on the page.
        self._heads = {spec.name: self._split(spec.empty())[0] for spec in specs}
        self._kept: dict[Hashable, _Kept] = {}

    def page(self, pieces: Iterable[Piece], last: Piece, failed: Callable[[], None]) -> bytes:
        """Return the page; *failed* is called for what cannot be rendered, before *last* is."""
        kept: dict[Hashable, _Kept] = {}
        try:
            for piece in pieces:
                kept[piece.key] = self._rendered(piece, failed)
        except Exception:  # As below: what was rendered before still stands.
            failed()
            log.exception("metrics.failed", of="pieces")
            kept = self._kept | kept
        kept[last.key] = self._rendered(last, failed)
        self._kept = kept  # What is no longer there takes its series along.
        found = [one.lines for one in kept.values() if one.lines]
        parts = []
        for name, head in self._heads.items():
            parts.append(head)
            parts += [lines[name] for lines in found if name in lines]
        return b"".join(parts)

    def _rendered(self, piece: Piece, failed: Callable[[], None]) -> _Kept:
        known = self._kept.get(piece.key)
        if known is not None and known.state is not None and known.state == piece.state:
            return known
        try:
            return _Kept(piece.state, self._lines(piece.families().collect()))
        except Exception:  # One figure that cannot be had must not cost all the others.
            failed()
            if known is None or not known.is_failing:
                log.exception("metrics.failed", of=str(piece.key))
            return _Kept(None, known.lines if known else {}, is_failing=True)

    def _lines(self, families: Iterable[Metric]) -> dict[str, bytes]:
        lines = {}
        for family in families:
            head, lines[family.name] = self._split(family)
            self._heads.setdefault(family.name, head)
        return lines

    def _split(self, family: Metric) -> tuple[bytes, bytes]:
        """Return the comments that begin a family, and its series."""
        text = self._encode(_One(family)).removesuffix(_EOF)
        at = 0
        while text.startswith(b"#", at):
            at = text.index(b"\n", at) + 1
        return text[:at], text[at:]


class Exposition:
    """Renders the pieces that it asks for, off the loop and at most once a second in each format."""

    def __init__(
        self, specs: Sequence[Spec], pieces: Callable[[], Iterable[Piece]], clock: Clock
    ) -> None:
        """Show the families of *specs*; *pieces* is called in a thread."""
        self._pieces = pieces
        self._clock = clock
        self._errors = 0
        self._took_s: float | None = None
        self._texts = {
            False: _Text(generate_latest, (*specs, *OWN)),
            True: _Text(openmetrics.generate_latest, (*specs, *OWN)),
        }
        self._made: dict[tuple[bool, bool], tuple[float, asyncio.Task[bytes]]] = {}
        self._turn = asyncio.Lock()

    async def scrape(self, accept: str, accept_encoding: str) -> Scrape:
        """Return the page that fits the two headers, at most a second old."""
        media_type = choose_encoder(accept)[1]
        is_open = media_type.startswith("application/openmetrics-text")
        is_gzip = gzip_accepted(accept_encoding)
        key = (is_open, is_gzip)
        made = self._made.get(key)
        now = self._clock.monotonic()
        if made is None or (made[1].done() and now - made[0] >= RENDER_S_MIN):
            made = (now, asyncio.create_task(self._make(is_open=is_open, is_gzip=is_gzip)))
            self._made[key] = made
        # Others wait for it too: who hangs up does not end it.
        return Scrape(media_type, await asyncio.shield(made[1]), is_gzip)

    async def _make(self, *, is_open: bool, is_gzip: bool) -> bytes:
        async with self._turn:
            return await asyncio.to_thread(self._render, is_open, is_gzip)

    def _render(self, is_open: bool, is_gzip: bool) -> bytes:
        page = self.page(is_open=is_open)
        return gzip.compress(page, _GZIP_LEVEL) if is_gzip else page

    def page(self, *, is_open: bool = False) -> bytes:
        """Return the page of this moment, as Prometheus text or as OpenMetrics; in one thread."""
        begun = self._clock.monotonic()
        own = Piece("exposition", None, self._own)
        page = self._texts[is_open].page(self._pieces(), own, self._failed)
        self._took_s = self._clock.monotonic() - begun
        return page + _EOF if is_open else page

    def _own(self) -> Families:
        families = Families({spec.name: spec for spec in OWN})
        families.put(OWN[0].name, (), self._errors)
        families.put(OWN[1].name, (), self._took_s)
        return families

    def _failed(self) -> None:
        self._errors += 1
