"""Slots between two processes: what passed while no daemon ran is a gap, with its reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from monitor.clock import SystemClock
from monitor.config import parse
from monitor.core.pause import Pause
from monitor.core.snapshot import GapReason
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import KEY, configuration, configuration_text, finished, running, until

pytestmark = pytest.mark.anyio

HOUR_S = 3_600.0


class Ahead(SystemClock):
    """The machine's clocks; the wall clock some hours ahead."""

    def __init__(self, hours: float) -> None:
        """Be *hours* ahead."""
        self._ahead_s = hours * HOUR_S

    def wall(self) -> float:
        """Return the wall time, ahead."""
        return super().wall() + self._ahead_s


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatorServer]:
    """Providers without faults."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        yield simulator


async def gaps_after(config, hours: float) -> dict[tuple[str, GapReason], int]:
    """What a daemon that starts after so many hours has counted at once."""
    async with running(config, clock=Ahead(hours)) as daemon:
        return dict(daemon.engine.tick(daemon.clock.wall()).totals.gaps)


async def test_slots_while_no_daemon_ran_are_gaps_and_none_is_told_twice(simulator, tmp_path):
    """Missed, or paused where the target was; a third start adds what passed since the second."""
    config = configuration(simulator, tmp_path / "a.db", interval="10m")
    async with running(config) as daemon:
        await until(lambda: finished(daemon) == 2)
        await daemon.pauses.set("flare", Pause(since=0.0, until=None, reason="", by="ops"))
    second, third = await gaps_after(config, 1.0), await gaps_after(config, 3.0)

    keys = {("flash", GapReason.MISSED), ("flare", GapReason.PAUSED)}
    assert keys == second.keys() == third.keys()
    # The jitter of the slot that a daemon stops or starts in decides whose it is.
    assert {5, 6, 7} >= set(second.values())
    assert {17, 18, 19} >= set(third.values())


async def test_a_day_of_absence_at_most_is_written_down(simulator, tmp_path):
    """A month of absence, or a clock that leapt, is not thousands of rows."""
    config = configuration(simulator, tmp_path / "a.db", interval="1h")
    async with running(config):
        pass

    assert {23, 24, 25} >= set((await gaps_after(config, 720.0)).values())


async def test_announced_maintenance_is_no_miss(simulator, tmp_path):
    """Its slots are gaps of that name."""
    text = configuration_text(simulator, tmp_path / "a.db", interval="10m")
    year = datetime.fromtimestamp(SystemClock().wall(), UTC).year
    text += f'[[maintenance]]\ntargets = ["flash"]\nfrom = {year}-01-01T00:00:00Z\nuntil = {year + 1}-12-31T00:00:00Z\n'
    config = parse(text, {"KEY": KEY}, "test")
    async with running(config):
        pass

    assert {("flash", GapReason.MAINTENANCE), ("flare", GapReason.MISSED)} == set(
        await gaps_after(config, 1.0)
    )


async def test_a_target_that_was_away_has_missed_nothing(simulator, tmp_path):
    """Without its key nobody wanted it probed; when it comes back it counts from then on."""
    config = configuration(simulator, tmp_path / "a.db", interval="10m")
    keyless = configuration(simulator, tmp_path / "a.db", interval="10m", environ={})
    async with running(config):
        pass

    assert {} == await gaps_after(keyless, 1.0)
    assert {} == await gaps_after(config, 2.0)
