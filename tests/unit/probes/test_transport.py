"""What the wire raises, and where a probe's time is booked."""

from __future__ import annotations

import errno
import ssl
import zlib

import httpcore
import httpx
import pytest

from monitor.clock import ManualClock
from probes.model import ErrorClass, Phase, Refused
from probes.sockets import Timeline
from probes.transport import (
    JSON_MARKS,
    JSON_MARKS_MAX,
    ByteCount,
    decoded,
    error_class,
    refusal,
)

pytestmark = pytest.mark.anyio

# Typed from what each class means, not from the code.
MEANING = {
    "CloseError": "connection",
    "ConnectError": "connection",
    "ConnectTimeout": "timeout",
    "CookieConflict": "monitor_fault",
    "DecodingError": "protocol",
    "HTTPError": None,  # Abstract: never raised itself.
    "HTTPStatusError": "protocol",
    "InvalidURL": "protocol",
    "LocalProtocolError": "bad_request",
    "NetworkError": "connection",
    "PoolTimeout": "monitor_fault",
    "ProtocolError": None,  # Abstract.
    "ProxyError": "connection",
    "ReadError": "connection",
    "ReadTimeout": "timeout",
    "RemoteProtocolError": "protocol",
    "RequestError": None,  # Abstract.
    "RequestNotRead": "monitor_fault",
    "ResponseNotRead": "monitor_fault",
    "StreamClosed": "monitor_fault",
    "StreamConsumed": "monitor_fault",
    "StreamError": "monitor_fault",
    "TimeoutException": "timeout",
    "TooManyRedirects": "protocol",
    "TransportError": None,  # Abstract.
    "UnsupportedProtocol": "protocol",
    "WriteError": "connection",
    "WriteTimeout": "timeout",
}


def exceptions_of(module):
    """Return the public exception classes of *module* by name."""
    found = {name: getattr(module, name) for name in module.__all__}
    return {
        name: kind
        for name, kind in found.items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }


def made(kind):
    """Return an instance of *kind* without calling its constructor, whose arguments differ."""
    return kind.__new__(kind)


def test_no_httpx_exception_is_unmapped():
    """A new exception in httpx fails here, before it surprises a probe."""
    assert set(MEANING) == set(exceptions_of(httpx))


@pytest.mark.parametrize("module", [httpx, httpcore], ids=lambda module: module.__name__)
def test_each_library_exception_has_its_meaning(module):
    """Both libraries use the same names and mean the same."""
    found = {
        name: error_class(made(kind))
        for name, kind in exceptions_of(module).items()
        if name != "ConnectionNotAvailable"  # Handled inside the pool.
    }

    assert {name: MEANING[name] for name in found} == found


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError(), ErrorClass.CONNECTION),
        (OSError(errno.ENETUNREACH, "unreachable"), ErrorClass.CONNECTION),
        (ssl.SSLCertVerificationError(), ErrorClass.CONNECTION),
        (TimeoutError(), ErrorClass.TIMEOUT),
        (zlib.error(), ErrorClass.PROTOCOL),
        (httpcore.RemoteProtocolError("Server disconnected"), ErrorClass.CONNECTION),
        (httpx.RemoteProtocolError("peer closed connection early"), ErrorClass.CONNECTION),
        (UnicodeEncodeError("ascii", "key", 0, 1, "no"), ErrorClass.BAD_REQUEST),
        (ZeroDivisionError(), None),
    ],
)
def test_what_lies_under_the_libraries_is_known_too(error, expected):
    """Sockets, TLS and zlib raise past them at times."""
    assert expected is error_class(error)


def test_an_unknown_exception_is_our_fault_and_shows_only_its_type():
    """What we cannot name must not blame a provider, nor quote what may be a key."""
    verdict = refusal(KeyError("sekret"), Phase.BODY).verdict

    assert ErrorClass.MONITOR_FAULT is verdict.error
    assert verdict.detail == "KeyError"
    assert verdict.phase is None


def test_a_failure_is_placed_in_its_phase_with_its_words():
    """Connection and timeout say where."""
    verdict = refusal(httpx.ReadError("broken pipe"), Phase.BODY).verdict

    assert (ErrorClass.CONNECTION, Phase.BODY) == (verdict.error, verdict.phase)
    assert verdict.detail == "ReadError: broken pipe"


def test_bytes_are_counted_up_to_the_cap():
    """The last byte allowed is allowed."""
    count = ByteCount(10)
    count.add(10)

    assert count.left == 0
    with pytest.raises(Refused):
        count.add(1)


@pytest.mark.parametrize("mark", JSON_MARKS)
async def test_a_reply_in_more_pieces_than_any_answer_is_not_parsed(mark):
    """Parsed, each piece takes many times its bytes, and nobody else runs meanwhile."""
    most = mark * JSON_MARKS_MAX

    assert most == await decoded(most, "", ByteCount())
    assert most + mark == await decoded(most + mark, "", ByteCount(), is_picture=True)
    with pytest.raises(Refused) as refused:
        await decoded(most + mark, "", ByteCount())
    assert ErrorClass.PROTOCOL is refused.value.verdict.error


def test_phases_add_up_and_never_overlap():
    """Entering a phase ends the one before; the same phase twice is summed."""
    clock = ManualClock()
    timeline = Timeline(clock)
    for phase, seconds in [(Phase.DNS, 1.0), (Phase.CONNECT, 2.0), (Phase.DNS, 4.0)]:
        timeline.enter(phase)
        clock.advance(seconds)
    timeline.leave()
    timeline.leave()
    clock.advance(8.0)

    assert timeline.seconds == {Phase.DNS: 5.0, Phase.CONNECT: 2.0}
    assert Phase.DNS is timeline.current


def test_a_whole_phase_swallows_the_finer_ones():
    """Connecting for a download is download time."""
    clock = ManualClock()
    timeline = Timeline(clock)
    timeline.enter_whole(Phase.DOWNLOAD)
    clock.advance(1.0)
    timeline.enter(Phase.CONNECT)
    clock.advance(2.0)
    timeline.leave()
    timeline.leave_whole()

    assert timeline.seconds == {Phase.DOWNLOAD: 3.0}


async def test_a_tunnels_own_request_is_not_the_first_byte_sent():
    """Behind a proxy, CONNECT comes first, and latency starts after it."""
    clock = ManualClock()
    timeline = Timeline(clock)
    await timeline.trace("http11.send_request_headers.started", {})
    clock.advance(1.0)
    await timeline.trace("proxy.start_tls.started", {})
    clock.advance(1.0)
    await timeline.trace("http11.send_request_headers.started", {})

    assert clock.monotonic() == timeline.first_sent_at
    assert timeline.seconds == {Phase.SEND: 1.0, Phase.TLS: 1.0}
