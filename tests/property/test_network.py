"""What looks like our own network being gone: from how many hosts, and in which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.network import (
    TOGETHER_S,
    OurNetwork,
    failing,
    host_of,
    is_lost,
    is_unreached,
)
from probes.model import ErrorClass, Phase
from tests.support.builders import a_result

CONNECTION, TIMEOUT = ErrorClass.CONNECTION, ErrorClass.TIMEOUT


@pytest.mark.parametrize(
    ("error", "phase", "unreached", "lost"),
    [
        (CONNECTION, Phase.DNS, True, True),
        (CONNECTION, Phase.BODY, True, True),
        (TIMEOUT, Phase.CONNECT, True, True),
        (TIMEOUT, Phase.TLS, True, True),
        # A slow answer is no sign of a network that is gone; one that broke off fits one that is.
        (TIMEOUT, Phase.FIRST_BYTE, False, True),
        (TIMEOUT, None, False, True),
        (ErrorClass.OVERLOADED, None, False, False),
        (ErrorClass.AUTH, None, False, False),
        (None, None, False, False),
    ],
)
def test_what_a_gone_network_looks_like(error, phase, unreached, lost):
    """No connection came about; once it is known to be gone, whatever broke off as well."""
    result = a_result(error, failed_phase=phase)

    assert (unreached, lost) == (is_unreached(result), is_lost(result))


def test_not_watched_is_not_no():
    """Three answers: nobody could tell, no, yes."""
    states = [OurNetwork(), OurNetwork(is_watched=True), OurNetwork(True, 5.0)]

    assert [None, False, True] == [state.is_suspect for state in states]


def test_targets_behind_one_host_are_related():
    """Whatever their paths; a port makes another host, as in tests and on one machine."""
    assert (
        "api.example.com"
        == host_of("https://API.example.com/v1")
        == host_of("https://api.example.com")
    )
    assert host_of("http://127.0.0.1:1") != host_of("http://127.0.0.1:2")


@given(
    failures=st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0.0, 100.0)), min_size=1, max_size=30
    )
)
def test_hosts_fail_together_within_two_minutes(failures):
    """Law: those whose newest failure is at most two minutes old, and no other."""
    hosts: dict[str, float] = {}
    now, newest = 0.0, {}
    for host, later in failures:
        now += later
        newest[host] = now
        hosts = failing(hosts, host, now)

        assert {h: at for h, at in newest.items() if now - at <= TOGETHER_S} == hosts
