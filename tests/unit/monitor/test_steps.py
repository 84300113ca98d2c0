"""Long work in steps."""

from __future__ import annotations

import asyncio

import pytest

from monitor.clock import ManualClock
from monitor.steps import SLICE_S, at_once, unhurried


def counting(clock, each_s, log):
    """Three steps that take so long each."""
    for number in range(3):
        clock.advance(each_s)
        log.append(number)
        yield
    return "done"


def test_at_once_gives_the_result():
    """All steps are done, in order."""
    log = []

    assert at_once(counting(ManualClock(), 1.0, log)) == "done"
    assert log == [0, 1, 2]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("each_s", "seen"),
    [(SLICE_S, [0, "other", 1, "other", 2, "other"]), (SLICE_S / 2, [0, 1, "other", 2])],
)
async def test_others_run_after_each_slice(each_s, seen):
    """Whoever waits for the loop gets it once a slice is over, and not before."""
    log, clock = [], ManualClock()

    async def other():
        while True:
            await asyncio.sleep(0)
            log.append("other")

    beside = asyncio.create_task(other())
    await asyncio.sleep(0)
    result = await unhurried(counting(clock, each_s, log), clock)
    beside.cancel()

    assert result == "done"
    assert log == seen


@pytest.mark.anyio
async def test_an_error_in_a_step_is_raised():
    """Nothing is swallowed."""

    def failing():
        yield
        raise LookupError

    with pytest.raises(LookupError):
        await unhurried(failing(), ManualClock())
