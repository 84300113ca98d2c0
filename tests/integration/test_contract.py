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

from monitor import tokens
from monitor.clock import SystemClock
from probes.model import ProbeReason
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import configuration, finished, running, until
from tests.support.serving import served

pytestmark = pytest.mark.anyio

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
REQUESTS = int(os.environ.get("IMGMON_CONTRACT_REQUESTS", "0"))
# Some routes take next to nothing, so that few requests of them differ.
_SPARE = 1.2


def runs(routes: int) -> list[list[str]]:
    """What each run beside the others is asked for: a few requests, or thousands from all sides."""
    if not REQUESTS:
        return [["--phases", "fuzzing", "--max-examples", "4", "--seed", "1"]]
    each = ["--max-examples", str(round(_SPARE * REQUESTS / routes / 2))]
    return [
        ["--phases", "coverage,fuzzing,stateful", *each, "--seed", "1"],
        ["--phases", "fuzzing", *each, "--seed", "2"],
    ]


async def test_every_answer_is_as_described(tmp_path):
    """No server error, no undocumented answer, no bad request accepted, no good one refused."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db")
        # Whatever asks for a token gets one that may do anything: to the simulator.
        token = tokens.create(config.tokens_path, "contract", list(tokens.Scope), now=0.0)
        async with running(config) as daemon:
            await until(lambda: finished(daemon) == 2)
            for target in ("flash", "flare"):
                await daemon.runner.run(target, reason=ProbeReason.SCHEDULED)
            app = daemon.api()
            # As when the server stops: a stream ends after what the log holds, nobody waits.
            app.state.holds.close()
            async with served(app) as (_, base):
                address = f"{base}/openapi.json"
                done = await asyncio.gather(*(
                    schemathesis(address, tmp_path, token, *asked)
                    for asked in runs(len(app.openapi()["paths"]))
                ))  # fmt: skip
    generated = sum(int(re.search(r"(\d+) generated", said)[1]) for said, _ in done)

    failed = [said[-8_000:] for said, code in done if code]
    assert not failed, "\n".join(failed)
    assert generated >= max(REQUESTS, 40)


async def schemathesis(address: str, folder: Path, token: str, *asked: str) -> tuple[str, int]:
    """What a run with all checks says, and its exit code."""
    run = await asyncio.create_subprocess_exec(
        *(SCHEMATHESIS, "run", address, "--checks", "all", "--continue-on-failure"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--generation-database", "none", *asked),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await run.communicate()
    return said.decode(), run.returncode
