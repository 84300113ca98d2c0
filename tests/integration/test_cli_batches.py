"""``imgmon batches`` as a person types it: with a daemon on the store, and without one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main
from monitor.clock import SystemClock
from monitor.config import load
from probes.model import Outcome
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.server import SimulatorServer
from tests.support.daemon import KEY, running
from tests.support.queues import PROVIDER, TARGET, bid, created, ended, jobs, queue_plan, results

pytestmark = pytest.mark.anyio
NEVER = Fault(kind=FaultKind.SLOW, factor=1e6)


@pytest.fixture
def simulator():
    """A queue in which jobs wait for half a day."""
    with SimulatorServer(queue_plan(), SystemClock()) as server:
        server.set_fault("gemini", NEVER)
        yield server


@pytest.fixture
def path(simulator, tmp_path, monkeypatch) -> Path:
    """A configuration file with one batch target."""
    monkeypatch.setenv("KEY", KEY)
    text = PROVIDER.format(store=tmp_path / "a.db", base_url=simulator.base("gemini"), cap="")
    text += TARGET.format(id="night", interval="7d", deadline="1d", poll="1m")
    path = tmp_path / "monitor.toml"
    path.write_text(text)
    return path


def configured(path):
    """The configuration in a file."""
    return load(path, {"KEY": KEY})


def imgmon(*arguments: object) -> tuple[int, str]:
    """Run a command in process; its exit code and everything it printed."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


async def a_running_job(path):
    """Create a job and stop the daemon; the job runs on."""
    async with running(configured(path)) as daemon:
        await daemon.batches.scheduled("night", 0.0)
        (job,) = jobs(daemon)
    return job


async def test_nothing_under_way_is_said(path):
    """Also before there is a store, which is not made."""
    assert (0, "No batch job is under way.\n") == imgmon("batches", "--config", path)
    assert (0, "[]\n") == imgmon("batches", "--config", path, "--json")
    assert not configured(path).store_path.exists()


async def test_jobs_under_way_are_listed_from_the_store(path, simulator):
    """With a daemon or without; nothing is sent."""
    job = await a_running_job(path)
    sent = len(simulator.requests)
    code, text = imgmon("batches", "--config", path)
    _, raw = imgmon("batches", "--config", path, "--json")

    assert 0 == code
    for shown in (job.probe_id, "night", "pending", job.name):
        assert shown in "".join(text.split())  # The name is folded.
    (row,) = json.loads(raw)
    assert (job.probe_id, "night", job.name, "pending", False, None) == (
        row["probe"], row["target"], row["name"], row["state"], row["is_in_doubt"],
        row["cancel_requested_at"],
    )  # fmt: skip
    assert sent == len(simulator.requests)


@pytest.mark.parametrize("by", ["probe_id", "name"])
async def test_a_job_is_cancelled_without_a_daemon(path, simulator, by):
    """At once, through the driver: void in the store, gone at the provider."""
    job = await a_running_job(path)
    told = await asyncio.to_thread(imgmon, "batches", "cancel", getattr(job, by), "--config", path)
    async with running(configured(path)) as daemon:
        (result,) = results(daemon)
        assert [] == list(jobs(daemon))

    assert (0, f"{job.probe_id}: cancelled and deleted.\n") == told
    assert (Outcome.VOID, "cancelled on request") == (result.outcome, result.detail)
    assert ["create", "cancel", "delete"] == bid(simulator)


async def test_a_running_daemon_is_asked_to_cancel(path, simulator):
    """The command marks the job; the daemon carries it out."""
    async with running(configured(path)) as daemon:
        daemon.batches.turn_s = 0.05
        await daemon.batches.scheduled("night", 0.0)
        (job,) = jobs(daemon)
        told = await asyncio.to_thread(imgmon, "batches", "--config", path, "cancel", job.probe_id)
        result = await ended(daemon)

    assert (0, f"{job.probe_id}: the running daemon cancels it within seconds.\n") == told
    assert Outcome.VOID is result.outcome
    assert 1 == len(created(simulator))


async def test_a_provider_that_cannot_be_reached_is_told(path, simulator):
    """The request stays in the store for the daemon, and is shown there."""
    job = await a_running_job(path)
    simulator.set_fault("gemini", Fault(kind=FaultKind.RESET))
    code, text = await asyncio.to_thread(
        imgmon, "batches", "--config", path, "cancel", job.probe_id
    )
    listed = imgmon("batches", "--config", path)[1]

    assert 1 == code
    assert f"{job.probe_id}: not cancelled yet; the daemon goes on with it when it runs." in text
    assert "to be cancelled" in listed


async def test_a_job_that_could_not_be_deleted_is_told(path, simulator):
    """Its result is stored; the daemon deletes it later."""
    job = await a_running_job(path)
    # A key that is refused ends the request, and with it the deletion.
    simulator.set_fault("gemini", Fault(kind=FaultKind.AUTH))
    code, text = await asyncio.to_thread(
        imgmon, "batches", "--config", path, "cancel", job.probe_id
    )

    assert 1 == code
    assert f"{job.probe_id}: cancelled, but not deleted yet;" in text


async def test_an_unknown_job_is_told_with_those_there_are(path):
    """A typing error is wrong input."""
    job = await a_running_job(path)
    code, text = imgmon("batches", "--config", path, "cancel", "p-9")

    assert 2 == code
    assert f"No batch job p-9 is under way; there are: {job.probe_id}." in text


async def test_a_store_that_cannot_be_used_is_told(path):
    """In words, without a traceback."""
    job = await a_running_job(path)
    lock = configured(path).store_path.with_name("a.db.lock")
    lock.unlink()
    lock.mkdir()
    code, text = await asyncio.to_thread(
        imgmon, "batches", "--config", path, "cancel", job.probe_id
    )
    configured(path).store_path.write_bytes(b"no database" * 100)
    unreadable = imgmon("batches", "--config", path)

    assert 2 == code
    assert "cannot lock" in text
    assert 2 == unreadable[0]
    assert "cannot read" in unreadable[1]


def test_check_makes_the_free_call_of_a_batch_target(path, simulator):
    """A job takes hours and money; its key and model are checked for nothing, unasked."""
    code, text = imgmon("check", "--config", path, "--json")

    assert 0 == code, text
    assert ("night", "good", 0.0) == tuple(
        json.loads(text)[key] for key in ("target", "outcome", "cost_usd")
    )
    assert [] == created(simulator)


def test_the_plan_and_the_cost_of_a_batch_target_are_at_the_batch_price(path):
    """One job a week at half of 4.5 cents."""
    _, plan = imgmon("plan", "--config", path, "--json")
    _, cost = imgmon("cost", "--images", 1000, "--pool", "batch", "--config", path, "--json")

    assert 0.0225 == json.loads(plan)["targets"][0]["price_usd"]
    (offer,) = json.loads(cost[cost.index("{") :])["targets"]
    assert 22.5 == offer["usd_per_month"]
