"""The state of a target: fast down, slow up, and our own trouble never counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor import limits
from monitor.core.health import HealthState, fold, judge
from monitor.core.maintenance import Maintenance
from monitor.core.snapshot import State, Tier
from monitor.core.spec import Policy
from monitor.core.standing import stand
from probes.model import Effect, ErrorClass, Outcome, ProbeKind, ProbeReason
from tests.support.builders import NOW, a_pool, a_result, a_spec, a_view, folded

E = ErrorClass
POLICY = Policy()
VOID = [error for error in E if error.outcome is Outcome.VOID]
BAD = [error for error in E if error.outcome is Outcome.BAD]
PERMANENT = [error for error in E if error.row.effect is Effect.OUT]


def health_of(errors, *, later=0.0, policy=POLICY):
    """The judged state, *later* seconds after the last of one result a minute."""
    state = folded(errors, policy)
    return judge(state, NOW + 60 * (len(errors) - 1) + later, spec=a_spec(), policy=policy)


def states(errors, policy=POLICY):
    """The judged state after each of the results."""
    return [health_of(errors[: i + 1], policy=policy).state for i in range(len(errors))]


def test_without_data_the_state_is_unknown():
    """Nobody is green before the first probe."""
    health = judge(HealthState(), NOW, spec=a_spec(), policy=POLICY)

    assert (State.UNKNOWN, None) == (health.state, health.since)


@pytest.mark.parametrize("error", BAD)
def test_one_failure_is_suspicion_and_one_success_clears_it(error):
    """Every class that is the provider's fault demotes at once."""
    assert [State.HEALTHY, State.SUSPECT, State.HEALTHY] == states([None, error, None])


def test_a_confirmed_failure_is_down_since_the_first_of_the_run():
    """The outage began when it was first seen, not when it was confirmed."""
    health = health_of([None, E.OVERLOADED, E.TIMEOUT])

    assert (State.DOWN, NOW + 60, E.TIMEOUT) == (health.state, health.since, health.error)
    assert "2 failures in a row since 11:07:40Z: timeout" == health.detail


def test_an_outage_ends_only_after_enough_successes_in_a_row():
    """Slow up: meanwhile degraded, and a relapse continues the same outage."""
    errors = [E.TIMEOUT, E.TIMEOUT, None, E.TIMEOUT, None, None]
    expected = [
        State.SUSPECT, State.DOWN, State.DEGRADED, State.DOWN, State.DEGRADED, State.HEALTHY,
    ]  # fmt: skip

    assert expected == states(errors)
    assert NOW == health_of(errors[:4]).since
    assert (
        "1 failure since 11:09:40Z in the outage since 11:06:40Z: timeout"
        == health_of(errors[:4]).detail
    )
    assert (
        "1 of 2 successes that end the outage since 11:06:40Z: timeout"
        == health_of(errors[:3]).detail
    )
    assert (None, "") == (health_of(errors).error, health_of(errors).detail)


def test_an_outage_that_comes_back_within_the_hour_is_held_back_for_longer():
    """Each relapse wants a success more, three at most; the text says how many and why."""
    outage = [E.TIMEOUT, E.TIMEOUT]
    once = [*outage, None, None, *outage, None]
    often = [*once, None, None, *outage, *[None] * 4, *outage, *[None] * 5, *outage, None]

    assert State.DEGRADED is health_of([*once, None]).state
    assert State.HEALTHY is health_of([*once, None, None]).state
    assert (
        "1 of 3 successes that end the outage since 11:10:40Z, after 1 relapse: timeout"
        == health_of(once).detail
    )
    assert "1 of 5 successes" in health_of(often).detail
    assert ", after 4 relapses: timeout" in health_of(often).detail


def test_half_open_is_degraded_behind_the_healthy_and_before_the_down():
    """The first success in an outage puts a target into the tier between, whatever came before."""
    recovering = a_view(health=health_of([E.TIMEOUT, E.TIMEOUT, None]))
    down = a_view(health=health_of([E.TIMEOUT, E.TIMEOUT]))
    up = a_view(health=health_of([None]))
    tiers = [stand(view, a_pool("a"), POLICY).tier for view in (up, recovering, down)]

    assert [Tier.UP, Tier.DOUBTFUL, Tier.DOWN] == tiers


def test_a_share_of_failures_is_degraded():
    """Two of ten that fail apart from one another are no outage, but no health either."""
    errors = [None, E.TIMEOUT, None, E.NO_IMAGE, None]
    health = health_of(errors)

    assert (State.DEGRADED, E.NO_IMAGE, NOW + 240) == (health.state, health.error, health.since)
    assert "2 of the last 5 probes failed: no_image" == health.detail
    assert State.HEALTHY is health_of(errors[:3]).state
    assert State.HEALTHY is health_of([*errors, *[None] * 9]).state


def test_a_healed_outage_leaves_no_degradation_behind():
    """Ten failures, then two successes in a row: healthy, not degraded for ten more probes."""
    assert State.HEALTHY is health_of([E.TIMEOUT] * 10 + [None, None]).state


def test_more_patience_is_a_setting():
    """With three in a row needed, the second failure is still a suspicion of the first's time."""
    policy = Policy(down_after=3)
    health = health_of([None, E.TIMEOUT, E.TIMEOUT], policy=policy)

    assert (State.SUSPECT, NOW + 60) == (health.state, health.since)


@pytest.mark.parametrize("error", VOID)
def test_our_own_trouble_says_nothing(error):
    """Void results leave health and its age as they were."""
    before = folded([None])
    after = fold(before, a_result(error, NOW + 60), POLICY)

    assert replace(before, policy_blocks=after.policy_blocks) == after
    assert (error is E.POLICY_BLOCKED) == bool(after.policy_blocks)


def test_policy_blocks_are_counted_until_a_picture_comes():
    """Three in a row are worth a warning; a success starts the count anew."""
    blocked = [None, E.POLICY_BLOCKED, E.POLICY_BLOCKED]

    assert (2, 0) == (
        health_of(blocked).consecutive_policy_blocks,
        health_of([*blocked, None]).consecutive_policy_blocks,
    )


@pytest.mark.parametrize("error", [None, E.AUTH, E.CONNECTION])
def test_a_free_call_makes_nothing_better_or_worse(error):
    """Liveness explains; it is no evidence of generation."""
    before = folded([E.TIMEOUT])

    assert before == fold(before, a_result(error, NOW + 60, kind=ProbeKind.LIVENESS), POLICY)


@pytest.mark.parametrize("reason", ProbeReason)
def test_every_generation_feeds_the_state(reason):
    """Confirmations and manual probes count here, though never in availability."""
    state = fold(folded([E.TIMEOUT]), a_result(E.TIMEOUT, NOW + 5, reason=reason), POLICY)

    assert State.DOWN is state.state


def test_a_rate_limit_waits_and_then_the_evidence_speaks_again():
    """Until the retry time unusable, from that very moment what good and bad say."""
    limited = fold(folded([None]), a_result(E.RATE_LIMITED, NOW + 60, retry_at=NOW + 90), POLICY)
    waiting = judge(limited, NOW + 89, spec=a_spec(), policy=POLICY)
    after = judge(limited, NOW + 90, spec=a_spec(), policy=POLICY)

    assert (State.UNUSABLE, E.RATE_LIMITED, NOW + 60, NOW + 90) == (
        waiting.state,
        waiting.error,
        waiting.since,
        waiting.retry_at,
    )
    assert (State.HEALTHY, None, None) == (after.state, after.error, after.retry_at)


def test_a_limit_over_and_no_other_evidence_is_unknown():
    """A rate limit alone never made anybody healthy."""
    limited = fold(HealthState(), a_result(E.RATE_LIMITED, NOW, retry_at=NOW + 30), POLICY)
    health = judge(limited, NOW + 31, spec=a_spec(), policy=POLICY)

    assert (State.UNKNOWN, "") == (health.state, health.detail)


@pytest.mark.parametrize(
    ("error", "asked", "believed"),
    [
        (E.RATE_LIMITED, None, limits.RATE_LIMIT_WAIT_S_DEFAULT),
        (E.RATE_LIMITED, 1e6, limits.RATE_LIMIT_WAIT_S_MAX),
        (E.QUOTA_EXHAUSTED, None, limits.PERMANENT_RECHECK_S),
        (E.QUOTA_EXHAUSTED, 1e6, limits.RETRY_AFTER_S_MAX),
        (E.QUOTA_EXHAUSTED, 40_000.0, 40_000.0),
    ],
)
def test_retry_times_are_believed_within_bounds(error, asked, believed):
    """None gets a default, and nobody silences a target for longer than its bound."""
    retry_at = None if asked is None else NOW + asked
    state = fold(HealthState(), a_result(error, retry_at=retry_at, duration_s=0.0), POLICY)

    assert NOW + believed == state.block.retry_at


def test_waits_only_ever_extend():
    """A short per-minute limit does not shorten a daily quota."""
    quota = a_result(E.QUOTA_EXHAUSTED, retry_at=NOW + 40_000)
    minute = a_result(E.RATE_LIMITED, NOW + 10, retry_at=NOW + 70)
    one = fold(fold(HealthState(), quota, POLICY), minute, POLICY)
    other = fold(fold(HealthState(), minute, POLICY), quota, POLICY)

    assert NOW + 40_000 == one.block.retry_at == other.block.retry_at


@pytest.mark.parametrize("error", PERMANENT)
def test_a_refusal_of_our_account_holds_until_a_picture_comes(error):
    """Neither time, nor a failure, nor a rate limit mends a key, a bill or a model."""
    for then in ([], [E.SERVER_ERROR, E.SERVER_ERROR], [E.RATE_LIMITED], [error]):
        health = health_of([None, error, *then], later=500.0)
        assert (State.UNUSABLE, error, NOW + 60, None) == (
            health.state,
            health.error,
            health.since,
            health.retry_at,
        )
    assert State.HEALTHY is health_of([None, error, None]).state


def test_a_new_refusal_replaces_the_old_one():
    """The bill is unpaid and then the key is revoked: the newest is what to mend."""
    health = health_of([E.BILLING, E.AUTH])

    assert (E.AUTH, NOW + 60) == (health.error, health.since)


def test_a_picture_lifts_a_wait_too():
    """Whoever draws is not rate limited."""
    assert State.HEALTHY is health_of([E.QUOTA_EXHAUSTED, None]).state


def test_old_evidence_is_unknown():
    """Three slots without a result: the last verdict no longer speaks for now."""
    fresh, stale = health_of([None], later=1800.0), health_of([None], later=1801.0)

    assert (State.HEALTHY, State.UNKNOWN) == (fresh.state, stale.state)
    assert (NOW + 1800, "no result since 11:06:40Z") == (stale.since, stale.detail)


def test_evidence_that_ages_in_maintenance_says_why_none_comes():
    """Nothing is known, because nobody asks, and until when."""
    spec = a_spec(maintenance=(Maintenance(since=NOW, until=NOW + 7200.0),))
    state = folded([None])
    during = judge(state, NOW + 3600.0, spec=spec, policy=POLICY)
    after = judge(state, NOW + 7200.0, spec=spec, policy=POLICY)

    assert State.UNKNOWN is during.state
    assert "no result since 11:06:40Z, in maintenance until 13:06:40Z" == during.detail
    assert "no result since 11:06:40Z" == after.detail


def test_a_refusal_does_not_go_stale():
    """No probes are expected while a key is refused or a quota is used up."""
    quota = a_result(E.QUOTA_EXHAUSTED, retry_at=NOW + 40_000)
    waiting = fold(HealthState(), quota, POLICY)

    assert State.UNUSABLE is health_of([E.AUTH], later=1e6).state
    assert State.UNUSABLE is judge(waiting, NOW + 39_999, spec=a_spec(), policy=POLICY).state


def test_an_overloaded_target_keeps_its_retry_time_and_its_state_until_then():
    """The retry time is honoured, up to a bound, and no probe is expected before it."""
    overloaded = a_result(E.OVERLOADED, retry_at=NOW + 1e6, duration_s=0.0, slot_s=10.0)
    state = fold(HealthState(), overloaded, POLICY)
    spec = a_spec(interval_s=10.0)
    until = NOW + limits.RATE_LIMIT_WAIT_S_MAX
    before, after = (judge(state, at, spec=spec, policy=POLICY) for at in (until - 1, until))

    assert (State.SUSPECT, until) == (before.state, before.retry_at)
    assert (State.UNKNOWN, None) == (after.state, after.retry_at)
    assert folded([E.OVERLOADED, None]).retry_at is None


def test_a_target_without_a_key_says_what_to_do():
    """What cannot be probed at all is unusable with the reason from the configuration."""
    spec = a_spec(unusable=E.AUTH, unusable_detail="set ACME_KEY")
    health = judge(folded([None]), NOW, spec=spec, policy=POLICY)

    assert (State.UNUSABLE, E.AUTH, "set ACME_KEY") == (health.state, health.error, health.detail)


def test_a_late_result_does_not_make_evidence_older():
    """The age is that of the newest probe, whatever order results come in."""
    state = fold(folded([None]), a_result(None, NOW - 500), POLICY)

    assert NOW == state.last_at


def test_evidence_does_not_grow_old_while_our_own_network_is_down():
    """No result could come; from when the network is back a state is as old as it is."""
    state = folded([None])
    later = NOW + 10 * 3600.0

    def at(heard_until: float | None) -> State:
        health = judge(state, later, spec=a_spec(), policy=Policy(), heard_until=heard_until)
        return health.state

    assert State.HEALTHY is at(NOW + 600)
    assert State.UNKNOWN is at(NOW + 9 * 3600)
    assert State.UNKNOWN is at(None)
