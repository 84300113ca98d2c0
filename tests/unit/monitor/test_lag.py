"""How late we are ourselves."""

from __future__ import annotations

from monitor.clock import ManualClock
from monitor.lag import LagMeter


def test_the_worst_delay_since_a_moment_is_found():
    """Only delays noted at or after the moment count."""
    clock = ManualClock()
    meter = LagMeter(clock)
    meter.note(3.0)
    clock.advance(10)
    meter.note(1.0)

    assert (3.0, 1.0, 0.0) == (
        meter.worst_since(0.0), meter.worst_since(5.0), meter.worst_since(11.0),
    )  # fmt: skip


def test_being_early_is_no_delay():
    """A beat that returns too soon leaves nothing."""
    meter = LagMeter(ManualClock())
    meter.note(-0.5)

    assert 0.0 == meter.worst_recent()


def test_old_delays_are_forgotten():
    """Memory is bounded to ten minutes of delays."""
    clock = ManualClock()
    meter = LagMeter(clock)
    for _ in range(2000):
        clock.advance(1)
        meter.note(0.1)

    assert 601 >= len(meter._late)
