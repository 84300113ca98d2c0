"""A page of pieces: what it says, what is rendered for it, and what happens when a part fails."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterable

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar

from monitor.clock import ManualClock
from monitor.exposition import OWN, Exposition, Families, Piece, Spec

SPECS = (
    Spec("a_level", "A level, of\nmany lines \\ more.", ("of",)),
    Spec("a_count", "A count.", ("of", "kind"), "counter"),
    Spec("a_time_seconds", "A time.", ("of",), "histogram"),
    Spec("a_thing", "A thing.", ("of",), "info"),
)
BY_NAME = {spec.name: spec for spec in SPECS}


class World:
    """Things with a number each; rendering one is counted, or fails."""

    def __init__(self, **numbers: float) -> None:
        """Begin with these."""
        self.numbers = dict(numbers)
        self.rendered: list[str] = []
        self.broken: set[str] = set()
        self.is_broken = False
        self.gate: threading.Event | None = None
        self.clock = ManualClock()
        self.exposition = Exposition(SPECS, self.pieces, self.clock)

    def pieces(self) -> Iterable[Piece]:
        """One piece a thing."""
        if self.gate is not None:
            assert self.gate.wait(20)
        for name, number in list(self.numbers.items()):
            yield Piece(name, number, lambda name=name, number=number: self.families(name, number))
            if self.is_broken:
                raise RuntimeError("no more pieces")

    def families(self, name: str, number: float) -> Families:
        """The families of one thing."""
        self.rendered.append(name)
        if name in self.broken:
            raise RuntimeError(f"{name} cannot be had")
        families = Families(BY_NAME)
        put_thing(families, name, number)
        return families


def put_thing(families: Families, name: str, number: float) -> None:
    """Every kind of series, with a label that has to be escaped."""
    families.put("a_level", (name,), number)
    families.put("a_level", (f'{name} "\\\n'.strip(" "),), None)
    families.put("a_count", (name, 'say "x"\\\n'), number)
    exemplar = Exemplar({"probe_id": name}, 0.3, 1.5)
    families.put("a_time_seconds", (name,), 1, suffix="_bucket", bound="0.5", exemplar=exemplar)
    families.put("a_time_seconds", (name,), 2, suffix="_bucket", bound="+Inf")
    families.put("a_time_seconds", (name,), 2, suffix="_count")
    families.put("a_time_seconds", (name,), number, suffix="_sum")
    families.put("a_thing", (name,), 1)


def shown(world: World, *, is_open: bool = False) -> str:
    """The page without what it says of its own rendering."""
    page = world.exposition.page(is_open=is_open).decode()
    return "".join(
        line
        for line in page.splitlines(keepends=True)
        if not any(spec.name in line for spec in OWN)
    )


@pytest.mark.parametrize("is_open", [False, True])
def test_the_page_is_what_the_library_renders_of_all_at_once(is_open):
    """Byte for byte, whatever was kept of the page before, in both formats."""
    world = World(x=1, y=2.5)
    shown(world, is_open=is_open)
    world.numbers |= {"y": 3, "z": 1e300}
    del world.numbers["x"]
    whole = Families(BY_NAME)
    for name, number in world.numbers.items():
        put_thing(whole, name, number)
    encode = openmetrics.generate_latest if is_open else generate_latest

    assert encode(whole).decode() == shown(world, is_open=is_open)


def test_openmetrics_has_exemplars_and_reads_back():
    """The library's own parser takes the page; text has no exemplars."""
    world = World(x=1)
    page = world.exposition.page(is_open=True).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}

    assert {"probe_id": "x"} == families["a_time_seconds"].samples[0].exemplar.labels
    assert " # {" not in world.exposition.page().decode()


def test_a_family_without_series_still_says_what_it_is():
    """Its head is on the page, so that a reader finds the name."""
    assert "# TYPE a_count_total counter" in shown(World())


def test_only_what_changed_is_rendered():
    """A piece in the same state is taken from the page before; one that is gone takes its series along."""
    world = World(x=1, y=2)
    shown(world)
    world.numbers["y"] = 3
    world.rendered.clear()
    page = shown(world)
    del world.numbers["x"]
    later = shown(world)

    assert ["y"] == world.rendered
    assert 'a_level{of="y"} 3.0' in page
    assert '"x"' in page
    assert '"x"' not in later


def test_a_part_that_raises_costs_no_other_and_keeps_its_last_lines():
    """Counted on the very page, tried again on each, and well again as soon as it can be had."""
    world = World(x=1, y=2)
    shown(world)
    world.numbers |= {"x": 5, "y": 6, "new": 7}
    world.broken = {"x", "new"}
    page = world.exposition.page().decode()
    world.broken = set()
    healed = world.exposition.page().decode()

    assert 'a_level{of="x"} 1.0' in page
    assert 'a_level{of="y"} 6.0' in page
    assert 'of="new"' not in page
    assert "imgmon_collector_errors_total 2.0" in page
    assert 'a_level{of="x"} 5.0' in healed
    assert 'a_level{of="new"} 7.0' in healed
    assert "imgmon_collector_errors_total 2.0" in healed


def test_pieces_that_end_in_an_error_leave_what_stood_before():
    """The page is whole, of the page before, and the error is counted."""
    world = World(x=1, y=2)
    shown(world)
    world.numbers["x"], world.is_broken = 4, True
    page = world.exposition.page().decode()

    assert 'a_level{of="x"} 4.0' in page
    assert 'a_level{of="y"} 2.0' in page
    assert "imgmon_collector_errors_total 1.0" in page


@pytest.mark.anyio
async def test_many_scrapers_cost_one_page_a_second():
    """Who comes while it is made waits for it; a second later it is made anew."""
    world = World(x=1)
    scrape = world.exposition.scrape
    pages = await asyncio.gather(*(scrape("", "") for _ in range(50)))
    world.numbers["x"] = 2
    same = await scrape("text/plain", "identity")
    world.clock.advance(1.0)
    anew = await scrape("", "")

    assert {b'a_level{of="x"} 1.0' in page.body for page in (*pages, same)} == {True}
    assert 1 == len({id(page.body) for page in (*pages, same)})
    assert b'a_level{of="x"} 2.0' in anew.body
    assert ["x", "x"] == world.rendered


@pytest.mark.anyio
async def test_a_scraper_that_hangs_up_ends_nobodys_page():
    """The page is made all the same, for whoever waits beside it and for the next."""
    world = World(x=1)
    world.gate = threading.Event()
    impatient = asyncio.create_task(world.exposition.scrape("", ""))
    patient = asyncio.create_task(world.exposition.scrape("", ""))
    await asyncio.sleep(0)
    world.clock.advance(10.0)  # Slow, and still made once.
    late = asyncio.create_task(world.exposition.scrape("", ""))
    await asyncio.sleep(0)
    impatient.cancel()
    world.gate.set()
    pages = await asyncio.gather(patient, late)

    assert impatient.cancelled() or impatient.cancelling()
    assert [True, True] == [b'of="x"' in page.body for page in pages]
    assert ["x"] == world.rendered


@pytest.mark.anyio
async def test_format_and_coding_are_the_scrapers_choice():
    """OpenMetrics and gzip for who asks, each with its headers."""
    scrape = World(x=1).exposition.scrape
    text = await scrape("", "")
    both = await scrape("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "gzip")

    assert text.media_type.startswith("text/plain")
    assert not text.is_gzip
    assert both.media_type.startswith("application/openmetrics-text")
    assert both.is_gzip
    assert gzip.decompress(both.body).endswith(b"# EOF\n")
