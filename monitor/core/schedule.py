"""When a target fires, and why a slot may pass without a probe."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from math import floor
from typing import Final

from monitor.core.snapshot import GapReason, Health, State
from monitor.limits import PERMANENT_RECHECK_S
from probes.model import ErrorClass

# Some jitter keeps samples from beating with periodic load (RFC 2330, 11.1); a quarter of a slot
# leaves any two fires three quarters of a slot apart.
JITTER_SHARE: Final = 0.25


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


def skip_reason(health: Health, now: float, last_at: float | None) -> GapReason | None:
    """
    Return why a scheduled probe must not be sent now; None when it may.

    A retry time is honoured. A refusal that a person must mend (key, bill, model) is asked again
    about once per ``PERMANENT_RECHECK_S``, counted from *last_at*, the start of the newest probe.
    """
    if health.retry_at is not None and health.retry_at > now:
        is_quota = health.error is ErrorClass.QUOTA_EXHAUSTED
        return GapReason.QUOTA_GUARD if is_quota else GapReason.RETRY_AFTER
    if health.state is not State.UNUSABLE or health.retry_at is not None or last_at is None:
        return None
    # A last probe in the future means the wall clock was set back: do not wait for it.
    # Less the jitter, or a target probed once per recheck would be asked every second time.
    recheck_s = (1 - JITTER_SHARE) * PERMANENT_RECHECK_S
    return GapReason.RETRY_AFTER if 0 <= now - last_at < recheck_s else None
