"""The client and the daemon together: nothing between them is a stand-in."""

from __future__ import annotations

import asyncio

import pytest

from monitor import tokens
from monitor.api.server import bind, build_server
from monitor.client import AsyncPriorityClient, Failover, PriorityClient, Settings, Source
from monitor.clock import SystemClock
from monitor.tokens import Scope
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import configuration, finished, running, until


@pytest.mark.anyio
async def test_the_daemons_order_is_followed_and_its_route_takes_the_reports(tmp_path):
    """A real order, fallen through; the failure that was reported turns the order that is read next."""
    settings = Settings(cache_dir=tmp_path / "cache", refresh_s=0.05, wait_s=1.0, report_s=0.05)
    with SimulatorServer(calm_plan(), SystemClock()) as simulator, bind("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = configuration(simulator, tmp_path / "a.db")
        token = tokens.create(config.tokens_path, "shop", [Scope.READ, Scope.REPORT], now=0.0)
        async with running(config) as daemon:
            await until(lambda: finished(daemon) == 2)
            server = build_server(daemon.api())
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            async with AsyncPriorityClient(
                url, "image", static_order=["static"], token=token, settings=settings
            ) as client:
                assert await client.wait_live(20)
                order = client.order()
                published = daemon.publisher.current.snapshot.orders["image", "balanced"]
                assert tuple(place.target for place in published.places) == order.targets
                assert not order.is_stale

                async def fn(attempt):
                    if attempt.number == 1:
                        raise ConnectionResetError
                    return attempt.target

                assert order.targets[1] == await Failover(client).acall(fn)
                await until(lambda: client.status.reports.sent == 2)
                # The report of a failure is believed: the order that comes back puts it last.
                await until(lambda: client.order().targets == order.targets[::-1])
                assert Source.LIVE is client.order().source
            threaded = PriorityClient(url, "image", static_order=["static"], settings=settings)
            assert set(order.targets) == set(threaded.order().targets)  # From disk.
            assert await asyncio.to_thread(threaded.wait_live, 20)
            await asyncio.to_thread(threaded.close)
            counts = daemon.desk.counts
            assert (0, 0, 0) == (counts.duplicates, counts.rejected, counts.refused)
            server.stop()
            await serving
