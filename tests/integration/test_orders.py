"""The order as callers ask for it: within limits, as lines of text, and when it changes."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from monitor.api.server import Server
from monitor.api.text import COLUMNS, prefers_text
from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.limits import LONG_POLLS_MAX
from probes.model import ProbeReason
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import client, configuration, finished, measured, running, until
from tests.support.serving import served

pytestmark = pytest.mark.anyio

ORDER = "/v1/pools/image/priority"
README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatorServer]:
    """Providers without faults."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        yield simulator


@pytest.fixture
async def daemon(simulator, tmp_path) -> AsyncIterator[Daemon]:
    """A daemon that knows both of its targets."""
    async with running(configuration(simulator, tmp_path / "a.db")) as daemon:
        await until(lambda: finished(daemon) == 2)
        for target in ("flash", "flare"):
            await measured(daemon, target, ProbeReason.SCHEDULED)
        daemon.tick()
        yield daemon


@pytest.fixture
async def api(daemon) -> AsyncIterator[httpx.AsyncClient]:
    """Its API in process."""
    async with client(daemon) as http:
        yield http


def targets(document):
    """The ids of an answer, best first."""
    return [place["target"] for place in document["targets"]]


async def test_every_pool_publishes_all_profiles_at_once(api):
    """Money, waiting, proof and configuration: nobody has to ask for one to be made."""
    (pool,) = (await api.get("/v1/pools")).json()["pools"]
    orders = {name: (await api.get(f"{ORDER}?profile={name}")).json() for name in pool["profiles"]}

    assert ["cheap", "balanced", "fast", "reliable", "static"] == list(orders)
    assert ["flash", "flare"] == targets(orders["static"])
    assert {name: order["profile"] for name, order in orders.items()} == {n: n for n in orders}


async def test_a_limit_leaves_out_and_says_why(api):
    """Price, p95, a target or its provider; what stays is ranked from 1 and says what is true of it."""
    cheap = (await api.get(f"{ORDER}?max_price=0.04")).json()
    quick = (await api.get(f"{ORDER}?max_p95=0")).json()
    excluded = (await api.get(f"{ORDER}?exclude=nobody,openai")).json()
    repeated = (await api.get(f"{ORDER}?exclude=flare&exclude=flare&view=ids")).json()

    assert ["flash"] == targets(cheap) == targets(excluded) == repeated["targets"]
    assert [1] == [place["rank"] for place in cheap["targets"]]
    assert [{"target": "flare", "code": "max_price", "text": "price $0.05 > $0.04"}] == (
        cheap["left_out"]
    )
    assert "excluded" == excluded["left_out"][0]["code"]
    assert {"max_price_usd": None, "max_p95_s": None, "exclude": ["nobody", "openai"]} == (
        excluded["limits"]
    )
    assert not {"cheapest", "best_index"} & {r["code"] for r in cheap["targets"][0]["reasons"]}
    assert (False, 2, []) == (quick["limits_met"], len(quick["targets"]), quick["left_out"])
    assert cheap["limits_met"]


async def test_limits_that_nobody_meets_still_keep_what_is_excluded_out(api):
    """Not excluded before dear, and all before none: there is always something to try."""
    one = (await api.get(f"{ORDER}?max_price=0&exclude=openai")).json()
    both = (await api.get(f"{ORDER}?exclude=openai,google")).json()

    assert (False, ["flash"]) == (one["limits_met"], targets(one))
    assert (False, 2) == (both["limits_met"], len(both["targets"]))


async def test_an_answer_within_limits_has_a_tag_of_its_own(daemon, api):
    """It is revalidated like the published one, also over snapshots that change nothing in it."""
    url = f"{ORDER}?max_price=0.04"
    plain, limited = await api.get(ORDER), await api.get(url)
    daemon.tick()
    again = await api.get(url, headers={"If-None-Match": limited.headers["etag"]})
    other = await api.get(url, headers={"If-None-Match": plain.headers["etag"]})

    assert plain.headers["etag"] != limited.headers["etag"]
    assert (304, 200) == (again.status_code, other.status_code)
    assert limited.content == other.content


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("max_price=-1", "query/max_price"),
        ("max_price=nan", "query/max_price"),
        ("max_p95=soon", "query/max_p95"),
        ("exclude=a%20b", "query/exclude/0"),
        ("wait=61", "query/wait"),
        ("version=x", "query/version"),
        ("format=xml", "query/format"),
        ("max_prize=0.05", "query/max_prize"),
    ],
)
async def test_what_cannot_be_asked_is_pointed_at(api, query, pointer):
    """A limit that is mistyped, in name or value, must not be taken for none."""
    answer = await api.get(f"{ORDER}?{query}")

    assert (422, [pointer]) == (answer.status_code, [e["pointer"] for e in answer.json()["errors"]])


async def test_lines_of_text_say_what_json_says(api):
    """By header or parameter, with a tag of its own; the ids alone on request."""
    document = (await api.get(ORDER)).json()
    answer = await api.get(ORDER, headers={"Accept": "text/plain"})
    rows = [line.split("\t") for line in answer.text.splitlines()]
    same = await api.get(f"{ORDER}?format=text", headers={"If-None-Match": answer.headers["etag"]})
    ids = await api.get(f"{ORDER}?format=text&view=ids&max_price=0.04")
    json_anyway = await api.get(f"{ORDER}?format=json", headers={"Accept": "text/plain"})

    assert "text/plain; charset=utf-8" == answer.headers["content-type"]
    assert "Accept" == answer.headers["vary"] == json_anyway.headers["vary"]
    assert [len(COLUMNS)] * 2 == [len(row) for row in rows]
    for row, place in zip(rows, document["targets"], strict=True):
        cells = dict(zip(COLUMNS, row, strict=True))
        assert {"yes": True, "no": False}[cells["usable"]] == place["usable"]
        assert place["price_usd"] == float(cells["price_usd"])
        assert place["latency_p95_s"] == float(cells["latency_p95_s"])
        assert "" == cells["retry_at"]
        for name in ("target", "state", "base_url", "model", "provider", "format"):
            assert place[name] == cells[name]
    assert (304, "flash\n") == (same.status_code, ids.text)
    assert document == json_anyway.json()


@pytest.mark.parametrize(
    ("accept", "is_text"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", True),
        ("text/*", True),
        ("text/plain, */*", False),
        ("text/plain, application/json;q=0.5", True),
        ("text/plain;q=0.5, application/json", False),
        ("text/plain;q=x", False),
        ("TEXT/PLAIN;charset=utf-8, */*;q=0.1", True),
        ("image/png", False),
    ],
)
def test_json_is_given_unless_text_is_liked_better(accept, is_text):
    """Quality decides, the most specific range first; who takes both gets JSON."""
    assert is_text == prefers_text(accept)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
async def test_the_shell_recipe_of_the_readme_runs(daemon):
    """Pasted into sh it prints the best usable target and its address."""
    (recipe,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    async with served(daemon.api()) as (_, base):
        shell = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            recipe.replace("http://127.0.0.1:8720", base),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await shell.communicate()
    order = daemon.publisher.current.snapshot.orders["image", "balanced"]
    best = daemon.publisher.current.snapshot.targets[order.places[0].target].spec

    assert (0, f"{best.id} {best.base_url}\n") == (shell.returncode, printed.decode())


async def held(http, server: Server, version: int, **headers: str) -> asyncio.Task[httpx.Response]:
    """A request that waits for another version, once the server holds it."""
    taken = server.front.holds.polls.taken
    url = f"{ORDER}?wait=60&version={version}"
    task = asyncio.create_task(http.get(url, headers=headers, timeout=50))
    await until(lambda: server.front.holds.polls.taken > taken or task.done())
    return task


async def test_a_long_poll_answers_when_the_order_changes(simulator, daemon):
    """Many wait at once, and all are told of the version that a failure made."""
    async with served(daemon.api()) as (server, base), httpx.AsyncClient(base_url=base) as http:
        now = await http.get(ORDER)
        version = int(now.headers["x-imgmon-order-version"])
        waiting = [
            await held(http, server, version, **{"If-None-Match": now.headers["etag"]})
            for _ in range(20)
        ]
        simulator.set_fault("openai", Fault(kind=FaultKind.SERVER_ERROR))
        await measured(daemon, "flare", ProbeReason.CONFIRM)
        answers = await asyncio.gather(*waiting)
        at_once = await http.get(f"{ORDER}?wait=60&version={version}")

    assert {200} == {answer.status_code for answer in (*answers, at_once)}
    assert {True} == {answer.json()["version"] > version for answer in (*answers, at_once)}
    assert 0 == server.front.holds.polls.taken


async def test_a_change_of_order_is_told_on_the_stream(simulator, daemon):
    """What a failover client waits for is one of the events, under its own name."""
    async with (
        served(daemon.api()) as (_, base),
        httpx.AsyncClient(base_url=base) as http,
        http.stream("GET", "/v1/stream", timeout=20) as response,
    ):
        lines = response.aiter_lines()
        assert "retry: 5000" == await anext(lines)
        simulator.set_fault("openai", Fault(kind=FaultKind.SERVER_ERROR))
        await measured(daemon, "flare", ProbeReason.CONFIRM)
        while await anext(lines) != "event: order_changed":
            pass
        event = json.loads((await anext(lines)).removeprefix("data: "))

    assert ("order_changed", "image") == (event["kind"], event["pool"])


async def test_a_long_poll_without_a_change_ends_as_any_request_does(daemon):
    """304 for who has it, 200 for who does not, when the time is over."""
    async with client(daemon) as http:
        now = await http.get(ORDER)
        version = now.headers["x-imgmon-order-version"]
        url = f"{ORDER}?wait=0.01&version={version}"
        known = await http.get(url, headers={"If-None-Match": now.headers["etag"]})
        unknown = await http.get(url)

    assert (304, 200) == (known.status_code, unknown.status_code)
    assert now.content == unknown.content


async def test_a_stopping_server_lets_go_of_those_who_wait(daemon):
    """They get an answer, not a cut connection, and nothing keeps the server up."""
    async with served(daemon.api()) as (server, base), httpx.AsyncClient(base_url=base) as http:
        version = daemon.publisher.current.snapshot.orders["image", "balanced"].version
        waiting = [await held(http, server, version) for _ in range(5)]
        server.stop()
        answers = await asyncio.gather(*waiting)

    assert {200} == {answer.status_code for answer in answers}
    assert {version} == {answer.json()["version"] for answer in answers}


async def test_a_client_that_hangs_up_frees_its_seat(daemon):
    """Its seat does not wait for the minute that it had asked for."""
    async with served(daemon.api()) as (server, base), httpx.AsyncClient(base_url=base) as http:
        version = daemon.publisher.current.snapshot.orders["image", "balanced"].version
        waiting = await held(http, server, version)
        waiting.cancel()
        await until(lambda: server.front.holds.polls.taken == 0)

        assert waiting.cancelled() or await asyncio.wait({waiting})


async def test_who_finds_no_seat_is_answered_at_once_and_asked_to_come_later(daemon):
    """An order is never refused: it is the waiting that is."""
    app = daemon.api()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        version = (await http.get(ORDER)).headers["x-imgmon-order-version"]
        with ExitStack() as seats:
            for _ in range(LONG_POLLS_MAX):
                seats.enter_context(app.state.holds.polls.seat())
            answer = await http.get(f"{ORDER}?wait=60&version={version}")

    assert (200, "5") == (answer.status_code, answer.headers["retry-after"])
