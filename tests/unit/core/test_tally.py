"""What a process counts of good probes beside the totals."""

from __future__ import annotations

from monitor.core.tally import Exemplar, Tally
from monitor.core.totals import tallied
from probes.model import ErrorClass, Phase, ProbeKind
from tests.support.builders import NOW, a_result


def test_phases_of_good_generations_are_summed_and_the_newest_stands_for_its_bucket():
    """Each phase by how many had it; a bucket's older probe is forgotten."""
    first = a_result(probe_id="p1", latency_s=0.5, phases={Phase.DNS: 0.25, Phase.BODY: 1.0})
    second = a_result(probe_id="p2", latency_s=0.25, at=NOW + 1, phases={Phase.BODY: 2.0})
    slow = a_result(probe_id="p3", latency_s=400.0)
    tally = tallied(tallied(tallied(Tally(), first), second), slow)

    assert {Phase.DNS: (1, 0.25), Phase.BODY: (2, 3.0)} == tally.phases
    assert {
        0: Exemplar(probe_id="p2", latency_s=0.25, at=NOW + 1),
        18: Exemplar(probe_id="p3", latency_s=400.0, at=NOW),
    } == tally.exemplars


def test_failures_and_free_calls_are_no_part_of_it():
    """What has no picture has no latency."""
    tally = tallied(Tally(), a_result())
    failure = a_result(ErrorClass.TIMEOUT, phases={Phase.DNS: 1.0})
    call = a_result(kind=ProbeKind.LIVENESS)

    assert tally is tallied(tally, failure)
    assert tally is tallied(tally, call)
