"""Batch jobs: what is due when, and what the result is of each end that a job can come to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.batch import (
    DELETE_TRIES_MAX,
    Stage,
    Step,
    due_at,
    finished,
    is_past_deadline,
    is_refused,
    later,
    may_be_late,
    next_step,
    not_done,
    not_found,
    pause_s,
    seen,
    undeleted,
    void,
)
from probes.batch import BatchJob, BatchState
from probes.model import ErrorClass, Outcome, Phase, Picture, ProbeKind, ProbeReason, Verdict
from tests.support.builders import NOW, a_job, a_result

HOUR = 3_600.0
DAY = 86_400.0
PICTURE = Picture(data=b"png")


def shown(state=BatchState.SUCCEEDED, **more):
    """A job as its provider shows it."""
    return BatchJob(name="batches/1", state=state, **more)


def done(took_s=HOUR, **more):
    """A job that its provider says took *took_s*, by a clock that is hours off ours."""
    return shown(created_at=5.0, ended_at=5.0 + took_s, picture=PICTURE, **more)


def look(error=None, **more):
    """The result of a look."""
    return a_result(error, duration_s=0.2, probe_id="a call", target_id="another", **more)


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"name": None}, Step.FIND),
        ({"name": None, "cancel_requested_at": NOW}, Step.FIND),
        ({}, Step.LOOK),
        ({"cancel_requested_at": NOW}, Step.CANCEL),
        ({"stage": Stage.OVER}, Step.DELETE),
        ({"stage": Stage.OVER, "cancel_requested_at": NOW}, Step.DELETE),
    ],
)
def test_one_thing_is_next_about_a_job(changes, step):
    """Found before it is looked at, looked at until it is over, then deleted."""
    assert step is next_step(a_job(**changes))


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"next_at": NOW + 60}, NOW + 60),
        ({"next_at": NOW - 60}, NOW - 60),
        ({"next_at": NOW + 60, "cancel_requested_at": NOW}, NOW),
        ({"next_at": NOW + 60, "called_at": NOW, "cancel_requested_at": NOW - 1}, NOW + 60),
        ({"next_at": NOW + 60, "cancel_requested_at": NOW, "stage": Stage.OVER}, NOW + 60),
        ({"next_at": NOW + 600, "called_at": NOW + 590}, NOW),
    ],
)
def test_a_request_and_a_clock_set_back_make_a_job_due(changes, at):
    """A request once, until it was tried; a next look far ahead is none of this clock."""
    assert at == due_at(a_job(**{"called_at": NOW - 60} | changes), NOW)


@given(age_s=st.floats(0, 10 * DAY), older_s=st.floats(0, DAY), poll_s=st.floats(0.001, 3600))
def test_looks_become_rarer_with_age_and_never_rarer_than_asked_for(age_s, older_s, poll_s):
    """The pause grows with the age, from a hundred-and-twentieth of its cap."""
    pause = pause_s(age_s, poll_s)

    assert poll_s / 120 <= pause * (1 + 1e-9)
    assert pause <= pause_s(age_s + older_s, poll_s) <= poll_s


def test_looks_are_seconds_apart_at_first_and_ten_minutes_in_the_end():
    """A tenth of the age in between: a short queue is seen as sharply as a long one."""
    assert [5.0, 5.0, 60.0, 600.0] == [pause_s(s, 600.0) for s in (0, 40, 600, DAY)]


def test_a_failed_look_waits_as_asked_but_not_for_long():
    """A retry time is honoured up to the longest pause."""
    job = a_job()
    plain, asked, silenced = (
        later(job, NOW + 100, not_before=at) for at in (None, NOW + 200, NOW + DAY)
    )

    assert [NOW + 110, NOW + 200, NOW + 700] == [one.next_at for one in (plain, asked, silenced)]
    assert (NOW + 100, 1) == (plain.called_at, plain.polls)


def test_what_is_seen_first_stays_the_end_of_the_queue():
    """Pending is the queue; the first look that shows anything else is its end."""
    waiting = seen(a_job(name=None, doubt=look(ErrorClass.TIMEOUT)), shown(BatchState.PENDING), NOW)
    running = seen(waiting, shown(BatchState.RUNNING), NOW + 60)
    again = seen(running, shown(BatchState.SUCCEEDED), NOW + 90)

    assert ("batches/1", None, None) == (waiting.name, waiting.doubt, waiting.left_queue_at)
    assert [BatchState.RUNNING, BatchState.SUCCEEDED] == [running.state, again.state]
    assert NOW + 60 == running.left_queue_at == again.left_queue_at


def test_a_job_that_cannot_be_deleted_is_left_after_a_few_tries():
    """Ever later ones, never later than the longest pause."""
    job, waits = a_job(stage=Stage.OVER), []
    while job.stage is Stage.OVER:
        job = undeleted(job, NOW)
        waits.append(job.next_at - NOW)

    assert DELETE_TRIES_MAX == job.delete_tries == len(waits)
    assert [20.0, 80.0, 320.0, 600.0] == waits[:-1]
    assert Stage.CLOSED is job.stage


@pytest.mark.parametrize(
    ("error", "more", "refused"),
    [
        (ErrorClass.CONNECTION, {"phases": {Phase.CONNECT: 0.1}}, True),
        (ErrorClass.BAD_REQUEST, {"phases": {Phase.SEND: 0.1}}, True),
        (ErrorClass.TIMEOUT, {"phases": {Phase.SEND: 0.1}}, False),
        (ErrorClass.CONNECTION, {"phases": {Phase.SEND: 0.1}}, False),
        (ErrorClass.PROTOCOL, {"http_status": 200}, False),
        (ErrorClass.PROTOCOL, {"http_status": 302}, True),
        (ErrorClass.RATE_LIMITED, {"http_status": 429}, True),
        (ErrorClass.TIMEOUT, {"http_status": 408}, False),
        (ErrorClass.OVERLOADED, {"http_status": 503}, False),
    ],
)
def test_a_creation_is_refused_or_in_doubt(error, more, refused):
    """What never left or was refused made nothing; what came from in between may have."""
    assert refused is is_refused(look(error, **more))


def test_a_list_may_lag_behind_a_creation():
    """For as long as the longest pause, and while the clock is set back."""
    job = a_job(name=None)

    assert [True, True, False] == [may_be_late(job, at) for at in (NOW - 5, NOW + 599, NOW + 600)]


def test_a_good_job_is_measured_by_its_servers_clock():
    """Latency is their turnaround; the span is ours; the phases tell creation, queue and fetch."""
    job = a_job(phases={Phase.FIRST_BYTE: 0.3})
    found = look(phases={Phase.QUEUE: 0.5, Phase.BODY: 0.25, Phase.DECODE: 0.125}, cost_usd=0.01)
    result = finished(job, found, done(HOUR), NOW + 2 * HOUR)

    assert (None, HOUR, 2 * HOUR) == (result.error, result.latency_s, result.duration_s)
    assert ("p-1", "alpha", NOW, 21_600.0) == (
        result.probe_id, result.target_id, result.started_at, result.slot_s,
    )  # fmt: skip
    assert (ProbeKind.BATCH, ProbeReason.SCHEDULED, 0.01) == (
        result.kind, result.reason, result.cost_usd,
    )  # fmt: skip
    assert {
        Phase.FIRST_BYTE: 0.3, Phase.QUEUE: 2 * HOUR, Phase.DOWNLOAD: 0.75, Phase.DECODE: 0.125,
    } == result.phases  # fmt: skip


def test_a_job_that_was_done_in_time_is_good_however_late_we_looked():
    """The daemon may have been off for days; a job that was late is expired all the same."""
    in_time = finished(a_job(), look(), done(DAY), NOW + 9 * DAY)
    too_late = finished(a_job(), look(), done(DAY + 1), NOW + 9 * DAY)

    assert (None, DAY) == (in_time.error, in_time.latency_s)
    assert (ErrorClass.EXPIRED, None) == (too_late.error, too_late.latency_s)
    assert "done after 1d 1h, of which 1d were allowed" == too_late.detail


def test_a_silent_clock_is_replaced_by_ours():
    """Our look saw the end a pause late at most."""
    result = finished(a_job(), look(), shown(picture=PICTURE), NOW + 700)

    assert 700 == result.latency_s


@pytest.mark.parametrize("error", [ErrorClass.BAD_IMAGE, ErrorClass.POLICY_BLOCKED])
def test_a_picture_that_is_no_good_keeps_its_verdict_and_price(error):
    """Late or not, what is wrong with it is said first."""
    result = finished(a_job(), look(error, cost_usd=0.01), done(2 * DAY), NOW + DAY)

    assert (error, None, 0.01) == (result.error, result.latency_s, result.cost_usd)


def test_a_job_that_failed_stays_booked():
    """A lost or failed job may have been billed; the look at it was free."""
    failed = shown(BatchState.FAILED, verdict=Verdict(error=ErrorClass.SERVER_ERROR))
    result = finished(a_job(), look(ErrorClass.SERVER_ERROR, cost_usd=0.0), failed, NOW + HOUR)

    assert (ErrorClass.SERVER_ERROR, 0.02) == (result.error, result.cost_usd)
    assert HOUR == result.phases[Phase.QUEUE]


def test_a_queue_that_was_never_left_has_no_length():
    """A job that was cancelled or lost while it waited."""
    lost = shown(BatchState.PENDING, verdict=Verdict(error=ErrorClass.SERVER_ERROR))

    assert Phase.QUEUE not in finished(a_job(), look(ErrorClass.SERVER_ERROR), lost, NOW).phases


@pytest.mark.parametrize(
    ("shown_at", "at", "past"),
    [
        (None, NOW + DAY - 1, False),
        (None, NOW + DAY, True),
        (5.0 + DAY - 1, NOW + 400 * DAY, False),
        (5.0 + DAY, NOW - DAY, True),
        (4.0, NOW + DAY, False),
        (2.0, NOW + DAY, True),
    ],
)
def test_a_job_has_had_its_time_by_its_servers_clock(shown_at, at, past):
    """Ours may have been set; only where theirs is silent or absurd does ours decide."""
    running = shown(BatchState.RUNNING, created_at=5.0, shown_at=shown_at)

    assert past is is_past_deadline(a_job(), running, at)
    assert (at >= NOW + DAY) is is_past_deadline(a_job(), None, at)


def test_a_job_past_its_deadline_is_expired_in_the_queue():
    """What it was still doing is said; nothing of it is a latency."""
    result = not_done(a_job(), look(), shown(BatchState.RUNNING), NOW + DAY)

    assert (ErrorClass.EXPIRED, Phase.QUEUE, None) == (
        result.error, result.failed_phase, result.latency_s,
    )  # fmt: skip
    assert ("still running after 1d; cancelled", 0.02) == (result.detail, result.cost_usd)


def test_a_job_that_nobody_could_look_at_has_the_verdict_of_the_last_look():
    """An outage of the queue's front end is its provider's too; our refused key is not."""
    result = not_done(a_job(), look(ErrorClass.AUTH, detail="bad key"), None, NOW + DAY)

    assert (ErrorClass.AUTH, "not seen done within 1d: bad key") == (result.error, result.detail)


def test_a_creation_in_doubt_that_made_nothing_is_its_own_result():
    """Its class, phases and price, over the time it took to be sure."""
    doubt = look(ErrorClass.OVERLOADED, http_status=503, cost_usd=0.0, phases={Phase.SEND: 0.5})
    result = not_found(a_job(name=None, doubt=doubt), "unknown", NOW + 600)

    assert (ErrorClass.OVERLOADED, 503, 0.0, 600.0) == (
        result.error, result.http_status, result.cost_usd, result.duration_s,
    )  # fmt: skip
    assert {Phase.SEND: 0.5} == result.phases


def test_a_creation_that_a_process_died_in_says_nothing():
    """Void, and its money stays booked."""
    result = not_found(a_job(name=None), "it is not known", NOW + 600)

    assert (Outcome.VOID, "it is not known", 0.02) == (
        result.outcome, result.detail, result.cost_usd,
    )  # fmt: skip


def test_a_clock_set_back_makes_no_negative_time():
    """Spans are never below zero."""
    job = a_job(left_queue_at=NOW - 50)
    results = [
        void(job, "x", NOW - 100),
        finished(job, look(), shown(picture=PICTURE), NOW - 100),
    ]

    assert [0.0, 0.0] == [result.duration_s for result in results]
    assert (0.0, 0.0) == (results[1].latency_s, results[1].phases[Phase.QUEUE])
    assert 0.0 == finished(replace(job, left_queue_at=None), look(), done(), NOW - 9).duration_s
