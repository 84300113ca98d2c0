"""How long a target's probes may take, and how often its batch jobs are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Final

from monitor.config.schema import TargetTable
from monitor.config.values import duration_text
from monitor.core.spec import PoolSpec, TargetSpec
from monitor.errors import Problem
from monitor.limits import BATCH_JOBS_PER_TARGET_MAX, INTERVAL_S_MAX, INTERVAL_S_MIN

DEADLINE_S_DEFAULT: Final = 120.0
# Leaves a fifth of the slot for the next probe to start on time.
DEADLINE_SHARE_DEFAULT: Final = 0.8
JOB_DEADLINE_S_DEFAULT: Final = 86_400.0  # What the vendors of batch queues aim for.
POLL_S_DEFAULT: Final = 600.0
POLL_SHARE_DEFAULT: Final = 0.1  # Of the deadline, where that is shorter.


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of the target at *path*; what is wrong with them is added to *problems*."""

    path: str
    table: TargetTable
    problems: list[Problem]
    origins: dict[str, str]
    _: KW_ONLY
    is_batch: bool

    def deadline(self) -> float:
        """Return the total time of one probe, in seconds."""
        interval, given = self.table.interval, self.table.deadline
        if not INTERVAL_S_MIN <= interval <= INTERVAL_S_MAX:
            bounds = f"{duration_text(INTERVAL_S_MIN)} to {duration_text(INTERVAL_S_MAX)}"
            self._problem("interval", f"must be {bounds}, is {duration_text(interval)}")
        if self.is_batch:
            return self._job_deadline()
        if given is None:
            self._origin("deadline", "default: 80 % of interval, at most 2m")
            return min(DEADLINE_S_DEFAULT, DEADLINE_SHARE_DEFAULT * interval)
        if given >= interval:
            self._problem(
                "deadline",
                f"must be shorter than interval ({duration_text(interval)}), "
                f"is {duration_text(given)}",
                "lower deadline or raise interval",
            )
        return given

    def _job_deadline(self) -> float:
        """Return by when a batch job must be done, which may be long after the next one began."""
        deadline_s = self.table.deadline
        if deadline_s is None:
            self._origin("deadline", "default of batch jobs")
            deadline_s = JOB_DEADLINE_S_DEFAULT
        longest_s = BATCH_JOBS_PER_TARGET_MAX * self.table.interval
        if deadline_s > longest_s:
            self._problem(
                "deadline",
                f"must be at most {BATCH_JOBS_PER_TARGET_MAX} intervals "
                f"({duration_text(longest_s)}), or more jobs would be under way at once; "
                f"is {duration_text(deadline_s)}",
                "raise interval or lower deadline",
            )
        return deadline_s

    def poll(self, deadline_s: float) -> float:
        """Return the longest pause between two looks at a batch job, in seconds."""
        given = self.table.poll
        if given is None:
            return min(POLL_S_DEFAULT, POLL_SHARE_DEFAULT * deadline_s)
        if not self.is_batch:
            self._problem("poll", "is for batch jobs, which this wire format has not", "drop it")
        elif given >= deadline_s:
            self._problem(
                "poll",
                f"must be shorter than deadline ({duration_text(deadline_s)}), "
                f"is {duration_text(given)}",
            )
        return given

    def _problem(self, key: str, message: str, fix: str = "") -> None:
        self.problems.append(Problem(f"{self.path}.{key}", message, fix))

    def _origin(self, key: str, text: str) -> None:
        self.origins[f"targets.{self.table.id}.{key}"] = text


def mixed_pools(pools: Iterable[PoolSpec], specs: Mapping[str, TargetSpec]) -> Iterable[str]:
    """Yield a warning for each pool in which batch jobs compete with targets that answer at once."""
    for pool in pools:
        members = [specs[target_id] for target_id in pool.targets if target_id in specs]
        if len({spec.is_batch for spec in members}) > 1:
            jobs = ", ".join(spec.id for spec in members if spec.is_batch)
            yield (
                f"pool {pool.id}: {jobs} takes hours for a picture, the others seconds; the waiting "
                "decides every order of both, so give batch targets a pool of their own"
            )
