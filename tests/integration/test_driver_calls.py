"""The short calls of a batch queue through the driver, over real sockets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

import pytest

from monitor.clock import SystemClock
from probes.batch import BatchJob, BatchState
from probes.canary import COLOURS
from probes.driver import Driver
from probes.model import Canary, ErrorClass, Outcome, Phase, Picture, ProbeKind, ProbeReason, Target
from probes.registry import load
from probes.run import Label
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.wire_server import hanging, serving

pytestmark = pytest.mark.anyio
FORMAT = load("gemini-batch")
CANARY = Canary(prompt="A plain red square. #0001", colour=COLOURS[0])
LABEL = Label(
    probe_id="p-1", kind=ProbeKind.BATCH, reason=ProbeReason.SCHEDULED, slot_s=21_600.0
)  # fmt: skip


@pytest.fixture(scope="module")
def simulator():
    """A queue in which jobs take a millisecond."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


class Queue:
    """The calls of one target's queue."""

    def __init__(self, driver, base_url, **changes):
        """Speak to *base_url*."""
        given = {
            "id": "t", "provider": "p", "format": "gemini-batch", "base_url": base_url,
            "model": "gemini-3.1-flash-image", "api_key": "a-key", "price_usd": 0.02,
            "size": (512, 512), "deadline_s": 86_400.0,
        }  # fmt: skip
        self.target, self.driver = Target(**given | changes), driver

    async def __call__(self, step, wanted, *arguments, canary=CANARY):
        """Make one call."""
        make = partial(getattr(FORMAT, step), self.target, *arguments)
        return await self.driver.call(self.target, FORMAT, make, wanted, LABEL, canary=canary)

    async def create(self):
        """Create a job; its name."""
        result, job = await self("create", BatchJob, CANARY, "p-1")
        assert result.error is None, result.detail
        return job.name

    async def over(self, name, canary=CANARY):
        """Look until the job is over."""
        while True:
            result, job = await self("look", BatchJob, name, canary=canary)
            if result.error or job.is_over:
                return result, job


@asynccontextmanager
async def queue(base_url, **changes):
    """A queue with a driver of its own."""
    driver = Driver(clock=SystemClock())
    try:
        yield Queue(driver, base_url, **changes)
    finally:
        await driver.aclose()


async def test_a_job_goes_its_way_in_short_calls(simulator):
    """Created, seen, found by its label, checked, deleted, gone."""
    async with queue(simulator.base("gemini")) as jobs:
        created, job = await jobs("create", BatchJob, CANARY, "p-1")
        seen, done = await jobs.over(job.name)
        _, listed = await jobs("find", tuple, "p-1")
        _, was_there = await jobs("delete", bool, job.name)
        _, is_there = await jobs("delete", bool, job.name)
        lost, gone = await jobs.over(job.name)

    assert (None, 0.02, ProbeKind.BATCH, 21_600.0) == (
        created.error, created.cost_usd, created.kind, created.slot_s,
    )  # fmt: skip
    assert {Phase.CONNECT, Phase.SEND, Phase.FIRST_BYTE} <= set(created.phases)
    assert (None, (512, 512)) == (seen.error, (seen.image.width, seen.image.height))
    assert {Phase.QUEUE, Phase.DECODE} == set(seen.phases)
    assert (BatchState.SUCCEEDED, "p-1") == (done.state, done.label)
    assert done.turnaround_s == pytest.approx(0.001, abs=0.001)
    assert [job.name] == [one.name for one in listed]
    assert (True, False) == (was_there, is_there)
    assert (ErrorClass.SERVER_ERROR, BatchState.FAILED) == (lost.error, gone.state)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.WRONG_COLOUR, ErrorClass.BAD_IMAGE),
        (FaultKind.BAD_BASE64, ErrorClass.BAD_IMAGE),
        (FaultKind.POLICY_BLOCKED, ErrorClass.POLICY_BLOCKED),
        (FaultKind.ITEM_ERROR, ErrorClass.RATE_LIMITED),
        (FaultKind.JOB_FAILED, ErrorClass.SERVER_ERROR),
        (FaultKind.EXPIRED, ErrorClass.EXPIRED),
    ],
)
async def test_what_became_of_a_job_is_found_with_the_job(simulator, kind, error):
    """The call went well, so its times are told; the verdict is in the result."""
    simulator.set_fault("gemini", Fault(kind=kind))
    try:
        async with queue(simulator.base("gemini")) as jobs:
            result, job = await jobs.over(await jobs.create())
    finally:
        simulator.set_fault("gemini", None)

    assert error is result.error, result.detail
    assert job.is_over
    assert job.turnaround_s is not None


async def test_a_call_that_fails_finds_nothing(simulator):
    """The result says what failed; an answered refusal to create costs nothing."""
    simulator.set_fault("gemini", Fault(kind=FaultKind.OVERLOADED))
    try:
        async with queue(simulator.base("gemini")) as jobs:
            result, job = await jobs("create", BatchJob, CANARY, "p-1")
    finally:
        simulator.set_fault("gemini", None)

    assert (ErrorClass.OVERLOADED, 503, 0.0, None) == (
        result.error, result.http_status, result.cost_usd, job,
    )  # fmt: skip


async def test_a_call_has_the_shorter_of_two_deadlines():
    """A job may take a day, a call may not; one that hung may have created a job, and cost."""
    async with serving(hanging) as server, queue(server.base_url, deadline_s=0.1) as jobs:
        result, job = await jobs("create", BatchJob, CANARY, "p-1")

    assert (ErrorClass.TIMEOUT, Phase.FIRST_BYTE, 0.02, None) == (
        result.error, result.failed_phase, result.cost_usd, job,
    )  # fmt: skip


async def test_an_answer_out_of_a_cache_is_a_bad_image(simulator):
    """The same check as of canaries: the same bytes must not answer another prompt."""
    simulator.set_fault("gemini", None)
    async with queue(simulator.base("gemini")) as jobs:
        name = await jobs.create()
        first, _ = await jobs.over(name)
        again, _ = await jobs.over(name)
        other, _ = await jobs.over(name, Canary(prompt="Red, once more.", colour=COLOURS[0]))

    assert [None, None, ErrorClass.BAD_IMAGE] == [first.error, again.error, other.error]


@pytest.mark.parametrize("found", [None, (), True, BatchJob(
    name="batches/1", state=BatchState.SUCCEEDED, picture=Picture(data="text"),
)])  # fmt: skip
async def test_a_plug_in_that_finds_nonsense_blames_nobody(found):
    """Something else than a job, or a picture without bytes."""

    def nonsense():
        return found
        yield

    async with queue("http://127.0.0.1:1") as jobs:
        result, job = await jobs.driver.call(jobs.target, FORMAT, nonsense, BatchJob, LABEL)

    assert (Outcome.VOID, None) == (result.outcome, job)
    assert result.detail.startswith("neither a send nor a job but ")
