"""Our own network: reference hosts over real sockets, void results, a flag that comes and goes."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, closing

import pytest

from monitor.clock import ManualClock, SystemClock
from monitor.config import parse
from monitor.core.events import Event, EventKind
from monitor.network import NetworkWatch
from probes.driver import Driver
from probes.model import ErrorClass, Phase, ProbeReason
from tests.support.builders import NOW, a_result
from tests.support.daemon import client, finished, running, until
from tests.support.wire_server import answering, response, serving

pytestmark = pytest.mark.anyio
TEXT = """
[store]
path = "{store}"

[judging]
dwell = "1ms"
{network}

[[providers]]
id = "one"
base_url = "http://127.0.0.1:{one}"
format = "openai-images"

[[providers]]
id = "two"
base_url = "http://127.0.0.1:{two}"
format = "openai-images"

[[targets]]
id = "a"
provider = "one"
model = "m"
price_usd = 0
interval = "7d"
pools = ["p"]

[[targets]]
id = "b"
provider = "two"
model = "m"
price_usd = 0
interval = "7d"
pools = ["p"]

[[pools]]
id = "p"
"""
LOST = a_result(ErrorClass.CONNECTION, failed_phase=Phase.CONNECT)
ONE, TWO = "https://one.example", "https://two.example"


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request on a port that was closed before."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(response())
    await writer.drain()
    writer.close()


class Hosts:
    """Reference hosts that answer when the test says so."""

    def __init__(self, *, answer: bool) -> None:
        """Answer or not."""
        self.answer = answer
        self.asked: list[str] = []
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def __call__(self, url: str, deadline_s: float) -> bool:
        """Wait to be let go, then answer."""
        assert deadline_s > 0
        self.asked.append(url)
        await self.may_go.wait()
        return self.answer


@asynccontextmanager
async def watching(hosts: Hosts, *references: str, clock=None):
    """A watch and the events it told; closed at the end."""
    events: list[Event] = []
    watch = NetworkWatch(
        references,
        ask=hosts,
        clock=clock or ManualClock(),
        on_change=events.append,
        recheck_s=0.001,
    )
    try:
        yield watch, events
    finally:
        await watch.aclose()


async def test_without_reference_hosts_nobody_is_asked_and_nothing_is_known():
    """Nothing is called that the owner did not name."""
    hosts = Hosts(answer=False)
    async with watching(hosts) as (watch, events):
        assert [None] * 3 == [await watch.excuse(LOST, url) for url in (ONE, TWO, ONE)]

    assert (None, [], []) == (watch.state.is_suspect, hosts.asked, events)


async def test_one_host_that_fails_is_its_own_trouble():
    """However often, and through however many paths."""
    hosts = Hosts(answer=False)
    async with watching(hosts, "https://r") as (watch, _):
        assert [None] * 3 == [await watch.excuse(LOST, f"{ONE}/v{n}") for n in range(3)]

    assert (False, []) == (watch.state.is_suspect, hosts.asked)


async def test_two_providers_that_fail_together_are_not_our_network_if_a_reference_answers():
    """Of several, one is enough; within a quarter of a minute nobody is asked again."""
    hosts, clock = Hosts(answer=True), ManualClock()
    async with watching(hosts, "https://r", "https://s", clock=clock) as (watch, events):
        for _ in range(3):
            assert [None, None] == [await watch.excuse(LOST, url) for url in (ONE, TWO)]
        first = list(hosts.asked)
        clock.advance(16)
        await watch.excuse(LOST, ONE)

    assert ["https://r", "https://s"] == first
    assert (4, False, []) == (len(hosts.asked), watch.state.is_suspect, events)


async def test_failures_far_apart_are_not_together():
    """Two minutes and a second."""
    hosts, clock = Hosts(answer=False), ManualClock()
    async with watching(hosts, "https://r", clock=clock) as (watch, _):
        await watch.excuse(LOST, ONE)
        clock.advance(121)
        assert None is await watch.excuse(LOST, TWO)

    assert [] == hosts.asked


async def test_a_provider_that_answers_again_is_no_longer_counted():
    """Any answer shows that there is a way to it, a refusal too."""
    hosts = Hosts(answer=False)
    async with watching(hosts, "https://r") as (watch, _):
        await watch.excuse(LOST, ONE)
        await watch.excuse(a_result(ErrorClass.OVERLOADED, http_status=503), ONE)
        assert None is await watch.excuse(LOST, TWO)

    assert [] == hosts.asked


async def test_while_no_reference_answers_lost_results_are_excused_and_others_are_not():
    """From the one on that was held for the question; and until a reference host answers."""
    hosts = Hosts(answer=False)
    async with watching(hosts, "https://r") as (watch, events):
        first = await watch.excuse(LOST, ONE)
        second = await watch.excuse(LOST, TWO)
        broken = a_result(ErrorClass.TIMEOUT, failed_phase=Phase.BODY)
        third = await watch.excuse(broken, ONE)
        told = await watch.excuse(a_result(ErrorClass.SERVER_ERROR, http_status=500), ONE)
        during = watch.state
        await until(lambda: len(hosts.asked) > 3)
        hosts.answer = True
        await until(lambda: watch.state.is_suspect is False)
        after = await watch.excuse(LOST, ONE)

    assert (None, None, None) == (first, told, after)
    assert "no reference host answers: our own network is down" == second == third
    assert (True, NOW) == (during.is_suspect, during.suspect_since)
    assert [EventKind.OUR_NETWORK_SUSPECTED, EventKind.OUR_NETWORK_RESTORED] == [
        event.kind for event in events
    ]
    assert {"not_reached": ["one.example", "two.example"]} == events[0].data


async def test_results_that_come_at_once_share_one_question():
    """Each is held until it is answered; one that is cut off takes it from nobody."""
    hosts = Hosts(answer=False)
    hosts.may_go.clear()
    async with watching(hosts, "https://r") as (watch, events):
        await watch.excuse(LOST, ONE)
        held = [asyncio.ensure_future(watch.excuse(LOST, url)) for url in (TWO, ONE, TWO)]
        await until(lambda: len(hosts.asked) == 1)
        held[0].cancel()
        await asyncio.sleep(0)
        hosts.may_go.set()
        answers = await asyncio.gather(*held, return_exceptions=True)

    assert isinstance(answers[0], asyncio.CancelledError)
    assert {"no reference host answers: our own network is down"} == set(answers[1:])
    assert 1 == len(events)


@pytest.mark.parametrize("references", [(), ("https://r",)])
async def test_a_restart_goes_on_with_the_doubt_of_before(references):
    """Until a host answers; where none is named any more there is nothing left to wait for."""
    hosts = Hosts(answer=True)
    hosts.may_go.clear()
    last = Event(kind=EventKind.OUR_NETWORK_SUSPECTED, at=NOW - 60)
    async with watching(hosts, *references) as (watch, events):
        watch.resume(last)
        expected = (True, NOW - 60) if references else (None, None)
        assert expected == (watch.state.is_suspect, watch.state.suspect_since)
        hosts.may_go.set()
        await until(lambda: len(events) == 1)

        assert [EventKind.OUR_NETWORK_RESTORED] == [event.kind for event in events]
        watch.resume(events[0])
        watch.resume(None)
        assert not watch.state.is_suspect


async def test_a_host_is_reached_when_it_answers_whatever_it_says():
    """A HEAD without credentials over a real socket; refused and silent ones are not reached."""
    driver = Driver(clock=SystemClock())

    async def silent(_received, _writer, server) -> None:
        await server.hang_up.wait()

    async with serving(answering(response(status=404))) as host, serving(silent) as mute:
        assert await driver.reaches(host.base_url, 5.0)
        assert not await driver.reaches(mute.base_url, 0.05)
        assert not await driver.reaches(f"http://127.0.0.1:{closed_port()}", 5.0)
        assert not await driver.reaches("http://no-such-host.invalid", 5.0)
        (request,) = host.requests

    assert "HEAD" == request.method
    assert not {"authorization", "cookie", "x-api-key"} & request.headers.keys()
    await driver.aclose()


async def test_kept_connections_are_used_for_references_too():
    """A driver that shares one client asks with it."""
    driver = Driver(clock=SystemClock(), fresh_connections=False)
    async with serving(answering(response())) as host:
        assert await driver.reaches(host.base_url, 5.0)
    await driver.aclose()


async def test_a_cut_cable_blames_nobody(tmp_path):
    """The second host that fails is void, the flag is published, the next start knows of it."""
    reference = closed_port()
    text = TEXT.format(
        store=tmp_path / "a.db",
        one=closed_port(),
        two=closed_port(),
        network=f'[network]\nreference_hosts = ["http://127.0.0.1:{reference}"]',
    )
    config = parse(text, {}, "test")
    async with running(config) as daemon, client(daemon) as http:
        await until(lambda: finished(daemon) == 2)
        for target in ("a", "b", "a"):
            await daemon.runner.run(target, reason=ProbeReason.MANUAL)
        daemon.tick()
        order = (await http.get("/v1/pools/p/priority")).json()
        metrics = (await http.get("/metrics")).text
        assert await asyncio.to_thread(daemon.writer.flush, 5)
        rows = [row for target in "ab" for row in daemon.reader.results(target, None, 10)[0]]
    async with running(config) as daemon:
        resumed = daemon.publisher.current.snapshot.our_network.is_suspect
        server = await asyncio.start_server(answer, "127.0.0.1", reference)
        async with server:
            daemon.network._recheck_s = 0.01
            await until(lambda: daemon.network.state.is_suspect is False, 30.0)
        await until(lambda: daemon.publisher.current.snapshot.our_network.is_suspect is False)
        assert await asyncio.to_thread(daemon.writer.flush, 5)
        kinds = [stored.event.kind.value for stored in daemon.history.events(0, 1000)]

    # Whichever was first had nobody beside it yet.
    assert {"connection", "our_network"} == {row.error.value for row in rows}
    assert 1 == sum(row.error is ErrorClass.CONNECTION for row in rows)
    assert True is order["our_network_suspect"] is resumed
    assert "\nimgmon_our_network_suspect 1.0\n" in metrics
    assert ["our_network_suspected", "our_network_restored"] == [
        kind for kind in kinds if kind.startswith("our_network")
    ]
    assert "incident_opened" not in kinds


async def test_unwatched_providers_that_are_gone_are_down(tmp_path):
    """Without reference hosts a failure is a failure, and the flag says that nobody can tell."""
    text = TEXT.format(store=tmp_path / "a.db", one=closed_port(), two=closed_port(), network="")
    async with running(parse(text, {}, "test")) as daemon, client(daemon) as http:
        await until(lambda: finished(daemon) == 2)
        order = (await http.get("/v1/pools/p/priority")).json()
        metrics = (await http.get("/metrics")).text

    assert None is order["our_network_suspect"]
    assert "\nimgmon_our_network_suspect " not in metrics
    assert {"suspect"} == {place["state"] for place in order["targets"]}
