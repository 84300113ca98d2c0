"""What the engine's folds look at in a result: all that a restart has to read of most rows."""

from __future__ import annotations

from typing import NamedTuple

from probes.model import ErrorClass, Limit, Outcome, ProbeKind, ProbeReason, ProbeResult


class Seen(NamedTuple):
    """The fields of a result that states, windows and quotas follow from; the rest is shown once."""

    target_id: str
    started_at: float
    duration_s: float
    latency_s: float | None
    error: ErrorClass | None
    outcome: Outcome
    kind: ProbeKind
    reason: ProbeReason
    slot_s: float
    detail: str
    retry_at: float | None
    shutdown_on: str | None
    balance_usd: float | None
    limits: tuple[Limit, ...]


# A fold that looked at a field that restarts do not read would be an error of types.
Finding = ProbeResult | Seen
