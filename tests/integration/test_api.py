"""The HTTP surface: routes, problems, paging, health of the daemon itself."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from random import Random

import httpx
import pytest

from monitor.app import Daemon
from monitor.clock import ManualClock, SystemClock
from monitor.metrics import names
from probes.model import ProbeReason
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer
from tests.support.daemon import client, configuration, finished, measured, running, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def api(tmp_path) -> AsyncIterator[tuple[Daemon, httpx.AsyncClient]]:
    """A daemon with a probe of each of its two targets, and its API."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db")
        async with running(config) as daemon, client(daemon) as http:
            await until(lambda: finished(daemon) == 2)
            for target in ("flash", "flare"):
                await measured(daemon, target, ProbeReason.SCHEDULED)
            daemon.tick()
            yield daemon, http


@pytest.mark.parametrize(
    "path",
    [
        "/v1/pools",
        "/v1/pools/image/priority",
        "/v1/pools/image/priority?profile=cheap",
        "/v1/pools/image/priority?view=ids",
        "/v1/targets",
        "/v1/targets/flash",
        "/v1/targets/flash/windows",
        "/v1/targets/flash/results",
        "/v1/targets/flash/months",
        "/livez",
        "/readyz",
        "/openapi.json",
    ],
)
async def test_every_route_answers_json(api, path):
    """Each documented route is there and speaks JSON."""
    _, http = api
    answer = await http.get(path)

    assert 200 == answer.status_code
    assert "application/json" == answer.headers["content-type"]
    assert answer.json()


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/pools/none/priority", "image"),
        ("/v1/pools/image/priority?profile=none", "balanced"),
        ("/v1/targets/none", "/v1/targets"),
        ("/v1/targets/none/windows", "/v1/targets"),
        ("/v1/targets/none/results", "/v1/targets"),
        ("/v1/targets/none/months", "/v1/targets"),
        ("/v1/nothing", "Not Found"),
    ],
)
async def test_what_is_not_there_is_a_problem_that_says_what_is(api, path, word):
    """A 404 is an RFC 9457 problem and names what the caller may ask for."""
    _, http = api
    answer = await http.get(path)

    assert 404 == answer.status_code
    assert "application/problem+json" == answer.headers["content-type"]
    assert word in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/v1/targets/flash/results?limit=0", "query/limit"),
        ("/v1/targets/flash/results?cursor=x", "query/cursor"),
        ("/v1/pools/image/priority?view=poem", "query/view"),
        ("/v1/targets/a%20b", "path/target"),
        ("/v1/targets?target=flash", "query/target"),
        ("/v1/incidents?since=2026", "query/since"),
        ("/v1/incidents?since=yesterday", "query/since"),
    ],
)
async def test_a_bad_request_points_at_the_field_and_never_echoes_it(api, path, pointer):
    """A 422 names the field; what stood in it may be somebody's token."""
    _, http = api
    answer = await http.get(path)

    assert 422 == answer.status_code
    assert [pointer] == [error["pointer"] for error in answer.json()["errors"]]


async def test_nothing_can_be_written_or_spent_over_http(api):
    """No method but GET is served: reading costs nothing and changes nothing."""
    daemon, http = api
    before = finished(daemon)
    statuses = {
        (await http.request(method, path)).status_code
        for method in ("POST", "PUT", "PATCH", "DELETE")
        for path in ("/v1/pools", "/v1/targets/flash", "/v1/targets/flash/results", "/metrics")
    }

    assert {405} == statuses
    assert before == finished(daemon)


async def test_results_are_paged_by_cursor_without_loss_or_overlap(api):
    """Following next_cursor to its end yields every row once, newest first."""
    daemon, http = api
    for _ in range(3):
        await measured(daemon, "flash", ProbeReason.MANUAL)
    assert daemon.writer.flush(5)
    seen, cursor = [], ""
    while cursor is not None:
        page = (await http.get(f"/v1/targets/flash/results?limit=2{cursor}")).json()
        seen += [row["probe"] for row in page["results"]]
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None

    assert 5 == len(seen) == len(set(seen))
    assert sorted(seen, reverse=True) == seen


async def test_every_metric_is_exposed_and_lints(api):
    """The list of names is what a scrape shows, in both formats."""
    _, http = api
    plain = await http.get("/metrics")
    openmetrics = await http.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    shown = {line.split()[2] for line in plain.text.splitlines() if line.startswith("# HELP")}

    assert set(names()) - shown == set()
    assert plain.headers["content-type"].startswith("text/plain")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")
    assert 'imgmon_probes_total{error="",kind="canary",outcome="good",target="flash"} 2.0' in (
        plain.text
    )


async def test_a_figure_without_data_has_no_series(api):
    """A dashboard shows a gap, never a zero: no p95 without a sample, no bound unsupported."""
    _, http = api
    text = (await http.get("/metrics")).text

    assert "imgmon_latency_quantile_seconds{" in text
    assert "imgmon_latency_quantile_seconds_upper{" not in text  # One sample bounds nothing.
    assert "imgmon_retry_at_timestamp_seconds{" not in text
    assert "imgmon_spend_cap_usd{" not in text


async def test_the_docs_page_needs_nothing_from_elsewhere(api):
    """The reference lists every route, without script and without a foreign address."""
    _, http = api
    page = await http.get("/docs")

    assert 200 == page.status_code
    assert "/v1/pools/{pool}/priority" in page.text
    assert "<script" not in page.text
    assert "//" not in page.text.replace("</", "")


async def test_the_status_page_allows_itself_its_own_script_alone(api):
    """Its policy names the hash of the script that is in it, and nothing from elsewhere."""
    _, http = api
    page = await http.get("/")
    script = page.text[page.text.index("<script>") + len("<script>") : page.text.index("</script>")]
    digest = b64encode(sha256(script.encode()).digest()).decode()

    assert 200 == page.status_code
    assert "text/html; charset=utf-8" == page.headers["Content-Type"]
    assert f"script-src 'sha256-{digest}'" in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "//" not in page.text.replace("</", "")
    again = await http.get("/", headers={"If-None-Match": page.headers["ETag"]})
    assert again.status_code in (200, 304)  # Another snapshot may have come between.


async def test_a_badge_is_a_picture_of_one_window(api):
    """A day unless another is named; a window or target that is not there is named, too."""
    _, http = api
    day = await http.get("/badges/flash/availability.svg")
    other = await http.get("/badges/flash/p95.svg?window=30d")
    same = await http.get("/badges/flash/state.svg")
    kept = {"If-None-Match": same.headers["ETag"]}

    assert "image/svg+xml" == day.headers["Content-Type"]
    assert "flash 24h" in day.text
    assert "flash p95 30d" in other.text
    assert 304 == (await http.get("/badges/flash/state.svg", headers=kept)).status_code
    assert "there are: 1h" in (await http.get("/badges/flash/p95.svg?window=2h")).json()["detail"]
    assert 404 == (await http.get("/badges/nobody/p95.svg")).status_code
    assert 422 == (await http.get("/badges/flash/colour.svg")).status_code


async def test_a_stale_snapshot_says_so_and_is_still_served(tmp_path):
    """Past its time the order is marked stale under another tag, and readiness fails."""
    clock = ManualClock()
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db", environ={})
        daemon = Daemon(config, clock=clock, rng=Random(1))
        async with client(daemon) as http:
            early = await http.get("/v1/pools")
            daemon.writer.start()
            daemon.tick()
            fresh = await http.get("/v1/pools/image/priority")
            clock.advance(31)
            stale = await http.get(
                "/v1/pools/image/priority", headers={"If-None-Match": fresh.headers["etag"]}
            )
            ready = await http.get("/readyz")
            live = await http.get("/livez")
            daemon.writer.close()
            daemon.reader.close()
            await daemon.driver.aclose()

    assert (503, "1") == (early.status_code, early.headers["retry-after"])
    assert (False, True) == (fresh.json()["stale"], stale.json()["stale"])
    assert fresh.headers["etag"] != stale.headers["etag"]
    assert (503, 200) == (ready.status_code, live.status_code)
    assert "old" in ready.json()["problems"][0]


async def test_answers_fit_their_schema(api):
    """What is served is what OpenAPI says: every documented body validates."""
    from monitor.api import schemas

    _, http = api
    for path, model in (
        ("/v1/pools", schemas.PoolsOut),
        ("/v1/pools/image/priority", schemas.PriorityOut),
        ("/v1/pools/image/priority?view=ids", schemas.IdsOut),
        ("/v1/targets", schemas.TargetsOut),
        ("/v1/targets/flash", schemas.TargetDetailOut),
        ("/v1/targets/flash/windows", schemas.WindowsOut),
        ("/v1/targets/flash/results", schemas.ResultsOut),
        ("/readyz", schemas.ReadyOut),
    ):
        document = (await http.get(path)).json()
        parsed = model.model_validate(document, extra="forbid")

        assert document == parsed.model_dump(by_alias=True, mode="json")


async def test_an_outage_is_told_as_incident_event_and_metric(tmp_path):
    """Open in the target's document and its gauge, with its evidence in the store; then closed."""
    with SimulatorServer(calm_plan(), SystemClock()) as simulator:
        config = configuration(simulator, tmp_path / "a.db")
        async with running(config) as daemon, client(daemon) as http:
            await until(lambda: finished(daemon) == 2)
            simulator.set_fault("openai", Fault(kind=FaultKind.SERVER_ERROR))
            for _ in range(2):
                await measured(daemon, "flare", ProbeReason.CONFIRM)
            daemon.tick()
            await until(lambda: daemon.writer.flush(0.0))
            target = (await http.get("/v1/targets/flare")).json()
            page = (await http.get("/v1/incidents?open=true&target=flare")).json()
            simulator.set_fault("openai", None)
            for _ in range(2):
                await measured(daemon, "flare", ProbeReason.CONFIRM)
            daemon.tick()
            await until(lambda: daemon.writer.flush(0.0))
            await daemon._read_books()
            daemon.tick()
            metrics = (await http.get("/metrics")).text
            closed = (await http.get("/v1/incidents?open=false")).json()["incidents"]
            over = (await http.get("/v1/incidents?since=2200-01-01T00:00:00")).json()
            first = (await http.get("/v1/events?limit=1")).json()
            rest = (await http.get(f"/v1/events?since_id={first['next_since_id']}")).json()
            none = (await http.get("/v1/events?since_id=999999")).json()

    (incident,) = page["incidents"]
    assert [incident["incident"]] == [one["incident"] for one in target["incidents"]]
    assert (True, None, 2, 2) == (
        incident["open"],
        incident["ended_at"],
        incident["failures"],
        len(incident["probes"]),
    )
    assert [(incident["incident"], False)] == [(one["incident"], one["open"]) for one in closed]
    assert closed[0]["started_at"] < closed[0]["last_failed_at"] < closed[0]["ended_at"]
    assert [] == over["incidents"]
    assert 'imgmon_incident_open{target="flare"} 0.0' in metrics
    assert 'imgmon_incidents_total{error="server_error",target="flare"} 1.0' in metrics
    assert 'imgmon_events_total{kind="incident_closed"} 1.0' in metrics
    ids = [event["id"] for event in (*first["events"], *rest["events"])]
    assert sorted(set(ids)) == ids
    assert {"state_changed", "incident_opened", "incident_closed", "order_changed"} <= {
        event["kind"] for event in rest["events"]
    }
    assert ([], 999_999) == (none["events"], none["next_since_id"])


async def test_a_profile_has_every_hour_of_the_week(api):
    """What has no sample is null, not zero; a target that is not there is a 404."""
    _, http = api
    profile = (await http.get("/v1/targets/flash/profile")).json()

    assert (168, "UTC", 2_592_000.0) == (len(profile["hours"]), profile["zone"], profile["span_s"])
    assert 1 == sum(hour["samples"] for hour in profile["hours"])
    assert {None} == {h["availability"] for h in profile["hours"] if not h["samples"]}
    assert 404 == (await http.get("/v1/targets/nobody/profile")).status_code
