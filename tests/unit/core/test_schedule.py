"""When targets fire, and when a slot passes without a probe."""

from __future__ import annotations

import pytest

from monitor.core.health import HealthState, fold, slots_between
from monitor.core.maintenance import Maintenance
from monitor.core.pace import Pace, attempted, follow
from monitor.core.schedule import Pass, extra_due, next_fire, phase_s, plan_slot
from monitor.core.snapshot import GapReason
from monitor.core.spec import Policy
from monitor.limits import FREE_RECHECK_S, PERMANENT_RECHECK_S
from probes.model import ErrorClass, ProbeKind, ProbeReason
from tests.support.builders import NOW, a_result, a_spec

HOUR = 3_600.0
POLICY = Policy()
SPEC = a_spec(interval_s=900.0)
LATER = NOW + 900.0


class Past:
    """A target's evidence and attempts after some results."""

    def __init__(self, *results):
        """Begin with nothing known, then fold *results*."""
        self.state, self.pace = HealthState(), Pace()
        self.then(*results)

    def then(self, *results):
        """Fold more."""
        for result in results:
            self.state = fold(self.state, result, POLICY)
            self.pace = follow(self.pace, result, self.state)
        return self

    def planned(self, now=LATER, *, draw=0.0, money_share=1.0):
        """What the slot at *now* is for."""
        return plan_slot(
            self.state, self.pace, SPEC, POLICY, now=now, draw=draw, money_share=money_share
        )

    def due(self, next_slot_at=LATER):
        """When a probe outside the slots is due."""
        return extra_due(self.state, self.pace, SPEC, POLICY, next_slot_at)


def a_free_call(error=None, at=NOW, **changes):
    """A liveness result."""
    return a_result(error, at, kind=ProbeKind.LIVENESS, duration_s=1.0, **changes)


def minutely(*errors):
    """What is known after one result a minute, five seconds long each: good for None."""
    return Past(*(a_result(error, NOW + 60.0 * n) for n, error in enumerate(errors)))


def down(failures: int):
    """The same after so many failures in a row."""
    return minutely(*[ErrorClass.OVERLOADED] * failures)


def test_a_slot_in_maintenance_is_a_gap_whatever_else_is_known():
    """Before a retry time, before chance: nothing is sent, and it is said until when."""
    spec = a_spec(maintenance=(Maintenance(since=NOW, until=NOW + HOUR),))
    past = Past(a_result(ErrorClass.RATE_LIMITED, NOW - 60.0, retry_at=NOW + 5 * HOUR))

    def planned(now):
        return plan_slot(past.state, past.pace, spec, POLICY, now=now, draw=0.0)

    assert Pass(GapReason.MAINTENANCE, "until 12:06:40Z") == planned(NOW)
    assert spec.interval_s == planned(NOW + HOUR)


def test_a_phase_is_stable_across_releases():
    """A restart or an upgrade must not move anybody's slot."""
    assert pytest.approx(0.05549, abs=1e-5) == phase_s("alpha", 1.0)


def test_fires_of_many_targets_are_spread():
    """A hundred targets of one interval do not fire together."""
    phases = sorted(phase_s(f"target-{i}", 100.0) for i in range(100))

    assert phases[0] < 10
    assert phases[-1] > 90


def test_jitter_delays_by_at_most_a_quarter_slot():
    """Full jitter is just under a quarter of the interval after the slot's begin."""
    begin = next_fire("alpha", 100.0, NOW, lambda _slot: 0.0)
    late = next_fire("alpha", 100.0, begin - 1, lambda _slot: 0.999)

    assert 24.9 == pytest.approx(late - begin, abs=0.1)


def test_a_target_that_works_is_probed_in_every_slot():
    """Also one nobody knows anything of, and one that fails for the first time."""
    for past in (Past(), minutely(None), down(1)):
        assert 900.0 == past.planned(draw=0.999)


def test_slots_of_a_target_that_stays_down_are_left_out_by_chance():
    """
    Confirmations 30 s, 1, 2, 4 and 8 min apart come first; then one slot of 2, of 4, none rarer.

    A sample of one slot in four stands for four.
    """
    rates = [slots_between(down(n).state, SPEC, POLICY) for n in range(1, 12)]

    assert [1] * 6 + [2, 4, 4, 4, 4] == rates
    assert 3600.0 == down(9).planned(draw=0.2)
    assert Pass(None, "down: one slot of 4 is probed") == down(9).planned(draw=0.3)


def test_a_slot_that_chance_keeps_leaving_out_is_sent_all_the_same():
    """After twice the time between samples; it then stands for its own slot alone."""
    past = down(9).then(a_result(ErrorClass.OVERLOADED, NOW + 600))

    assert isinstance(past.planned(NOW + 600 + 6 * 900.0, draw=0.9), Pass)
    assert 900.0 == past.planned(NOW + 600 + 8 * 900.0, draw=0.9)


def test_a_back_off_is_never_longer_than_its_cap():
    """Hourly slots are never left out, and a distance that overflows is none."""
    state = down(99).state

    assert 1 == slots_between(state, a_spec(interval_s=HOUR), POLICY)
    assert 60 == slots_between(state, a_spec(interval_s=60.0), POLICY)
    assert 1 == slots_between(down(5).state, a_spec(interval_s=60.0), Policy(down_after=5))


def test_scarce_money_leaves_slots_out_and_says_so():
    """The gap is one of money; the samples that are sent stand for the slots left out."""
    past, poor = minutely(None), "a cap pays for 25% of the slots"

    assert 3600.0 == past.planned(draw=0.2, money_share=0.25)
    assert Pass(GapReason.SPEND_CAP, poor) == past.planned(draw=0.3, money_share=0.25)
    # A target that is down needs no more than scarce money pays for.
    left_out = down(9).planned(draw=0.3, money_share=0.5)
    assert Pass(None, "down: one slot of 4 is probed") == left_out


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ErrorClass.RATE_LIMITED, GapReason.RETRY_AFTER),
        (ErrorClass.OVERLOADED, GapReason.RETRY_AFTER),
        (ErrorClass.QUOTA_EXHAUSTED, GapReason.QUOTA_GUARD),
    ],
)
def test_a_retry_time_is_honoured(error, reason):
    """Not before it; from that moment on again."""
    past = Past(a_result(error, retry_at=NOW + 100))

    waiting = past.planned(NOW + 99)
    assert isinstance(waiting, Pass)
    assert (reason, True) == (waiting.gap, waiting.why.startswith(error.value))
    assert 900.0 == past.planned(NOW + 100)


@pytest.mark.parametrize(
    ("error", "is_watched", "recheck_s"),
    [
        (ErrorClass.AUTH, False, PERMANENT_RECHECK_S),
        (ErrorClass.AUTH, True, FREE_RECHECK_S),
        (ErrorClass.BILLING, True, FREE_RECHECK_S),
        (ErrorClass.NOT_ENTITLED, True, FREE_RECHECK_S),
        (ErrorClass.MODEL_GONE, True, FREE_RECHECK_S),
        (ErrorClass.BAD_REQUEST, True, PERMANENT_RECHECK_S),
    ],
)
def test_a_refusal_is_asked_again_rarely(error, is_watched, recheck_s):
    """Once a day where free calls watch for its end, else once an hour, whatever the jitter."""
    past = Past(a_result(error))
    if is_watched:
        past.then(a_free_call(at=NOW + 1))
    earliest = NOW + 0.75 * recheck_s

    waiting = past.planned(earliest - 1)
    assert isinstance(waiting, Pass)
    assert GapReason.RETRY_AFTER is waiting.gap
    assert 900.0 == past.planned(earliest)


def test_a_clock_set_back_stops_nothing():
    """A last probe that lies in the future is no reason to wait for it."""
    assert 900.0 == Past(a_result(ErrorClass.AUTH)).planned(NOW - 86_400)
    assert 900.0 == down(9).planned(NOW - 86_400, draw=0.9)


def test_a_failure_is_confirmed_soon_and_then_ever_later():
    """30 s after the end of the first, then twice as long each time, an hour at most."""
    ends = [NOW + 60.0 * (n - 1) + 5 for n in range(1, 11)]
    dues = [down(n).due(NOW + 10**6) for n in range(1, 11)]

    delays = [due - end for due, end in zip(dues, ends, strict=True)]
    assert [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] == pytest.approx(delays)


def test_a_recovery_is_confirmed_too():
    """The first success in an outage brings the next probe forward; the second ends it."""
    outage = [ErrorClass.TIMEOUT] * 2

    assert NOW + 125 + 30 == minutely(*outage, None).due()
    assert minutely(*outage, None, None).due() is None


def test_a_slot_that_comes_first_confirms_by_itself():
    """Unless slots are being left out: then it may not come."""
    assert down(1).due(NOW + 20) is None
    assert down(8).due(NOW + 500) is not None


def test_what_works_needs_no_confirmation():
    """Nor does a target of which nothing is known, or one that is refused."""
    for results in ([], [None], [ErrorClass.AUTH], [ErrorClass.BAD_REQUEST]):
        assert minutely(*results).due() is None


@pytest.mark.parametrize("error", [ErrorClass.OVERLOADED, ErrorClass.RATE_LIMITED])
def test_a_confirmation_waits_for_the_retry_time(error):
    """A provider that says when to come again is not asked before."""
    past = down(1).then(a_result(error, NOW + 40, retry_at=NOW + 400))

    assert NOW + 400 == past.due()


def test_probes_that_say_nothing_are_not_repeated_for_ever_at_once():
    """A stalled monitor and a cap without money: each failed attempt doubles the wait."""
    past, delays = down(1), []
    for _ in range(4):
        past.pace = attempted(past.pace, NOW + 100, NOW + 100)
        delays.append(past.due(NOW + 10**6) - NOW - 100)
    void = down(1).then(a_result(ErrorClass.MONITOR_FAULT, NOW + 95))

    assert [60, 120, 240, 480] == delays
    assert NOW + 100 + 60 == void.due()


def test_free_calls_that_begin_to_fail_bring_one_canary_forward():
    """One, at their first failure; what it says stands, however long they go on failing."""
    past = minutely(None)
    dues = [
        past.then(result).due()
        for result in (
            a_free_call(ErrorClass.CONNECTION, NOW + 300),
            a_free_call(ErrorClass.CONNECTION, NOW + 600),
            a_result(None, NOW + 610, reason=ProbeReason.CONFIRM),
            a_free_call(ErrorClass.CONNECTION, NOW + 700),
            a_free_call(None, NOW + 800),
            a_free_call(ErrorClass.CONNECTION, NOW + 850),
        )
    ]

    assert [NOW + 300, NOW + 300, None, None, None, NOW + 850] == dues


@pytest.mark.parametrize("error", [ErrorClass.MONITOR_FAULT, ErrorClass.RATE_LIMITED])
def test_a_free_call_that_says_nothing_of_the_provider_is_worth_no_canary(error):
    """Void is void, and a limit on free calls is about them."""
    past = minutely(None).then(a_free_call(error, NOW + 300))

    assert past.due() is None


def test_a_canary_brought_forward_that_says_nothing_is_sent_again_later():
    """Our own stall is no answer; the free calls still fail."""
    past = minutely(None).then(a_free_call(ErrorClass.CONNECTION, NOW + 300))
    past.pace = attempted(past.pace, NOW + 200, NOW + 301)

    assert NOW + 301 + 30 == past.due()


REFUSED = a_result(ErrorClass.AUTH, NOW + 100)
ECHOED = a_free_call(ErrorClass.AUTH, NOW + 200)
ANSWERED = a_free_call(None, NOW + 500)


def test_a_refusal_that_free_calls_share_is_proven_over_when_they_are_answered_again():
    """A key that was renewed: the free call sees it first, and one canary proves it."""
    past = minutely(None)
    results = (REFUSED, ECHOED, ANSWERED, a_free_call(None, NOW + 800))
    dues = [past.then(result).due() for result in results]
    proven = past.then(a_result(None, NOW + 810))

    assert [None, None, NOW + 501, NOW + 501] == dues
    assert (None, None) == (proven.due(), proven.state.block)


def test_a_slot_may_be_what_proves_that_a_refusal_is_over():
    """Batch targets have nothing between their slots; until a free call says so, none is sent."""
    past = minutely(None).then(REFUSED, ECHOED)
    before, after = past.planned(), past.then(ANSWERED).planned()

    assert GapReason.RETRY_AFTER is before.gap
    assert SPEC.interval_s == after


def test_a_refusal_that_is_not_over_waits_for_the_next_free_call_that_says_so():
    """One canary a change: it does not go on being sent."""
    past = minutely(None).then(REFUSED, ECHOED, ANSWERED, a_result(ErrorClass.AUTH, NOW + 510))

    assert past.due() is None
    assert past.then(a_free_call(None, NOW + 800)).due() is None


def test_a_proof_that_our_own_trouble_spoilt_is_sent_again():
    """A void canary has proven nothing."""
    spoilt = a_result(ErrorClass.MONITOR_FAULT, NOW + 510)

    assert NOW + 515 + 30 == minutely(None).then(REFUSED, ECHOED, ANSWERED, spoilt).due()


def test_a_refusal_that_free_calls_do_not_share_is_not_ended_by_them():
    """A free key may count tokens although it may not paint: that says nothing new."""
    assert Past(a_result(ErrorClass.NOT_ENTITLED), ANSWERED).due() is None


def test_an_outage_of_free_calls_is_no_echo_of_a_refusal():
    """Only a refusal is one; when the network is back, nothing is known of the key."""
    past = Past(a_result(ErrorClass.BILLING))
    results = (a_free_call(ErrorClass.CONNECTION, NOW + 300), a_free_call(None, NOW + 600))

    assert [None, None] == [past.then(result).due() for result in results]


def test_a_balance_that_grows_ends_an_unpaid_bill():
    """Topped up: the next free call tells more money than before."""
    past = Past(a_result(ErrorClass.BILLING))
    dues = [
        past.then(a_free_call(None, NOW + 60 * minute, balance_usd=balance)).due()
        for minute, balance in enumerate((0.02, 0.01, None, 0.01, 5.0), 1)
    ]

    assert [None] * 4 + [NOW + 301] == dues


def test_results_out_of_order_leave_the_newest_times():
    """A slow probe that ends after a later one does not set the clock back."""
    past = Past(a_result(None, NOW + 100), a_result(None, NOW))

    assert (NOW + 100, NOW + 105, NOW + 100) == (
        past.pace.last_start,
        past.pace.last_end,
        past.pace.last_slot_at,
    )
