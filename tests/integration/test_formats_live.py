"""Every wire format through the real driver against its simulator twin, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitor.clock import SystemClock
from probes import registry
from probes.canary import draw_canary
from probes.driver import Driver
from probes.model import ErrorClass, Phase, ProbeKind, ProbeResult, Target
from probes.simulator.faults import Fault, FaultKind
from probes.simulator.plans import calm_plan
from probes.simulator.player import STRIKES_FREE_CALLS
from probes.simulator.server import SimulatorServer

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).resolve().parents[2]
E, K = ErrorClass, FaultKind

# Account of the simulator, wire format, path under the account, model, settings of the target.
ROUTES = {
    "gemini-v1": ("gemini", "gemini", "", "gemini-3.1-flash-image", {}),
    "gemini-v1beta": ("gemini", "gemini", "", "gemini-3-pro-image",
                      {"options": {"api_version": "v1beta"}}),
    "gemini-free": ("gemini-free", "gemini", "", "gemini-3.1-flash-lite-image", {}),
    "laozhang-native": ("laozhang", "gemini", "", "gemini-3-pro-image",
                        {"options": {"api_version": "v1beta", "auth": "bearer"}, "relay": True}),
    "imagen": ("imagen", "imagen", "", "imagen-4.0-fast-generate-001", {"size": (1024, 1024)}),
    "openai": ("openai", "openai-images", "/v1", "gpt-image-2.5-flare", {"quality": "low"}),
    "laozhang-chat": ("laozhang", "openai-chat", "/v1", "gemini-3-pro-image",
                      {"size": None, "relay": True}),
    "bfl": ("bfl", "bfl", "", "flux-2-klein-4b", {}),
    "gemini-batch": ("gemini", "gemini-batch", "", "gemini-3.1-flash-image", {}),
}  # fmt: skip

# What breaks on the wire, and the one class it is reported as. A few vendors have no way to say
# a thing, or say it in another way; those are named below.
FAULTS = {
    K.OVERLOADED: E.OVERLOADED,
    K.SERVER_ERROR: E.SERVER_ERROR,
    K.NO_IMAGE: E.NO_IMAGE,
    K.POLICY_BLOCKED: E.POLICY_BLOCKED,
    K.RATE_LIMITED: E.RATE_LIMITED,
    K.QUOTA_EXHAUSTED: E.QUOTA_EXHAUSTED,
    K.NOT_ENTITLED: E.NOT_ENTITLED,
    K.BILLING: E.BILLING,
    K.AUTH: E.AUTH,
    K.MODEL_GONE: E.MODEL_GONE,
    K.BAD_REQUEST: E.BAD_REQUEST,
    K.GARBAGE: E.PROTOCOL,
    K.HTML: E.PROTOCOL,
    K.REDIRECT: E.PROTOCOL,
    K.HANG: E.TIMEOUT,
    K.RESET: E.CONNECTION,
    K.CUT_BODY: E.CONNECTION,
    K.TEXT_ONLY: E.NO_IMAGE,
    K.BAD_BASE64: E.BAD_IMAGE,
    K.WRONG_COLOUR: E.BAD_IMAGE,
    K.WRONG_SIZE: E.BAD_IMAGE,
    K.BLACK: E.BAD_IMAGE,
    K.REPEAT: E.BAD_IMAGE,
}


# What can go wrong only in a batch queue.
JOB_FAULTS = {
    K.JOB_FAILED: E.SERVER_ERROR,
    K.ITEM_ERROR: E.RATE_LIMITED,
    K.EXPIRED: E.EXPIRED,
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorServer]:
    """Every provider, healthy and quick."""
    with SimulatorServer(calm_plan(), SystemClock()) as server:
        yield server


def target_of(simulator: SimulatorServer, route: str, **changes: Any) -> Target:
    """The target at the end of one route."""
    account, name, path, model, settings = ROUTES[route]
    return Target(**{
        "id": route, "provider": account, "format": name, "model": model,
        "base_url": simulator.base(account) + path, "api_key": "a-key-of-the-test",
        "size": (512, 512), "price_usd": 0.04, "deadline_s": 20.0,
        "allow_private_downloads": True, **settings, **changes,
    })  # fmt: skip


async def probe(
    simulator: SimulatorServer, route: str, *, times: int = 1, deadline_s: float = 20.0
) -> ProbeResult:
    """The last of *times* canaries sent over one route."""
    target = target_of(simulator, route, deadline_s=deadline_s)
    driver, rng = Driver(clock=SystemClock()), Random(route)
    fmt = registry.load(target.format)
    try:
        for number in range(times):
            result = await driver.probe(
                target, draw_canary(rng, poll_s=0.02), fmt, probe_id=str(number)
            )
    finally:
        await driver.aclose()
    return result


async def call(simulator: SimulatorServer, route: str, **changes: Any) -> ProbeResult:
    """One free call over one route."""
    target, driver = target_of(simulator, route, **changes), Driver(clock=SystemClock())
    try:
        return await driver.liveness(target, registry.load(target.format), probe_id="1")
    finally:
        await driver.aclose()


@pytest.mark.parametrize("route", ROUTES)
async def test_every_route_delivers_the_picture_that_was_asked_for(simulator, route):
    """Right colour and size, phases, cost and latency: a good probe over each wire format."""
    result = await probe(simulator, route)

    assert (None, 200) == (result.error, result.http_status), result.detail
    assert ROUTES[route][4].get("size", (512, 512)) in (
        None, (result.image.width, result.image.height),
    )  # fmt: skip
    assert 0 < result.latency_s <= result.duration_s
    assert {Phase.CONNECT, Phase.SEND, Phase.FIRST_BYTE, Phase.DECODE} <= set(result.phases)
    # BFL tells what it billed, and this plan has no prices; the others book the list price.
    assert result.cost_usd == (0.0 if route == "bfl" else 0.04)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.value)
async def test_what_breaks_on_the_wire_is_what_is_reported(simulator, route, kind):
    """Each fault ends in exactly one error class, whatever vendor's words it comes in."""
    account = ROUTES[route][0]
    simulator.set_fault(account, Fault(kind=kind))
    try:
        # A repeat needs an answer before it to repeat.
        result = await probe(
            simulator,
            route,
            times=3 if kind is K.REPEAT else 1,
            deadline_s=0.5 if kind is K.HANG else 20.0,
        )
    finally:
        simulator.set_fault(account, None)

    # A route without size control is not held to a size.
    expected = None if (route, kind) == ("laozhang-chat", K.WRONG_SIZE) else FAULTS[kind]
    assert expected is result.error, (result.detail, result.code, result.http_status)


@pytest.mark.parametrize("route", ROUTES)
async def test_every_route_has_a_free_call(simulator, route):
    """Nothing is drawn, billed or measured as a picture, and the answer says something."""
    account = ROUTES[route][0]
    before = simulator.app.world.meter(account).generations
    result = await call(simulator, route)

    assert (None, 200) == (result.error, result.http_status), result.detail
    assert result.detail
    assert (ProbeKind.LIVENESS, 0.0, None) == (result.kind, result.cost_usd, result.image)
    assert 0 < result.latency_s <= result.duration_s
    assert before == simulator.app.world.meter(account).generations


@pytest.mark.parametrize(
    ("route", "liveness"),
    [
        ("gemini-v1", "get_model"),
        ("gemini-v1", "list_models"),
        ("laozhang-native", "count_tokens"),
        ("laozhang-native", "gateway_models"),
        ("openai", "list_models"),
    ],
)
async def test_every_free_call_that_can_be_chosen_is_served(simulator, route, liveness):
    """The simulator knows each of them, under every account that vendors know it of."""
    options = ROUTES[route][4].get("options", {}) | {"liveness": liveness}
    result = await call(simulator, route, options=options)

    assert result.error is None, result.detail


# A free call meets the same network, front end and key check; the models' troubles it cannot see.
FREE_FAULTS = {
    K.AUTH: E.AUTH, K.HANG: E.TIMEOUT, K.SLOW_DRIP: E.TIMEOUT, K.CUT_BODY: E.CONNECTION,
    K.GARBAGE: E.PROTOCOL, K.RESET: E.CONNECTION, K.HTML: E.PROTOCOL, K.REDIRECT: E.PROTOCOL,
}  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", FaultKind, ids=lambda kind: kind.value)
async def test_a_free_call_fails_with_the_network_and_the_key_alone(simulator, route, kind):
    """It explains: both fail when the host is down, only the canary when pictures are."""
    account, slow = ROUTES[route][0], kind in {K.HANG, K.SLOW_DRIP}
    simulator.set_fault(account, Fault(kind=kind))
    try:
        result = await call(simulator, route, deadline_s=0.5 if slow else 20.0)
    finally:
        simulator.set_fault(account, None)

    expected = FREE_FAULTS.get(kind)
    assert expected is result.error, (result.detail, result.code, result.http_status)
    assert kind in STRIKES_FREE_CALLS or expected is None


def test_every_fault_that_strikes_free_calls_is_expected_of_them():
    """The twin and these tests know the same list."""
    assert STRIKES_FREE_CALLS == FREE_FAULTS.keys()


async def test_shutdown_days_and_balances_come_over_the_wire(simulator):
    """OpenAI's day, BFL's credits, a relay's quota."""
    day = await call(simulator, "openai", model="gpt-image-1-mini")
    no_day = await call(simulator, "openai")
    gone = await call(simulator, "openai", model="gone-1")
    cents = await call(simulator, "bfl")
    quota = await call(simulator, "laozhang-chat", balance_key="a-token-of-the-account")
    native = await call(simulator, "laozhang-native", balance_key="a-token-of-the-account")
    refused = await call(simulator, "laozhang-chat", balance_key="invalid-token")

    assert ("2026-12-01", None) == (day.shutdown_on, no_day.shutdown_on)
    assert E.MODEL_GONE is gone.error
    assert 50.0 == cents.balance_usd  # This plan has no prices: nothing was billed.
    assert (10.0, 10.0) == (quota.balance_usd, native.balance_usd)
    assert (None, None) == (refused.error, refused.balance_usd)
    assert "the balance is not told: HTTP 401" in refused.detail


@pytest.mark.parametrize("kind", JOB_FAULTS, ids=lambda kind: kind.value)
async def test_what_becomes_of_a_job_is_what_is_reported(simulator, kind):
    """A job that fails, expires, or ends well with a failed item in it."""
    simulator.set_fault("gemini", Fault(kind=kind))
    try:
        result = await probe(simulator, "gemini-batch")
    finally:
        simulator.set_fault("gemini", None)

    assert JOB_FAULTS[kind] is result.error, result.detail


def test_every_format_has_its_twin_and_its_recorded_replies():
    """A format is complete only with its simulator twin and replies of every kind of trouble."""
    for name in registry.formats():
        module = f"{name.replace('-', '_')}.py"
        replies = list((ROOT / "tests" / "data" / "replies" / name).glob("*.json"))

        assert (ROOT / "probes" / "formats" / module).is_file()
        assert (ROOT / "probes" / "simulator" / "formats" / module).is_file()
        assert len(replies) >= 8
        assert name in {route[1] for route in ROUTES.values()}
