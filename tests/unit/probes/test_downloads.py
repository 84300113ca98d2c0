"""Where keys and downloads may go."""

from __future__ import annotations

import httpx
import pytest

from probes.downloads import check_api_url, check_link, is_public, next_hop, parsed
from probes.model import ErrorClass, Refused, Target

BASE = "https://api.bfl.ai/v1"


def allowed(url, *, base_url=BASE, poll_hosts=(".bfl.ai",)):
    """Return whether the key may be sent to *url*."""
    target = Target(
        id="t", provider="p", format="f", base_url=base_url, model="m", poll_hosts=poll_hosts
    )
    try:
        check_api_url(parsed(url), target)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    "url",
    [
        "https://api.bfl.ai/v1/flux",
        "https://api.bfl.ai:443/elsewhere",
        "https://API.BFL.AI/x",
        "https://api.eu1.bfl.ai/v1/get_result?id=1",
        "https://gateway.bfl.ai:8443/x",
        "https://bfl.ai/x",
        "https://api.us.bfl.ai./x",
    ],
)
def test_the_key_goes_to_the_base_url_and_to_poll_hosts(url):
    """The vendor polls on sister hosts."""
    assert allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evilbfl.ai/x",
        "https://bfl.ai.evil.test/x",
        "https://evil.test/api.bfl.ai",
        "https://evil.test#api.bfl.ai",
        "https://evil.test?x=.bfl.ai",
        "https://api.bfl.ai@evil.test/x",
        "https://user:pw@api.eu1.bfl.ai/x",
        "https://evil.test\\@api.bfl.ai/x",
        "http://api.bfl.ai/v1/flux",
        "http://api.eu1.bfl.ai/x",
        "https://127.0.0.1/x",
    ],
)
def test_the_key_goes_nowhere_else(url):
    """Look-alikes, other schemes and user names are refused before anything is sent."""
    assert not allowed(url)


def test_without_poll_hosts_only_the_base_url_is_left():
    """Scheme, host and port must all be the configured ones."""
    assert allowed("http://127.0.0.1:8721/bfl/x", base_url="http://127.0.0.1:8721/bfl")
    assert not allowed("http://127.0.0.1:8722/bfl/x", base_url="http://127.0.0.1:8721/bfl")
    assert not allowed("https://api.eu1.bfl.ai/x", poll_hosts=())
    assert not allowed("https://api.eu1.bfl.ai/x", poll_hosts=("", "."))


@pytest.mark.parametrize("suffix", ["bfl.ai", ".bfl.ai", ".BFL.ai", ".bfl.ai."])
def test_a_poll_host_may_be_written_with_or_without_dots(suffix):
    """The label boundary holds in every spelling."""
    assert allowed("https://api.eu1.bfl.ai/x", poll_hosts=(suffix,))
    assert not allowed("https://evilbfl.ai/x", poll_hosts=(suffix,))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "255.255.255.255", "224.0.0.1", "239.255.255.250", "192.0.2.1", "::", "::1",
        "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::",
        "64:ff9b:1::7f00:1", "::127.0.0.1", "::ffff:0:127.0.0.1", "fec0::1", "5f00::1",
    ],
)  # fmt: skip
def test_private_and_special_addresses_are_not_public(address):
    """Also when IPv6 only wraps them."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_ordinary_addresses_are_public(address):
    """Result links live there."""
    assert is_public(address)


@pytest.mark.parametrize("url", ["https://10.0.0.1/x", "https://[::1]/x", "http://example.test/"])
def test_a_private_or_plain_link_needs_the_targets_permission(url):
    """Literal addresses are seen even where a proxy resolves names."""
    with pytest.raises(Refused):
        check_link(parsed(url), allow_private=False)
    check_link(parsed(url), allow_private=True)


@pytest.mark.parametrize(
    "url", ["", "x", "//host/x", "file:///etc/passwd", "https://", "https://a b/", None, 3,
            "https://a:99999/", "https://[", "https://\x00/"],
)  # fmt: skip
def test_what_is_no_url_is_off_protocol(url):
    """Replies hold anything."""
    with pytest.raises(Refused) as refused:
        parsed(url)

    assert ErrorClass.PROTOCOL is refused.value.verdict.error


@pytest.mark.parametrize(
    ("status", "location", "expected"),
    [
        (302, "/b", "https://a.test/b"),
        (307, "https://c.test/d", "https://c.test/d"),
        (308, "//e.test/f", "https://e.test/f"),
        (200, "/b", None),
        (304, "/b", None),
    ],
)
def test_a_hop_is_resolved_against_the_link(status, location, expected):
    """Only real redirects lead anywhere."""
    found = next_hop(httpx.URL("https://a.test/x/y"), status, httpx.Headers({"location": location}))

    assert (httpx.URL(expected) if expected else None) == found


def test_a_redirect_without_a_location_leads_nowhere():
    """It is an answer like any other."""
    assert next_hop(httpx.URL("https://a.test/"), 302, httpx.Headers()) is None
