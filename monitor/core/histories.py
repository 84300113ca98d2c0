"""Which windows a target is figured over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from monitor.core.slo import budget_windows, latency_threshold
from monitor.core.spec import Policy, PoolSpec, TargetSpec
from monitor.core.window import History

# Batch jobs may take a day, so shorter windows would hold what is not decided yet.
BATCH_WINDOW_S_MIN: Final = 86_400.0


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
