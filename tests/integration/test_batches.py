"""Batch jobs from slot to deletion: the daemon's real parts against the simulator's queue."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import httpx
import pytest

from monitor.clock import SystemClock
from monitor.core.batch import Stage
from monitor.core.snapshot import GapReason, State
from monitor.core.spend import Claim
from monitor.limits import BATCH_JOBS_PER_TARGET_MAX
from monitor.store import batches as rows
from monitor.store.migrations import STEPS
from monitor.store.writer import Writer
from probes.driver import Driver
from probes.model import ErrorClass, Outcome, Phase, ProbeKind, ProbeReason
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.server import SimulatorServer
from tests.support.builders import a_job
from tests.support.daemon import KEY, client, running, until
from tests.support.queues import (
    PRICE_USD,
    bid,
    created,
    ended,
    jobs,
    queue_config,
    queue_plan,
    results,
)
from tests.support.wire_server import answering, response, serving

pytestmark = pytest.mark.anyio
E, K = ErrorClass, FaultKind
NEVER = Fault(kind=K.SLOW, factor=1e6)  # Jobs wait for half a day.


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    """A queue in which jobs take a twentieth of a second."""
    with SimulatorServer(queue_plan(), SystemClock()) as server:
        yield server


@pytest.fixture
def config(simulator, tmp_path):
    """One batch target."""
    return queue_config(simulator.base("gemini"), tmp_path / "a.db")


async def slot(daemon, target="night") -> None:
    """Fill the target's slot of now."""
    await daemon.batches.scheduled(target, 0.0)


async def post(url, body) -> None:
    """Speak to the simulator past the daemon."""
    async with httpx.AsyncClient(headers={"x-goog-api-key": "theirs"}) as http:
        (await http.post(url, json=body)).raise_for_status()


def store(writer, job) -> None:
    """Put *job* into the store, with a line of nothing for its money."""
    claim = Claim(
        probe_id=job.probe_id, target_id=job.target_id, provider=job.provider,
        micros=0, at=job.created_at,
    )  # fmt: skip
    writer.ask(lambda c: rows.book(c, job, claim, "here")).result(5)


def booked(path) -> list[tuple]:
    """Dollars and whether they are settled, of each line of the ledger."""
    with closing(sqlite3.connect(path)) as raw:
        lines = raw.execute("SELECT micros, is_settled FROM reservations ORDER BY id")
        return [(micros / 1e6, bool(settled)) for micros, settled in lines]


async def test_a_job_is_created_polled_checked_and_deleted(simulator, config, tmp_path):
    """One good sample by the server's clock, at the batch price; nothing is left anywhere."""
    async with running(config) as daemon:
        await slot(daemon)
        await until(lambda: len(results(daemon)) == 1)
        (result,) = results(daemon)
        await ended(daemon)
        daemon.tick()
        view = daemon.publisher.current.snapshot.targets["night"]

    assert (None, ProbeKind.BATCH, ProbeReason.SCHEDULED) == (
        result.error, result.kind, result.reason,
    )  # fmt: skip
    assert result.latency_s == pytest.approx(0.05, abs=0.001)
    assert result.latency_s < result.duration_s
    assert {Phase.FIRST_BYTE, Phase.QUEUE, Phase.DOWNLOAD, Phase.DECODE} <= set(result.phases)
    assert (PRICE_USD, 7 * 86_400.0) == (result.cost_usd, result.slot_s)
    assert (512, 512) == (result.image.width, result.image.height)
    assert ["create", "delete"] == bid(simulator)
    assert [(PRICE_USD, True)] == booked(tmp_path / "a.db")
    assert ["24h", "7d", "30d"] == list(view.windows)
    assert (State.HEALTHY, 1) == (view.health.state, view.windows["24h"].good)
    assert 1 == simulator.app.world.meter("gemini").billed


async def test_a_slot_has_one_job_however_often_it_fires(simulator, config):
    """Also when its job is long over, and after a restart."""
    async with running(config) as daemon:
        await slot(daemon)
        await slot(daemon)
        await ended(daemon)
        await slot(daemon)
    async with running(config) as daemon:
        await slot(daemon)
        assert [] == list(jobs(daemon))

    assert 1 == len(created(simulator))


async def test_a_restart_goes_on_with_the_running_job(simulator, config):
    """A drained job is neither void nor created anew: the next start looks at it."""
    simulator.set_fault("gemini", NEVER)
    async with running(config) as daemon:
        await slot(daemon)
        await until(lambda: jobs(daemon)[0].polls > 1)
    simulator.set_fault("gemini", None)
    async with running(config) as daemon:
        (job,) = jobs(daemon)
        assert [] == list(results(daemon))
        # The queue moves on.
        simulator.app.world.clock = Later(86_400.0)
        result = await ended(daemon)

    assert [job.probe_id] == created(simulator)
    # It took longer than it was allowed to, by its server's clock.
    assert (job.probe_id, E.EXPIRED) == (result.probe_id, result.error)


class Later(SystemClock):
    """The machine's clocks, some time ahead."""

    def __init__(self, seconds: float) -> None:
        """Be *seconds* ahead."""
        self._ahead_s, self.wall_ahead_s = seconds, 0.0

    def wall(self) -> float:
        """Return the wall time, ahead."""
        return super().wall() + self.wall_ahead_s

    def monotonic(self) -> float:
        """Return the monotonic time, ahead."""
        return super().monotonic() + self._ahead_s


async def test_a_creation_whose_answer_is_lost_is_adopted(simulator, config):
    """The job is there and is paid for: it is found by its label, and no second one is made."""
    simulator.set_fault("gemini", Fault(kind=K.CUT_BODY))
    async with running(config) as daemon:
        await slot(daemon)
        simulator.set_fault("gemini", None)
        result = await ended(daemon)

    assert (None, PRICE_USD) == (result.error, result.cost_usd)
    assert 1 == len(created(simulator))
    assert "find" in bid(simulator)
    assert "delete" == bid(simulator)[-1]


async def test_a_process_that_died_while_creating_is_void_if_nothing_was_made(
    simulator, config, tmp_path
):
    """Looked for until a list can be trusted; then nothing is known, and the money stays booked."""
    async with running(config) as daemon:
        now = daemon.clock.wall()
        job = a_job(
            target_id="night", provider="google", name=None, created_at=now,
            deadline_at=now + 20, poll_s=0.1, price_usd=PRICE_USD, next_at=now, called_at=now,
        )  # fmt: skip
        claim = daemon.caps.claim(job.probe_id, config.specs["night"], now)
        daemon.writer.ask(lambda c: rows.book(c, job, claim, "here")).result(5)
        result = await ended(daemon)

    assert (Outcome.VOID, PRICE_USD) == (result.outcome, result.cost_usd)
    assert "stopped while it was created" in result.detail
    assert set(bid(simulator)) == {"find"}
    assert [(PRICE_USD, True)] == booked(tmp_path / "a.db")


@pytest.mark.parametrize(
    ("kind", "error"), [(K.OVERLOADED, E.OVERLOADED), (K.SERVER_ERROR, E.SERVER_ERROR)]
)
async def test_a_creation_that_broke_upstream_is_looked_for_first(simulator, config, kind, error):
    """A 5xx may have made a job; when none is listed it is the provider's failure, and free."""
    simulator.set_fault("gemini", Fault(kind=kind))
    async with running(config) as daemon:
        await slot(daemon)
        result = await ended(daemon)

    assert (error, 0.0) == (result.error, result.cost_usd)
    assert "find" in bid(simulator)
    assert 1 == len(created(simulator))


async def test_a_creation_that_hangs_is_a_timeout_that_may_have_cost(simulator, tmp_path):
    """Nobody answered, nobody knows the job: the worst case stays booked."""
    config = queue_config(simulator.base("gemini"), tmp_path / "a.db", deadline="1s", poll="50ms")
    simulator.set_fault("gemini", Fault(kind=K.HANG))
    async with running(config) as daemon:
        filling = asyncio.create_task(slot(daemon))
        await until(lambda: bool(simulator.requests))
        await filling
        simulator.set_fault("gemini", None)
        result = await ended(daemon)

    assert (E.TIMEOUT, Phase.FIRST_BYTE, PRICE_USD) == (
        result.error, result.failed_phase, result.cost_usd,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "error"),
    [(K.RATE_LIMITED, E.RATE_LIMITED), (K.AUTH, E.AUTH), (K.MODEL_GONE, E.MODEL_GONE)],
)
async def test_a_refused_creation_is_a_result_at_once_and_costs_nothing(
    simulator, config, kind, error
):
    """The queue is full, the key is bad, the model is gone: there is no job to look for."""
    simulator.set_fault("gemini", Fault(kind=kind))
    async with running(config) as daemon:
        await slot(daemon)
        (result,) = results(daemon)

    assert (error, 0.0) == (result.error, result.cost_usd)
    assert ["create"] == bid(simulator)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (K.JOB_FAILED, E.SERVER_ERROR),
        (K.ITEM_ERROR, E.RATE_LIMITED),
        (K.EXPIRED, E.EXPIRED),
        (K.POLICY_BLOCKED, E.POLICY_BLOCKED),
        (K.NO_IMAGE, E.NO_IMAGE),
        (K.WRONG_COLOUR, E.BAD_IMAGE),
        (K.WRONG_SIZE, E.BAD_IMAGE),
    ],
)
async def test_what_became_of_a_job_is_its_result(simulator, config, kind, error):
    """Failed, expired, blocked, empty, wrong: one class each, and the job is deleted."""
    simulator.set_fault("gemini", Fault(kind=kind))
    async with running(config) as daemon:
        await slot(daemon)
        result = await ended(daemon)

    assert (error, None) == (result.error, result.latency_s)
    assert "delete" == bid(simulator)[-1]


async def test_a_repeat_over_a_restart_is_a_bad_image(simulator, tmp_path):
    """Pictures of earlier runs are remembered by their hash."""
    config = queue_config(simulator.base("gemini"), tmp_path / "a.db", interval="1s", deadline="8s")
    async with running(config) as daemon:
        await until(lambda: bool(results(daemon)))
    simulator.set_fault("gemini", Fault(kind=K.REPEAT))
    async with running(config) as daemon:
        await until(lambda: results(daemon)[0].error is E.BAD_IMAGE)
        detail = results(daemon)[0].detail

    assert "the same bytes already answered another prompt" == detail


async def test_a_job_past_its_deadline_is_cancelled_and_deleted(simulator, tmp_path):
    """The provider did not keep its time: expired, booked in full, and nothing is left behind."""
    # Far more than a look takes: one that is not answered within it would be a timeout.
    config = queue_config(simulator.base("gemini"), tmp_path / "a.db", deadline="3s")
    simulator.set_fault("gemini", NEVER)
    async with running(config) as daemon:
        await slot(daemon)
        result = await ended(daemon)

    assert (E.EXPIRED, Phase.QUEUE, PRICE_USD) == (
        result.error, result.failed_phase, result.cost_usd,
    )  # fmt: skip
    assert ["create", "cancel", "delete"] == bid(simulator)
    assert 0 == simulator.app.world.meter("gemini").billed


async def test_a_job_cancelled_by_others_is_their_failure(simulator, config):
    """Somebody with the same key ended it; nobody here asked for that."""
    simulator.set_fault("gemini", NEVER)
    async with running(config) as daemon:
        await slot(daemon)
        url = f"{simulator.base('gemini')}/v1/{jobs(daemon)[0].name}:cancel"
        await post(url, {})
        result = await ended(daemon)

    assert (E.SERVER_ERROR, "CANCELLED") == (result.error, result.code)


async def test_looks_that_fail_are_repeated_and_counted(simulator, config):
    """A reset connection says nothing of the job."""
    simulator.set_fault("gemini", NEVER)
    async with running(config) as daemon:
        await slot(daemon)
        simulator.set_fault("gemini", Fault(kind=K.RESET))
        await until(lambda: daemon.batches.counts.calls_failed >= 2)
        simulator.set_fault("gemini", None)
        simulator.app.world.clock = Later(86_400.0)
        result = await ended(daemon)
        await until(lambda: daemon.batches.counts.under_way == 0)
        async with client(daemon) as http:
            lines = (await http.get("/metrics")).text.splitlines()

    assert E.EXPIRED is result.error
    metrics = dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")
    assert float(metrics["imgmon_batch_calls_failed_total"]) >= 2
    assert "0.0" == metrics["imgmon_batch_jobs"]
    assert "0.0" == metrics["imgmon_batch_jobs_not_deleted_total"]


async def test_a_job_that_nobody_can_look_at_or_delete_is_left_in_the_end(simulator, tmp_path):
    """Our key was refused to the last: that is the verdict, and the job is its provider's to forget."""
    config = queue_config(simulator.base("gemini"), tmp_path / "a.db", deadline="400ms")
    async with running(config) as daemon:
        simulator.set_fault("gemini", NEVER)
        await slot(daemon)
        simulator.set_fault("gemini", Fault(kind=K.AUTH))
        result = await ended(daemon)
        await until(lambda: daemon.batches.counts.not_deleted == 1)

    assert (E.AUTH, Outcome.UNUSABLE) == (result.error, result.outcome)
    assert "not seen done within 1s: API key not valid." == result.detail


async def request_cancel(daemon) -> None:
    """Ask for the end of the one job, as another process does."""
    (job,) = jobs(daemon)
    with closing(Writer(daemon.config.store_path)) as other:
        other.start()
        asked = other.ask(lambda c: rows.request_cancel(c, job.probe_id, daemon.clock.wall()))
        assert await asyncio.wrap_future(asked)


async def test_a_job_is_cancelled_on_request(simulator, config, tmp_path):
    """Void, with that word; its money stays booked, and it is deleted."""
    simulator.set_fault("gemini", NEVER)
    async with running(config) as daemon:
        await slot(daemon)
        await request_cancel(daemon)
        result = await ended(daemon)

    assert (Outcome.VOID, "cancelled on request", PRICE_USD) == (
        result.outcome, result.detail, result.cost_usd,
    )  # fmt: skip
    assert ["create", "cancel", "delete"] == bid(simulator)
    assert [(PRICE_USD, True)] == booked(tmp_path / "a.db")


async def test_a_cancellation_is_tried_until_it_is_heard_or_refused(simulator, config):
    """A reset is tried again; a refusal by our own key ends the matter."""
    simulator.set_fault("gemini", NEVER)
    async with running(config) as daemon:
        await slot(daemon)
        simulator.set_fault("gemini", Fault(kind=K.RESET))
        await request_cancel(daemon)
        await until(lambda: "cancel" in bid(simulator))
        simulator.set_fault("gemini", Fault(kind=K.AUTH))
        result = await ended(daemon)

    assert "cancelled on request, which its provider refused: API key not valid." == result.detail


async def test_a_job_that_has_ended_cannot_be_cancelled(simulator, config):
    """Its result stands."""
    async with running(config) as daemon:
        await slot(daemon)
        result = await ended(daemon)
        asked = daemon.writer.ask(lambda c: rows.request_cancel(c, result.probe_id, 1.0))

        assert (await asyncio.wrap_future(asked)) is False


async def test_a_job_whose_target_is_gone_is_let_go_of_when_its_time_is_over(simulator, tmp_path):
    """Without its target there is no key to ask with: void, and never forgotten."""
    path = tmp_path / "a.db"
    simulator.set_fault("gemini", NEVER)
    config = queue_config(simulator.base("gemini"), path, deadline="600ms")
    async with running(config) as daemon:
        await slot(daemon)
    async with running(queue_config(simulator.base("gemini"), path, "other")) as daemon:
        result = await ended(daemon, "night")

    assert (Outcome.VOID, "its target is no longer configured") == (result.outcome, result.detail)


async def test_a_job_without_a_target_that_is_over_is_left_to_its_provider(config):
    """Nobody can delete it: its result is stored, and that is all."""
    async with running(config) as daemon:
        now = daemon.clock.wall()
        job = a_job(
            target_id="gone", stage=Stage.OVER, created_at=now, deadline_at=now, poll_s=0.1,
            next_at=now, called_at=now,
        )  # fmt: skip
        store(daemon.writer, job)
        await until(lambda: not jobs(daemon))


async def test_a_clock_set_forward_ends_no_job(simulator, tmp_path):
    """Our wall clock leaps by a year: by the provider's the job has hours left, and gets them."""
    clock = Later(0.0)
    config = queue_config(simulator.base("gemini"), tmp_path / "a.db")
    simulator.set_fault("gemini", NEVER)
    async with running(config, clock=clock) as daemon:
        await slot(daemon)
        clock.wall_ahead_s = 365 * 86_400.0
        polls = jobs(daemon)[0].polls
        await until(lambda: jobs(daemon)[0].polls > polls + 1)

        assert [] == list(results(daemon))


async def test_a_job_has_one_result(simulator, config, capsys):
    """Whatever ends it a second time changes nothing and is said."""
    async with running(config) as daemon:
        await slot(daemon)
        result = await ended(daemon)
        job = a_job(probe_id=result.probe_id, target_id="night", name=None)
        await daemon.batches._steps._end(job, replace(result, detail="again"))

        assert [result] == list(results(daemon))
    assert "batch.ended_twice" in capsys.readouterr().out


async def test_a_call_that_does_not_end_is_let_go_of_at_shutdown(simulator, config):
    """The job stays in the store for the next start."""
    simulator.set_fault("gemini", NEVER)
    async with running(config) as daemon:
        await slot(daemon)
        simulator.set_fault("gemini", Fault(kind=K.HANG))
        sent = len(simulator.requests)
        await until(lambda: len(simulator.requests) > sent)
        await daemon.batches.drain(grace_s=0.01)
        (job,) = jobs(daemon)

    assert (Stage.OPEN, True) == (job.stage, job.name is not None)


async def test_a_cap_leaves_a_gap_and_no_job(simulator, tmp_path):
    """Money for one job: the other target's slot passes, and nothing of it is in the store."""
    config = queue_config(
        simulator.base("gemini"), tmp_path / "a.db", "one", "two",
        cap="spend_cap = { usd_per_day = 0.03 }",
    )  # fmt: skip
    async with running(config) as daemon:
        for target in ("one", "two"):
            await slot(daemon, target)
        await ended(daemon, "one")
        gaps = [(gap.target_id, gap.reason) for gap in daemon.reader.gaps(0.0)]
        assert daemon.writer.flush(5)
        gaps = [(gap.target_id, gap.reason) for gap in daemon.reader.gaps(0.0)]

    assert [("two", GapReason.SPEND_CAP)] == gaps
    assert 1 == len(created(simulator))


async def test_a_free_queue_books_no_money(simulator, tmp_path):
    """A price of zero is settled as zero."""
    config = queue_config(simulator.base("gemini"), tmp_path / "a.db")
    free = replace(config.specs["night"], price_usd=0.0)
    target = replace(config.targets[0], price_usd=0.0)
    async with running(replace(config, specs={"night": free}, targets=(target,))) as daemon:
        await slot(daemon)
        result = await ended(daemon)

    assert (None, 0.0) == (result.error, result.cost_usd)
    assert [(0.0, True)] == booked(tmp_path / "a.db")


async def test_without_a_store_no_job_is_created(simulator, config, tmp_path):
    """What cannot be booked is not sent: a gap of ours."""
    async with running(config) as daemon:
        await asyncio.to_thread(daemon.writer.close)
        await slot(daemon)
        (tmp_path / "a.db").rename(tmp_path / "b.db")
        await slot(daemon)
        totals = daemon.engine.tick(daemon.clock.wall()).totals
        (tmp_path / "b.db").rename(tmp_path / "a.db")

    assert {("night", GapReason.MISSED): 2} == totals.gaps
    assert [] == created(simulator)


async def test_too_many_jobs_under_way_are_a_gap(simulator, config):
    """A provider that is never done is not asked for ever more."""
    async with running(config) as daemon:
        now = daemon.clock.wall()
        for number in range(BATCH_JOBS_PER_TARGET_MAX):
            job = a_job(
                probe_id=f"p-{number}", target_id="night", slot=number, created_at=now,
                next_at=now + 60, called_at=now, deadline_at=now + 60,
            )  # fmt: skip
            store(daemon.writer, job)
        await slot(daemon)
        totals = daemon.engine.tick(now).totals

    assert {("night", GapReason.QUOTA_GUARD): 1} == totals.gaps
    assert [] == created(simulator)


async def test_of_two_jobs_with_one_label_the_first_is_adopted(simulator, config, capsys):
    """It cannot happen by us; something that doubles requests is said aloud."""
    url = f"{simulator.base('gemini')}/v1/models/m:batchGenerateContent"
    item = {"request": {"contents": [{"parts": [{"text": "A plain red square."}]}]}}
    body = {"batch": {"displayName": "p-1", "inputConfig": {"requests": {"requests": [item]}}}}
    for _ in range(2):
        await post(url, body)
    async with running(config) as daemon:
        now = daemon.clock.wall()
        job = a_job(
            target_id="night", name=None, created_at=now, deadline_at=now + 20, poll_s=0.1,
            next_at=now, called_at=now,
        )  # fmt: skip
        store(daemon.writer, job)
        result = await ended(daemon)

    assert "p-1" == result.probe_id
    assert "batch.doubled" in capsys.readouterr().out


async def test_a_name_that_holds_the_key_is_no_name(tmp_path):
    """It would be kept, logged and sent; it is the provider's broken protocol instead."""
    echo = {"name": f"batches/{KEY}", "metadata": {"state": "BATCH_STATE_PENDING"}}
    async with serving(answering(response(json.dumps(echo).encode()))) as server:
        config = queue_config(server.base_url, tmp_path / "a.db", poll="50ms")
        async with running(config) as daemon:
            await slot(daemon)
            result = await ended(daemon)
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert (E.PROTOCOL, "the job's name holds a secret") == (result.error, result.detail)
    assert KEY.encode() not in files


class Unfit(Driver):
    """A driver in our own trouble: the loop stalls during calls, or the code breaks."""

    def __init__(self, **given) -> None:
        """Work until told otherwise."""
        super().__init__(**given)
        self.stall = self.crash = None

    async def call(self, *given, **more):
        """Get into trouble, then make the call."""
        if self.crash is not None:
            crash, self.crash = self.crash, None
            raise crash
        done = await super().call(*given, **more)
        if self.stall is not None:
            self.stall(5.0)
        return done


async def test_looks_in_our_own_trouble_blame_nobody(simulator, tmp_path):
    """A loop that stalled cannot tell a hanging provider from itself: void in the end."""
    config = queue_config(simulator.base("gemini"), tmp_path / "a.db", deadline="400ms")
    driver = Unfit(clock=SystemClock())
    async with running(config, driver=driver) as daemon:
        simulator.set_fault("gemini", NEVER)
        await slot(daemon)
        driver.stall = daemon.lag.note
        simulator.set_fault("gemini", Fault(kind=K.RESET))
        result = await ended(daemon)

    assert Outcome.VOID is result.outcome
    assert "the monitor's event loop stalled for 5.0 s" in result.detail


async def test_a_crash_of_ours_leaves_the_job_for_the_next_turn(simulator, config):
    """Whatever is raised: the row is in the store, and the next turn goes on with it."""
    driver = Unfit(clock=SystemClock())
    async with running(config, driver=driver) as daemon:
        daemon.batches.turn_s = 0.05
        driver.crash = RuntimeError(KEY)
        await slot(daemon)
        (job,) = jobs(daemon)
        assert (None, Stage.OPEN) == (job.name, job.stage)
        result = await ended(daemon)

    # It broke before anything was sent; nobody can know that.
    assert (Outcome.VOID, [(PRICE_USD, True)]) == (
        result.outcome, booked(config.store_path),
    )  # fmt: skip


async def test_a_store_that_is_away_stops_nothing(simulator, config, tmp_path, capsys):
    """Turns go on, and so do the jobs once the file is back."""
    simulator.set_fault("gemini", NEVER)
    path, told = tmp_path / "a.db", []

    def is_told() -> bool:
        told.append(capsys.readouterr().out)
        return "batches.unknown" in "".join(told)

    async with running(config) as daemon:
        daemon.batches.turn_s = 0.05
        await slot(daemon)
        path.rename(tmp_path / "b.db")
        await until(is_told)
        (tmp_path / "b.db").rename(path)
        polls = jobs(daemon)[0].polls
        await until(lambda: jobs(daemon)[0].polls > polls)


async def test_a_row_that_cannot_be_read_is_said_aloud_until_it_is_mended(config, capsys):
    """A bug must not leave jobs unseen in silence, nor end the turns."""
    told = []

    def is_told() -> bool:
        told.append(capsys.readouterr().out)
        return "batches.failed" in "".join(told)

    def mark(stage: str) -> None:
        with closing(sqlite3.connect(config.store_path)) as raw:
            raw.execute("UPDATE batch_jobs SET stage = ?", (stage,))
            raw.commit()

    async with running(config) as daemon:
        daemon.batches.turn_s = 0.05
        await slot(daemon)
        await ended(daemon)
        mark("torn")
        await until(is_told)
        mark("over")
        await until(lambda: not jobs(daemon))


async def test_nothing_new_is_begun_after_closing(simulator, config):
    """A slot that fires during shutdown passes."""
    async with running(config) as daemon:
        await daemon.batches.drain()
        await slot(daemon)

    assert [] == created(simulator)


def test_a_file_without_batch_jobs_is_upgraded(tmp_path):
    """The version before knew none; its rows stay."""
    path = tmp_path / "a.db"
    with closing(Writer(path)) as writer:
        writer.start()
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DROP TABLE batch_jobs")
        before = [step.__name__ for step in STEPS].index("_add_batch_jobs")
        raw.execute(f"PRAGMA user_version = {before}")
    with closing(Writer(path)) as writer:
        writer.start()
        store(writer, a_job())

    with closing(sqlite3.connect(path)) as raw:
        assert (len(STEPS),) == raw.execute("PRAGMA user_version").fetchone()
        assert [("p-1", "open")] == raw.execute("SELECT probe_id, stage FROM batch_jobs").fetchall()
