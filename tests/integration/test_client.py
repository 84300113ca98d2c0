"""The client against servers on real sockets: what it shows, what it survives, how it ends."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import re
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from monitor.client import (
    AllFailed,
    AsyncPriorityClient,
    ErrorClass,
    Failover,
    PriorityClient,
    Settings,
    Source,
)
from monitor.clock import SystemClock
from tests.support.orders import OrderDaemon, a_place, an_order, order_daemon, wait_until
from tests.support.wire_server import answering, cut_after, dripping, hanging, response

ROOT = Path(__file__).resolve().parents[2]
STATIC = ["static-1", "static-2"]
QUICK = {"refresh_s": 0.02, "report_s": 0.02, "timeout_s": 1.0}


def a_client(
    daemon: OrderDaemon | str, cache: Path | None = None, *, token: str | None = None, **settings
) -> PriorityClient:
    """A client of *daemon* that asks often."""
    url = daemon if isinstance(daemon, str) else daemon.url
    return PriorityClient(
        url, "image", static_order=STATIC, token=token, rng=Random(1),
        settings=Settings(**{"cache_dir": cache, **QUICK, **settings}),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _heard(caplog):
    """What the client logs, from info on."""
    caplog.set_level("INFO", "imgmon.client")


def test_the_order_is_static_until_the_daemon_answers_and_then_live():
    """The first answer to the application comes before any of the daemon."""
    with order_daemon(answer=hanging) as daemon, a_client(daemon) as client:
        assert (Source.STATIC, ("static-1", "static-2")) == (
            client.order().source, client.order().targets,
        )  # fmt: skip
        assert not client.wait_live(0)
        daemon.answer = None
        # The exchange that hangs ends by its own limit; the next one is answered.
        assert client.wait_live(20)
        assert ("alpha", "beta") == client.order().targets


def test_an_entity_tag_that_cannot_be_sent_back_is_not():
    """Whatever stands between us and the daemon: the next order still comes."""
    with order_daemon() as daemon, a_client(daemon) as client:
        body = json.dumps(daemon.order).encode()
        daemon.answer = answering(response(body, headers={"etag": '"\u00e9"'}))
        wait_until(lambda: client.order().source is Source.LIVE)
        daemon.order = an_order("beta", version=2)
        daemon.answer = None
        wait_until(lambda: client.order().version == 2)
        assert {None} == {one.headers.get("if-none-match") for one in daemon.asked[:2]}


def test_an_order_that_is_no_utf8_is_none(tmp_path):
    """JSON is UTF-8 between programs (RFC 8259, 8.1); another could not be kept."""
    order = json.dumps(an_order("alpha")).encode("utf-16")
    with order_daemon(order=order) as daemon, a_client(daemon, tmp_path) as client:
        wait_until(lambda: "not an order" in client.status.last_error)
        assert client.order().source is Source.STATIC


def test_a_home_that_nobody_has_keeps_the_order_in_memory_alone(caplog):
    """The default folder is in one, and users of a container may have none."""
    with order_daemon() as daemon, a_client(daemon, Path("~nobody-has-it/orders")) as client:
        assert client.wait_live(20)
    assert "in memory alone" in caplog.text


def test_a_long_poll_tells_of_a_change_and_an_unchanged_order_costs_a_304():
    """The version held and the entity tag are sent; the new order comes with no poll in between."""
    with order_daemon() as daemon, a_client(daemon, refresh_s=0.001) as client:
        assert client.wait_live(20)
        wait_until(lambda: len(daemon.asked) == 2)
        daemon.order = an_order("beta", "alpha", version=2)
        wait_until(lambda: client.order().version == 2)

        assert ("beta", "alpha") == client.order().targets
        assert "wait=30&version=1" in daemon.asked[1].path
        assert daemon.asked[1].headers["if-none-match"]
        assert "wait" not in daemon.asked[0].path


def test_a_daemon_without_long_polls_is_polled_with_tags():
    """One that ignores ``wait`` answers at once; one that refuses it is not asked to wait again."""
    with order_daemon(knows_long_polls=False) as daemon, a_client(daemon) as client:
        wait_until(lambda: len(daemon.asked) > 4)
        assert Source.LIVE is client.order().source
        daemon.answer = answering(response(b"{}", 422))
        wait_until(lambda: client.order().source is Source.MEMORY)
        daemon.answer = None
        assert client.wait_live(20)
        seen = len(daemon.asked)
        wait_until(lambda: len(daemon.asked) > seen + 3)
        assert not [one.path for one in daemon.asked[seen:] if "wait" in one.path]


def test_a_version_that_goes_back_is_followed():
    """A daemon with a new store counts anew."""
    with order_daemon(order=an_order("alpha", version=90)) as daemon, a_client(daemon) as client:
        assert client.wait_live(20)
        daemon.order = an_order("beta", version=1)
        wait_until(lambda: client.order().targets == ("beta",))
        assert 1 == client.order().version


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
GARBAGE = {
    "html": answering(response(b"<html>gone</html>")),
    "cut": answering(response(json.dumps(an_order()).encode()[:-9])),
    "empty": answering(response(json.dumps(an_order(targets=[])).encode())),
    "pool": answering(response(json.dumps(an_order(pool="other")).encode())),
    "schema": answering(response(json.dumps(an_order(schema=2)).encode())),
    "large": answering(response(b" " * 5_000_000 + json.dumps(an_order()).encode())),
    "bomb": answering(response(gzip.compress(b" " * 10**8), headers={"content-encoding": "gzip"})),
    "500": answering(response(b"{}", 500)),
    "401": answering(response(b"{}", 401)),
    "redirect": answering(response(status=307, headers={"location": "http://127.0.0.1:1/"})),
    "304": answering(response(status=304)),
    "short": cut_after(HEAD + b"content-length: 900\r\n\r\n{"),
    "reset": cut_after(b"HTTP/1.1 200 OK\r\n", reset=True),
    "noise": cut_after(b"\x00\x16\x03SSH-2.0-nonsense\r\n\r\n"),
    "drip": dripping(HEAD + b"content-length: 99999\r\n\r\n"),
    "hang": hanging,
}


@pytest.mark.parametrize("kind", [one for one in GARBAGE if one != "304"])
def test_what_is_no_order_is_refused_whole_and_the_last_one_stays(kind):
    """It is counted, said in the status, and the order is that of before, now from memory."""
    # Plain polls: a long one that hangs would be given its half minute.
    with order_daemon() as daemon, a_client(daemon, timeout_s=0.3, wait_s=0) as client:
        assert client.wait_live(20)
        daemon.answer = GARBAGE[kind]
        wait_until(lambda: client.status.failures)

        order = client.order()
        assert (Source.MEMORY, ("alpha", "beta")) == (order.source, order.targets)
        assert client.status.last_error


def test_not_modified_is_no_answer_to_one_who_holds_nothing():
    """There is nothing it could renew."""
    with order_daemon(answer=GARBAGE["304"]) as daemon, a_client(daemon) as client:
        wait_until(lambda: client.status.failures)
        assert Source.STATIC is client.order().source


def test_it_is_live_again_when_the_daemon_is(caplog):
    """Told once when it went, once when it came; a daemon that asks for time gets it."""
    caplog.set_level("INFO", "imgmon.client")
    with order_daemon() as daemon, a_client(daemon) as client:
        assert client.wait_live(20)
        daemon.answer = answering(response(b"{}", 503, {"retry-after": "0"}))
        wait_until(lambda: client.status.failures > 1)
        daemon.answer = None
        assert client.wait_live(20)
        wait_until(lambda: "answers again" in caplog.text)

    assert 1 == caplog.text.count("no new order of pool image")


def test_the_last_order_outlives_the_process_and_the_daemon(tmp_path):
    """The next client starts from disk, and a 304 makes that order live."""
    with order_daemon() as daemon:
        with a_client(daemon, tmp_path) as client:
            wait_until(lambda: list(tmp_path.glob("image-*.json")))
        with a_client(daemon, tmp_path) as client:
            daemon.asked.clear()
            assert client.wait_live(20)
            assert daemon.asked[0].headers["if-none-match"]
        url = daemon.url
    with a_client(url, tmp_path) as client:
        order = client.order()
        assert (Source.DISK, ("alpha", "beta")) == (order.source, order.targets)
        assert order.age_s >= 0


def test_the_clock_of_the_daemon_counts_for_retry_times():
    """A daemon (or a client) whose clock is a day wrong: the wait is what the daemon meant."""
    with order_daemon(ahead_s=86_400.0) as daemon:
        soon = datetime.fromtimestamp(SystemClock().wall() + 86_400 + 600).astimezone().isoformat()
        daemon.order = an_order(targets=[a_place("alpha", retry_at=soon), a_place("beta")])
        with a_client(daemon) as client:
            assert client.wait_live(20)
            order = client.order()
            assert 590 < order.wait_s(order.places[0]) < 610
            assert "beta" == Failover(client).call(lambda attempt: attempt.target)


def test_reports_are_sent_in_batches_with_the_token():
    """Attempts of a failover, the failed one first; ids are unique and rows complete."""
    with order_daemon() as daemon:
        with a_client(daemon, token="rep-token", report_s=0.05) as client:
            assert client.wait_live(20)

            def fn(attempt):
                if attempt.target == "alpha":
                    raise TimeoutError
                return "picture"

            assert "picture" == Failover(client).call(fn)
            # Not only sent: a batch whose answer is cut off by the end is sent again, by design.
            wait_until(lambda: client.status.reports.sent == 2)
        sent = [one for one in daemon.asked if one.method == "POST"]

        assert {"/v1/reports"} == {one.path for one in sent}
        assert {"Bearer rep-token"} == {one.headers["authorization"] for one in daemon.asked}
        expected = [("alpha", "timeout", 1), ("beta", None, 2)]
        assert expected == [(r["target"], r["error"], r["attempt"]) for r in daemon.rows]
        assert 2 == len({row["id"] for row in daemon.rows})
        assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", row["id"]) for row in daemon.rows)
        stamps = [daemon.reports[0]["sent_at"], *(row["at"] for row in daemon.rows)]
        assert all(datetime.fromisoformat(stamp).tzinfo for stamp in stamps)
        assert {"id", "target", "at", "error", "latency_s", "attempt"} == set(daemon.rows[0])


def test_a_batch_whose_answer_was_lost_is_sent_again_under_the_same_ids():
    """The daemon tells a repeat by them; 503 and 429 are waited out, nothing is lost."""
    lost = response(b"{", 503, {"retry-after": "0"})
    with order_daemon(report_answers=[lost, response(b"{}", 429, {"retry-after": "0"})]) as daemon:
        with a_client(daemon, token="t") as client:
            client.report("alpha", ErrorClass.OVERLOADED, 1.5)
            wait_until(lambda: client.status.reports.sent == 1)
            assert 0 == client.status.reports.dropped
        sent = [json.loads(one.body) for one in daemon.asked if one.method == "POST"]
        assert 3 == len(sent)
        assert 1 == len({one["reports"][0]["id"] for one in sent})


def test_without_a_token_no_report_is_kept_or_sent():
    """Nobody would take it."""
    with order_daemon() as daemon:
        with a_client(daemon) as client:
            client.report("alpha", None, 1.0)
            assert 0 == client.status.reports.waiting
        assert [] == [one for one in daemon.asked if one.method == "POST"]


def test_a_full_queue_drops_the_oldest_and_counts_it():
    """Memory is bounded while the daemon is away."""
    with a_client("http://127.0.0.1:1", token="t", reports_max=10, report_s=60.0) as client:
        for number in range(25):
            client.report(f"target-{number}", None, 1.0)
        counts = client.status.reports

    assert 25 == counts.waiting + counts.dropped
    assert counts.waiting <= 10
    assert 25 == client.status.reports.dropped  # What could not be sent at the end is counted too.


def test_a_batch_on_its_way_counts_against_the_bound_and_is_sent_again():
    """A daemon that hangs holds no more of our memory than one that is away."""
    with order_daemon(report_answers=[hanging]) as daemon:
        with a_client(daemon, token="t", reports_max=10) as client:
            client.report("first", None, 1.0)
            wait_until(lambda: any(one.method == "POST" for one in daemon.asked))
            for number in range(25):
                client.report(f"target-{number}", None, 1.0)
            counts = client.status.reports
            wait_until(lambda: client.status.reports.sent == 10)

        assert (10, 16) == (counts.waiting, counts.dropped)
        assert ["first", *(f"target-{n}" for n in range(16, 25))] == [
            r["target"] for r in daemon.rows
        ]


def test_one_report_at_a_time_is_enough_to_report():
    """The least bound holds one row, on its way or not."""
    with order_daemon() as daemon, a_client(daemon, token="t", reports_max=1) as client:
        client.report("alpha", None, 1.0)
        wait_until(lambda: client.status.reports.sent == 1)
        assert ["alpha"] == [row["target"] for row in daemon.rows]


def test_a_body_that_is_refused_is_dropped_and_one_that_is_too_long_is_halved(caplog):
    """422 would be refused again; 413 asks for less at once."""
    with order_daemon(report_answers=[response(b"pointer /reports/0", 422)]) as daemon:
        with a_client(daemon, token="t") as client:
            client.report("wrong", None, 1.0)
            wait_until(lambda: client.status.reports.dropped == 1)
            daemon.report_answers.append(response(b"", 413))
            for number in range(4):
                client.report(f"target-{number}", None, 1.0)
            wait_until(lambda: client.status.reports.sent == 4)

        assert [f"target-{number}" for number in range(4)] == [r["target"] for r in daemon.rows]
        assert all(len(body["reports"]) <= 4 for body in daemon.reports)
        assert "pointer /reports/0" in caplog.text


def test_rows_that_the_daemon_rejects_are_counted_with_the_reason(caplog):
    """The others of the batch count as sent."""
    rejected = [{"index": 0, "id": "x", "pointer": "/reports/0/target", "detail": "no such target"}]
    answer = {"accepted": 0, "duplicate": 0, "rejected": rejected, "skew_s": 0.0}
    with (
        order_daemon(report_answers=[response(json.dumps(answer).encode(), 202)]) as daemon,
        a_client(daemon, token="t") as client,
    ):
        client.report("gone", None, 1.0)
        wait_until(lambda: client.status.reports.rejected == 1)

    assert "no such target" in caplog.text


def test_a_refused_token_keeps_reports_and_says_so_once(caplog):
    """A person mends it; meanwhile the queue stays bounded."""
    with (
        order_daemon(report_answers=[response(b"{}", 401)] * 9) as daemon,
        a_client(daemon, token="t") as client,
    ):
        client.report("alpha", None, 1.0)
        wait_until(lambda: "refuses them with 401" in caplog.text)
        assert 1 == client.status.reports.waiting


def test_closing_sends_what_waits_and_ends_a_hanging_exchange():
    """The thread is gone, the report is there, the order is still readable."""
    with order_daemon() as daemon:
        client = a_client(daemon, token="t", report_s=60.0)
        assert client.wait_live(20)
        wait_until(lambda: len(daemon.asked) > 1)  # A long poll of 30 s is under way.
        client.report("alpha", None, 1.0)
        client.close()
        client.close()

        assert ["alpha"] == [row["target"] for row in daemon.rows]
        assert ("alpha", "beta") == client.order().targets
        assert not [one for one in threading.enumerate() if one.name == "imgmon-client"]


def test_a_client_that_nobody_holds_any_more_ends_by_itself():
    """Its thread does not keep it."""
    with order_daemon() as daemon:
        client = a_client(daemon)
        assert client.wait_live(20)
        del client
        gc.collect()
        wait_until(lambda: "imgmon-client" not in {one.name for one in threading.enumerate()})


def test_many_threads_share_one_client_and_one_refresher():
    """The first callers race for its start: one thread comes of it."""
    with order_daemon() as daemon, a_client(daemon) as client:
        gate = threading.Barrier(16)
        seen = []

        def ask() -> None:
            gate.wait()
            seen.extend(client.order().targets for _ in range(200))

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        running = [one for one in threading.enumerate() if one.name == "imgmon-client"]

    assert 3200 == len(seen)
    assert {("alpha", "beta"), ("static-1", "static-2")} >= set(seen)
    assert 1 == len(running)


def python(code: str, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


FORKS = """
import os, sys, warnings
warnings.simplefilter("ignore")  # 3.12 warns of every fork beside a thread.
from monitor.client import PriorityClient, Settings
client = PriorityClient(sys.argv[1], "image", static_order=["static"], token="t",
                        settings=Settings(cache_dir=None, refresh_s=0.02, report_s=60))
assert client.wait_live(20)
client.report("parent", None, 1.0)
child = os.fork()
if child == 0:
    lived = client.order().version == 1     # What the parent knew is there at once.
    client.report("child", None, 1.0)
    print("waiting", client.status.reports.waiting, flush=True)
    import time
    ends = time.monotonic() + 20
    open(sys.argv[2], "w").close()          # Now the order may change.
    while client.order().version != 2 and time.monotonic() < ends:
        time.sleep(0.01)
    lived = lived and client.order().version == 2
    client.close()
    os._exit(0 if lived else 1)
_, status = os.waitpid(child, 0)
client.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_refreshes_for_itself_and_sends_only_its_own_reports(tmp_path):
    """Thread, loop and locks are its own; what waited in the parent is the parent's to send."""
    with order_daemon() as daemon:
        done: list[subprocess.CompletedProcess[str]] = []
        run = threading.Thread(
            target=lambda: done.append(python(FORKS, daemon.url, tmp_path / "forked"))
        )
        run.start()
        wait_until(lambda: (tmp_path / "forked").exists() or done)
        daemon.order = an_order("gamma", version=2)
        run.join(60)

        assert (0, "waiting 1\n", "") == (done[0].returncode, done[0].stdout, done[0].stderr)
        # One whose answer was late is sent again, under its id.
        told = {row["id"]: row["target"] for row in daemon.rows}
        assert ["child", "parent"] == sorted(told.values())


@pytest.mark.parametrize("state", ["waits", "hangs", "refuses", "resolves"])
def test_an_interpreter_ends_at_once_whatever_the_daemon_does(state):
    """Nobody closes the client: a long poll, a hang, a dead port or a resolver hold nothing up."""
    code = (
        "import sys; from monitor.client import PriorityClient, Settings\n"
        "client = PriorityClient(sys.argv[1], 'image', static_order=['a'], token='t',"
        "                        settings=Settings(cache_dir=None, timeout_s=300, report_s=300))\n"
        "client.order(); client.wait_live(0.2); client.report('at-exit', None, 1.0)\n"
        "print(client.order().targets)"
    )
    with order_daemon(answer=hanging if state == "hangs" else None) as daemon:
        url = {"refuses": "http://127.0.0.1:1", "resolves": "http://no.invalid"}.get(state)
        done = python(code, url or daemon.url)

        assert (0, "") == (
            done.returncode,
            re.sub(r".*(no new order|reports wait).*\n", "", done.stderr),
        )
        if state == "waits":
            assert ["at-exit"] == [row["target"] for row in daemon.rows]


def test_the_import_takes_httpx_and_the_standard_library_alone():
    """Every other module is blocked, ours too; a client then works all the same."""
    code = """
import sys
from importlib.metadata import requires
from packaging.requirements import Requirement
allowed, todo = {"httpx", "monitor"}, ["httpx"]
while todo:
    for line in requires(todo.pop()) or []:
        need = Requirement(line)
        if (need.marker is None or need.marker.evaluate({"extra": ""})) and need.name not in allowed:
            allowed.add(need.name)
            todo.append(need.name)
for name in [one for one in sys.modules if one.split(".")[0] == "packaging"]:
    del sys.modules[name]
allowed = {name.replace("-", "_") for name in allowed}

class Wall:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in allowed - {"monitor"}:
            return None
        if name in ("monitor", "monitor.client") or name.startswith("monitor.client."):
            return None
        raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Wall())
from monitor.client import Failover, PriorityClient, Settings
with PriorityClient(sys.argv[1], "image", static_order=["a"], token="t",
                    settings=Settings(cache_dir=None)) as client:
    assert client.wait_live(20)
    print(Failover(client).call(lambda attempt: attempt.target), client.order().source)
print(sorted(m for m in sys.modules if m.startswith(("monitor", "probes"))))
"""
    with order_daemon() as daemon:
        done = python(code, daemon.url)

    assert "" == done.stderr
    first, modules = done.stdout.splitlines()
    assert "alpha live" == first
    assert "monitor.client.failover" in modules
    assert "probes" not in modules


def test_the_background_imports_nothing_any_more():
    """A hundred milliseconds of imports beside the first calls would hold them up."""
    code = """
import sys
from monitor.client import PriorityClient, Settings
client = PriorityClient(sys.argv[1], "image", static_order=["a"], token="t",
                        settings=Settings(cache_dir=sys.argv[2], report_s=0.01))
known = set(sys.modules)
client.report("a", None, 1.0)
assert client.wait_live(20)
client.close()
print(client.status.reports.sent, sorted(set(sys.modules) - known))
"""
    with order_daemon() as daemon, TemporaryDirectory() as folder:
        done = python(code, daemon.url, folder)

    assert ("1 []\n", "") == (done.stdout, done.stderr)


NO_IO = """
import sys, threading
from monitor.client import AllFailed, Failover, PriorityClient, Settings
client = PriorityClient(sys.argv[1], "image", static_order=["a", "b"], token="t",
                        settings=Settings(cache_dir=sys.argv[2], refresh_s=0.001, report_s=0.001))
failover = Failover(client, cooldown_s=0)
def fn(attempt):
    raise TimeoutError
client.order()  # Starts the thread, which the rule below would not let pass for a socket.
me, seen = threading.get_ident(), []
def watch(event, arguments):
    if threading.get_ident() == me and event.split(".")[0] in ("socket", "open", "os", "shutil",
                                                              "subprocess", "tempfile"):
        seen.append(event)
sys.addaudithook(watch)
for _ in range(2000):
    client.order()
    try:
        failover.call(fn)
    except AllFailed:
        pass
watched = list(seen)
open(sys.argv[0] if sys.argv[0] != "-c" else "README.md").close()
print(watched, "open" in seen, client.status.reports.dropped >= 0)
"""


@pytest.mark.parametrize("state", ["live", "hangs"])
def test_the_request_path_touches_no_file_and_no_socket(tmp_path, state):
    """The interpreter's own audit events of the calling thread tell; the last line proves them on."""
    with order_daemon(answer=hanging if state == "hangs" else None) as daemon:
        done = python(NO_IO, daemon.url, tmp_path)

    assert ("[] True True\n", "") == (done.stdout, done.stderr)


def test_the_order_is_read_while_the_refresher_hangs_in_a_socket(tmp_path):
    """No lock is held over I/O: the exchange is under way for as long as calls are made."""
    with order_daemon() as daemon, a_client(daemon, tmp_path) as client:
        assert client.wait_live(20)
        daemon.answer = hanging
        seen = len(daemon.asked)
        wait_until(lambda: len(daemon.asked) > seen)  # One that waited is let go; the next hangs.
        daemon.order = an_order("beta", version=2)
        orders = [client.order().targets for _ in range(1000)]

    assert {("alpha", "beta")} == set(orders)


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
from monitor.client import PriorityClient, Settings
with PriorityClient(sys.argv[1], "image", static_order=["static"],
                    settings=Settings(cache_dir=sys.argv[2], refresh_s=0.01)) as client:
    assert client.wait_live(20)
    import time
    ends = time.monotonic() + 20
    while client.order().version != 2 and time.monotonic() < ends:
        time.sleep(0.005)
    print(client.order().targets, client.order().source)
"""


def test_a_full_disk_is_told_to_the_log_and_nobody_else(tmp_path):
    """No file of 64 bytes holds an order: the next order is taken from the wire all the same."""
    with order_daemon() as daemon:
        threading.Timer(0.3, lambda: setattr(daemon, "order", an_order("beta", version=2))).start()
        done = python(FULL, daemon.url, tmp_path)

    assert "('beta',) live\n" == done.stdout
    assert 1 == done.stderr.count("the order is not kept in")
    assert "File too large" in done.stderr
    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, caplog):
    """Read-only homes are usual in containers."""
    (tmp_path / "file").write_text("")
    with order_daemon() as daemon, a_client(daemon, tmp_path / "file") as client:
        assert client.wait_live(20)
        wait_until(lambda: "the order is not kept in" in caplog.text)


def test_several_processes_share_a_file(tmp_path):
    """Whatever they write at once, what is read is an order."""
    with order_daemon() as daemon:
        clients = [a_client(daemon, tmp_path, refresh_s=0.001, wait_s=0) for _ in range(4)]
        for client in clients:
            assert client.wait_live(20)
        for version in range(2, 12):
            daemon.order = an_order(f"target-{version}", version=version)
            wait_until(lambda v=version: all(c.order().version == v for c in clients))
            late = a_client(daemon, tmp_path)
            assert Source.DISK is late._background.held.order().source
        for client in clients:
            client.close()

    assert [".json"] == [one.suffix for one in tmp_path.iterdir()]


def test_the_token_is_never_shown():
    """Neither by the client nor by what it is made of, nor in an error."""
    client = a_client("http://127.0.0.1:1", token="very-secret-token")
    parts = [client, client._background, client._runner, client.status, client._background._http()]

    assert not [one for one in parts if "very-secret" in repr(one)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "127.0.0.1:8720"}, "write for example"),
        ({"url": "ftp://host"}, "write for example"),
        ({"url": "http://u:p@host"}, "token="),
        ({"url": "http://host?x=1"}, "no query"),
        ({"pool": "no/pool"}, "pool is"),
        ({"profile": "a b"}, "profile is"),
        ({"static_order": []}, "static_order is empty"),
        ({"settings": {"refresh_s": 0}}, "refresh_s"),
        ({"settings": {"wait_s": 61}}, "wait_s"),
        ({"settings": {"reports_max": 0}}, "reports_max"),
    ],
)
def test_arguments_that_cannot_work_are_refused_when_the_client_is_made(arguments, words):
    """Nothing raises later, so it has to be said here."""
    given = {"url": "http://127.0.0.1:1", "pool": "image", "static_order": STATIC, **arguments}
    with pytest.raises(ValueError, match=words):
        PriorityClient(**given | {"settings": Settings(**given.get("settings", {}))})


@pytest.mark.anyio
async def test_the_async_client_refreshes_in_a_task_and_reports():
    """The same answers, on the loop that runs; closing sends what waits."""
    with order_daemon() as daemon:
        settings = Settings(cache_dir=None, **QUICK | {"report_s": 60.0})
        async with AsyncPriorityClient(
            daemon.url, "image", static_order=STATIC, token="t", settings=settings
        ) as client:
            assert Source.STATIC is client.order().source
            assert await client.wait_live(20)

            async def fn(attempt):
                if attempt.target == "alpha":
                    raise ConnectionResetError
                return attempt.model

            assert "beta-model" == await Failover(client).acall(fn)
        assert [("alpha", "connection"), ("beta", None)] == [
            (row["target"], row["error"]) for row in daemon.rows
        ]
        assert [] == [one for one in asyncio.all_tasks() if one.get_name() == "imgmon-client"]


@pytest.mark.anyio
async def test_the_async_client_waits_no_longer_than_it_is_told():
    """And closes while an exchange hangs."""
    with order_daemon(answer=hanging) as daemon:
        async with AsyncPriorityClient(
            daemon.url, "image", static_order=STATIC, settings=Settings(cache_dir=None)
        ) as client:
            assert not await client.wait_live(0.01)


def test_the_async_client_moves_to_the_next_loop_and_is_readable_without_one(tmp_path):
    """A loop for each call is usual in scripts; without a loop the last order is read."""
    with order_daemon() as daemon:
        client = AsyncPriorityClient(
            daemon.url, "image", static_order=STATIC, settings=Settings(cache_dir=tmp_path, **QUICK)
        )
        assert Source.STATIC is client.order().source

        async def ask(version: int) -> bool:
            async with asyncio.timeout(20):
                while client.order().version != version:  # noqa: ASYNC110 - another task's doing
                    await asyncio.sleep(0.005)
            return True

        assert asyncio.run(ask(1))
        daemon.order = an_order("beta", version=2)
        assert asyncio.run(ask(2))
        assert ("beta",) == client.order().targets


def test_order_and_errors_keep_their_shape_when_nothing_is_reachable():
    """No daemon, no file: the static order is tried, all fail, the error says what happened."""
    with a_client("http://127.0.0.1:1") as client:

        def fn(attempt):
            assert ("", "") == (attempt.model, attempt.base_url)
            raise ConnectionRefusedError(attempt.target)

        with pytest.raises(AllFailed, match=r"static-1: connection.*static-2: connection"):
            Failover(client).call(fn)


def test_back_off_has_jitter_and_an_end():
    """Pauses double, vary by seed, and stay under half a minute."""
    from monitor.client.talk import back_off_s

    pauses = [back_off_s(n, Random(3), 30.0) for n in range(1, 40)]

    assert 0.5 <= pauses[0] <= 1.0 < pauses[3]
    assert 15.0 <= max(pauses) <= 30.0
    assert pauses != [back_off_s(n, Random(4), 30.0) for n in range(1, 40)]


@pytest.mark.anyio
async def test_a_fault_of_the_client_itself_is_logged_and_does_not_end_it(caplog):
    """What nobody foresaw must not leave an order that silently grows old."""
    from monitor.client.background import go_on

    async def wrong() -> None:
        raise ZeroDivisionError("nobody foresaw")

    task = asyncio.create_task(go_on(wrong))
    async with asyncio.timeout(20):
        while "nobody foresaw" not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0)
    assert not task.done()
    task.cancel()


def test_rejected_rows_are_read_from_any_answer():
    """An answer of another shape rejects nothing, and raises nothing."""
    from monitor.client.reports import rejected_rows

    assert ["why"] == rejected_rows(b'{"rejected":[{"detail":"why"}]}')
    for answer in (b"", b"[]", b"{}", b'{"rejected":5}', b'{"rejected":[1]}', b"<html>"):
        assert [] == rejected_rows(answer)
