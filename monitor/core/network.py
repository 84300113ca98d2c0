"""
Whether trouble is our own: unrelated hosts that cannot be reached within the same two minutes.

That is a suspicion only; hosts that the owner trusts to be up decide it (``monitor/network.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from probes.model import ErrorClass, Phase, ProbeResult

# Free calls come every five minutes, confirmations half a minute after a failure: in two minutes a
# network that is gone shows at more than one host, and two outages seldom begin.
TOGETHER_S: Final = 120.0
_UNCONNECTED: Final = frozenset({Phase.DNS, Phase.CONNECT, Phase.TLS})
_LOST: Final = frozenset({ErrorClass.CONNECTION, ErrorClass.TIMEOUT})


@dataclass(frozen=True, slots=True)
class OurNetwork:
    """
    What is thought of our own network.

    Attributes:
        is_watched: There are hosts that could tell.
        suspect_since: When it was found to be down, wall time; None while it is not.
    """

    is_watched: bool = False
    suspect_since: float | None = None

    @property
    def is_suspect(self) -> bool | None:
        """As it is published: None while nothing is watched, because not checked is not "no"."""
        return self.suspect_since is not None if self.is_watched else None


def host_of(base_url: str) -> str:
    """Return the host in *base_url*, with its port: targets behind it may well fail together."""
    return urlsplit(base_url).netloc.lower()


def is_unreached(result: ProbeResult) -> bool:
    """Return whether *result* failed as it would without a network: no connection came about."""
    if result.error is ErrorClass.TIMEOUT:
        return result.failed_phase in _UNCONNECTED
    return result.error is ErrorClass.CONNECTION


def is_lost(result: ProbeResult) -> bool:
    """Return whether a network known to be down explains *result*, also one that broke off."""
    return result.error in _LOST


def failing(hosts: Mapping[str, float], host: str, now: float) -> dict[str, float]:
    """Return the hosts not reached within ``TOGETHER_S`` of *now*, *host* among them, and when last."""
    return {h: at for h, at in hosts.items() if now - at <= TOGETHER_S} | {host: now}
