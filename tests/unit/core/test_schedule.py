"""When targets fire, and when a slot passes without a probe."""

from __future__ import annotations

import pytest

from monitor.core.schedule import next_fire, phase_s, skip_reason
from monitor.core.snapshot import GapReason, Health, State
from monitor.limits import PERMANENT_RECHECK_S
from probes.model import ErrorClass
from tests.support.builders import NOW


def test_a_phase_is_stable_across_releases():
    """A restart or an upgrade must not move anybody's slot."""
    assert pytest.approx(0.05549, abs=1e-5) == phase_s("alpha", 1.0)


def test_fires_of_many_targets_are_spread():
    """A hundred targets of one interval do not fire together."""
    phases = sorted(phase_s(f"target-{i}", 100.0) for i in range(100))

    assert phases[0] < 10
    assert phases[-1] > 90


def test_jitter_delays_by_at_most_a_quarter_slot():
    """Full jitter is just under a quarter of the interval after the slot's begin."""
    begin = next_fire("alpha", 100.0, NOW, lambda _slot: 0.0)
    late = next_fire("alpha", 100.0, begin - 1, lambda _slot: 0.999)

    assert 24.9 == pytest.approx(late - begin, abs=0.1)


@pytest.mark.parametrize("state", [s for s in State if s is not State.UNUSABLE])
def test_targets_that_may_work_are_probed_every_slot(state):
    """Down and degraded targets too: no state is absorbing."""
    assert skip_reason(Health(state=state, since=NOW), NOW, NOW - 1) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ErrorClass.RATE_LIMITED, GapReason.RETRY_AFTER),
        (ErrorClass.OVERLOADED, GapReason.RETRY_AFTER),
        (ErrorClass.QUOTA_EXHAUSTED, GapReason.QUOTA_GUARD),
    ],
)
def test_a_retry_time_is_honoured(error, reason):
    """Not before it; from that moment on again."""
    health = Health(state=State.UNUSABLE, since=NOW, error=error, retry_at=NOW + 10)

    assert reason is skip_reason(health, NOW + 9, NOW)
    assert skip_reason(health, NOW + 10, NOW) is None


def test_a_refused_key_is_tried_once_an_hour():
    """A permanent refusal is asked again in the slot an hour later, whatever its jitter."""
    health = Health(state=State.UNUSABLE, since=NOW, error=ErrorClass.AUTH)
    earliest = NOW + 0.75 * PERMANENT_RECHECK_S

    assert GapReason.RETRY_AFTER is skip_reason(health, earliest - 1, NOW)
    assert skip_reason(health, earliest, NOW) is None
    assert skip_reason(health, NOW, None) is None


def test_a_clock_set_back_does_not_stop_the_rechecks():
    """A last probe that lies in the future is no reason to wait for it."""
    health = Health(state=State.UNUSABLE, since=NOW, error=ErrorClass.AUTH)

    assert skip_reason(health, NOW - 86_400, NOW) is None
