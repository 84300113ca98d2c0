"""Which windows a target is figured over, and which results enter them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from monitor.core.finding import Finding
from monitor.core.slo import budget_windows, latency_threshold
from monitor.core.spec import Policy, PoolSpec, TargetSpec
from monitor.core.window import History, Sample
from probes.model import ErrorClass, ProbeKind, ProbeReason

# Batch jobs may take a day, so shorter windows would hold what is not decided yet.
BATCH_WINDOW_S_MIN: Final = 86_400.0
_SLOTTED: Final = frozenset({ProbeKind.CANARY, ProbeKind.BATCH})  # What a slot can hold.


def history_of(spec: TargetSpec, pools: Iterable[PoolSpec], policy: Policy) -> History:
    """
    Return an empty history of all windows that anything of a target is figured over.

    Those of *policy*, of which a batch target has those of a day or more, else the longest; and
    those of its error budget.
    """
    windows: Mapping[str, float] = policy.windows
    if spec.is_batch:
        days = {name: s for name, s in windows.items() if s >= BATCH_WINDOW_S_MIN}
        windows = days or dict([max(windows.items(), key=lambda window: window[1])])
    return History(
        {**windows, **budget_windows(spec, windows.values())},
        threshold_s=latency_threshold(spec, pools),
        maintenance=spec.maintenance,
    )


def sample_of(result: Finding) -> Sample | None:
    """Return what windows remember of *result*; None of what did not fill a slot (law 2)."""
    if result.reason is not ProbeReason.SCHEDULED or result.kind not in _SLOTTED:
        return None
    is_timeout = result.error is ErrorClass.TIMEOUT
    return Sample(
        result.started_at,
        result.outcome,
        is_timeout,
        result.latency_s,
        result.duration_s,
        result.slot_s,
    )
