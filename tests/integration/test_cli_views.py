"""``imgmon status``, ``order`` and ``results`` as a person types them: over HTTP, or from the store."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync as to_thread
from click.testing import CliRunner
from rich.console import Console
from rich.text import Text

from monitor.api.server import bind, build_server
from monitor.cli import main, watch
from monitor.cli.sources import Remote
from monitor.clock import SystemClock
from monitor.store.lock import StoreLock
from monitor.store.writer import Writer
from probes.model import ErrorClass, ProbeKind, ProbeReason
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.builders import a_result
from tests.support.daemon import configuration, finished, running, until

ROOT = Path(__file__).resolve().parents[2]
TWO_TARGETS = """
[server]
listen = "127.0.0.1:{port}"

[store]
path = "{store}"

[[providers]]
id = "acme"
format = "openai-images"
base_url = "http://localhost/v1"

[[targets]]
id = "alpha"
provider = "acme"
model = "painter"
price_usd = 0.05
interval = "10m"
pools = ["image"]

[[targets]]
id = "beta"
provider = "acme"
model = "painter-2"
price_usd = 0.04
interval = "10m"

[[pools]]
id = "image"
"""


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """No terminal is pretended."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path) -> Path:
    """A pool of one target and a target in no pool; nobody listens at its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "monitor.toml"
    path.write_text(TWO_TARGETS.format(store=tmp_path / "imgmon.db", port=port))
    return path


def imgmon(*arguments: object) -> tuple[int, str, str]:
    """Run a command in process: exit code, standard output, standard error."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def store(
    config: Path,
    *errors: ErrorClass | None,
    target: str = "alpha",
    age_s: float = 60,
    **changes,
) -> None:
    """One scheduled canary in each ten-minute slot, oldest first, the last one *age_s* ago."""
    now = SystemClock().wall()
    writer = Writer(config.parent / "imgmon.db")
    writer.start()
    for back, error in enumerate(reversed(errors)):
        at = now - age_s - 600 * back
        result = a_result(
            error, at, probe_id=f"{target}-{back}", target_id=target, cost_usd=0.05, **changes
        )
        writer.submit_probe(result, "acme", "here")
    writer.close()


def test_status_reads_the_store_when_no_daemon_answers(config):
    """It says so, with the address, the reason and the age of the newest row; pools or not."""
    store(config, None, None)
    store(config, None, target="beta")
    code, out, _ = imgmon("status", "--config", config)
    text = " ".join(out.split())

    assert 0 == code
    assert "image / balanced" in text
    assert "100.0 % (n=2)" in text
    assert "in no pool" in text
    assert "no daemon answers at http://127.0.0.1:" in text
    assert "Connection refused" in text
    assert "its newest row is 1m" in text


def test_status_of_the_store_takes_no_lock_and_writes_nothing(config):
    """A daemon that is just not answering keeps its file; the bytes stay the same."""
    store(config, None, ErrorClass.OVERLOADED)
    path = config.parent / "imgmon.db"
    before = path.read_bytes()
    with StoreLock(path):
        code, _, _ = imgmon("status", "--config", config, "--json")

    assert 0 == code
    assert before == path.read_bytes()


def test_a_target_that_is_down_makes_the_exit_code_1(config):
    """For scripts: of those that are shown, in a pool or in none."""
    store(config, None, None)
    store(config, ErrorClass.OVERLOADED, ErrorClass.OVERLOADED, target="beta")
    everything, out, _ = imgmon("status", "--config", config, "--json")
    one_pool, _, _ = imgmon("status", "--pool", "image", "--config", config)
    (loose,) = json.loads(out)["in_no_pool"]

    assert (1, 0) == (everything, one_pool)
    assert ("beta", "down", "overloaded") == (loose["target"], loose["state"], loose["error"])


def test_old_rows_are_unknown_not_healthy(config):
    """A store that nobody has written to for hours says nothing of now."""
    store(config, None, age_s=7_200)
    code, out, _ = imgmon("status", "--config", config)

    assert 0 == code
    assert "unknown" in out
    assert re.search(r"its newest row is 2h \d+m old", " ".join(out.split()))


def test_without_daemon_and_store_the_exit_code_is_3(config, tmp_path):
    """Nothing is known, and both places that were looked at are named."""
    nothing, _, said = imgmon("status", "--config", config)
    neither, _, other = imgmon(
        "order", "image", "--config", tmp_path / "none.toml", "--url", "http://127.0.0.1:9"
    )
    no_rows, _, missing = imgmon("results", "alpha", "--config", config)
    store(config)
    empty, _, no_probe = imgmon("status", "--config", config)

    assert (3, 3, 3, 3) == (nothing, neither, no_rows, empty)
    assert "no daemon answers at" in said
    assert "imgmon.db" in said
    assert "none.toml" in other
    assert "no store at" in missing
    assert "holds no probe yet" in no_probe


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "--pool", "imag"), "No pool imag; there are: image."),
        (("order", "imag"), "No pool imag; there are: image."),
        (("order", "image", "--profile", "best"), "there are: cheap, balanced, fast"),
        (("status", "--url", "localhost:8720"), "write for example http://127.0.0.1:8720"),
        (("results", "gamma"), "No target gamma; there are: alpha, beta."),
    ],
)
def test_a_wrong_name_says_which_there_are(config, arguments, words):
    """Wrong input is exit code 2, never a guess."""
    store(config, None)
    code, _, said = imgmon(*arguments, "--config", config)

    assert 2 == code
    assert words in " ".join(said.split())


def test_a_store_that_is_none_is_wrong_input(config):
    """A damaged file is named with the reason that made us read it."""
    (config.parent / "imgmon.db").write_bytes(b"no database" * 100)
    status, _, said = imgmon("status", "--config", config)
    results, _, other = imgmon("results", "alpha", "--config", config)

    assert (2, 2) == (status, results)
    assert "no daemon answers" in said
    assert "cannot read" in other


@contextmanager
def web_server(body: bytes, status: int = 200) -> Iterator[str]:
    """Something that answers everything with *body*."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"<html>", 200, "is no imgmon of this version"),
        (b'{"schema": 1}', 200, "pools: Field required"),
        (b"", 503, "answers 503"),
    ],
)
def test_what_answers_but_is_no_daemon_is_told_apart(config, body, status, words):
    """Another program on the port, or a daemon that is not ready: the store is read, and why."""
    store(config, None)
    with web_server(body, status) as url:
        code, out, _ = imgmon("status", "--config", config, "--url", url, "--json")
    origin = json.loads(out)["source"]

    assert 0 == code
    assert "store" == origin["kind"]
    assert words in origin["daemon_error"]


def test_order_gives_every_place_its_reasons(config):
    """Ids best first, with reasons in words; the same as JSON, of any profile."""
    store(config, None, None)
    code, out, _ = imgmon("order", "image", "--config", config)
    _, raw, _ = imgmon("order", "image", "--profile", "fast", "--config", config, "--json")
    order = json.loads(raw)
    reasons = order["targets"][0]["reasons"]

    assert 0 == code
    assert "alpha" in out
    assert all(reason["text"] in " ".join(out.split()) for reason in reasons)
    assert ("image", "fast", ["alpha"]) == (
        order["pool"], order["profile"], [place["target"] for place in order["targets"]],
    )  # fmt: skip
    assert reasons


def test_an_order_of_failures_says_that_nothing_is_up(config):
    """All are listed all the same, and the exit code of an order is 0."""
    store(config, *[ErrorClass.OVERLOADED] * 3)
    code, out, _ = imgmon("order", "image", "--config", config)

    assert 0 == code
    assert "down" in out
    assert "Nothing is up: least bad first." in out


def test_results_are_the_newest_rows_with_what_went_wrong(config):
    """Newest first: time, kind, reason, class, latency, cost and words; nothing is markup."""
    store(config, None, reason=ProbeReason.CONFIRM)
    store(config, ErrorClass.SERVER_ERROR, detail="[red]broken[/red] pipe", http_status=502)
    code, out, _ = imgmon("results", "alpha", "--config", config)
    _, raw, _ = imgmon("results", "alpha", "--limit", "1", "--config", config, "--json")
    (row,) = json.loads(raw)

    assert 0 == code
    assert "server_error" in out
    assert "confirm" in out
    assert "5.00 s" in out
    assert "$0.0500" in out
    assert "HTTP 502, [red]broken[/red] pipe" in " ".join(out.split())
    assert "server_error" == row["error"]


def test_results_of_one_kind(config):
    """Free calls are left out when canaries are asked for; none is said, not shown as a table."""
    store(config, None, kind=ProbeKind.LIVENESS)
    _, free, _ = imgmon("results", "alpha", "--kind", "liveness", "--config", config)
    code, none, _ = imgmon("results", "alpha", "--kind", "canary", "--config", config)

    assert "liveness" in free
    assert (0, "No canary of alpha is stored yet.\n") == (code, none)


def watching(url: str) -> tuple[int, str]:
    """``imgmon watch`` in a process of its own, and Ctrl-C once it shows something."""
    # Where the tests run in the background of a shell, Ctrl-C is ignored, and so by its children.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from monitor.cli import main; main()"
    )
    command = [sys.executable, "-u", "-c", program, "watch", "--url", url]
    environ = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "120", "TERM": "xterm"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        seen = ""
        while "flash" not in seen:
            line = process.stdout.readline()
            assert line, seen
            seen += line
        process.send_signal(signal.SIGINT)
        seen += process.stdout.read()  # To its end, which Ctrl-C brings.
        return process.wait(timeout=30), seen


@pytest.mark.anyio
async def test_a_running_daemon_is_asked_over_http(tmp_path):
    """Status, order and watch show what it publishes, with no word of a store, wherever it is."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator, bind("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asked = ("--url", url, "--config", tmp_path / "none.toml")
        async with running(configuration(simulator, tmp_path / "a.db")) as daemon:
            await until(lambda: finished(daemon) == 2)
            server = build_server(daemon.api())
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: server.serve(sockets=[listener]))
                code, text, _ = await to_thread(lambda: imgmon("status", *asked))
                _, raw, _ = await to_thread(lambda: imgmon("status", *asked, "--json"))
                _, order, _ = await to_thread(lambda: imgmon("order", "image", *asked, "--json"))
                once, seen, _ = await to_thread(lambda: imgmon("watch", "--times", 1, *asked))
                ended, live = await to_thread(lambda: watching(url))
                server.stop()
    document = json.loads(raw)
    (shown,) = document["orders"]

    assert (0, 0, 0) == (code, once, ended)
    for said in (text, seen, live):
        assert "flash" in said
        assert "flare" in said
    assert "store" not in text
    assert "Traceback" not in live
    assert {"kind": "daemon", "url": url} == document["source"]
    assert {"flash", "flare"} == {place["target"] for place in shown["targets"]}
    assert shown["targets"] == json.loads(order)["targets"]


def test_what_a_daemon_said_last_stays_while_it_does_not_answer(config):
    """The table is kept, and the reason stands below it; none at all at first is exit code 3."""
    code, _, said = imgmon("watch", "--config", config)
    last = Text("what it said")
    _, shown = watch._look(Remote("http://127.0.0.1:9"), None, last)
    with StringIO() as out:
        Console(file=out, width=120).print(shown)
        text = out.getvalue()

    assert 3 == code
    assert "no daemon answers at" in said
    assert text.startswith("what it said")
    assert "this is what it said last" in text
