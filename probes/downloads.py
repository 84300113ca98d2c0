"""
Where a request may go: the key to configured hosts only, downloads to public addresses only.

Result links come out of replies, and a hostile gateway writes replies. Pure decisions; the
driver sends.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpx

from probes.model import Target
from probes.transport import off_protocol

# Result links hop to a storage host, seldom twice.
REDIRECTS_MAX: Final = 3
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
PORTS: Final = {"http": 80, "https": 443}
# The one block of global unicast addresses that IANA has opened. What lies outside of it is for
# local use or stands for an IPv4 address, and Python calls some of it global.
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# A gateway that translates to IPv4 hides the real address in the last four bytes (RFC 6052).
NAT64: Final = IPv6Network("64:ff9b::/96")


def parsed(url: str) -> httpx.URL:
    """Return *url* parsed; raises Refused (``protocol``) when it is none."""
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise off_protocol(f"not a URL: {error}") from error
    # httpx escapes what no host name can hold; such a name is no name.
    is_host = found.raw_host and b"%" not in found.raw_host
    if found.scheme not in PORTS or not is_host or (found.port or 1) > 65_535:
        raise off_protocol(f"not an http URL: {url[:100]}")
    return found


def check_api_url(url: httpx.URL, target: Target) -> None:
    """
    Raise Refused (``protocol``) unless *target*'s key may be sent to *url*.

    Allowed are the base URL's own scheme, host and port, and https on a host that is, or lies
    under, one of ``target.poll_hosts``.
    """
    if _origin(url) == _origin(httpx.URL(target.base_url)):
        return
    host = _host(url)
    suffixes = (suffix.lower().strip(".") for suffix in target.poll_hosts)
    under = any(host == suffix or host.endswith(f".{suffix}") for suffix in suffixes if suffix)
    if not (under and url.scheme == "https" and not url.userinfo):
        raise off_protocol(f"key not sent to {url.scheme}://{host}: not a configured host")


def check_link(url: httpx.URL, *, allow_private: bool) -> None:
    """Raise Refused (``protocol``) unless a download may start at *url*; addresses come later."""
    if url.scheme != "https" and not allow_private:
        raise off_protocol(f"result link is not https: {url.scheme}://{_host(url)}")
    if url.userinfo:
        raise off_protocol("result link carries a user name")
    if not allow_private and _is_literal(url.host):
        check_address(url.host)


def check_address(address: str) -> None:
    """Raise Refused (``protocol``) unless *address* is a public unicast address."""
    if not is_public(address):
        raise off_protocol(f"result link points at a private address: {address}")


def is_public(address: str) -> bool:
    """Return whether *address*, and any IPv4 address inside it, is global unicast."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found not in GLOBAL_UNICAST and found not in NAT64:
        return False
    return all(one.is_global and not one.is_multicast for one in (found, *_embedded(found)))


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return []
    teredo = address.teredo[1] if address.teredo else None
    nat64 = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
    inner = (address.ipv4_mapped, address.sixtofour, teredo, nat64)
    return [one for one in inner if one is not None]


def next_hop(url: httpx.URL, status: int, headers: httpx.Headers) -> httpx.URL | None:
    """Return where a reply redirects to, or None; raises Refused when it leads nowhere."""
    if status not in REDIRECTS or "location" not in headers:
        return None
    try:
        return parsed(str(url.join(headers["location"])))
    except httpx.InvalidURL as error:
        raise off_protocol(f"redirect to no URL: {error}") from error


def _origin(url: httpx.URL) -> tuple[str, str, int | None, bytes]:
    return url.scheme, _host(url), url.port or PORTS.get(url.scheme), url.userinfo


def _host(url: httpx.URL) -> str:
    """Return the host in ASCII, as it goes on the wire; a closing dot means the same host."""
    return url.raw_host.decode("ascii").lower().rstrip(".")


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
