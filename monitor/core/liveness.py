"""
What free calls say of a target: a signal of its own, folded from results like any other.

It explains and never measures: none of these calls touches the serving of pictures, so it stays
green through an outage of the models and must not enter availability, state or order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monitor import limits
from monitor.core.finding import Finding
from monitor.core.snapshot import LifeSign, Liveness
from monitor.core.spec import Policy
from monitor.core.values import changed
from monitor.core.words import utc
from probes.model import ErrorClass, Outcome, ProbeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeCalls:
    """
    What is remembered of the free calls of a target. Times are wall times.

    Attributes:
        at: Start of the newest one that said something.
        error: Of that one; None when it was answered.
        retry_at: When its refusal asked to be called again.
        answered_at: Start of the newest one that was answered, which told the two after it.
        proven_at: End of the newest good result of any kind: a picture proves more than a call.
    """

    at: float | None = None
    error: ErrorClass | None = None
    detail: str = ""
    retry_at: float | None = None
    answered_at: float | None = None
    shutdown_on: str | None = None
    balance_usd: float | None = None
    proven_at: float | None = None


def heard(calls: FreeCalls, result: Finding) -> FreeCalls:
    """Return what is known after *result* of any kind; void ones say nothing."""
    if result.outcome is Outcome.VOID:
        return calls
    at, ended = result.started_at, result.started_at + result.duration_s
    is_good = result.outcome is Outcome.GOOD
    changes: dict[str, Any] = {"proven_at": ended} if is_good else {}
    if result.kind is ProbeKind.LIVENESS:
        retry_at = result.retry_at
        if retry_at is not None:
            retry_at = min(retry_at, ended + limits.RATE_LIMIT_WAIT_S_MAX)
        changes |= {"at": at, "error": result.error, "detail": result.detail, "retry_at": retry_at}
        if is_good:
            changes |= {
                "answered_at": at,
                "shutdown_on": result.shutdown_on,
                "balance_usd": result.balance_usd,
            }
    return changed(calls, **changes) if changes else calls


def is_due(calls: FreeCalls, now: float, interval_s: float) -> bool:
    """
    Return whether a free call at *now* would tell what is not known.

    Not within half an interval of a success, unless the last call failed, and not while a refusal
    asks to wait. What only free calls tell (balance, shutdown day) is read once an hour in any
    case. A time ahead of *now* means that the wall clock was set back: nothing waits for it.
    """
    if calls.retry_at is not None and 0 < calls.retry_at - now <= limits.RATE_LIMIT_WAIT_S_MAX:
        return False
    if calls.error is not None:
        return True
    is_proven = _is_within(calls.proven_at, now, interval_s / 2)
    return not (is_proven and _is_within(calls.at, now, limits.FREE_FACTS_S_MAX))


def show(calls: FreeCalls, now: float, *, interval_s: float | None, policy: Policy) -> Liveness:
    """Return the published signal as of *now*; *interval_s* is None where no calls are made."""
    if interval_s is None:
        return Liveness(detail="no free calls are made")
    if calls.at is None:
        return Liveness(detail="no free call has said anything yet")
    state, error, detail = LifeSign.OK, calls.error, calls.detail
    # While pictures come, calls are left out, and what the last one said still holds.
    known_at = calls.at if error else max(calls.at, calls.proven_at or calls.at)
    if now - known_at > policy.stale_slots * interval_s:
        state, error, detail = LifeSign.UNKNOWN, None, f"no free call since {utc(calls.at, now)}"
    elif error is not None:
        state = LifeSign.FAILING
    return Liveness(
        state=state,
        at=calls.at,
        error=error,
        detail=detail,
        answered_at=calls.answered_at,
        shutdown_on=calls.shutdown_on,
        balance_usd=calls.balance_usd,
    )


def _is_within(at: float | None, now: float, span_s: float) -> bool:
    return at is not None and 0 <= now - at < span_s
