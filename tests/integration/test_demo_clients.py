"""The demo's customers: real requests by the published order, and reports of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from monitor.api.server import bind, build_server
from monitor.cli.demo_clients import draw_pictures
from monitor.clock import SystemClock
from monitor.core.snapshot import State
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import configuration, finished, running, until


@pytest.mark.anyio
async def test_a_customer_whom_a_target_fails_reports_it_and_draws_elsewhere(tmp_path):
    """No canary is due: what demotes the failing target is what the customer told."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator, bind("127.0.0.1", 0) as listener:
        config = replace(configuration(simulator, tmp_path / "a.db"), listen=listener.getsockname())
        async with running(config) as daemon:
            await until(lambda: finished(daemon) == 2)
            simulator.set_fault("gemini", Fault(kind=FaultKind.OVERLOADED))
            server = build_server(daemon.api())
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            customers = asyncio.create_task(draw_pictures(daemon, 1))

            def states() -> dict[str, State]:
                views = daemon.publisher.current.snapshot.targets
                return {target: view.health.state for target, view in views.items()}

            await until(lambda: states()["flash"] in {State.SUSPECT, State.DOWN})
            assert State.HEALTHY is states()["flare"]
            assert not customers.done()
            customers.cancel()
            await asyncio.gather(customers, return_exceptions=True)
            server.stop()
            await serving
