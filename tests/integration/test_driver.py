"""The driver over real sockets: what breaks on the wire, where keys go, what is measured."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from monitor.clock import SystemClock
from probes import driver, run, transport
from probes.canary import COLOURS
from probes.driver import Driver
from probes.model import (
    Alive,
    Canary,
    ErrorClass,
    Limit,
    LimitPeriod,
    Outcome,
    Phase,
    Picture,
    ProbeKind,
    ProbeReason,
    Refused,
    Send,
    Target,
    Verdict,
)
from probes.recorded import classify_recording
from probes.sockets import ResolvingBackend, Timeline, timeline_now
from tests.support.pictures import encoded, flat
from tests.support.wire_server import (
    answering,
    cut_after,
    dripping,
    hanging,
    response,
    self_signed,
    serving,
)

pytestmark = pytest.mark.anyio

RED = COLOURS[0]
CANARY = Canary(prompt="A plain red square. #0001", colour=RED, poll_s=0.01)
PNG = encoded(flat(RED.rgb))
GOOD = response(PNG, headers={"content-type": "image/png"})
KEY = "sk-sekret-key"
PRICE = 0.04


class Plain:
    """A wire format as small as can be: one POST, then whatever the reply's JSON asks for."""

    name = "plain"
    options = {}  # noqa: RUF012 - never changed

    def exchange(self, target, canary):
        """Send the prompt; follow ``poll`` and ``link``; anything else is the picture."""
        headers = {"authorization": f"Bearer {target.api_key}"}
        body = {"prompt": canary.prompt, "n": 1}
        reply = yield Send(method="POST", url=f"{target.base_url}/draw", headers=headers, json=body)
        while isinstance(reply.json, dict):
            if url := reply.json.get("poll"):
                reply = yield Send(
                    method="GET", url=url, headers=headers, after_s=reply.json.get("after_s", 0.0),
                    phase=Phase.QUEUE,
                )  # fmt: skip
            else:
                reply = yield Send(method="GET", url=reply.json["link"], phase=Phase.DOWNLOAD)
        if reply.status != 200:
            raise Refused(Verdict(error=ErrorClass.SERVER_ERROR, http_status=reply.status))
        return Picture(data=reply.body)


def told(**document):
    """Return a 200 with *document* as JSON."""
    return response(json.dumps(document).encode())


@asynccontextmanager
async def probing(**settings):
    """Give a function that probes a base URL once with a driver of *settings*."""
    made = Driver(clock=SystemClock(), **settings)

    async def probe(base_url, fmt=None, *, canary=CANARY, **changes):
        given = {
            "id": "t", "provider": "p", "format": "plain", "base_url": base_url, "model": "m",
            "api_key": KEY, "price_usd": PRICE, "deadline_s": 5.0,
        }  # fmt: skip
        return await made.probe(Target(**given | changes), canary, fmt or Plain(), probe_id="1")

    try:
        yield probe
    finally:
        await made.aclose()


async def probe_script(script, **changes):
    """Return the result of one probe against *script*, and the server's notes."""
    async with serving(script) as server, probing() as probe:
        return await probe(server.base_url, **changes), server


async def test_a_good_picture_is_good_and_fully_described():
    """Latency, price, phases, hash and connection are all told."""
    result, server = await probe_script(answering(GOOD))

    assert Outcome.GOOD is result.outcome
    assert result.error is None
    assert 0 < result.latency_s <= result.duration_s
    assert (200, "HTTP/1.1", PRICE) == (result.http_status, result.http_version, result.cost_usd)
    assert len(PNG) == result.received_bytes
    assert (64, 64) == (result.image.width, result.image.height)
    assert not result.reused
    assert len(server.requests) == 1


async def test_phases_are_told_apart_and_fit_into_the_duration():
    """DNS has a phase of its own, and no second is booked twice."""
    result, _ = await probe_script(answering(GOOD))
    expected = {
        Phase.DNS, Phase.CONNECT, Phase.SEND, Phase.FIRST_BYTE, Phase.BODY, Phase.DECODE,
    }  # fmt: skip

    assert expected == set(result.phases)
    assert all(seconds >= 0 for seconds in result.phases.values())
    assert sum(result.phases.values()) <= result.duration_s


async def test_the_request_is_compact_and_deterministic():
    """What providers see depends on the wire format alone."""
    _, server = await probe_script(answering(GOOD))
    (request,) = server.requests

    assert request.body == b'{"prompt":"A plain red square. #0001","n":1}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("imgmon/")
    assert request.headers["accept-encoding"] == "gzip"
    assert f"Bearer {KEY}" == request.headers["authorization"]


# What breaks, the class and the phase it must be given, and what is booked.
TRUNCATED = GOOD[: len(GOOD) // 2]
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BREAKS = {
    "hang before headers": (hanging, "timeout", Phase.FIRST_BYTE, PRICE),
    "drip in headers": (dripping(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"), "timeout", Phase.FIRST_BYTE, PRICE),
    "drip in body": (dripping(response(b"", length=10**6)), "timeout", Phase.BODY, PRICE),
    "drip in chunks": (dripping(CHUNKED, b"1\r\n.\r\n"), "timeout", Phase.BODY, PRICE),
    "closed before headers": (cut_after(b""), "connection", Phase.FIRST_BYTE, PRICE),
    "closed in headers": (cut_after(b"HTTP/1.1 200 OK\r\ncont"), "connection", Phase.FIRST_BYTE, PRICE),
    "reset before headers": (cut_after(b"", reset=True), "connection", Phase.FIRST_BYTE, PRICE),
    "cut body": (cut_after(TRUNCATED), "connection", Phase.BODY, PRICE),
    "cut chunks": (cut_after(CHUNKED + b"5\r\nab"), "connection", Phase.BODY, PRICE),
    "reset in body": (cut_after(TRUNCATED, reset=True), "connection", Phase.BODY, PRICE),
    "not http": (cut_after(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "protocol", None, PRICE),
    "bad chunk size": (answering(CHUNKED + b"zz\r\n"), "protocol", None, PRICE),
    "server error": (answering(response(b"", 500)), "server_error", None, 0.0),
    "redirect": (answering(response(b"", 302, {"location": "/x"})), "server_error", None, 0.0),
    "not a picture": (answering(response(b"<html>")), "bad_image", None, PRICE),
    "not gzip": (answering(response(PNG, headers={"content-encoding": "gzip"})), "protocol", None, PRICE),
    "cut gzip": (
        answering(response(gzip.compress(PNG)[:-9], headers={"content-encoding": "gzip"})),
        "protocol", None, PRICE,
    ),
    "unknown encoding": (
        answering(response(PNG, headers={"content-encoding": "gzip, gzip"})),
        "protocol", None, PRICE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
async def test_what_breaks_on_the_wire_is_what_is_reported(name):
    """Each break ends in one class, in the phase where it struck, with one request sent."""
    script, error, phase, cost = BREAKS[name]
    result, server = await probe_script(script, deadline_s=0.3 if error == "timeout" else 5.0)

    assert (error, phase, cost) == (result.error, result.failed_phase, result.cost_usd)
    assert len(server.requests) == 1
    assert result.latency_s is None
    assert sum(result.phases.values()) <= result.duration_s


async def test_a_gzipped_answer_is_read():
    """Content encoding is undone before the format sees the body."""
    zipped = response(gzip.compress(PNG), headers={"content-encoding": "gzip"})
    result, _ = await probe_script(answering(zipped))

    assert Outcome.GOOD is result.outcome
    assert len(PNG) == result.received_bytes


async def test_a_gzip_bomb_stops_at_the_cap():
    """A hundred kilobytes cannot fill the memory."""
    bomb = gzip.compress(bytes(transport.REPLY_BYTES_MAX + 1), 9)
    result, _ = await probe_script(answering(response(bomb, headers={"content-encoding": "gzip"})))

    assert ErrorClass.PROTOCOL is result.error
    assert f"replies exceed {transport.REPLY_BYTES_MAX} bytes" == result.detail
    assert PRICE == result.cost_usd


async def test_an_endless_body_stops_at_the_cap():
    """The cap counts what arrives, whatever length was promised."""
    megabytes = bytes(8 * 1024 * 1024)
    result, _ = await probe_script(dripping(response(b"", length=10**12), megabytes), deadline_s=60)

    assert ErrorClass.PROTOCOL is result.error
    assert str(transport.REPLY_BYTES_MAX) in result.detail


async def test_a_refused_connection_costs_nothing():
    """Nothing was sent, so nothing is booked and no latency exists."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with probing() as probe:
            result = await probe(f"http://127.0.0.1:{taken.getsockname()[1]}")

    assert (ErrorClass.CONNECTION, Phase.CONNECT) == (result.error, result.failed_phase)
    assert (0.0, None) == (result.cost_usd, result.http_status)


@pytest.mark.parametrize("host", ["name.invalid", f"{'a' * 64}.invalid"])
async def test_a_name_that_does_not_resolve_fails_in_dns(host):
    """RFC 2606 keeps ``.invalid`` unresolvable; a label may have 63 characters."""
    async with probing() as probe:
        result = await probe(f"http://{host}", deadline_s=20)

    assert (ErrorClass.CONNECTION, Phase.DNS) == (result.error, result.failed_phase)


async def test_a_connection_that_never_opens_times_out_in_connect():
    """A full backlog drops the handshake, as a firewall does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(address)
        async with probing() as probe:
            result = await probe(f"http://127.0.0.1:{address[1]}", deadline_s=0.3)
        for one in waiting:
            one.close()

    assert (ErrorClass.TIMEOUT, Phase.CONNECT) == (result.error, result.failed_phase)
    assert result.cost_usd == 0


async def test_a_server_that_speaks_no_tls_times_out_in_tls():
    """The handshake is under the deadline too, and its socket is closed then."""
    async with serving(hanging) as server, probing() as probe:
        result = await probe(f"https://127.0.0.1:{server.port}", deadline_s=1.0)

    assert (ErrorClass.TIMEOUT, Phase.TLS) == (result.error, result.failed_phase)


async def test_an_untrusted_certificate_fails_in_tls_before_the_key_is_sent(tmp_path):
    """A self-signed host never sees a request."""
    context, _ = self_signed(tmp_path)
    async with serving(hanging, context) as server, probing() as probe:
        result = await probe(server.base_url)

    assert (ErrorClass.CONNECTION, Phase.TLS) == (result.error, result.failed_phase)
    assert not server.requests


async def test_a_trusted_certificate_works_and_has_a_phase(tmp_path):
    """The shared context is used, with the right name."""
    context, certificate = self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=certificate)
    async with serving(answering(GOOD), context) as server, probing(ssl_context=trust) as probe:
        result = await probe(server.base_url)
        named = await probe(f"https://localhost:{server.port}", canary=CANARY)

    assert Outcome.GOOD is result.outcome
    assert result.phases[Phase.TLS] > 0
    assert Outcome.GOOD is named.outcome


def poll(**more):
    """Return an answer that sends the client to this server's poll URL."""
    return lambda server: told(poll=f"{server.base_url}/poll", **more)


def link(path="/picture"):
    """Return an answer that names a result link on this server."""
    return lambda server: told(link=f"{server.base_url}{path}")


def hop(to):
    """Return a redirect; *to* may name the server's own address as ``{base}``."""
    return lambda server: response(b"", 302, {"location": to.format(base=server.base_url)})


@pytest.mark.parametrize("after_s", [0.0, 0.02, 60.0])
async def test_endless_polling_ends_at_the_deadline_in_queue(after_s):
    """However short each answer or long each pause, the total counts; the job is booked."""
    result, server = await probe_script(answering(poll(after_s=after_s)), deadline_s=0.3)

    assert (ErrorClass.TIMEOUT, Phase.QUEUE) == (result.error, result.failed_phase)
    assert PRICE == result.cost_usd
    assert all(request.method == "GET" for request in server.requests[1:])


async def test_polling_has_an_end_even_without_a_deadline_in_sight():
    """A format that never finishes is stopped by count, here without a network."""
    sent = []

    def still_waiting(request):
        sent.append(request.url)
        return httpx.Response(200, json={"poll": "https://a.test/poll"})

    async with probing(transport=httpx.MockTransport(still_waiting)) as probe:
        result = await probe("https://a.test", deadline_s=600)

    assert ErrorClass.PROTOCOL is result.error
    assert f"no result after {driver.SENDS_MAX} requests" == result.detail
    assert len(sent) == driver.SENDS_MAX


async def test_queue_time_holds_polls_and_pauses():
    """Polls are not first-byte waits; the picture's latency runs from submit to result."""
    script = answering(poll(after_s=0.05), poll(after_s=0.05), GOOD)
    result, server = await probe_script(script)

    assert Outcome.GOOD is result.outcome
    assert result.phases[Phase.QUEUE] >= 0.1
    assert result.latency_s >= result.phases[Phase.QUEUE]
    assert sum(result.phases.values()) <= result.duration_s
    assert server.connections == 1


async def test_a_poll_that_hangs_up_fails_in_queue():
    """Within a poll the finer phases are not told apart."""
    calls = answering(poll())

    async def script(received, writer, server):
        await (calls if received.method == "POST" else cut_after(b""))(received, writer, server)

    result, _ = await probe_script(script)

    assert (ErrorClass.CONNECTION, Phase.QUEUE) == (result.error, result.failed_phase)
    assert PRICE == result.cost_usd


async def test_a_redirect_of_an_api_call_is_never_followed():
    """Following it would hand the key to whoever wrote the Location header."""
    async with serving(answering(GOOD)) as thief, probing() as probe:
        for status in (301, 302, 303, 307, 308):
            moved = response(b"", status, {"location": f"{thief.base_url}/draw"})
            async with serving(answering(moved)) as server:
                result = await probe(server.base_url)

            assert status == result.http_status
            assert len(server.requests) == 1

    assert not thief.requests


async def test_the_key_is_not_sent_to_another_host_that_a_reply_names():
    """A poll URL on a foreign host ends the probe before anything is sent there."""
    async with probing() as probe, serving(answering(GOOD)) as thief:
        script = answering(told(poll=f"{thief.base_url}/poll"))
        async with serving(script) as server:
            result = await probe(server.base_url, poll_hosts=(".bfl.ai",))

    assert ErrorClass.PROTOCOL is result.error
    assert "not a configured host" in result.detail
    assert not thief.connections


async def test_the_key_may_go_to_a_poll_host_over_tls(tmp_path):
    """BFL polls on another host than it takes jobs on."""
    context, certificate = self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=certificate)
    async with serving(answering(GOOD), context) as polled, probing(ssl_context=trust) as probe:
        url = f"https://localhost:{polled.port}/poll"
        async with serving(answering(told(poll=url))) as server:
            result = await probe(server.base_url, poll_hosts=("localhost",))

    assert Outcome.GOOD is result.outcome
    assert f"Bearer {KEY}" == polled.requests[0].headers["authorization"]


async def test_a_download_refuses_loopback_unless_the_target_allows_it():
    """A hostile gateway cannot make the monitor read its own network."""
    script = answering(link(), GOOD)
    refused, server = await probe_script(script)

    assert ErrorClass.PROTOCOL is refused.error
    assert len(server.requests) == 1

    allowed, _ = await probe_script(script, allow_private_downloads=True)

    assert Outcome.GOOD is allowed.outcome


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "127.1"])
async def test_a_private_address_is_refused_however_it_is_written(host):
    """The resolved address counts, so no spelling and no name slips through."""
    async with serving(answering(GOOD)) as inner, probing() as probe:
        url = f"https://{host}:{inner.port}/x"
        async with serving(answering(told(link=url))) as server:
            result = await probe(server.base_url)

    assert ErrorClass.PROTOCOL is result.error
    assert "result link points at a private address" in result.detail
    assert not inner.connections
    assert PRICE == result.cost_usd


async def test_a_download_carries_no_key_and_no_cookie_and_its_own_connection():
    """The link's host learns nothing of us but the address."""
    cookie = {"set-cookie": "session=1; Path=/"}

    def linked(server):
        return response(json.dumps({"link": f"{server.base_url}/p"}).encode(), headers=cookie)

    def moved(server):
        return response(b"", 302, cookie | {"location": "/q"})

    script = answering(linked, moved, GOOD)
    result, server = await probe_script(script, allow_private_downloads=True)
    _, *downloads_seen = server.requests

    assert Outcome.GOOD is result.outcome
    assert ["/p", "/q"] == [request.path for request in downloads_seen]
    for request in downloads_seen:
        assert {"authorization", "cookie"}.isdisjoint(request.headers)
        assert KEY not in str(request)
    assert server.connections == 2
    assert result.phases[Phase.DOWNLOAD] > 0


async def test_a_download_follows_three_redirects_and_no_more():
    """Result links hop to a storage host, not around the world."""
    hops = [hop("{base}/1"), hop("/2"), hop("../3")]
    good, _ = await probe_script(answering(link(), *hops, GOOD), allow_private_downloads=True)
    bad, _ = await probe_script(answering(link(), *hops, hop("/4")), allow_private_downloads=True)

    assert Outcome.GOOD is good.outcome
    assert ErrorClass.PROTOCOL is bad.error
    assert bad.detail == "result link redirects more than 3 times"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.test/x", "not https"),
        ("ftp://example.test/x", "not an http URL"),
        ("https://user:pw@example.test/x", "user name"),
        ("https:///x", "not an http URL"),
        ("https://exa mple.test/x", "not an http URL"),
        (f"https://{'x' * 70_000}", "not a URL"),
        (7, "not a URL"),
    ],
)
async def test_a_link_that_is_none_is_off_protocol(url, words):
    """What a reply names is checked before anything is sent."""
    result, _ = await probe_script(answering(told(link=url)))

    assert ErrorClass.PROTOCOL is result.error
    assert words in result.detail


async def test_a_redirect_to_nowhere_is_off_protocol():
    """A broken Location header is the provider's fault."""
    for location in ("https://[", "ftp://example.test/", "https://x:99999999/"):
        script = answering(link(), hop(location.replace("{", "{{")))
        result, _ = await probe_script(script, allow_private_downloads=True)

        assert ErrorClass.PROTOCOL is result.error


async def test_a_dead_link_is_handed_to_the_format():
    """A 404 of a download is an answer, which the format judges."""
    script = answering(link(), response(b"", 404))
    result, _ = await probe_script(script, allow_private_downloads=True)

    assert (ErrorClass.SERVER_ERROR, 404) == (result.error, result.http_status)


async def test_a_download_that_hangs_times_out_in_download():
    """Connecting to the link's host is part of its phase."""
    calls = answering(link())

    async def script(received, writer, server):
        await (calls if received.method == "POST" else hanging)(received, writer, server)

    result, _ = await probe_script(script, allow_private_downloads=True, deadline_s=0.3)

    assert (ErrorClass.TIMEOUT, Phase.DOWNLOAD) == (result.error, result.failed_phase)


async def test_the_address_that_was_checked_is_the_one_connected_to():
    """A name that answers differently the second time is never asked a second time."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    checked = []

    async def resolver(*_):
        return answers.pop(0)

    timeline_now.set(Timeline(SystemClock()))
    async with serving(hanging) as server:
        backend = ResolvingBackend(checked.append, resolver)
        stream = await backend.connect_tcp("rebinding.test", server.port)
        peer = stream.get_extra_info("server_addr")
        await stream.aclose()

    assert [peer[0]] == checked
    assert len(answers) == 1


async def test_the_next_address_is_tried_when_one_is_dead():
    """A host with a broken address is reachable, as it is for every client."""

    async def resolver(*_):
        return ["127.0.0.2", "127.0.0.1"]

    timeline_now.set(Timeline(SystemClock()))
    async with serving(hanging) as server:
        stream = await ResolvingBackend(resolver=resolver).connect_tcp("two.test", server.port)
        peer = stream.get_extra_info("server_addr")
        await stream.aclose()

    assert (peer[0], peer[1]) == ("127.0.0.1", server.port)


async def test_every_probe_connects_anew():
    """Cold samples compare; a warm one would hide DNS and TLS trouble."""
    async with serving(answering(GOOD)) as server, probing() as probe:
        results = [await probe(server.base_url) for _ in range(3)]

    assert server.connections == 3
    assert not any(result.reused for result in results)


async def test_kept_connections_are_reused_and_say_so():
    """The other way of measuring is marked on each sample."""
    async with serving(answering(GOOD)) as server, probing(fresh_connections=False) as probe:
        results = [await probe(server.base_url) for _ in range(3)]

    assert server.connections == 1
    assert [result.reused for result in results] == [False, True, True]
    assert Phase.CONNECT not in results[1].phases


async def test_a_proxy_is_used_only_when_it_is_configured():
    """Requests go through it whole; the environment is not asked."""
    async with serving(answering(GOOD)) as proxy, probing(proxy=proxy.base_url) as probe:
        result = await probe("http://provider.invalid")

    assert Outcome.GOOD is result.outcome
    assert proxy.requests[0].path == "http://provider.invalid/draw"


async def test_the_environments_proxy_is_not_asked(monkeypatch):
    """A canary measures what the configuration says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    result, _ = await probe_script(answering(GOOD))

    assert Outcome.GOOD is result.outcome


@pytest.mark.parametrize("changes", [{"size": (1024, 1024)}, {}])
async def test_a_wrong_picture_keeps_its_numbers(changes):
    """Size and colour are checked, and hash and numbers are the evidence."""
    script = answering(response(encoded(flat((0, 0, 255)))))
    result, _ = await probe_script(script, **changes)

    assert ErrorClass.BAD_IMAGE is result.error
    assert (64, 64) == (result.image.width, result.image.height)
    assert PRICE == result.cost_usd


async def test_an_answer_out_of_a_cache_is_a_bad_image():
    """The same bytes for another prompt were not drawn for it."""
    other = Canary(prompt="A plain red circle. #0002", colour=RED)
    async with serving(answering(GOOD)) as server, probing() as probe:
        first = await probe(server.base_url)
        again = await probe(server.base_url, canary=other)

    assert Outcome.GOOD is first.outcome
    assert ErrorClass.BAD_IMAGE is again.error
    assert first.image == again.image


async def test_a_large_answer_is_read_in_a_thread_and_the_loop_goes_on():
    """A format that blocks over a large body stalls nobody else."""

    class Blocking(Plain):
        def exchange(self, target, canary):
            picture = yield from super().exchange(target, canary)
            # Returns only when the loop has run in the meantime.
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(5)
            return Picture(data=picture.data[: len(PNG)])

    loop = asyncio.get_running_loop()
    padded = response(PNG + bytes(driver.INLINE_BYTES_MAX))
    result, _ = await probe_script(answering(padded), fmt=Blocking())

    assert Outcome.GOOD is result.outcome


class Broken(Plain):
    """A plug-in with a fault of its own."""

    def __init__(self, fault):
        """Fail by *fault*, a generator function."""
        self.fault = fault

    def exchange(self, target, canary):
        """Fail in the way that was asked for."""
        reply = yield from self.fault(target, canary)
        return reply


def raises(target, canary):
    """Raise with a message that holds the key."""
    raise LookupError(target.api_key)
    yield


def returns_nothing(target, canary):
    """End without a picture."""
    return None
    yield


def yields_nonsense(target, canary):
    """Yield what is no send."""
    yield "GET /"


def sends_a_download_with_headers(target, canary):
    """Trip over an invariant."""
    yield Send(method="GET", url="https://a.test", headers={"x": KEY}, phase=Phase.DOWNLOAD)


def sends_what_is_no_json(target, canary):
    """Ask for a body that cannot be encoded."""
    yield Send(method="POST", url=target.base_url, json=object())


def clings_to_life(target, canary):
    """Refuse the first call to close."""
    try:
        yield Send(method="GET", url="ftp://x")
    finally:
        yield Send(method="GET", url="ftp://x")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (raises, "LookupError in wire format 'plain'"),
        (returns_nothing, "neither a send nor a picture but NoneType in wire format 'plain'"),
        (yields_nonsense, "neither a send nor a picture but str in wire format 'plain'"),
        (sends_a_download_with_headers, "AssertionError in wire format 'plain'"),
        (sends_what_is_no_json, "TypeError"),
    ],
)
async def test_a_fault_in_a_format_is_ours_and_shows_no_message(fault, words):
    """A broken plug-in stops its probe, blames nobody and leaks no key."""
    result, server = await probe_script(hanging, fmt=Broken(fault))

    assert ErrorClass.MONITOR_FAULT is result.error
    assert words == result.detail
    assert result.cost_usd == 0
    assert not server.requests


async def test_a_format_that_cannot_even_start_is_a_monitor_fault():
    """A plug-in need not be a generator function."""

    class Unstartable(Plain):
        def exchange(self, *_):
            raise ImportError(KEY)

    result, _ = await probe_script(hanging, fmt=Unstartable())

    assert result.detail == "ImportError in wire format 'plain'"


async def test_a_format_that_refuses_to_stop_is_let_go():
    """Closing a stubborn generator does not become the probe's result."""
    result, _ = await probe_script(hanging, fmt=Broken(clings_to_life))

    assert ErrorClass.PROTOCOL is result.error


@pytest.mark.parametrize("key", ["line\nfeed", "typographic\u2019quote"])
async def test_a_key_that_http_cannot_carry_is_our_bad_request_and_is_not_shown(key):
    """The library's message quotes the header, so only its type is kept."""
    result, server = await probe_script(answering(GOOD), api_key=key)

    assert ErrorClass.BAD_REQUEST is result.error
    assert key[:4] not in result.detail
    assert not server.requests


async def test_a_cancelled_probe_passes_the_cancellation_on():
    """Shutdown is not a verdict."""
    entered = asyncio.Event()

    async def script(received, writer, server):
        entered.set()
        await server.hang_up.wait()

    async with serving(script) as server, probing() as probe:
        task = asyncio.create_task(probe(server.base_url))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_the_provider_bills_is_booked_instead_of_the_list_price():
    """The answer's own amount wins, with a picture and without one."""

    class Billing(Plain):
        def exchange(self, target, canary):
            picture = yield from super().exchange(target, canary)
            if picture.data == b"empty":
                raise Refused(Verdict(error=ErrorClass.NO_IMAGE, cost_usd=0.002))
            return Picture(data=picture.data, cost_usd=0.001, server_s=3.0, request_id="r1")

    good, _ = await probe_script(answering(GOOD), fmt=Billing())
    bad, _ = await probe_script(answering(response(b"empty")), fmt=Billing())

    assert (0.001, 3.0, "r1") == (good.cost_usd, good.server_s, good.request_id)
    assert bad.cost_usd == 0.002


class Living(Plain):
    """The plain format with a free call: whatever JSON comes is what it tells."""

    def liveness(self, target):
        """Follow ``next``, then tell."""
        headers = {"authorization": f"Bearer {target.api_key}"}
        reply = yield Send(method="GET", url=f"{target.base_url}/models", headers=headers)
        while url := (reply.json or {}).get("next"):
            reply = yield Send(method="GET", url=url, headers=headers)
        if reply.status != 200:
            raise Refused(Verdict(error=ErrorClass.AUTH, http_status=reply.status, detail="no"))
        return Alive(**reply.json)


@asynccontextmanager
async def calling(script):
    """Give a function that makes one free call against *script*, and the server."""
    made = Driver(clock=SystemClock())

    async def call(fmt=None, **changes):
        given = {
            "id": "t", "provider": "p", "format": "plain", "base_url": server.base_url,
            "model": "m", "api_key": KEY, "price_usd": PRICE, "deadline_s": 5.0,
        }  # fmt: skip
        target = Target(**given | changes)
        return await made.liveness(target, fmt or Living(), probe_id="1", slot_s=300.0)

    try:
        async with serving(script) as server:
            yield call, server
    finally:
        await made.aclose()


async def test_a_free_call_is_free_and_tells_what_the_format_found():
    """Its own kind, no picture, no money, and a latency by the usual definition."""
    alive = {"detail": "5 models", "shutdown_on": "2026-12-01", "balance_usd": 1.5,
             "request_id": "r1"}  # fmt: skip
    async with calling(answering(told(**alive))) as (call, server):
        result = await call()
    (request,) = server.requests

    assert (ProbeKind.LIVENESS, ProbeReason.SCHEDULED, 300.0) == (
        result.kind, result.reason, result.slot_s,
    )  # fmt: skip
    assert alive == {name: getattr(result, name) for name in alive}
    assert (Outcome.GOOD, 200, 0.0, None) == (
        result.outcome, result.http_status, result.cost_usd, result.image,
    )  # fmt: skip
    assert 0 < result.latency_s <= result.duration_s
    assert {Phase.CONNECT, Phase.SEND, Phase.FIRST_BYTE} <= set(result.phases)
    assert f"bearer {KEY}" == request.headers["authorization"].lower()


FREE_TROUBLES = {
    "refused": (answering(response(b"{}", status=401)), ErrorClass.AUTH),
    "redirected": (
        answering(response(b"", status=302, headers={"location": "https://a.test/"})),
        ErrorClass.AUTH,
    ),
    "another host": (answering(told(next="https://a.test/models")), ErrorClass.PROTOCOL),
    "not JSON": (answering(response(b"not json")), ErrorClass.MONITOR_FAULT),
    "cut": (cut_after(told(detail="x")[:-2]), ErrorClass.CONNECTION),
}


@pytest.mark.parametrize(("script", "error"), FREE_TROUBLES.values(), ids=FREE_TROUBLES)
async def test_the_troubles_of_a_free_call_are_those_of_a_probe(script, error):
    """Redirects are not followed, the key stays on its host, a fault in the format is ours."""
    async with calling(script) as (call, server):
        result = await call()

    assert (error, 0.0, None) == (result.error, result.cost_usd, result.latency_s)
    assert 1 == len(server.requests)


@pytest.mark.parametrize(("deadline_s", "within"), [(60.0, "0.2"), (0.1, "0.1")])
async def test_a_free_call_has_a_deadline_of_its_own(monkeypatch, deadline_s, within):
    """The target's, unless that is longer than a front end may take."""
    monkeypatch.setattr(driver, "FREE_CALL_S_MAX", 0.2)
    async with calling(hanging) as (call, _):
        result = await call(deadline_s=deadline_s)

    assert (ErrorClass.TIMEOUT, f"TimeoutError: no result within {within} s") == (
        result.error, result.detail,
    )  # fmt: skip


async def test_a_free_call_that_ends_without_a_sign_of_life_is_a_fault_of_the_format():
    """A picture is no answer to it."""

    class Drawing(Living):
        def liveness(self, target):
            yield Send(method="GET", url=f"{target.base_url}/models")
            return Picture(data=PNG)

    async with calling(answering(GOOD)) as (call, _):
        result = await call(Drawing())

    assert ErrorClass.MONITOR_FAULT is result.error
    assert "neither a send nor a sign of life but Picture in wire format 'plain'" == result.detail


async def test_what_a_plug_in_tells_is_cut():
    """Rows and log lines stay short, whatever the format's author let through."""
    told = Limit(period=LimitPeriod.DAY, requests=9)

    class Wordy(Plain):
        def exchange(self, target, _):
            reply = yield Send(method="GET", url=target.base_url)
            if reply.body == b"empty":
                raise Refused(
                    Verdict(
                        error=ErrorClass.PROTOCOL, detail="x" * 999, body_head="y" * 999,
                        code="z" * 999, limits=(told,) * 999,
                    )
                )  # fmt: skip
            return Picture(
                data=reply.body, model_version="m" * 999, request_id="r" * 999,
                finish_reason="f" * 999, limits=(told, told),
            )  # fmt: skip

    bad, _ = await probe_script(answering(response(b"empty")), fmt=Wordy())
    good, _ = await probe_script(answering(GOOD), fmt=Wordy())
    texts = (bad.detail, bad.code, good.model_version, good.request_id, good.finish_reason)

    assert {run.DETAIL_CHARS} == set(map(len, texts))
    assert run.BODY_HEAD_CHARS == len(bad.body_head)
    assert ((told, told), (told,) * run.LIMITS_MAX) == (good.limits, bad.limits)


async def test_a_recorded_reply_is_played_through_the_real_driver():
    """Its encoding headers are stale, its size and colour unchecked, its null a dead line."""
    blank = encoded(flat((0, 0, 0), (8, 8))).decode("latin-1")
    headers = {"Content-Encoding": "gzip", "Content-Length": "3", "Content-Type": "text/html"}

    async def recorded(response):
        return await classify_recording({"response": response}, Plain(), SystemClock())

    html = await recorded({"status": 200, "headers": headers, "body": "<html>"})
    linked = await recorded(
        {"status": 200, "headers": {}, "body": {"link": "https://a.test/x", "n": [blank]}}
    )
    down = await recorded({"status": 503, "headers": None, "body": None})
    dead = await recorded(None)

    assert (ErrorClass.BAD_IMAGE, 6) == (html.error, html.received_bytes)
    assert (None, "result link" in linked.detail) == (linked.error, True)
    assert (ErrorClass.SERVER_ERROR, 503) == (down.error, down.http_status)
    assert (ErrorClass.CONNECTION, 0.0) == (dead.error, dead.cost_usd)


async def test_a_recording_that_lost_its_bytes_is_refused():
    """U+FFFD in a body means the recorder could not keep it: no verdict, not a wrong one."""
    damaged = {"response": {"status": 200, "headers": {}, "body": "\x1f\ufffd\x08"}}

    with pytest.raises(ValueError, match="damaged"):
        await classify_recording(damaged, Plain(), SystemClock())
