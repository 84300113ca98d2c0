"""A failover on a manual clock: what is tried, in which order, what ends it, what is reported."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.client import (
    AllFailed,
    Attempt,
    ErrorClass,
    Failover,
    Failure,
    NoImage,
    Order,
    Place,
)
from monitor.client.held import Held, Told
from monitor.client.order import read_order, static_places
from monitor.clock import ManualClock
from tests.support.orders import a_place, an_order

E = ErrorClass
REQUEST = httpx.Request("POST", "http://provider.example")


@dataclass
class Following:
    """A client whose order is set by hand and whose clock is moved by hand."""

    clock: ManualClock = field(default_factory=ManualClock)
    static_order: tuple[Place, ...] = field(default_factory=lambda: static_places(["beta"]))
    reported: list[tuple] = field(default_factory=list)
    places: list[dict] = field(
        default_factory=lambda: [a_place(t) for t in ("alpha", "beta", "gamma")]
    )

    def order(self) -> Order:
        """The order of *places*, told now."""
        held = Held("image", self.static_order, self.clock, 40.0)
        if self.places:
            body = json.dumps(an_order(targets=self.places)).encode()
            ahead_s = self.clock.wall() - self.clock.monotonic()
            held.confirm(
                Told(
                    decision=read_order(body, "image", None),
                    body=body,
                    etag=None,
                    confirmed_at=self.clock.monotonic(),
                    server_ahead_s=ahead_s,
                )
            )
        return held.order()

    def report(self, target, error, latency_s, attempt=1) -> None:
        """Keep it."""
        self.reported.append((target, error, latency_s, attempt))


def refusal(status: int, **headers: str) -> httpx.HTTPStatusError:
    """A provider's refusal."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = httpx.Response(status, headers=names, request=REQUEST)
    return httpx.HTTPStatusError("no", request=REQUEST, response=answer)


def playing(clock: ManualClock, **outcomes: object):
    """A function that raises or returns what *outcomes* say of a target, after two seconds."""

    def fn(attempt: Attempt) -> object:
        clock.advance(2)
        outcome = outcomes.get(attempt.target, f"picture of {attempt.target}")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return fn


def test_the_first_target_that_works_ends_the_call_and_all_are_reported():
    """Its result is returned; the failed attempt before it is reported too."""
    client = Following()

    result = Failover(client).call(playing(client.clock, alpha=refusal(503)))

    assert "picture of beta" == result
    assert [("alpha", E.OVERLOADED, 2.0, 1), ("beta", None, 2.0, 2)] == client.reported


def test_an_attempt_knows_what_to_call_and_how_long_it_may_take():
    """The place with its model and address, its number, the rest of the deadline."""
    client, seen = Following(), []

    def fn(attempt: Attempt) -> None:
        seen.append(attempt)
        client.clock.advance(25)
        raise TimeoutError

    with pytest.raises(AllFailed) as caught:
        Failover(client, deadline_s=40, attempt_deadline_s=30).call(fn)

    assert [(1, 30.0), (2, 15.0)] == [(one.number, one.timeout_s) for one in seen]
    first = (seen[0].target, seen[0].model, seen[0].base_url)
    assert ("alpha", "alpha-model", "https://alpha.example") == first
    assert caught.value.is_out_of_time
    assert "total deadline passed" in str(caught.value)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 408, 429, 500, 502, 503, 504, 524, 529])
def test_what_another_provider_may_do_better_moves_on(status):
    """Keys, bills, limits and faults are each provider's own."""
    client = Following()

    assert "picture of beta" == Failover(client).call(playing(client.clock, alpha=refusal(status)))


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_bad_request_is_raised_at_once_and_reported(status):
    """Another provider would be paid to refuse it too."""
    client, error = Following(), refusal(status)

    with pytest.raises(httpx.HTTPStatusError) as caught:
        Failover(client).call(playing(client.clock, alpha=error))

    assert error is caught.value
    assert [("alpha", E.BAD_REQUEST, 2.0, 1)] == client.reported
    assert ("alpha", "beta", "gamma") == tried(client)


def tried(client: Following, failover: Failover | None = None) -> tuple[str, ...]:
    """Which targets a call goes to when all of them fail for their picture's sake."""
    with pytest.raises(AllFailed) as caught:
        (failover or Failover(client)).call(playing(client.clock, **dict.fromkeys(
            ("alpha", "beta", "gamma", "delta"), NoImage())))  # fmt: skip
    return tuple(one.target for one in caught.value.attempts)


def test_a_mistake_in_the_function_is_raised_and_not_reported():
    """It says nothing of the provider; another target would repeat it."""
    client = Following()

    with pytest.raises(TypeError):
        Failover(client).call(playing(client.clock, alpha=TypeError("argument")))

    assert [] == client.reported


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_ends_a_program_passes_through(error):
    """Unjudged and unreported."""
    client = Following()

    with pytest.raises(type(error)):
        Failover(client).call(playing(client.clock, alpha=error))

    assert [] == client.reported


def test_when_all_fail_the_error_tells_of_each():
    """Classes, times and exceptions in order; the last one is the cause."""
    client, last = Following(), ConnectionResetError()
    fn = playing(client.clock, alpha=refusal(500), beta=TimeoutError(), gamma=last)

    with pytest.raises(AllFailed) as caught:
        Failover(client).call(fn)

    told = [(one.target, one.error) for one in caught.value.attempts]
    expected = [("alpha", E.SERVER_ERROR), ("beta", E.TIMEOUT), ("gamma", E.CONNECTION)]
    assert expected == told
    assert last is caught.value.__cause__
    assert last is caught.value.attempts[2].exception
    assert "alpha: server_error after 2.0 s" in str(caught.value)


def test_no_target_is_called_before_its_retry_time():
    """The daemon's by its clock; when only such are left, the error says how long to wait."""
    client = Following()
    soon, later = "2026-11-18T11:07:40.000Z", "2026-11-18T11:16:40.000Z"
    client.places = [a_place("alpha", retry_at=later), a_place("beta", retry_at=soon)]

    with pytest.raises(AllFailed) as caught:
        Failover(client).call(playing(client.clock))

    assert ((), {"alpha": 600.0, "beta": 60.0}) == (caught.value.attempts, caught.value.skipped)
    assert 60.0 == caught.value.retry_in_s
    assert caught.value.__cause__ is None
    client.clock.advance(60)
    assert "picture of beta" == Failover(client).call(playing(client.clock))


def test_a_wait_of_the_monitors_account_is_none_for_other_keys():
    """With keys of its own an application calls what only the monitor may not."""
    client = Following()
    later = "2026-11-18T11:16:40.000Z"
    client.places = [
        a_place("alpha", retry_at=later, scope="monitor_account"),
        a_place("beta", retry_at=later, scope="provider"),
    ]

    with pytest.raises(AllFailed):
        Failover(client).call(playing(client.clock))
    assert "picture of alpha" == Failover(client, own_keys=True).call(playing(client.clock))


def test_a_retry_after_holds_for_this_process_before_the_daemon_knows():
    """429 with a wait: the target is left out until then, and first again afterwards."""
    client = Following()
    failover = Failover(client)
    failover.call(playing(client.clock, alpha=refusal(429, retry_after="60")))

    assert ("beta", "gamma") == tried(client, failover)
    client.clock.advance(60)
    assert "picture of alpha" == failover.call(playing(client.clock))


def test_a_target_that_just_failed_goes_behind_for_a_while():
    """The next calls do not pay for the same outage; success or time brings it back."""
    client = Following()
    failover = Failover(client)
    failover.call(playing(client.clock, alpha=refusal(500)))

    assert ("beta", "gamma", "alpha") == tried(client, failover)
    failover.call(playing(client.clock, beta=NoImage(), gamma=NoImage()))  # alpha works again.
    assert ("alpha", "beta", "gamma") == tried(client, failover)
    failover.call(playing(client.clock, alpha=refusal(500)))
    client.clock.advance(30)
    assert ("alpha", "beta", "gamma") == tried(client, failover)
    never = Failover(client, cooldown_s=0)
    never.call(playing(client.clock, alpha=refusal(500)))
    assert ("alpha", "beta", "gamma") == tried(client, never)


def test_only_targets_that_the_function_serves_are_called():
    """Others of the order are passed over; when none is left, the static order is."""
    client = Following()

    assert ("gamma",) == tried(client, Failover(client, targets={"gamma", "delta"}))
    client.static_order = static_places(["beta", "delta"])
    assert ("delta",) == tried(client, Failover(client, targets={"delta"}))
    with pytest.raises(AllFailed, match="no target was left"):
        Failover(client, targets={"omega"}).call(playing(client.clock))


def test_no_more_attempts_are_made_than_asked_for():
    """And none counts that was skipped."""
    client = Following()
    client.places[0]["retry_at"] = "2026-11-18T11:16:40.000Z"

    assert ("beta",) == tried(client, Failover(client, max_attempts=1))


def test_the_applications_own_word_comes_first():
    """It may name a class, a whole failure, or leave it to us."""
    client = Following()

    class OddError(Exception):
        pass

    def words(error: Exception) -> Failure | ErrorClass | None:
        return {"busy": E.OVERLOADED, "wait": Failure(E.RATE_LIMITED, 60.0)}.get(str(error))

    failover = Failover(client, classify=words)
    failover.call(playing(client.clock, alpha=OddError("busy"), beta=OddError("wait")))
    assert [E.OVERLOADED, E.RATE_LIMITED, None] == [one[1] for one in client.reported]
    with pytest.raises(OddError):
        failover.call(playing(client.clock, gamma=OddError("other")))


@pytest.mark.parametrize(
    "limits", [{"deadline_s": 0}, {"attempt_deadline_s": -1}, {"max_attempts": 0}]
)
def test_limits_that_cannot_be_are_refused(limits):
    """With their name and what they take."""
    with pytest.raises(ValueError, match=next(iter(limits))):
        Failover(Following(), **limits)


@given(
    st.lists(st.sampled_from([None, 429, 500, 503, "timeout"]), min_size=3, max_size=3),
    st.integers(1, 4),
)
def test_attempts_follow_the_order_and_stop_at_the_first_picture(outcomes, most):
    """Whatever fails: a prefix of the order is tried, each once, each reported."""
    client = Following()
    names = ("alpha", "beta", "gamma")
    errors = {
        name: TimeoutError() if one == "timeout" else refusal(one)
        for name, one in zip(names, outcomes, strict=True)
        if one is not None
    }
    works = next((i for i, one in enumerate(outcomes) if one is None), None)
    try:
        result = Failover(client, max_attempts=most).call(playing(client.clock, **errors))
    except AllFailed:
        assert works is None or works >= most
        expected = names[:most]
    else:
        assert f"picture of {names[works]}" == result
        expected = names[: works + 1]

    assert list(expected) == [one[0] for one in client.reported]
    assert list(range(1, len(expected) + 1)) == [one[3] for one in client.reported]


@pytest.mark.anyio
async def test_a_coroutine_that_hangs_is_cancelled_at_its_deadline():
    """It counts as a timeout, and the next target is called."""
    client, cancelled = Following(), []

    async def fn(attempt: Attempt) -> str:
        if attempt.target == "alpha":
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(attempt.target)
        return attempt.target

    assert "beta" == await Failover(client, attempt_deadline_s=0.01).acall(fn)
    assert ["alpha"] == cancelled
    assert [E.TIMEOUT, None] == [one[1] for one in client.reported]


@pytest.mark.anyio
async def test_a_cancelled_call_ends_unreported():
    """Cancelling is the application's, not the provider's."""
    client, reached = Following(), asyncio.Event()

    async def fn(_: Attempt) -> None:
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Failover(client).acall(fn))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [] == client.reported


@pytest.mark.anyio
async def test_coroutines_fall_through_raise_and_fail_like_functions():
    """The same rules for both."""
    client = Following()

    async def failing(attempt: Attempt) -> None:
        raise refusal(503)

    async def wrong(attempt: Attempt) -> None:
        raise refusal(400)

    with pytest.raises(AllFailed) as caught:
        await Failover(client).acall(failing)
    assert 3 == len(caught.value.attempts)
    with pytest.raises(httpx.HTTPStatusError):
        await Failover(client).acall(wrong)
