"""Years of writing and pruning side by side, on a real file: nothing kept is lost, no total changes."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.clock import ManualClock
from monitor.core.batch import Stage
from monitor.core.retention import DAY_S, Retention, cutoffs
from monitor.core.sketch import LATENCY_BUCKETS_S
from monitor.core.snapshot import GapReason, Order
from monitor.core.spec import PoolSpec, Profile
from monitor.core.spend import Claim
from monitor.store import batches
from monitor.store.pruning import prunable, pruned_before, sorts
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from monitor.upkeep import Upkeep
from probes.model import ErrorClass, ProbeKind
from tests.support.builders import a_job, a_result
from tests.support.stores import disagreeing

pytestmark = pytest.mark.anyio
KEPT = Retention(probes_s=70 * DAY_S, free_calls_s=10 * DAY_S)
POOL = PoolSpec(id="image", targets=("a",))
ROUNDS = 25


class World:
    """A store that is written at random, and what must be in it."""

    def __init__(self, path: Path, seed: int) -> None:
        """Start empty."""
        self.rng, self.clock, self.path = random.Random(seed), ManualClock(), path
        self.writer, self.reader = Writer(path, clock=self.clock), Reader(path)
        self.writer.start()
        self.upkeep = Upkeep(path, self.writer, self.reader, retention=KEPT, clock=self.clock)
        self.probes: dict[str, tuple[ProbeKind, float]] = {}
        self.totals = Counter()
        self.needed: set[str] = set()
        self.number = 0

    def write(self) -> None:
        """Queue a probe, a gap or an order of about now."""
        self.number += 1
        at = self.clock.wall() - self.rng.random() * DAY_S
        kind = self.rng.choice([ProbeKind.CANARY, ProbeKind.LIVENESS, ProbeKind.MANUAL])
        error = self.rng.choice([None, None, ErrorClass.TIMEOUT])
        probe_id = f"p-{self.number}"
        result = a_result(
            error, at, probe_id=probe_id, kind=kind, target_id=self.rng.choice("ab"), cost_usd=0.01
        )
        assert self.writer.submit_probe(result, "acme", "here")
        self.probes[probe_id] = kind, at
        self.totals["probes"] += 1
        if self.rng.random() < 0.2:
            self.writer.submit_gap("a", GapReason.MISSED, at, 600.0)
            self.totals["gaps"] += 1
        if self.rng.random() < 0.1:
            self.totals["orders"] += 1
            self.writer.submit_order(
                Order(
                    pool=POOL, profile=Profile(name="fast", usd_per_second=0.01),
                    version=self.totals["orders"], changed_at=at, valid_until=at,
                    all_degraded=False, places=(),
                )
            )  # fmt: skip

    def book_jobs(self) -> None:
        """One job stays open, one is over but not deleted, one is closed; one booking is no more."""
        now = self.clock.wall()
        for stage in Stage:
            self.number += 1
            job = a_job(probe_id=f"job-{self.number}", slot=self.number, created_at=now)
            claim = Claim(
                probe_id=job.probe_id, target_id="alpha", provider="acme", at=now, micros=10,
                caps=(), quotas=(),
            )  # fmt: skip
            self.writer.ask(lambda c, j=job, m=claim: batches.book(c, j, m, "here")).result()
            if stage is Stage.OPEN:
                self.needed.add(job.probe_id)
                continue
            result = a_result(None, now, probe_id=job.probe_id, kind=ProbeKind.BATCH)
            ended = replace(job, stage=stage)
            self.writer.ask(lambda c, j=ended, r=result: batches.end(c, j, r, "here")).result()
            self.probes[job.probe_id] = ProbeKind.BATCH, now
            self.totals["probes"] += 1
            if stage is Stage.OVER:
                self.needed.add(job.probe_id)
        lost = Claim(
            probe_id=f"lost-{self.number}", target_id="a", provider="acme", at=now, micros=7,
            caps=(), quotas=(),
        )  # fmt: skip
        self.writer.reserve(lost).result()
        self.needed.add(lost.probe_id)

    def check(self) -> None:
        """Hold the file against what must be in it."""
        assert self.writer.flush()
        cut = cutoffs(KEPT, self.clock.wall())
        with closing(sqlite3.connect(self.path)) as raw:
            there = {probe_id for (probe_id,) in raw.execute("SELECT probe_id FROM probes")}
            lines = {probe_id for (probe_id,) in raw.execute("SELECT probe_id FROM reservations")}
            ((orders,),) = raw.execute("SELECT count(*) FROM order_changes")
        for probe_id, (kind, at) in self.probes.items():
            cutoff = cut.free_calls if kind is ProbeKind.LIVENESS else cut.probes
            must_stay = at >= cutoff or probe_id in self.needed
            assert must_stay == (probe_id in there), (probe_id, kind)
        assert self.needed <= lines
        assert (self.totals["orders"] > 0) == (orders > 0)
        totals = self.reader.totals(LATENCY_BUCKETS_S)
        assert self.totals["probes"] == sum(totals.probes.values())
        assert self.totals["gaps"] == sum(totals.gaps.values())
        changes = totals.order_changes.get(("image", "fast"), 0)
        assert max(0, self.totals["orders"] - 1) == changes

    def close(self) -> None:
        """Let go of the file."""
        self.writer.close()
        self.reader.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_pruning_while_writing_loses_nothing_and_changes_no_total(tmp_path, seed):
    """Law: what is young, open or unsettled stays; roll-ups of complete days are those of their rows."""
    world = World(tmp_path / "imgmon.db", seed)
    removed = 0
    for round_number in range(ROUNDS):
        if round_number % 8 == 0:
            world.book_jobs()
        for _ in range(40):
            world.write()
        assert world.writer.flush()
        world.clock.advance(world.rng.randrange(1, 12) * DAY_S)

        async def write() -> None:
            for _ in range(20):
                world.write()
                await asyncio.sleep(0)

        before = world.reader.totals(LATENCY_BUCKETS_S)
        world.upkeep._rows = world.rng.choice([1, 3, 50])
        done, _ = await asyncio.gather(world.upkeep.prune(), write())
        removed += done
        world.check()
        assert set(before.probes) <= set(world.reader.totals(LATENCY_BUCKETS_S).probes)
    world.close()

    assert removed == world.upkeep.pruned > 500
    # Days of which nothing is gone still agree; the mark of each sort says which those are.
    since = cutoffs(KEPT, world.clock.wall()).probes
    assert [] == disagreeing(world.path, max(since, cutoffs(KEPT, world.clock.wall()).free_calls))


async def test_a_clock_that_leapt_removes_nothing(tmp_path):
    """Rows cannot be brought back: the time is believed again by the next process."""
    world = World(tmp_path / "imgmon.db", 4)
    for _ in range(50):
        world.write()
    world.clock.step(1000 * DAY_S)

    assert 0 == await world.upkeep.prune()

    again = Upkeep(world.path, world.writer, world.reader, retention=KEPT, clock=world.clock)
    assert world.writer.flush()
    assert 50 <= await again.prune()
    world.close()


async def test_a_stop_ends_pruning_after_the_slice_under_way(tmp_path):
    """What is left goes next time; its number can be asked for, and the mark says what may be gone."""
    world = World(tmp_path / "imgmon.db", 5)
    for _ in range(30):
        world.write()
    assert world.writer.flush()
    world.clock.advance(200 * DAY_S)
    world.upkeep._rows = 1
    world.upkeep.stop()

    assert 0 == await world.upkeep.prune()

    found = sorts(cutoffs(KEPT, world.clock.wall()))
    counted = world.writer.ask(lambda c: sum(prunable(c, sort) for sort in found)).result()
    left = Upkeep(world.path, world.writer, world.reader, retention=KEPT, clock=world.clock)
    assert counted == await left.prune() >= 30
    marks = world.writer.ask(pruned_before).result()
    assert {"canary", "liveness", "manual", "ledger"} <= set(marks)
    world.close()
