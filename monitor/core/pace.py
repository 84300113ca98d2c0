"""
What decides when a target is probed next, beside its evidence: attempts made, free calls answered.

None of it is a verdict: free calls and attempts that said nothing change no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.core.finding import Finding
from monitor.core.health import HealthState
from monitor.core.values import changed
from probes.model import Effect, Outcome, ProbeKind, ProbeReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """
    The newest attempts on a target. Times are wall times.

    Attributes:
        last_start, last_end: Of the newest generation, whatever came of it.
        good_at: Start of the newest good generation.
        last_slot_at: Start of the newest generation of a schedule slot.
        mute_run: Generations in a row that said nothing: void, or not sent at all.
        free_answered_at: Start of the newest free call that was answered.
        free_failed_at: The first of the newest free calls if they fail, else None.
        is_echoed: Since our account was refused, free calls were refused too.
        balance_usd: The least money left that free calls told of since then.
        proof_at: When a free call said that the refusal has ended, until a generation has shown
            whether it has.
    """

    last_start: float | None = None
    last_end: float | None = None
    good_at: float | None = None
    last_slot_at: float | None = None
    mute_run: int = 0
    free_answered_at: float | None = None
    free_failed_at: float | None = None
    is_echoed: bool = False
    balance_usd: float | None = None
    proof_at: float | None = None


def follow(pace: Pace, result: Finding, state: HealthState) -> Pace:
    """Return *pace* after *result*; *state* is the target's evidence with it."""
    if result.kind is ProbeKind.LIVENESS:
        return _told_for_free(pace, result, state)
    start, end = result.started_at, result.started_at + result.duration_s
    slot_at = pace.last_slot_at
    if result.reason is ProbeReason.SCHEDULED:
        slot_at = _later(slot_at, start)
    if result.outcome is Outcome.VOID:
        return changed(attempted(pace, start, end), last_slot_at=slot_at)
    return Pace(
        last_start=_later(pace.last_start, start),
        last_end=_later(pace.last_end, end),
        good_at=_later(pace.good_at, start) if result.outcome is Outcome.GOOD else pace.good_at,
        last_slot_at=slot_at,
        free_answered_at=pace.free_answered_at,
        free_failed_at=pace.free_failed_at,
    )


def follow_good(pace: Pace, run: Sequence[Finding]) -> Pace:
    """Return what :func:`follow` makes of good generations, at least one, one after another."""
    newest = max(result.started_at for result in run)
    slots = [result.started_at for result in run if result.reason is ProbeReason.SCHEDULED]
    return Pace(
        last_start=_later(pace.last_start, newest),
        last_end=_later(pace.last_end, max(r.started_at + r.duration_s for r in run)),
        good_at=_later(pace.good_at, newest),
        last_slot_at=_later(pace.last_slot_at, max(slots)) if slots else pace.last_slot_at,
        free_answered_at=pace.free_answered_at,
        free_failed_at=pace.free_failed_at,
    )


def attempted(pace: Pace, start: float, end: float) -> Pace:
    """Return *pace* after a generation of which nothing is known but its time."""
    return changed(
        pace,
        last_start=_later(pace.last_start, start),
        last_end=_later(pace.last_end, end),
        mute_run=pace.mute_run + 1,
    )


def _told_for_free(pace: Pace, result: Finding, state: HealthState) -> Pace:
    """Return *pace* after a free call: whether they fail, and what it says of a refusal."""
    at, is_refused = result.started_at, state.block is not None and state.block.retry_at is None
    if result.outcome is Outcome.VOID or (result.error and result.error.effect is Effect.WAIT):
        return pace  # That free calls are too many says nothing of pictures, nor of the key.
    if result.outcome is not Outcome.GOOD:
        return changed(
            pace,
            free_failed_at=at if pace.free_failed_at is None else pace.free_failed_at,
            is_echoed=pace.is_echoed or (is_refused and result.outcome is Outcome.UNUSABLE),
        )
    pace = changed(pace, free_answered_at=at, free_failed_at=None)
    if not is_refused:
        return pace
    left, least = result.balance_usd, pace.balance_usd
    if pace.is_echoed or (left is not None and least is not None and left > least):
        return changed(pace, is_echoed=False, balance_usd=left, proof_at=at + result.duration_s)
    if left is not None:
        pace = changed(pace, balance_usd=left if least is None else min(left, least))
    return pace


def _later(one: float | None, other: float) -> float:
    return other if one is None else max(one, other)
