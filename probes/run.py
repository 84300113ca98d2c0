"""
What one probe has seen so far, and the result that comes of it: its latency, its price, its words.

Knows no HTTP library; the driver fills a run in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from probes.batch import BatchJob
from probes.model import (
    Alive,
    ErrorClass,
    ImageFacts,
    Picture,
    ProbeKind,
    ProbeReason,
    ProbeResult,
    Target,
    Verdict,
)
from probes.sockets import Timeline
from probes.transport import ByteCount

DETAIL_CHARS: Final = 200
BODY_HEAD_CHARS: Final = 300
LIMITS_MAX: Final = 8  # Kept of what an answer tells of request limits; four kinds are known.


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a result says of why its probe was sent; fields of ProbeResult."""

    probe_id: str
    kind: ProbeKind
    reason: ProbeReason
    slot_s: float


@dataclass(slots=True, kw_only=True)
class Run:
    """
    One probe under way.

    Attributes:
        status: Of the latest request; None while it is unanswered.
        is_accepted: Something was answered 2xx: the work may be billed.
        last_byte_at: Monotonic time.
        found: What the wire format ended with: a picture, a sign of life, a job or what was asked
            of one; None when it refused.
    """

    target: Target
    timeline: Timeline
    count: ByteCount = field(default_factory=ByteCount)
    status: int | None = None
    http_version: str | None = None
    is_accepted: bool = False
    last_byte_at: float | None = None
    found: object = None
    facts: ImageFacts | None = None


def result_of(
    run: Run,
    verdict: Verdict | None,
    label: Label,
    *,
    started_at: float,
    started: float,
    ended: float,
) -> ProbeResult:
    """Put together what was told; *verdict* is None when all is well."""
    told = verdict or Verdict(error=ErrorClass.MONITOR_FAULT)  # Its class is unread when good.
    picture = _picture(run) or Picture(data=b"")
    alive = run.found if isinstance(run.found, Alive) else Alive()
    timeline = run.timeline
    # Transports without trace events (replays) have no first byte; the start stands in for it.
    begun = started if timeline.first_sent_at is None else timeline.first_sent_at
    latency_s = max(0.0, (run.last_byte_at or started) - begun)
    return ProbeResult(
        probe_id=label.probe_id,
        target_id=run.target.id,
        started_at=started_at,
        duration_s=max(0.0, ended - started),
        latency_s=None if verdict else latency_s,
        error=verdict.error if verdict else None,
        kind=label.kind,
        reason=label.reason,
        slot_s=label.slot_s,
        detail=(told.detail or alive.detail)[:DETAIL_CHARS],
        code=_cut(told.code),
        finish_reason=_cut(picture.finish_reason or told.finish_reason),
        retry_at=told.retry_at,
        http_status=run.status if told.http_status is None else told.http_status,
        failed_phase=told.phase,
        body_head=_cut(told.body_head, BODY_HEAD_CHARS),
        phases=timeline.seconds,
        cost_usd=_cost(run, label.kind, verdict),
        received_bytes=run.count.total,
        image=run.facts,
        model_version=_cut(picture.model_version),
        request_id=_cut(picture.request_id or alive.request_id or told.request_id),
        server_s=picture.server_s,
        http_version=run.http_version,
        reused=timeline.first_sent_at is not None and not timeline.has_connected,
        shutdown_on=alive.shutdown_on,
        balance_usd=alive.balance_usd,
        limits=(picture.limits or alive.limits or told.limits)[:LIMITS_MAX],
    )


def _cut(text: str | None, chars: int = DETAIL_CHARS) -> str | None:
    """Return the start of *text*: a plug-in's words may be of any length, and rows are kept."""
    return text[:chars] if text else None


def _picture(run: Run) -> Picture | None:
    found = run.found.picture if isinstance(run.found, BatchJob) else run.found
    return found if isinstance(found, Picture) else None


def _cost(run: Run, kind: ProbeKind, verdict: Verdict | None) -> float:
    """
    Return what to book, in USD: the amount told, else the list price if it may be billed.

    A generation is billed once it was accepted, picture or not, and may be billed when the request
    left and no answer came back. A free call is free.
    """
    if kind is ProbeKind.LIVENESS:
        return 0.0
    teller = _picture(run) or verdict
    if teller is not None and teller.cost_usd is not None:
        return teller.cost_usd
    is_unanswered = run.timeline.first_sent_at is not None and (
        run.status is None
        or (verdict is not None and verdict.error in {ErrorClass.TIMEOUT, ErrorClass.CONNECTION})
    )
    is_billed = verdict is None or run.is_accepted or is_unanswered
    return run.target.price_usd if is_billed else 0.0
