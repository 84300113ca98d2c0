"""Long work in steps."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

from monitor.clock import ManualClock
from monitor.steps import SLICE_S, at_once, step_aside, unhurried


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
    [
        (SLICE_S, [0, "other", "other", 1, "other", "other", 2, "other", "other"]),
        (SLICE_S / 2, [0, 1, "other", "other", 2]),
    ],
)
async def test_others_run_after_each_slice(each_s, seen):
    """Whoever waits for the loop gets it once a slice is over, for two turns, and not before."""
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


def test_what_comes_during_a_step_is_answered_before_the_next():
    """On the daemon's loop: a reader waits for one step at most, however many there are."""
    here, there = socket.socketpair()

    async def stepping() -> list[str]:
        done: list[str] = []
        loop = asyncio.get_running_loop()

        async def answer() -> None:
            done.append("answer")

        def read() -> None:
            here.recv(1)
            tasks.append(loop.create_task(answer()))

        tasks: list[asyncio.Task[None]] = []
        loop.add_reader(here, read)
        for number in range(3):
            done.append(f"step {number}")
            if number == 0:
                there.send(b"?")
            await step_aside()
        loop.remove_reader(here)
        return done

    with here, there, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert ["step 0", "answer", "step 1", "step 2"] == runner.run(stepping())
