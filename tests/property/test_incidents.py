"""Laws of incidents, over every sequence of results; and cases counted by hand."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from monitor.core.health import HealthState, fold
from monitor.core.incidents import (
    EVIDENCE_ENDS,
    IncidentLog,
    IncidentScope,
    Turn,
    abandoned,
    follow,
)
from monitor.core.period import figures_between
from monitor.core.spec import Policy
from monitor.core.window import Sample
from probes.model import ErrorClass, Outcome, ProbeKind, ProbeReason
from tests.support.builders import NOW, a_result
from tests.support.strategies import results

POLICY = Policy(relapse_s=600.0)
BAD, TIMEOUT = ErrorClass.SERVER_ERROR, ErrorClass.TIMEOUT
MINUTE = 60.0


@st.composite
def sequences(draw, most=40):
    """Results of any class and kind, seconds to half an hour apart, some of them far apart."""
    found, at = [], NOW
    for number in range(draw(st.integers(0, most))):
        at += draw(st.sampled_from([10.0, 60.0, 300.0, 1800.0]))
        found.append((number, draw(results(at))))
    return [a_result(**_fields(result, number)) for number, result in found]


def _fields(result, number):
    return {
        "error": result.error,
        "at": result.started_at,
        "probe_id": f"p-{number}",
        "kind": result.kind,
        "retry_at": result.retry_at,
    }


def told(sequence, log=None, state=None):
    """The log after all results, every change on the way, and the state."""
    log, state, changes = log or IncidentLog(), state or HealthState(), []
    for result in sequence:
        before, state = state, fold(state, result, POLICY)
        log, new = follow(log, result, before, state, POLICY)
        changes += new
    return log, changes, state


def minutes(*errors, start=NOW, every=MINUTE):
    """One result each *every* seconds: good for None."""
    return [
        a_result(error, start + every * i, probe_id=f"p-{start + every * i:.0f}", slot_s=every)
        for i, error in enumerate(errors)
    ]


def incidents(changes, scope=None):
    """Every incident as it was left, by id, in the order in which they were first told."""
    last = {change.incident.id: change.incident for change in changes}
    return [i for i in last.values() if scope is None or i.scope is scope]


@given(sequence=sequences())
def test_an_incident_is_open_exactly_while_the_state_says_so(sequence):
    """An outage that is not proven over, or a refusal that holds: never more, never less."""
    log, state = IncidentLog(), HealthState()
    for result in sequence:
        before, state = state, fold(state, result, POLICY)
        log, _ = follow(log, result, before, state, POLICY)
        scopes = {incident.scope for incident in log.lasting}

        assert (IncidentScope.PROVIDER in scopes) == (state.down_since is not None)
        assert (IncidentScope.ACCOUNT in scopes) == (state.block is not None)


@given(sequence=sequences())
def test_turns_alternate_and_times_are_in_order(sequence):
    """Each incident opens once, closes before it reopens, and runs from failure to picture."""
    _, changes, _ = told(sequence)
    turns: dict[str, list[Turn]] = {}
    for change in changes:
        incident = change.incident
        turns.setdefault(incident.id, []).append(change.turn)
        assert incident.started_at == incident.failures.first_at <= incident.failures.last_at
        assert incident.started_at < incident.confirmed_at <= change.at
        assert (change.turn is Turn.CLOSED) == (not incident.is_open)
        if incident.ended_at is not None:
            assert incident.failures.last_at < incident.ended_at < incident.closed_at
    for told_turns in turns.values():
        marks = [turn for turn in told_turns if turn is not Turn.GREW]
        ends = [Turn.CLOSED, Turn.REOPENED] * len(marks)
        assert [Turn.OPENED, *ends][: len(marks)] == marks


@given(sequence=sequences())
def test_evidence_is_counted_whole_and_kept_at_both_ends(sequence):
    """The first and last failed probes by id; none is void, free, good, or of another scope."""
    _, changes, _ = told(sequence)
    by_id = {result.probe_id: result for result in sequence}
    wanted = {IncidentScope.PROVIDER: Outcome.BAD, IncidentScope.ACCOUNT: Outcome.UNUSABLE}
    for change in changes:
        incident, failures = change.incident, change.incident.failures
        kept = [by_id[probe] for probe in failures.probes]
        assert len(kept) == min(failures.count, 2 * EVIDENCE_ENDS)
        assert (failures.first_at, failures.last_at) == (
            kept[0].started_at,
            kept[-1].started_at,
        )
        assert {wanted[incident.scope]} == {result.outcome for result in kept}
        assert ProbeKind.LIVENESS not in {result.kind for result in kept}
        assert failures.count == sum(count for _, count in failures.errors)
        assert dict(failures.errors)[failures.error] == max(c for _, c in failures.errors)


@given(sequence=sequences())
def test_nothing_relapses_into_a_second_incident(sequence):
    """Law: between two incidents of a scope lie more than ten minutes, from end to start."""
    _, changes, _ = told(sequence)
    for scope in IncidentScope:
        for one, other in pairwise(incidents(changes, scope)):
            assert other.started_at - one.ended_at > POLICY.relapse_s


@given(sequence=sequences(), cut=st.integers(0, 40))
def test_a_fold_in_two_parts_is_the_fold(sequence, cut):
    """A restart that goes on with what was stored, as JSON, says what one process would have."""
    kept = TypeAdapter(IncidentLog)
    early, first, state = told(sequence[:cut])
    early = kept.validate_json(kept.dump_json(early))
    late, second, _ = told(sequence[cut:], early, state)

    whole, changes, _ = told(sequence)
    assert (whole, changes) == (late, first + second)


@given(sequence=sequences())
def test_our_own_trouble_opens_nothing(sequence):
    """Void results and free calls could as well not have been."""
    telling = [
        r for r in sequence if r.outcome is not Outcome.VOID and r.kind is not ProbeKind.LIVENESS
    ]

    assert told(telling)[:2] == told(sequence)[:2]


@given(count=st.integers(1, 200))
def test_memory_is_bounded_however_long_an_outage_lasts(count):
    """The count goes on, the ids do not."""
    log, _, _ = told(minutes(*[BAD] * (count + 1)))

    (incident,) = log.lasting
    assert (count + 1, min(count + 1, 2 * EVIDENCE_ENDS)) == (
        incident.failures.count,
        len(incident.failures.probes),
    )


def test_a_ten_minute_outage_in_a_day_is_one_incident_and_costs_ten_minutes():
    """By hand: 1430 of 1440 minutes are 99.306 %, with confirmations that count for neither."""
    day = minutes(*[None] * 600, *[BAD] * 10, *[None] * 830)
    start = NOW + 600 * MINUTE
    extra = [
        # Half a minute after the first failure, and after the first success.
        a_result(TIMEOUT, start + 30, probe_id="c-1", reason=ProbeReason.CONFIRM, slot_s=0.0),
        a_result(None, start + 630, probe_id="c-2", reason=ProbeReason.CONFIRM, slot_s=0.0),
    ]
    everything = sorted([*day, *extra], key=lambda result: result.started_at)
    _, changes, _ = told(everything)

    assert [Turn.OPENED, *[Turn.GREW] * 9, Turn.CLOSED] == [change.turn for change in changes]
    incident = changes[-1].incident
    assert (start, start + 35, start + 540, start + 600, start + 635) == (
        incident.started_at,
        incident.confirmed_at,
        incident.failures.last_at,
        incident.ended_at,
        incident.closed_at,
    )
    assert (BAD, 11, "c-1") == (
        incident.failures.error,
        incident.failures.count,
        incident.failures.probes[1],
    )
    samples = [
        Sample(
            at=result.started_at,
            outcome=result.outcome,
            is_timeout=False,
            latency_s=result.latency_s,
            duration_s=result.duration_s,
            slot_s=result.slot_s,
        )
        for result in day
    ]
    figures = figures_between(samples, NOW, NOW + 86_400)
    assert (1430, 10) == (figures.good, figures.bad)
    assert "99.306 %" == f"{100 * figures.provider.value:.3f} %"


def test_a_single_failure_is_no_incident():
    """Nor are two that a picture separates."""
    assert [] == told(minutes(BAD, None, BAD, None, BAD, None))[1]


def test_a_relapse_within_ten_minutes_goes_on_with_the_incident():
    """It is opened again and counted; its evidence is that of both, its end the last one."""
    first = minutes(None, BAD, BAD, None, None)
    again = minutes(TIMEOUT, TIMEOUT, TIMEOUT, None, None, None, start=NOW + 13 * MINUTE)
    _, changes, _ = told(first + again)
    turns = [change.turn for change in changes]
    (incident,) = incidents(changes)

    assert [Turn.OPENED, Turn.CLOSED, Turn.REOPENED, Turn.GREW, Turn.CLOSED] == turns
    assert (1, 5, TIMEOUT) == (
        incident.relapses,
        incident.failures.count,
        incident.failures.error,
    )
    assert (NOW + MINUTE, NOW + 16 * MINUTE) == (incident.started_at, incident.ended_at)


def test_a_relapse_after_ten_minutes_is_another_incident():
    """Eleven minutes after the first good probe."""
    first = minutes(None, BAD, BAD, None, None)
    again = minutes(BAD, BAD, start=NOW + 14 * MINUTE)

    assert [0, 0] == [i.relapses for i in incidents(told(first + again)[1])]


@pytest.mark.parametrize(
    "error",
    [ErrorClass.AUTH, ErrorClass.BILLING, ErrorClass.QUOTA_EXHAUSTED, ErrorClass.MODEL_GONE],
)
def test_a_refusal_of_our_account_is_an_incident_of_its_own(error):
    """At once, of the scope monitor_account, until the next picture."""
    _, changes, _ = told(minutes(None, error, error, None))
    (incident,) = incidents(changes)

    assert [Turn.OPENED, Turn.GREW, Turn.CLOSED] == [change.turn for change in changes]
    assert (IncidentScope.ACCOUNT, error) == (incident.scope, incident.failures.error)
    assert (NOW + MINUTE, NOW + 3 * MINUTE) == (incident.started_at, incident.ended_at)
    assert incident.id.endswith("-account")


def test_a_rate_limit_that_ran_out_ends_with_any_other_answer():
    """A failure after the retry time is an outage that may begin, and no refusal any more."""
    limited = a_result(ErrorClass.RATE_LIMITED, NOW, retry_at=NOW + 30)
    _, changes, _ = told([limited, *minutes(BAD, start=NOW + MINUTE)])

    assert [Turn.OPENED, Turn.CLOSED] == [change.turn for change in changes]


def test_a_failure_does_not_end_a_refusal():
    """A 503 does not prove that the key works again; both incidents are open side by side."""
    log, _, _ = told(minutes(ErrorClass.AUTH, BAD, BAD))

    assert {"provider": 2, "monitor_account": 1} == Counter(
        {incident.scope.value: incident.failures.count for incident in log.lasting}
    )


def test_what_nobody_watches_any_more_is_closed_without_an_end():
    """The end was not seen, so there is none; a relapse of it cannot be told either."""
    log, _, state = told(minutes(ErrorClass.AUTH, BAD, BAD))
    log, changes = abandoned(log, NOW + 1000)

    assert [(Turn.CLOSED, None, NOW + 1000)] * 2 == [
        (change.turn, change.incident.ended_at, change.incident.closed_at) for change in changes
    ]
    assert () == log.lasting == abandoned(log, NOW + 2000)[1]
    _, again, _ = told(minutes(BAD, start=NOW + 1200), log, state)
    assert [Turn.OPENED] == [change.turn for change in again]
