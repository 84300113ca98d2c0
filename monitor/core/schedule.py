"""
When a target is probed: its slots, what thins them, what passes between them, and what waits.

Slots come from a grid. While a target is down its slots are thinned, which the samples' weights
undo; between slots go confirmations that find the begin and the end of an outage soon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import floor
from typing import Final

from monitor.core.health import Block, HealthState, confirm_delay_s, live_block, slots_between
from monitor.core.hearsay import Accusation, answer_due
from monitor.core.maintenance import maintenance_end
from monitor.core.pace import Pace
from monitor.core.snapshot import GapReason
from monitor.core.spec import Policy, TargetSpec
from monitor.core.words import utc
from monitor.limits import FREE_RECHECK_S, PERMANENT_RECHECK_S
from probes.model import ErrorClass

# Some jitter keeps samples from beating with periodic load (RFC 2330, 11.1); a quarter of a slot
# leaves any two fires three quarters of a slot apart.
JITTER_SHARE: Final = 0.25
# A slot that chance left out this many times its rate is sent whatever chance says.
_LEFT_OUT_MAX: Final = 2.0


@lru_cache(maxsize=4_096)
def phase_s(target_id: str, interval_s: float) -> float:
    """Return where in its slot a target fires, in [0, *interval_s*): stable across restarts."""
    digest = blake2b(target_id.encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32 * interval_s


def next_fire(
    target_id: str, interval_s: float, after: float, jitter_of: Callable[[int], float]
) -> float:
    """
    Return the first fire strictly after *after*, in wall time.

    Slot k begins at phase + k * interval and fires once, in its first quarter. Fires are computed
    from the grid and never from one another, so they neither drift nor bunch after a restart.
    *jitter_of* gives a slot's jitter in [0, 1), the same whenever it is asked.
    """
    slot = slot_of(target_id, interval_s, after)
    while (due := fire_of(target_id, interval_s, slot, jitter_of)) <= after:
        slot += 1  # Twice at most, rounding included.
    return due


def slot_of(target_id: str, interval_s: float, at: float) -> int:
    """Return the number of the slot that wall time *at* lies in."""
    return floor((at - phase_s(target_id, interval_s)) / interval_s)


def fire_of(
    target_id: str, interval_s: float, slot: int, jitter_of: Callable[[int], float]
) -> float:
    """Return when *slot* fires, in wall time."""
    jitter = jitter_of(slot)
    assert 0 <= jitter < 1
    start = phase_s(target_id, interval_s) + slot * interval_s
    # Whole microseconds survive the way through a datetime: a fire is never before itself.
    return round(start + JITTER_SHARE * jitter * interval_s, 6)


@dataclass(frozen=True, slots=True)
class Pass:
    """
    A slot in which no probe is sent.

    Attributes:
        gap: Why time goes unmeasured; None where the other samples speak for this slot too.
        why: In words.
    """

    gap: GapReason | None
    why: str


def plan_slot(
    state: HealthState,
    pace: Pace,
    spec: TargetSpec,
    policy: Policy,
    *,
    now: float,
    draw: float,
    money_share: float = 1.0,
) -> float | Pass:
    """
    Return the length in seconds of the time that this slot's sample speaks for, or why none comes.

    A slot is left out by chance, and a sample weighs one over its chance (Horvitz and Thompson,
    JASA 47, 1952): whatever the state that made slots rare, the weighted share of good samples
    stays unbiased, as a midpoint between the samples of a thinned schedule does not.

    Args:
        state: The target's evidence.
        pace: Its newest attempts.
        spec: The target.
        policy: Knobs.
        now: Wall time.
        draw: Drawn for this slot, uniform in [0, 1).
        money_share: Share of the slots that scarce caps can pay, above 0, at most 1.
    """
    assert 0 <= draw < 1
    assert 0 < money_share <= 1
    if (away := in_maintenance(spec, now)) is not None:
        return away
    if (waits := _waits(state, pace, now)) is not None:
        return waits
    outage_share = 1 / slots_between(state, spec, policy)
    share = min(outage_share, money_share)
    if pace.last_slot_at is not None:
        slots_ago = (now - pace.last_slot_at) / spec.interval_s
        if slots_ago < 0 or slots_ago + JITTER_SHARE >= _LEFT_OUT_MAX / share:
            share = 1.0  # A time before the last one: the wall clock was set back.
    else:
        share = 1.0
    if draw < share:
        return spec.interval_s / share
    if draw < outage_share:
        return Pass(GapReason.SPEND_CAP, f"a cap pays for {money_share:.0%} of the slots")
    return Pass(None, f"down: one slot of {round(1 / outage_share)} is probed")


def in_maintenance(spec: TargetSpec, at: float) -> Pass | None:
    """Return why a target is not probed at *at* when that is in announced maintenance."""
    end = maintenance_end(spec.maintenance, at)
    return None if end is None else Pass(GapReason.MAINTENANCE, f"until {utc(end, at)}")


def _waits(state: HealthState, pace: Pace, now: float) -> Pass | None:
    """Return what forbids a canary now: a retry time ahead, or a refusal that a person mends."""
    block = live_block(state.block, now)
    retry_at = block.retry_at if block else state.retry_at
    if retry_at is not None and retry_at > now:
        error = block.error if block else state.error
        gap = GapReason.RETRY_AFTER
        if error is ErrorClass.QUOTA_EXHAUSTED:
            gap = GapReason.QUOTA_GUARD
        return Pass(gap, f"{error}: to be called again at {utc(retry_at, now)}")
    if block is None or block.retry_at is not None or pace.last_start is None:
        return None
    if pace.proof_at is not None:  # A free call says that it has ended: this probe shows it.
        return None
    # A last probe in the future means the wall clock was set back: do not wait for it.
    # Less the jitter, or a target probed once per recheck would be asked every second time.
    recheck_s = (1 - JITTER_SHARE) * _recheck_s(pace, block)
    if 0 <= now - pace.last_start < recheck_s:
        return Pass(
            GapReason.RETRY_AFTER, f"{block.error}: only free calls until they are answered"
        )
    return None


def _recheck_s(pace: Pace, block: Block) -> float:
    """Return after how long a canary asks although nothing says that the refusal has ended."""
    is_watched = pace.free_answered_at is not None or pace.free_failed_at is not None
    is_watchable = is_watched and block.error is not ErrorClass.BAD_REQUEST
    return FREE_RECHECK_S if is_watchable else PERMANENT_RECHECK_S


def extra_due(
    state: HealthState,
    pace: Pace,
    spec: TargetSpec,
    policy: Policy,
    next_slot_at: float,
    *,
    accusation: Accusation | None = None,
) -> float | None:
    """
    Return when a canary outside the slots is due, in wall time; None when none is.

    After a failure and after a first success in an outage, to confirm it: soon, then at doubling
    distances, none longer than the back-off's cap. Once when free calls begin to fail, and once
    when they say that a refusal has ended. When clients accuse a target that canaries find good.
    None where the next slot comes first.
    """
    if state.block is not None and state.block.retry_at is None:
        return None if pace.proof_at is None else max(pace.proof_at, _not_before(pace, policy))
    if (run := state.bad_run or (state.good_run if state.down_since is not None else 0)) > 0:
        due = _confirmation_due(run, pace, policy)
    elif pace.free_failed_at is not None and (pace.last_start or 0.0) < pace.free_failed_at:
        due = max(pace.free_failed_at, _not_before(pace, policy))
    elif accusation is not None:
        due = max(answer_due(accusation, pace.last_end, policy), _not_before(pace, policy))
    else:
        return None
    for retry_at in (state.retry_at, state.block.retry_at if state.block else None):
        due = max(due, retry_at or due)
    is_sure_slot = slots_between(state, spec, policy) == 1
    return None if is_sure_slot and due >= next_slot_at else due


def _confirmation_due(run: int, pace: Pace, policy: Policy) -> float:
    """Return when to confirm *run* results in a row of the same kind."""
    assert pace.last_end is not None
    # Attempts that said nothing are paid too: a monitor in trouble must not send them ever on.
    delay_s = confirm_delay_s(run + pace.mute_run, policy)
    return pace.last_end + min(delay_s, max(policy.backoff_max_s, policy.confirm_s))


def _not_before(pace: Pace, policy: Policy) -> float:
    """Return the earliest time after attempts that said nothing, 0 without any."""
    return _confirmation_due(0, pace, policy) if pace.mute_run else 0.0
