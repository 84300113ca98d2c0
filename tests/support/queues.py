"""A daemon with batch targets at the simulator's queue, for tests."""

from __future__ import annotations

from pathlib import Path

from monitor.app import Daemon
from monitor.config import Config, parse
from monitor.core.batch import Job
from probes.model import ProbeResult
from probes.simulator.faults import AccountPlan, FaultPlan, Latency
from probes.simulator.server import SimulatorServer
from tests.support.daemon import KEY, until

PROVIDER = """
[store]
path = "{store}"

[[providers]]
id = "google"
preset = "google-gemini"
base_url = "{base_url}"
api_key = {{ env = "KEY" }}
{cap}

[[pools]]
id = "batch"
"""
TARGET = """
[[targets]]
id = "{id}"
provider = "google"
format = "gemini-batch"
model = "gemini-3.1-flash-image"
size = "512x512"
interval = "{interval}"
deadline = "{deadline}"
poll = "{poll}"
pools = ["batch"]
"""
PRICE_USD = 0.0225  # Half of the list price of a picture of 512 pixels.


def queue_plan(batch_s: float = 0.05) -> FaultPlan:
    """A queue whose jobs take *batch_s*, without trouble."""
    quick = AccountPlan(
        latency=Latency(p50_s=0.001, p95_s=0.001), batch_s=batch_s, prices_usd={"*": PRICE_USD}
    )
    return FaultPlan(accounts={"gemini": quick})


def queue_config(
    base_url: str,
    store: Path,
    *targets: str,
    interval: str = "7d",  # No slot fires by itself during a test.
    deadline: str = "20s",
    poll: str = "100ms",
    cap: str = "",
) -> Config:
    """Batch targets, named *targets* or ``night``, of one provider in one pool."""
    text = PROVIDER.format(store=store, base_url=base_url, cap=cap)
    for name in targets or ("night",):
        text += TARGET.format(id=name, interval=interval, deadline=deadline, poll=poll)
    return parse(text, {"KEY": KEY}, "test")


def created(simulator: SimulatorServer) -> list[str]:
    """The label of each job that was asked for, in order."""
    return [
        request.json["batch"]["displayName"]
        for request in simulator.requests
        if request.path.endswith(":batchGenerateContent")
    ]


def bid(simulator: SimulatorServer) -> list[str]:
    """What was asked for of jobs, in order, looks left out: create, find, cancel, delete."""
    names = []
    for request in simulator.requests:
        if request.path.endswith(":batchGenerateContent"):
            names.append("create")
        elif request.path.endswith(":cancel"):
            names.append("cancel")
        elif request.path.endswith("/batches"):
            names.append("find")
        elif request.method == "DELETE":
            names.append("delete")
    return names


def results(daemon: Daemon, target: str = "night") -> tuple[ProbeResult, ...]:
    """The stored results of a target, newest first."""
    return daemon.reader.results(target, None, 100)[0]


def jobs(daemon: Daemon) -> tuple[Job, ...]:
    """The jobs that are not closed."""
    return daemon.reader.batch_jobs()


async def ended(daemon: Daemon, target: str = "night") -> ProbeResult:
    """Wait until every job is closed; the newest result of a target."""
    await until(lambda: not jobs(daemon))
    return results(daemon, target)[0]
