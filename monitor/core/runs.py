"""Good results in a row: most of what a restart folds, and they can be folded a run at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from monitor.core.finding import Finding, Seen
from monitor.core.health import HealthState, fold, fold_good, is_steady
from monitor.core.liveness import FreeCalls, heard
from monitor.core.pace import Pace, follow, follow_good
from monitor.core.spec import Policy
from probes.model import Outcome, ProbeKind

# Results of a target that never fails are not held back for longer than this.
_LENGTH_MAX: Final = 1_000


def in_runs(results: Iterable[Finding]) -> Iterator[Sequence[Finding]]:
    """
    Yield *results* in groups of one target: runs of good generations, every other result alone.

    The results of each target keep their order, and so do those that are alone. A run speaks of
    pictures only: none of its results is whole or tells of limits.
    """
    runs: defaultdict[str, list[Finding]] = defaultdict(list)
    for result in results:
        run = runs[result.target_id]
        is_plain = _is_plain(result)
        if is_plain:
            run.append(result)
            if len(run) < _LENGTH_MAX:
                continue
        if run:
            yield runs.pop(result.target_id)
        if not is_plain:
            yield (result,)
    yield from filter(None, runs.values())


def after(
    run: Sequence[Finding], state: HealthState, pace: Pace, calls: FreeCalls, policy: Policy
) -> tuple[HealthState, Pace, FreeCalls]:
    """Return what the folds of one result make of a *run*, one after another."""
    for place, result in enumerate(run):
        if is_steady(state, policy):
            rest = run[place:]
            return fold_good(state, rest), follow_good(pace, rest), heard(calls, run[-1])
        state = fold(state, result, policy)
        pace = follow(pace, result, state)
    return state, pace, heard(calls, run[-1])


def _is_plain(result: Finding) -> bool:
    return (
        isinstance(result, Seen)
        and result.outcome is Outcome.GOOD
        and result.kind is not ProbeKind.LIVENESS
        and not result.limits
    )
