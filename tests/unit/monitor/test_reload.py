"""What a changed file changes, and the exchange of applications under a server."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref

import httpx
import pytest
from fastapi import FastAPI

from monitor.api.front import Front
from monitor.api.holds import Holds
from monitor.clock import ManualClock
from monitor.config import parse
from monitor.config.difference import (
    Changes,
    Difference,
    are_same,
    difference,
    digest,
    needs_restart,
)
from monitor.errors import ConfigError
from monitor.reloading import ReloadRefusedError, Reloads, Stage
from monitor.serve import settle

pytestmark = pytest.mark.anyio
TEXT = """
[[providers]]
id = "lab"
format = "openai-images"
base_url = "https://api.example.com/v1"
api_key = { env = "KEY" }

[[targets]]
id = "one"
provider = "lab"
model = "m"
price_usd = 0.1
interval = "1h"
pools = ["p"]

[[targets]]
id = "two"
provider = "lab"
model = "m"
price_usd = 0.2
interval = "1h"
pools = ["p"]

[[pools]]
id = "p"

[[routes]]
id = "hook"
webhook = { env = "HOOK" }
"""
ENVIRON = {"KEY": "the-key-of-before", "HOOK": "https://hooks.example.com/before"}


def read(text: str = TEXT, **environ: str):
    """The configuration in a text."""
    return parse(text, ENVIRON | environ, "test")


def test_a_digest_is_of_what_is_measured_and_holds_no_secret():
    """Places of one machine change nothing of it, nor the value of a key; all else does."""
    own = 'vantage = "tokyo"\n[server]\nlisten = "127.0.0.1:9"\n[store]\npath = "elsewhere.db"\n'
    same = [read(own + TEXT), read(TEXT, KEY="another-key-of-the-lab"), read(TEXT + "\n[log]\n")]
    other = [
        read(TEXT.replace('"1h"', '"2h"', 1)),
        read(TEXT.replace('env = "KEY"', 'env = "HOOK"')),
        read('[store]\nkeep_reports = "8d"\n' + TEXT),
    ]

    assert {digest(read())} == {digest(config) for config in same}
    assert 4 == len({digest(config) for config in (read(), *other)})


async def test_the_digest_that_metrics_tell_is_of_what_holds():
    """One of a file that is taken, with the place it holds at."""
    reloads = Reloads(read(), ManualClock())
    before = reloads.figures
    new = read('vantage = "tokyo"\n' + TEXT.replace('"1h"', '"2h"'))
    reloads.ended(new)

    assert ("default", digest(read())) == (before.vantage, before.digest)
    assert ("tokyo", digest(new)) == (reloads.figures.vantage, reloads.figures.digest)


def test_a_file_that_says_the_same_in_other_words_changes_nothing():
    """What counts is what is run: another spelling of an hour, or a default written out, is none."""
    other = read(
        TEXT.replace('"1h"', '"60m"').replace('id = "p"\n', 'id = "p"\nprofile = "balanced"\n')
    )

    assert are_same(read(), other)
    assert Difference() == difference(read(), other)


def test_every_change_is_named_and_no_value():
    """Added, removed and changed entries, single keys of tables, what belongs to no entry."""
    other = TEXT.replace('id = "two"', 'id = "three"').replace("price_usd = 0.1", "price_usd = 0.3")
    other = other.replace('id = "p"\n', 'id = "p"\nslo = { availability = 0.9 }\n')
    found = difference(read(), read(other + '[judging]\ndwell = "1h"\n'))

    assert Changes(("three",), ("two",), {"one": ("price_usd",)}) == found.targets
    assert Changes(changed={"p": ("slo",)}) == found.pools
    assert (Changes(), ("judging.dwell",)) == (found.providers, found.other)


def test_secrets_that_changed_are_named_by_their_keys():
    """A rotated key or another place of a route shows; neither old nor new value does."""
    found = difference(read(), read(KEY="the-key-of-after", HOOK="https://hooks.example.com/after"))

    assert {"lab": ("api_key",)} == found.providers.changed
    assert ("routes",) == found.other
    assert not any(word in repr(found) for word in ("before", "after", "https"))


def test_another_order_of_targets_is_a_change():
    """The profile `static` is the order of the file."""
    head, one, two = TEXT.split("[[targets]]")
    two, tail = two.split("\n\n", 1)
    found = difference(read(), read(f"{head}[[targets]]{two}\n\n[[targets]]{one}{tail}"))

    assert "order of targets" in found.other


def test_the_address_and_the_store_need_a_restart():
    """Both are told at once, with what to do."""
    other = read('[server]\nlisten = "127.0.0.1:1"\n[store]\npath = "other.db"\n' + TEXT)
    found = needs_restart(read(), other)

    assert ["server.listen", "store.path"] == [problem.path for problem in found]
    assert [] == needs_restart(read(), read())


async def test_a_reload_that_crashes_leaves_room_for_the_next():
    """Whatever reading raises, the process is not left with a reload that never ends."""
    answers = [OSError("a bug"), ConfigError([]), read(TEXT.replace("0.1", "0.3"))]

    def again():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    reloads = Reloads(read(), ManualClock(), again)
    for kind in (OSError, ConfigError):
        with pytest.raises(kind):
            await reloads.begin()
        assert not reloads.is_under_way
    begun = await reloads.begin()
    with pytest.raises(ReloadRefusedError, match="under way"):
        await reloads.begin()
    config = await reloads.asked()
    reloads.ended(config)

    assert (Stage.UNDER_WAY, Stage.DONE) == (begun.stage, reloads.last.stage)
    assert begun.difference == reloads.last.difference
    assert (config, True) == (reloads.config, reloads.figures.is_successful)


async def test_without_a_file_there_is_nothing_to_reload():
    """The demo says so in words."""
    with pytest.raises(ReloadRefusedError, match="without a file"):
        await Reloads(read(), ManualClock()).begin()


def application(name: str, gate: asyncio.Event) -> FastAPI:
    """An application that says its name; a POST waits for *gate*."""
    app = FastAPI()
    app.state.holds = Holds()

    @app.get("/name")
    async def get_name() -> str:
        return name

    @app.post("/name")
    async def post_name() -> str:
        await gate.wait()
        return name

    return app


async def test_who_writes_finishes_and_who_comes_later_is_asked_back():
    """Reading goes on all the while; after the exchange both meet the next application."""
    gate = asyncio.Event()
    before = application("before", gate)
    front = Front(before)
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        writer = asyncio.create_task(http.post("/name"))
        while not front._writing:  # noqa: ASYNC110 - the condition is another task's
            await asyncio.sleep(0)
        shutting = asyncio.create_task(front.shut())
        await asyncio.sleep(0)
        late = await http.post("/name")
        reader = await http.get("/name")
        assert not shutting.done()
        gate.set()
        await shutting
        written = await writer
        front.exchange(application("after", gate))
        after = [(await http.get("/name")).json(), (await http.post("/name")).json()]
    with before.state.holds.polls.seat() as wake:
        assert wake.is_set()  # Released: who holds on to the application of before waits no more.

    assert (503, "2") == (late.status_code, late.headers["retry-after"])
    assert "exchanged" in json.loads(late.text)["detail"]
    assert ("before", "before") == (reader.json(), written.json())
    assert ["after", "after"] == after


async def test_what_was_exchanged_is_let_go():
    """An application holds on to its daemon, which holds every sample: none may stay behind."""
    front, refs = Front(application("first", asyncio.Event())), []
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        for number in range(3):
            gate = asyncio.Event()
            gate.set()
            refs.append(weakref.ref(gate))
            front.exchange(application(str(number), gate))
            del gate
            assert str(number) == (await http.post("/name")).json()
    front.exchange(application("last", asyncio.Event()))
    gc.collect()

    assert [None] * 3 == [ref() for ref in refs]


async def test_a_writer_that_never_ends_is_not_waited_for_for_ever():
    """After the grace the exchange goes on without it."""
    front = Front(application("before", asyncio.Event()))
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        writer = asyncio.create_task(http.post("/name"))
        while not front._writing:  # noqa: ASYNC110 - the condition is another task's
            await asyncio.sleep(0)
        await front.shut(0.01)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)

    assert writer.cancelled()


def test_a_daemon_that_was_exchanged_is_let_go_of():
    """What was set aside is no longer looked at, until the next exchange lets go of it."""

    class Knot:
        def __init__(self) -> None:
            self.itself = self

    knot = Knot()
    gone = weakref.ref(knot)
    try:
        settle()
        del knot
        gc.collect()
        assert gone() is not None
        settle()
        assert gone() is None
    finally:
        gc.unfreeze()
