"""
Every route does what its description says, for thousands of requests that somebody could send.

Schemathesis reads ``/openapi.json`` of a real daemon over a socket and holds each answer against it
with all its checks. The default run is a short one; ``.ci/run`` asks for more than 5000 requests:

    IMGMON_CONTRACT_REQUESTS=5000 python3 dev.py test tests/integration/test_contract.py
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from monitor.clock import SystemClock
from probes.model import ProbeReason
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import configuration, finished, running, until
from tests.support.serving import served

pytestmark = pytest.mark.anyio

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
REQUESTS = int(os.environ.get("IMGMON_CONTRACT_REQUESTS", "0"))
# A short run draws a few requests of each route; a long one walks through every border too.
SHORT = ["--phases", "fuzzing", "--max-examples", "4"]
LONG = ["--phases", "coverage,fuzzing,stateful"]


async def test_every_answer_is_as_described(tmp_path):
    """No server error, no undocumented answer, no bad request accepted, no good one refused."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        async with running(configuration(simulator, tmp_path / "a.db")) as daemon:
            await until(lambda: finished(daemon) == 2)
            for target in ("flash", "flare"):
                await daemon.runner.run(target, reason=ProbeReason.SCHEDULED)
            app = daemon.api()
            # As when the server stops: a stream ends after what the log holds, nobody waits.
            app.state.holds.close()
            async with served(app) as (_, base):
                said, code = await schemathesis(
                    f"{base}/openapi.json", tmp_path, len(app.openapi()["paths"])
                )
    generated = int(re.search(r"(\d+) generated", said)[1])

    assert 0 == code, said[-8_000:]
    assert generated >= max(REQUESTS, 40)


async def schemathesis(url: str, folder: Path, routes: int) -> tuple[str, int]:
    """What a run with a fixed seed and all checks says, and its exit code."""
    # Some routes take nothing, so that few requests of them differ.
    each = 2 * REQUESTS // routes
    run = await asyncio.create_subprocess_exec(
        *(SCHEMATHESIS, "run", url, "--checks", "all", "--seed", "1", "--continue-on-failure"),
        *(
            "--workers",
            "2",
            "--generation-database",
            "none",
            *([*LONG, "--max-examples", str(each)] if REQUESTS else SHORT),
        ),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await run.communicate()
    return said.decode(), run.returncode
