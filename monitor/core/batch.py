"""
A batch job from its reservation to its deletion: what is due next, and what its result is.

Times are wall times in seconds since the Unix epoch: a job outlives the process that made it, and no
monotonic clock does. Its latency is by the provider's clock alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from monitor.core.words import span
from probes.batch import BatchJob, BatchState
from probes.model import ErrorClass, Phase, ProbeKind, ProbeReason, ProbeResult

# A look comes after a tenth of the job's age, so that a short queue is seen as sharply as a long
# one, but not before this share of the longest pause: 5 s of 10 min.
_AGE_SHARE: Final = 0.1
_FIRST_SHARE: Final = 1 / 120
# A job that cannot be deleted this often is left to its provider, which forgets it in days.
DELETE_TRIES_MAX: Final = 5


class Stage(StrEnum):
    """How far we are with a job."""

    OPEN = "open"  # Its result is not known.
    OVER = "over"  # Its result is stored, the job is to be deleted.
    CLOSED = "closed"


class Step(StrEnum):
    """What can be done about a job."""

    FIND = "find"
    LOOK = "look"
    CANCEL = "cancel"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    One job as it is kept.

    Attributes:
        probe_id: Of its result; also its label at the provider.
        slot: Number of its schedule slot: there is one job a slot, whatever dies in between.
        slot_s: The time that its sample stands for.
        prompt, colour: What its picture is checked against; *colour* by name.
        created_at: When it was booked, right before its creation was sent.
        deadline_at: When it must be done.
        poll_s: Longest pause between two looks.
        price_usd: What it costs at worst.
        name: The provider's name; None while it is not known.
        state: As last seen; None before.
        phases: Seconds that its creation took, by phase.
        left_queue_at: When it was first seen not to wait any more.
        next_at, called_at: Of the next and the last call about it.
        polls: Looks and searches so far.
        doubt: The result of a creation that failed but may have created it all the same.
        cancel_requested_at: When an operator asked for its end.
        delete_tries: How often deleting it has failed.
    """

    probe_id: str
    target_id: str
    provider: str
    slot: int
    slot_s: float
    prompt: str
    colour: str | None
    created_at: float
    deadline_at: float
    poll_s: float
    price_usd: float
    next_at: float
    called_at: float
    name: str | None = None
    stage: Stage = Stage.OPEN
    state: BatchState | None = None
    phases: Mapping[Phase, float] = field(default_factory=dict)
    left_queue_at: float | None = None
    polls: int = 0
    doubt: ProbeResult | None = None
    cancel_requested_at: float | None = None
    delete_tries: int = 0


def next_step(job: Job) -> Step:
    """Return what is to be done next about *job*, which is not closed."""
    assert job.stage is not Stage.CLOSED
    if job.stage is Stage.OVER:
        return Step.DELETE
    if job.name is None:
        return Step.FIND
    return Step.LOOK if job.cancel_requested_at is None else Step.CANCEL


def due_at(job: Job, now: float) -> float:
    """Return when the next step is due: at once after a request to cancel, or a clock set back."""
    is_asked = job.cancel_requested_at is not None and job.cancel_requested_at >= job.called_at
    is_asked = is_asked and job.stage is Stage.OPEN
    return now if is_asked or now < job.called_at else job.next_at


def pause_s(age_s: float, poll_s: float) -> float:
    """Return how long to wait for the next look at a job of that age; at most *poll_s*."""
    return min(poll_s, max(_FIRST_SHARE * poll_s, _AGE_SHARE * age_s))


def later(job: Job, now: float, *, not_before: float | None = None) -> Job:
    """Return *job* after a look that found no end, or failed and may be repeated *not_before*."""
    next_at = now + pause_s(now - job.created_at, job.poll_s)
    if not_before is not None:  # A provider may name any time; it may not silence us for long.
        next_at = max(next_at, min(not_before, now + job.poll_s))
    return replace(job, next_at=next_at, called_at=now, polls=job.polls + 1)


def seen(job: Job, shown: BatchJob, now: float) -> Job:
    """Return *job* as the provider shows it: named, and how far it is."""
    has_left = job.left_queue_at is None and shown.state is not BatchState.PENDING
    return replace(
        job,
        name=shown.name,
        state=shown.state,
        doubt=None,
        left_queue_at=now if has_left else job.left_queue_at,
    )


def undeleted(job: Job, now: float) -> Job:
    """Return *job* after deleting it has failed: tried again a few times, ever later, then left."""
    tries = job.delete_tries + 1
    if tries >= DELETE_TRIES_MAX:
        return replace(job, stage=Stage.CLOSED, delete_tries=tries, called_at=now)
    wait_s = min(job.poll_s, _FIRST_SHARE * job.poll_s * 4**tries)
    return replace(job, delete_tries=tries, next_at=now + wait_s, called_at=now)


def is_refused(creation: ProbeResult) -> bool:
    """
    Whether a creation that failed has certainly created nothing.

    It never left, or was answered with a refusal. A 5xx or a broken answer may come from something
    in between after the job was taken.
    """
    if creation.http_status is None:
        return Phase.SEND not in creation.phases or creation.error is ErrorClass.BAD_REQUEST
    return 300 <= creation.http_status < 500 and creation.http_status != 408


def may_be_late(job: Job, now: float) -> bool:
    """Whether a search that finds nothing may only be too early: lists lag behind creations."""
    return now - job.created_at < job.poll_s


def is_past_deadline(job: Job, shown: BatchJob | None, now: float) -> bool:
    """
    Whether a job that is not over has had its time: by its provider's clock where that is told.

    A clock of ours that was set forward must not end a job and blame its provider.
    """
    if shown is None or shown.age_s is None:
        return now >= job.deadline_at
    return shown.age_s >= job.deadline_at - job.created_at


def finished(job: Job, look: ProbeResult, shown: BatchJob, now: float) -> ProbeResult:
    """
    Return the result of a job that is over.

    Args:
        job: As it is kept.
        look: The result of the look that found its end: its verdict, or what its picture is.
        shown: The job, with the provider's times.
        now: Wall time.
    """
    job = seen(job, shown, now)
    took_s, allowed_s = shown.turnaround_s, job.deadline_at - job.created_at
    if took_s is None:  # Its clock is silent; ours saw the end a pause late at most.
        took_s = max(0.0, now - job.created_at)
    error, detail = look.error, look.detail
    if error is None and took_s > allowed_s:
        error = ErrorClass.EXPIRED
        detail = f"done after {span(took_s)}, of which {span(allowed_s)} were allowed"
    return _of(
        job,
        look,
        now,
        error=error,
        detail=detail,
        latency_s=took_s if error is None else None,
        phases=_phases(job, look),
        # A lost or failed job may have been billed; a picture's price may have been told.
        cost_usd=job.price_usd if shown.picture is None else look.cost_usd,
    )


def _phases(job: Job, look: ProbeResult) -> dict[Phase, float]:
    """Return where a finished job's time went: creation, queue, fetching and checking."""
    phases = dict(job.phases)
    if job.left_queue_at is not None:
        phases[Phase.QUEUE] = max(0.0, job.left_queue_at - job.created_at)
    phases[Phase.DOWNLOAD] = sum(s for p, s in look.phases.items() if p is not Phase.DECODE)
    if Phase.DECODE in look.phases:
        phases[Phase.DECODE] = look.phases[Phase.DECODE]
    return phases


def not_done(job: Job, look: ProbeResult, shown: BatchJob | None, now: float) -> ProbeResult:
    """
    Return the result of a job whose deadline has passed.

    *shown* is None when the last look at it has failed: then that failure is the verdict.
    """
    allowed = span(job.deadline_at - job.created_at)
    if shown is None:
        detail = f"not seen done within {allowed}: {look.detail}"
        return _of(job, look, now, error=look.error, detail=detail)
    detail = f"still {shown.state.value} after {allowed}; cancelled"
    return _of(job, look, now, error=ErrorClass.EXPIRED, detail=detail, failed_phase=Phase.QUEUE)


def not_found(job: Job, why: str, now: float) -> ProbeResult:
    """
    Return the result of a job that nobody knows.

    A creation that failed is its provider's failure; one that a process died in says nothing. Its
    money stays booked, unless an answer said that nothing was made.
    """
    if job.doubt is None:
        return void(job, why, now)
    return _of(job, job.doubt, now, phases=job.doubt.phases, cost_usd=job.doubt.cost_usd)


def void(job: Job, why: str, now: float) -> ProbeResult:
    """Return a result that says nothing of the provider; the money stays booked."""
    blank = ProbeResult(
        probe_id=job.probe_id,
        target_id=job.target_id,
        started_at=job.created_at,
        duration_s=0.0,
        error=ErrorClass.MONITOR_FAULT,
        detail=why,
    )
    return _of(job, blank, now)


def _of(job: Job, call: ProbeResult, now: float, **changes: Any) -> ProbeResult:
    """Return the result of a *call* as that of its job: its ids, its span, its worst-case price."""
    usual: dict[str, Any] = {
        "probe_id": job.probe_id,
        "target_id": job.target_id,
        "kind": ProbeKind.BATCH,
        "reason": ProbeReason.SCHEDULED,
        "started_at": job.created_at,
        "duration_s": max(0.0, now - job.created_at),
        "slot_s": job.slot_s,
        "phases": job.phases,
        "cost_usd": job.price_usd,
        "latency_s": None,
        "limits": (),  # Of the queue, and none on requests.
    }
    return replace(call, **usual | changes)
