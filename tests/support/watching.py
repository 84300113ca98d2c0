"""One target watched through virtual time by the product's own schedule and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from monitor.core.health import HealthState, fold
from monitor.core.pace import Pace, follow
from monitor.core.schedule import Pass, extra_due, next_fire, plan_slot, slot_of
from monitor.core.spec import Policy, TargetSpec
from probes.model import ErrorClass, ProbeReason, ProbeResult

Answer = Callable[[float], tuple[ErrorClass | None, float]]


def watch(
    spec: TargetSpec,
    policy: Policy,
    answer: Answer,
    start: float,
    *,
    seed: int,
    money_share: float = 1.0,
) -> Iterator[tuple[ProbeResult, HealthState]]:
    """
    Send probes for ever and give each with the state after it.

    *answer* tells the error class (None for a picture) and the seconds of a probe sent at a time.
    """
    state, pace = HealthState(), Pace()

    def jitter_of(slot: int) -> float:
        return Random(f"{seed}/{slot}").random()

    now, slot_at = start, next_fire(spec.id, spec.interval_s, start, jitter_of)
    while True:
        due = extra_due(state, pace, spec, policy, slot_at)
        if due is not None and due < slot_at:
            now, slot_s, reason = max(due, now), 0.0, ProbeReason.CONFIRM
        else:
            now = slot_at
            slot_at = next_fire(spec.id, spec.interval_s, now, jitter_of)
            draw = Random(f"{seed}/{slot_of(spec.id, spec.interval_s, now)}/draw").random()
            planned = plan_slot(
                state, pace, spec, policy, now=now, draw=draw, money_share=money_share
            )
            if isinstance(planned, Pass):
                continue
            slot_s, reason = planned, ProbeReason.SCHEDULED
        error, took_s = answer(now)
        result = ProbeResult(
            probe_id=f"{now:.3f}",
            target_id=spec.id,
            started_at=now,
            duration_s=took_s,
            latency_s=None if error else took_s,
            error=error,
            reason=reason,
            slot_s=slot_s,
        )
        state = fold(state, result, policy)
        pace = follow(pace, result, state)
        yield result, state
        now += took_s
