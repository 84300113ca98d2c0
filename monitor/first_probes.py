"""Which targets to probe when the daemon starts, and in how many seconds; outside the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from monitor.config import Config
from monitor.core.schedule import Pass, phase_s
from monitor.engine import Engine
from monitor.limits import RESTART_SPREAD_S, RESTART_TURN_S
from probes.model import LimitPeriod


def first_delays(
    target_ids: Iterable[str], engine: Engine, config: Config, now: float
) -> dict[str, float]:
    """
    Return in how many seconds to probe each target that nothing recent is known of.

    Args:
        target_ids: Those that answer at once: of a batch job, hours pass before it says anything.
        engine: What is known of them.
        config: Their intervals, and the quotas of their providers.
        now: Wall time.
    """
    delays, asked = {}, Counter[str]()
    for target_id in target_ids:
        spec = config.specs[target_id]
        tried_at = engine.last_start(target_id)
        if isinstance(engine.plan_slot(target_id, now, draw=0.0), Pass):
            continue  # A retry time or a refusal is waited for, also by a new process.
        if tried_at is None:
            delay_s = 0.0
        elif now - tried_at > config.policy.stale_slots * spec.interval_s:
            # Not all at one moment: a restart must not bunch them.
            delay_s = phase_s(target_id, min(RESTART_SPREAD_S, spec.interval_s))
        else:
            continue
        # Those beyond the minute's share of requests would be refused: they take the next ones.
        a_minute = config.providers[spec.provider].quota.probes(LimitPeriod.MINUTE)
        turn = asked[spec.provider] // a_minute if a_minute else 0
        asked[spec.provider] += 1
        delays[target_id] = delay_s + turn * RESTART_TURN_S
    return delays
