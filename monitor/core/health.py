"""
What a target is thought to be right now: a pure fold over its probe results.

Fast down, slow up. One failure makes a target ``suspect``, *down_after* in a row make it
``down``; one success clears a suspicion, but an outage ends only after *up_after* successes in a
row. Until then the target is shown ``degraded``, not ``suspect``: its failures are confirmed, it
is the recovery that is not. With the outage its failures leave the share that ``degraded``
looks at, or a healed target would stay degraded for the next ten probes.

Of the outages in public records 31 % come back within an hour. Each that does so wants one more
success than the one before, up to three more; successes in an outage are asked for at
doubling distances, so the time that a target is held back doubles too, and is bounded. An outage
that follows upon a calm hour wants *up_after* again.

A refusal that concerns only our account (``unusable``) is laid over this evidence as a block and
does not touch it. Rate limits and quotas end at their retry time; every other block ends with
the next picture. A failure lifts no block: a 503 does not prove that our key works again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Any, Final

from monitor import limits
from monitor.core.finding import Finding
from monitor.core.maintenance import maintenance_end
from monitor.core.snapshot import Health, State
from monitor.core.spec import Policy, TargetSpec
from monitor.core.values import changed
from monitor.core.words import utc
from probes.model import Effect, ErrorClass, Outcome, ProbeKind, ProbeReason

# Doublings of a delay after which any back-off has come to its cap; keeps powers finite.
_DOUBLINGS_MAX: Final = 40
# An outage that begins so soon after the end of the one before is a relapse.
RELAPSE_S: Final = 3_600.0
# Successes that relapses add at most; each doubles the time between two of them.
RELAPSES_MAX: Final = 3
# Fewer recent probes than this say nothing about a share.
DEGRADED_SEEN_MIN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A refusal of our account, ended by a good result or, if known, at *retry_at*."""

    error: ErrorClass
    detail: str
    since: float
    retry_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthState:
    """
    All that judging needs to remember of a target.

    Attributes:
        state: What good and bad results say, apart from any block and from ageing.
        since: When *state* began; for failures, the first failed probe of the run.
        good_run, bad_run: Good or bad results in a row; unusable and void ones do not count.
        bad_since: First failure of the current or last run of them.
        down_since: First failure of an outage that has not been proven over.
        over_at: Start of the success that proved the end of the last outage.
        relapses: How many outages in a row, with the newest, began within an hour of that.
        recent: The last ``degraded_of`` verdicts, True for good, newest last.
        error: Class of the last failure.
        retry_at: When the last result, a failure, asked to be called again.
        last_at: Start of the newest good, bad or unusable probe.
        slot_s: The time that the newest sample of a schedule slot stands for, in seconds.
    """

    state: State = State.UNKNOWN
    since: float | None = None
    good_run: int = 0
    bad_run: int = 0
    bad_since: float | None = None
    down_since: float | None = None
    over_at: float | None = None
    relapses: int = 0
    recent: tuple[bool, ...] = ()
    error: ErrorClass | None = None
    retry_at: float | None = None
    last_at: float | None = None
    block: Block | None = None
    policy_blocks: int = 0
    slot_s: float = 0.0

    @property
    def shown(self) -> State:
        """What is published right after the newest result, as long as it is fresh."""
        return self.state if self.block is None else State.UNUSABLE


def fold(state: HealthState, result: Finding, policy: Policy) -> HealthState:
    """
    Return what is known after *result*, scheduled or not.

    Free calls and void results change nothing; a block of the harmless canary only moves its own
    counter.
    """
    if result.kind is ProbeKind.LIVENESS:
        return state
    if result.outcome is Outcome.VOID:
        is_block = result.error is ErrorClass.POLICY_BLOCKED
        return changed(state, policy_blocks=state.policy_blocks + 1) if is_block else state
    at = result.started_at
    block = live_block(state.block, at)
    # One copy a result: a restart folds a month of them.
    changes: dict[str, Any] = {
        "last_at": at if state.last_at is None else max(at, state.last_at),
        "slot_s": result.slot_s if result.reason is ProbeReason.SCHEDULED else state.slot_s,
    }
    if result.outcome is Outcome.UNUSABLE:
        return changed(state, **changes, block=_blocked(block, result))
    if result.outcome is Outcome.BAD:
        changes |= _failed(state, at, result.error, _believed(result), policy) | {"block": block}
    else:
        changes |= _succeeded(state, at, policy)
    return _settled(changed(state, **changes), at, policy)


def is_steady(state: HealthState, policy: Policy) -> bool:
    """Return whether good results change no more of *state* than times and counts."""
    # No share of failures among so many verdicts grows by a good one.
    return state.state is State.HEALTHY and len(state.recent) == policy.degraded_of


def fold_good(state: HealthState, run: Sequence[Finding]) -> HealthState:
    """
    Return what :func:`fold` makes of good generations, at least one, one after another.

    *state* is steady (:func:`is_steady`).
    """
    slots = [result.slot_s for result in run if result.reason is ProbeReason.SCHEDULED]
    newest = max(result.started_at for result in run)
    return changed(
        state,
        last_at=newest if state.last_at is None else max(newest, state.last_at),
        slot_s=slots[-1] if slots else state.slot_s,
        good_run=state.good_run + len(run),
        recent=(*state.recent, *(True for _ in run))[-len(state.recent) :],
        retry_at=None,
        block=None,
        policy_blocks=0,
    )


def successes_wanted(state: HealthState, policy: Policy) -> int:
    """Return how many successes in a row end the outage that *state* is in, or was last."""
    return policy.up_after + min(state.relapses, RELAPSES_MAX)


def slots_between(state: HealthState, spec: TargetSpec, policy: Policy) -> int:
    """
    Return in one of how many slots the target is probed: 1, and more while it stays down.

    Confirmations double their distance until it is that of the slots; from then on the slots'
    distance doubles with every failure, up to the back-off's cap.
    """
    if state.bad_run <= policy.down_after + 1:
        return 1
    between = sum(
        confirm_delay_s(run, policy) < spec.interval_s for run in range(1, _DOUBLINGS_MAX)
    )
    beyond = state.bad_run - max(between, policy.down_after) - 1
    longest = max(1, floor(policy.backoff_max_s / spec.interval_s))
    return min(longest, 2 ** min(beyond, _DOUBLINGS_MAX)) if beyond > 0 else 1


def confirm_delay_s(run: int, policy: Policy) -> float:
    """Return how long after the *run*-th result of its kind in a row to ask again."""
    return policy.confirm_s * 2.0 ** min(run - 1, _DOUBLINGS_MAX)


def judge(
    state: HealthState,
    now: float,
    *,
    spec: TargetSpec,
    policy: Policy,
    heard_until: float | None = None,
) -> Health:
    """
    Return the published state as of *now*.

    Evidence does not grow old after *heard_until*, from when on our own network is down: no result
    could come, and that says nothing of the target.

    In this order: a target that cannot be probed at all, a block that holds, evidence that is
    missing or too old (unless its retry time is still ahead, when no probe is expected), and
    else what good and bad results say.
    """
    if spec.unusable is not None:
        return Health(
            state=State.UNUSABLE, since=None, error=spec.unusable, detail=spec.unusable_detail
        )
    if (block := live_block(state.block, now)) is not None:
        return Health(
            state=State.UNUSABLE,
            since=block.since,
            error=block.error,
            detail=block.detail,
            retry_at=block.retry_at,
            consecutive_policy_blocks=state.policy_blocks,
        )
    is_waiting = state.retry_at is not None and state.retry_at > now
    shown, since, detail = state.state, state.since, _describe(state, now, policy)
    if state.last_at is None:
        shown, since, detail = State.UNKNOWN, None, "no probe has said anything yet"
    elif (
        min(now, heard_until or now) - state.last_at > (fresh_s := _fresh_s(state, spec, policy))
        and not is_waiting
    ):
        shown, since = State.UNKNOWN, state.last_at + fresh_s
        detail = f"no result since {utc(state.last_at, now)}"
        if (end := maintenance_end(spec.maintenance, now)) is not None:
            detail += f", in maintenance until {utc(end, now)}"
    has_failed = shown in {State.SUSPECT, State.DEGRADED, State.DOWN}
    return Health(
        state=shown,
        since=since,
        error=state.error if has_failed else None,
        detail=detail,
        retry_at=state.retry_at if is_waiting else None,
        consecutive_policy_blocks=state.policy_blocks,
        over_at=state.over_at,
        recent=len(state.recent),
        recent_good=state.recent.count(True),
    )


def _fresh_s(state: HealthState, spec: TargetSpec, policy: Policy) -> float:
    """Return how long a result speaks for the present: longer where slots are rare on purpose."""
    slot_s = max(spec.interval_s * slots_between(state, spec, policy), state.slot_s)
    # The result of a job comes up to its deadline after the start that it is dated by.
    return policy.stale_slots * slot_s + (spec.deadline_s if spec.is_batch else 0.0)


def live_block(block: Block | None, at: float) -> Block | None:
    """Return *block* unless its time is over at *at*."""
    if block is None or block.retry_at is None or block.retry_at > at:
        return block
    return None


def _blocked(before: Block | None, result: Finding) -> Block:
    """Return the block in force after an unusable *result*: waits only ever extend."""
    assert result.error is not None
    since = before.since if before and before.error is result.error else result.started_at
    block = Block(
        error=result.error,
        detail=result.detail or result.error.row.signal,
        since=since,
        retry_at=_wait_until(result),
    )
    if before is None or block.retry_at is None:
        return block
    # A rate limit does not prove that a refused key or an unpaid bill is mended.
    if before.retry_at is None or before.retry_at > block.retry_at:
        return before
    return block


def _wait_until(result: Finding) -> float | None:
    """Return when a wait ends, believing bounded retry times; None until a person mends it."""
    assert result.error is not None
    if result.error.row.effect is not Effect.WAIT:
        return None
    answered_at = result.started_at + result.duration_s
    if result.error is ErrorClass.QUOTA_EXHAUSTED:
        # Without a reset time, ask once per recheck rather than guess the provider's midnight.
        default, longest = limits.PERMANENT_RECHECK_S, limits.RETRY_AFTER_S_MAX
    else:
        default, longest = limits.RATE_LIMIT_WAIT_S_DEFAULT, limits.RATE_LIMIT_WAIT_S_MAX
    wanted = answered_at + default if result.retry_at is None else result.retry_at
    return min(wanted, answered_at + longest)


def _believed(result: Finding) -> float | None:
    """Return until when a failure asked to be left alone, within bounds."""
    if result.retry_at is None:
        return None
    # An overloaded provider may not silence its own probes for a day.
    answered_at = result.started_at + result.duration_s
    return min(result.retry_at, answered_at + limits.RATE_LIMIT_WAIT_S_MAX)


def _failed(
    state: HealthState,
    at: float,
    error: ErrorClass | None,
    retry_at: float | None,
    policy: Policy,
) -> dict[str, Any]:
    """Return what a failure at wall time *at* changes."""
    bad_since = state.bad_since if state.bad_run else at
    down_since, relapses = state.down_since, state.relapses
    if down_since is None and state.bad_run + 1 >= policy.down_after:
        assert bad_since is not None
        down_since = bad_since
        # Either way: the wall clock may have been set back, and probes may overlap.
        is_relapse = state.over_at is not None and abs(bad_since - state.over_at) <= RELAPSE_S
        relapses = relapses + 1 if is_relapse else 0
    return {
        "good_run": 0,
        "bad_run": state.bad_run + 1,
        "bad_since": bad_since,
        "down_since": down_since,
        "relapses": relapses,
        "recent": (*state.recent, False)[-policy.degraded_of :],
        "error": error,
        "retry_at": retry_at,
    }


def _succeeded(state: HealthState, at: float, policy: Policy) -> dict[str, Any]:
    """Return what a good result at wall time *at* changes."""
    good_run = state.good_run + 1
    recent = (*state.recent, True)[-policy.degraded_of :]
    down_since, over_at = state.down_since, state.over_at
    if down_since is not None and good_run >= successes_wanted(state, policy):
        down_since, over_at, recent = None, at, recent[-good_run:]
    return {
        "good_run": good_run,
        "bad_run": 0,
        "down_since": down_since,
        "over_at": over_at,
        "recent": recent,
        "retry_at": None,
        "block": None,
        "policy_blocks": 0,
    }


def _settled(state: HealthState, at: float, policy: Policy) -> HealthState:
    """Return *state* with the name for its evidence, and since when that name holds."""
    seen, bad = len(state.recent), state.recent.count(False)
    since: float | None = at
    if state.down_since is not None and state.bad_run:
        shown, since = State.DOWN, state.down_since
    elif state.bad_run:
        shown, since = State.SUSPECT, state.bad_since
    elif state.down_since is not None or (
        seen >= DEGRADED_SEEN_MIN and bad >= policy.degraded_share * seen
    ):
        shown = State.DEGRADED
    else:
        shown = State.HEALTHY
    return state if shown is state.state else changed(state, state=shown, since=since)


def _describe(state: HealthState, now: float, policy: Policy) -> str:
    """Say in words, with the numbers used, why the evidence has its name; empty if healthy."""
    if state.state in {State.HEALTHY, State.UNKNOWN}:
        return ""
    assert state.error is not None
    error = state.error.value
    if state.bad_run:
        assert state.bad_since is not None
        failures = "1 failure" if state.bad_run == 1 else f"{state.bad_run} failures in a row"
        text = f"{failures} since {utc(state.bad_since, now)}"
        if state.down_since is not None and state.down_since != state.bad_since:
            text += f" in the outage since {utc(state.down_since, now)}"
        return f"{text}: {error}"
    if state.down_since is not None:
        text = (
            f"{state.good_run} of {successes_wanted(state, policy)} successes that end the outage "
            f"since {utc(state.down_since, now)}"
        )
        if state.relapses:
            text += (
                ", after 1 relapse" if state.relapses == 1 else f", after {state.relapses} relapses"
            )
        return f"{text}: {error}"
    bad = state.recent.count(False)
    return f"{bad} of the last {len(state.recent)} probes failed: {error}"
