"""What free calls say of a target, when the next one is due, and how the signal ages."""

from __future__ import annotations

from typing import Any

import pytest

from monitor import limits
from monitor.core.liveness import FreeCalls, heard, is_due, show
from monitor.core.snapshot import LifeSign, Liveness
from monitor.core.spec import Policy
from probes.model import ErrorClass, ProbeKind, ProbeResult
from tests.support.builders import NOW, a_result

EVERY = 300.0
E = ErrorClass


def a_call(error: ErrorClass | None = None, at: float = NOW, **changes: Any) -> ProbeResult:
    """A free call: answered within a tenth of a second, or refused with *error*."""
    fields = {
        "kind": ProbeKind.LIVENESS, "duration_s": 0.1, "slot_s": EVERY,
        "latency_s": 0.1 if error is None else None,
    }  # fmt: skip
    return a_result(error, at, **fields | changes)


def after(*results: ProbeResult) -> FreeCalls:
    """What is remembered of *results*."""
    calls = FreeCalls()
    for result in results:
        calls = heard(calls, result)
    return calls


def shown(calls: FreeCalls, now: float = NOW, every: float | None = EVERY) -> Liveness:
    """The signal at *now*."""
    return show(calls, now, interval_s=every, policy=Policy())


def test_without_a_call_nothing_is_known():
    """No data is unknown, never a failure."""
    nothing = shown(after())
    canaries = shown(after(a_result(), a_result(E.OVERLOADED)))

    assert (LifeSign.UNKNOWN, None, "no free call has said anything yet") == (
        nothing.state, nothing.at, nothing.detail,
    )  # fmt: skip
    assert nothing == canaries


def test_an_answer_is_ok_with_what_it_told():
    """State, time, words, shutdown day and balance."""
    call = a_call(detail="5 models", shutdown_on="2026-12-01", balance_usd=4.5)
    expected = Liveness(
        state=LifeSign.OK, at=NOW, detail="5 models", answered_at=NOW, shutdown_on="2026-12-01",
        balance_usd=4.5,
    )  # fmt: skip

    assert expected == shown(after(call))


def test_a_failure_keeps_what_the_last_answer_told_and_its_age():
    """A shutdown day does not vanish because the network does."""
    answered = a_call(detail="fine", shutdown_on="2026-12-01", balance_usd=4.5)
    failed = a_call(E.AUTH, NOW + EVERY, detail="no such key")
    expected = Liveness(
        state=LifeSign.FAILING, at=NOW + EVERY, error=E.AUTH, detail="no such key",
        answered_at=NOW, shutdown_on="2026-12-01", balance_usd=4.5,
    )  # fmt: skip

    assert expected == shown(after(answered, failed), NOW + EVERY)


def test_the_newest_answer_replaces_what_the_one_before_told():
    """A day that was withdrawn and a balance that is no longer told are not kept."""
    calls = after(a_call(shutdown_on="2026-12-01", balance_usd=4.5), a_call(at=NOW + EVERY))
    told = shown(calls, NOW + EVERY)

    assert (None, None, NOW + EVERY) == (told.shutdown_on, told.balance_usd, told.answered_at)


@pytest.mark.parametrize("error", [E.MONITOR_FAULT, E.OUR_NETWORK, E.POLICY_BLOCKED])
def test_our_own_trouble_says_nothing(error):
    """A stalled loop is no failure of a provider's front end."""
    before = after(a_call())

    assert before == heard(before, a_call(error, NOW + EVERY))


def test_an_old_signal_is_unknown_but_keeps_its_time_and_facts():
    """After three intervals without a call nobody knows."""
    calls = after(a_call(E.TIMEOUT, balance_usd=None))
    fresh, old = shown(calls, NOW + 3 * EVERY), shown(calls, NOW + 3 * EVERY + 1)

    assert (LifeSign.FAILING, E.TIMEOUT) == (fresh.state, fresh.error)
    assert (LifeSign.UNKNOWN, None, NOW) == (old.state, old.error, old.at)
    assert "no free call since 11:06:40Z" == old.detail


def test_a_success_keeps_an_answered_call_fresh_and_never_mends_a_failed_one():
    """While pictures come, calls are left out; but a picture is no answer to a free call."""
    later = NOW + 10 * EVERY
    picture = a_result(at=later - 6.0)

    assert LifeSign.OK is shown(after(a_call(), picture), later).state
    assert LifeSign.UNKNOWN is shown(after(a_call(E.AUTH), picture), later).state
    assert LifeSign.UNKNOWN is shown(after(a_call(), a_result(E.TIMEOUT, later)), later).state


def test_where_no_calls_are_made_nothing_is_said():
    """Not even what was known when they still were."""
    assert Liveness(detail="no free calls are made") == shown(after(a_call()), every=None)


def due(calls: FreeCalls, seconds: float) -> bool:
    """Whether a call is due *seconds* after NOW."""
    return is_due(calls, NOW + seconds, EVERY)


def test_a_call_between_canaries_is_due_and_one_beside_them_is_not():
    """Half an interval after the end of a success there is nothing to ask."""
    calls = after(a_call(at=NOW - EVERY), a_result(at=NOW - 5.0))

    assert not due(calls, 0.0)
    assert not due(calls, EVERY / 2 - 1)
    assert due(calls, EVERY / 2)


def test_a_failed_canary_does_not_put_a_call_off():
    """Then it is wanted most: it tells a dead network from a busy model."""
    calls = after(a_call(at=NOW - EVERY), a_result(E.OVERLOADED, NOW))

    assert due(calls, 6.0)


def test_a_picture_does_not_put_off_the_call_after_one_that_failed():
    """Or a failure that is over would be shown for as long as pictures come."""
    calls = after(a_call(E.CONNECTION, NOW - EVERY), a_result(at=NOW - 5.0))

    assert due(calls, 0.0)


def test_the_first_call_of_all_is_due():
    """Balance and shutdown day come from nowhere else."""
    assert due(after(), 0.0)
    assert due(after(a_result(at=NOW - 5.0)), 0.0)


def test_however_many_pictures_come_a_call_is_made_once_an_hour():
    """A target probed every minute is told of its shutdown day all the same."""
    calls = after(a_call(at=NOW - limits.FREE_FACTS_S_MAX), a_result(at=NOW - 5.0))

    assert due(calls, 0.0)
    assert not due(after(a_call(at=NOW - limits.FREE_FACTS_S_MAX + 1), a_result(at=NOW - 5.0)), 0.0)


def test_a_retry_time_is_honoured_within_bounds():
    """A free call may be limited too; nobody may silence it for a day."""
    limited = after(a_call(E.RATE_LIMITED, retry_at=NOW + 400.0))
    silenced = after(a_call(E.QUOTA_EXHAUSTED, retry_at=NOW + 80_000.0))

    assert not due(limited, 399.0)
    assert due(limited, 400.0)
    assert not due(silenced, 800.0)
    assert due(silenced, limits.RATE_LIMIT_WAIT_S_MAX + 0.1)


def test_a_wall_clock_that_was_set_back_delays_nothing():
    """Times ahead of now are not waited for."""
    ahead = NOW + 86_400.0
    calls = after(a_call(at=ahead), a_result(at=ahead))
    limited = after(a_call(E.RATE_LIMITED, ahead, retry_at=ahead + 60.0))

    assert due(calls, 0.0)
    assert due(limited, 0.0)
