"""Every fault over a real socket, seen by a plain HTTP client."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator

import anyio
import httpx
import pytest
from PIL import Image

from monitor.clock import ManualClock
from probes.model import ErrorClass
from probes.simulator.app import ACCOUNTS, Simulator
from probes.simulator.faults import AccountPlan, Fault, FaultKind, FaultPlan, Latency, PlanError
from probes.simulator.formats.gemini import Gemini
from probes.simulator.formats.openai_chat import OpenAIChat
from probes.simulator.formats.openai_images import OpenAIImages
from probes.simulator.plans import calm_plan
from probes.simulator.server import SimulatorServer, listen, serve
from probes.simulator.world import REFUSALS, Ask, World

K = FaultKind
HEADERS = {"x-goog-api-key": "k", "authorization": "Bearer k", "x-key": "k"}
PROMPT = "A plain blue square."
GEMINI = "v1/models/gemini-3-pro-image:generateContent"
BODIES = {
    "gemini": (GEMINI, {"contents": [{"parts": [{"text": PROMPT}]}]}),
    "imagen": (
        "v1beta/models/imagen-4.0-fast-generate-001:predict",
        {"instances": [{"prompt": PROMPT}]},
    ),
    "openai": ("v1/images/generations", {"model": "gpt-image-2.6-flare", "prompt": PROMPT}),
    "laozhang": (
        "v1/chat/completions",
        {"model": "gemini-3-pro-image", "messages": [{"role": "user", "content": PROMPT}]},
    ),
    "bfl": ("v1/flux-dev", {"prompt": PROMPT, "width": 64, "height": 64}),
}


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    """A simulator without trouble."""
    with SimulatorServer(calm_plan(), ManualClock()) as running:
        yield running


@pytest.fixture
def simulator(server: SimulatorServer) -> Iterator[SimulatorServer]:
    """The simulator; a test's faults and records end with it."""
    yield server
    world = server.app.world
    world.player.live.clear()
    world.requests.clear()


def ask(simulator: SimulatorServer, account: str = "gemini", **options: object) -> httpx.Response:
    """Send one generation request."""
    path, body = BODIES[account]
    url = f"{simulator.base(account)}/{path}"
    return httpx.post(url, json=body, headers=HEADERS, **options)


def picture(answer: httpx.Response) -> bytes:
    """Return the bytes of a Gemini answer's picture."""
    part = answer.json()["candidates"][0]["content"]["parts"][0]
    return base64.b64decode(part["inlineData"]["data"], validate=True)


@pytest.mark.parametrize("account", BODIES)
def test_a_reset_is_a_reset(simulator, account):
    """The connection is torn down: no bytes, no orderly end."""
    simulator.set_fault(account, Fault(kind=K.RESET))

    with pytest.raises(httpx.ReadError, match=r"(?i)connection reset"):
        ask(simulator, account)


@pytest.mark.parametrize("account", BODIES)
def test_a_cut_body_ends_before_its_announced_length(simulator, account):
    """Half of the body comes, then an orderly end."""
    simulator.set_fault(account, Fault(kind=K.CUT_BODY))

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        ask(simulator, account)


@pytest.mark.parametrize("account", BODIES)
def test_a_hanging_request_says_nothing_until_the_client_gives_up(simulator, account):
    """Not even headers come."""
    simulator.set_fault(account, Fault(kind=K.HANG))

    with pytest.raises(httpx.ReadTimeout):
        ask(simulator, account, timeout=0.1)


def test_a_dripping_body_sends_headers_and_then_little(simulator):
    """The status is there at once, the body comes in pieces that reset read timeouts."""
    simulator.set_fault("gemini", Fault(kind=K.SLOW_DRIP, drip_s=0.001))
    path, body = BODIES["gemini"]
    url = f"{simulator.base('gemini')}/{path}"

    with httpx.stream("POST", url, json=body, headers=HEADERS) as answer:
        pieces = list(answer.iter_raw())

    assert int(answer.headers["content-length"]) == sum(map(len, pieces))
    assert len(pieces) > 10


@pytest.mark.parametrize("account", BODIES)
def test_garbage_says_it_is_json(simulator, account):
    """The content type lies."""
    simulator.set_fault(account, Fault(kind=K.GARBAGE))

    answer = ask(simulator, account)

    assert (answer.status_code, answer.headers["content-type"][:16]) == (200, "application/json")
    with pytest.raises(ValueError, match=r"."):
        answer.json()


@pytest.mark.parametrize("status", [200, 502])
def test_an_html_page_has_the_status_asked_for(simulator, status):
    """A page of a proxy comes as 200 or as an error."""
    simulator.set_fault("openai", Fault(kind=K.HTML, status=status))

    answer = ask(simulator, "openai")

    assert status == answer.status_code
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_a_redirect_shows_who_follows_it(simulator):
    """The 302 leads to a page of ours, and the record tells what was sent there."""
    simulator.set_fault("gemini", Fault(kind=K.REDIRECT))

    assert ask(simulator).status_code == 302
    assert [entry.account for entry in simulator.requests] == ["gemini"]
    ask(simulator, follow_redirects=True)
    assert simulator.requests[-1].account == "redirected"
    assert simulator.requests[-1].headers["x-goog-api-key"] == "k"


def test_a_picture_can_be_wrong_in_every_way(simulator):
    """Another colour, another size, all black, or base64 that does not decode."""
    simulator.set_fault("gemini", Fault(kind=K.WRONG_COLOUR))
    red, green, blue = Image.open(io.BytesIO(picture(ask(simulator)))).getpixel((512, 512))
    assert blue < 200 or max(red, green) > 100
    simulator.set_fault("gemini", Fault(kind=K.WRONG_SIZE))
    assert Image.open(io.BytesIO(picture(ask(simulator)))).size != (1024, 1024)
    simulator.set_fault("gemini", Fault(kind=K.BLACK))
    extrema = Image.open(io.BytesIO(picture(ask(simulator)))).getextrema()
    assert extrema == ((0, 0), (0, 0), (0, 0))
    simulator.set_fault("gemini", Fault(kind=K.BAD_BASE64))
    with pytest.raises(ValueError, match=r"."):
        picture(ask(simulator))


def test_only_a_repeat_repeats(simulator):
    """Two answers to one prompt differ, unless the fault says otherwise."""
    first, second = picture(ask(simulator)), picture(ask(simulator))
    simulator.set_fault("gemini", Fault(kind=K.REPEAT))

    assert first != second
    assert second == picture(ask(simulator))


def test_a_repeat_from_the_start_repeats_its_first_picture():
    """Also where nothing was drawn before it."""
    with SimulatorServer(calm_plan(), ManualClock()) as running:
        running.set_fault("gemini", Fault(kind=K.REPEAT))
        assert picture(ask(running)) == picture(ask(running))


def test_a_broken_link_serves_half_a_picture(simulator):
    """Routes without base64 break the picture behind the link; an expired link is dead."""
    body = {"model": "flux-2-pro", "prompt": PROMPT, "size": "64x64"}
    url = f"{simulator.base('laozhang')}/v1/images/generations"
    simulator.set_fault("laozhang", Fault(kind=K.BAD_BASE64))
    link = httpx.post(url, json=body, headers=HEADERS).json()["data"][0]["url"]
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(httpx.get(link).content)).load()
    simulator.set_fault("laozhang", Fault(kind=K.EXPIRED))
    link = httpx.post(url, json=body, headers=HEADERS).json()["data"][0]["url"]
    assert httpx.get(link).status_code == 403
    assert httpx.get(link.replace("laozhang", "nobody")).status_code == 404


@pytest.mark.parametrize("kind", [K.NO_IMAGE, K.TEXT_ONLY, K.POLICY_BLOCKED])
@pytest.mark.parametrize("account", BODIES)
def test_answers_without_a_picture_hold_none(simulator, account, kind):
    """Nothing that looks like a picture is in them; OpenAI refuses blocked prompts with a 400."""
    simulator.set_fault(account, Fault(kind=kind))

    answer = ask(simulator, account)

    refused = account == "openai" and kind is K.POLICY_BLOCKED
    assert (400 if refused else 200) == answer.status_code
    assert "iVBOR" not in answer.text


@pytest.mark.parametrize("kind", sorted(REFUSALS))
@pytest.mark.parametrize(
    "make",
    [
        lambda world: Gemini(world, "gemini"),
        lambda world: Gemini(world, "laozhang", relay=True),
        lambda world: OpenAIImages(world, "openai"),
        lambda world: OpenAIImages(world, "laozhang", relay=True),
        lambda world: OpenAIChat(world, "laozhang", relay=True),
    ],
    ids=["gemini", "gemini-relay", "images", "images-relay", "chat-relay"],
)
def test_every_dialect_has_words_for_every_refusal(simulator, make, kind):
    """No trouble is left without a JSON answer, whatever the vendor."""
    ask(simulator)
    (incoming,) = simulator.requests
    question = Ask(incoming=incoming, model="m", prompt=PROMPT, size=(64, 64))

    answer = make(World(calm_plan(), ManualClock())).refuse(question, kind)

    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (K.OVERLOADED, 503), (K.SERVER_ERROR, 500), (K.RATE_LIMITED, 429),
        (K.QUOTA_EXHAUSTED, 429), (K.NOT_ENTITLED, 403), (K.BILLING, 402), (K.AUTH, 401),
        (K.MODEL_GONE, 404), (K.BAD_REQUEST, 422),
    ],
)  # fmt: skip
def test_bfl_refuses_at_the_door(simulator, kind, status):
    """BFL's statuses, in FastAPI's shape."""
    simulator.set_fault("bfl", Fault(kind=kind))

    answer = ask(simulator, "bfl")

    assert status == answer.status_code
    assert "detail" in answer.json()


def test_free_calls_stay_green_through_an_outage_of_the_models(simulator):
    """An overloaded model does not show in a model list; a dead network does."""
    url = f"{simulator.base('gemini')}/v1/models"
    simulator.set_fault("gemini", Fault(kind=K.OVERLOADED))
    assert httpx.get(url, headers=HEADERS).status_code == 200
    simulator.set_fault("gemini", Fault(kind=K.AUTH))
    assert httpx.get(url, headers=HEADERS).status_code == 400
    simulator.set_fault("gemini", Fault(kind=K.RESET))
    with pytest.raises(httpx.ReadError):
        httpx.get(url, headers=HEADERS)


def test_a_relays_balance_meets_the_troubles_of_free_calls(simulator):
    """It stays green through an outage of the models, and fails with the network and its token."""
    url = f"{simulator.base('laozhang')}/api/user/self"
    simulator.set_fault("laozhang", Fault(kind=K.OVERLOADED))
    assert httpx.get(url, headers=HEADERS).json()["success"] is True
    simulator.set_fault("laozhang", Fault(kind=K.AUTH))
    assert (401, False) == (
        (answer := httpx.get(url, headers=HEADERS)).status_code, answer.json()["success"],
    )  # fmt: skip
    simulator.set_fault("laozhang", Fault(kind=K.RESET))
    with pytest.raises(httpx.ReadError):
        httpx.get(url, headers=HEADERS)


def test_what_is_no_json_object_is_a_bad_request(simulator):
    """Broken bodies get the vendor's 4xx, too large ones a 413."""
    for account, (path, _) in BODIES.items():
        url = f"{simulator.base(account)}/{path}"
        for body in (b"{", b"[]", b""):
            answer = httpx.post(url, content=body, headers=HEADERS)
            assert answer.status_code in {400, 422}
    large = httpx.post(url, content=b" " * (9 * 1024 * 1024), headers=HEADERS)
    assert large.status_code == 413


def test_the_record_tells_what_was_sent(simulator):
    """Account, method, path, headers in lower case and the JSON body are kept."""
    ask(simulator, "openai")

    (entry,) = simulator.requests
    path, body = BODIES["openai"]
    assert entry.method == "POST"
    assert f"/openai/{path}" == entry.path
    assert body == entry.json
    assert entry.headers["authorization"] == "Bearer k"


def test_limits_are_kept_over_the_wire():
    """A minute's limit and a day's quota answer as the vendor does, and say when to come back."""
    clock = ManualClock()
    quick = Latency(p50_s=0.001, p95_s=0.001)
    free = AccountPlan(latency=quick, per_minute=1, per_day=2)
    with SimulatorServer(FaultPlan(scale=10, accounts={"gemini": free}), clock) as simulator:
        statuses = []
        for _ in range(3):
            statuses.append(ask(simulator).status_code)
            limited = ask(simulator).json()["error"]["details"]
            statuses.append(limited[0]["violations"][0]["quotaId"])
            clock.advance(6.0)

    minute = "GenerateRequestsPerMinutePerProjectPerModel"
    day = "GenerateRequestsPerDayPerProjectPerModel"
    # The second picture is the day's last, so the answer after it names the day.
    expected = [200, minute, 200, day, 429, day]
    assert expected == statuses


def test_the_meter_bills_pictures_and_a_resellers_empty_answers():
    """Prices are the plan's; refusals are free, a reseller's 200 without a picture is not."""
    quick = Latency(p50_s=0.001, p95_s=0.001)
    priced = AccountPlan(latency=quick, prices_usd={"*": 0.5}, bills_empty=True)
    plan = FaultPlan(accounts={"laozhang": priced})
    with SimulatorServer(plan, ManualClock()) as simulator:
        ask(simulator, "laozhang")
        simulator.set_fault("laozhang", Fault(kind=K.TEXT_ONLY))
        ask(simulator, "laozhang")
        simulator.set_fault("laozhang", Fault(kind=K.OVERLOADED))
        ask(simulator, "laozhang")
        meters = httpx.get(f"{simulator.url}/_control/requests").json()

    expected = {"requests": 3, "generations": 3, "billed": 2, "billed_usd": 1.0}
    assert {"laozhang": expected} == meters


def test_faults_can_be_set_and_cleared_by_http(simulator):
    """The control route replaces and clears the live fault, and says what it does not know."""
    url = f"{simulator.url}/_control/faults/gemini"
    assert httpx.post(url, json={"kind": "overloaded"}).status_code == 204
    assert ask(simulator).status_code == 503
    assert httpx.get(f"{simulator.url}/_control/plan").json()["live"]["gemini"]["share"] == 1.0
    assert httpx.delete(url).status_code == 204
    assert ask(simulator).status_code == 200
    refused = httpx.post(url, json={"kind": "x"})
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("fault.kind: unknown fault 'x'")
    assert httpx.post(url, content=b"{").status_code == 400
    assert httpx.post(url, content=b" " * 100_000).status_code == 413
    assert httpx.delete(f"{simulator.url}/_control/faults/nobody").status_code == 404


def test_what_a_route_posts_is_taken(simulator):
    """The demo's notifications have somewhere to go."""
    assert httpx.post(f"{simulator.url}/inbox", json={"title": "flare is down"}).status_code == 204


@pytest.mark.anyio
@pytest.mark.parametrize("peer", ["192.0.2.1", "testclient"])
async def test_the_control_route_serves_this_machine_only(peer):
    """A peer that is not loopback is refused on every control path."""
    app = Simulator(calm_plan(), ManualClock())
    transport = httpx.ASGITransport(app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        statuses = {
            (await client.post("/_control/faults/gemini", json={})).status_code,
            (await client.delete("/_control/faults/gemini")).status_code,
            (await client.get("/_control/requests")).status_code,
            (await client.get("/_control/plan")).status_code,
        }

    assert statuses == {403}


def test_a_plan_for_an_unknown_account_is_refused():
    """A typo in an account's name is no silent calm."""
    with pytest.raises(PlanError, match=r"^accounts\.gemni: unknown account; known are gemini,"):
        Simulator(FaultPlan(accounts={"gemni": AccountPlan()}), ManualClock())


def test_the_calm_plan_names_every_account():
    """No account of the calm plan takes seconds."""
    assert set(ACCOUNTS) == set(calm_plan().accounts)


def test_the_wire_faults_cover_the_classes_without_words():
    """Timeout, connection, protocol and bad_image are done to the wire or to the picture."""
    wordless = {"timeout", "connection", "protocol", "bad_image"}

    assert wordless.isdisjoint(FaultKind)
    assert wordless < set(ErrorClass)


def test_a_client_that_dies_within_its_body_leaves_no_trace_in_the_log(caplog):
    """Daemons that are killed are what the simulator is for."""

    def cut():
        yield b'{"contents": '
        raise ConnectionError("killed")

    with SimulatorServer(calm_plan(), ManualClock()) as running:
        url = f"{running.base('gemini')}/{GEMINI}"
        with pytest.raises(ConnectionError):
            httpx.post(url, content=cut(), headers=HEADERS)
        httpx.get(f"{running.url}/_control/plan").raise_for_status()

    assert [] == [line for line in caplog.records if line.levelname == "ERROR"]


def test_the_server_stops_while_requests_hang_or_wait():
    """Hanging and slow requests are reset when the simulator stops."""
    slow = AccountPlan(latency=Latency(p50_s=600.0, p95_s=600.0))
    ended: list[Exception] = []

    def call(simulator: SimulatorServer, account: str) -> None:
        try:
            ask(simulator, account, timeout=60.0)
        except httpx.HTTPError as error:
            ended.append(error)

    plan = FaultPlan(accounts={"openai": slow, "gemini": slow})
    with SimulatorServer(plan, ManualClock()) as simulator:
        simulator.set_fault("gemini", Fault(kind=K.HANG))
        threads = [
            threading.Thread(target=call, args=(simulator, account))
            for account in ("gemini", "openai")
        ]
        for thread in threads:
            thread.start()
        while len(simulator.requests) < len(threads):
            threads[0].join(0.001)
    for thread in threads:
        thread.join()

    assert [httpx.ReadError] * len(threads) == [type(error) for error in ended]


@pytest.mark.anyio
async def test_the_coroutine_serves_until_it_is_cancelled():
    """``serve`` answers while it runs, leaves signals alone and ends when cancelled."""
    listener = listen()
    port = listener.getsockname()[1]
    app = Simulator(calm_plan(), ManualClock())
    async with anyio.create_task_group() as tasks, httpx.AsyncClient() as client:
        tasks.start_soon(serve, app, listener)
        answer = await client.get(f"http://127.0.0.1:{port}/_control/plan")
        tasks.cancel_scope.cancel()

    assert answer.status_code == 200
    with listen(port=port) as again:  # Nobody holds the address any more.
        assert port == again.getsockname()[1]
