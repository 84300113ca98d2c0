"""Long work in steps, done at once or between other work of the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from typing import Final, TypeAlias, TypeVar

from monitor.clock import Clock

T = TypeVar("T")
# Yields after each piece of work, none of which takes more than a few milliseconds; returns a result.
Steps: TypeAlias = Generator[None, None, T]

# So long others wait, and the next step. A probe's clock reads are late by as much.
SLICE_S: Final = 0.003


async def step_aside() -> None:
    """Let the event loop read what has come meanwhile, and then answer it: once would be for reading."""
    # Where cores are few, who was just answered may wait for this one until the kernel's next tick, 4 ms.
    os.sched_yield()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def at_once(steps: Steps[T]) -> T:
    """Return the result of *steps*, done without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # Untyped there.


async def unhurried(steps: Steps[T], clock: Clock) -> T:
    """Return the result of *steps*, letting the event loop do other work after each slice."""
    begun = clock.monotonic()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # Untyped there.
        if clock.monotonic() - begun >= SLICE_S:
            await step_aside()
            begun = clock.monotonic()
