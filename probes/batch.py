"""
Batch queues: a request is taken now and its picture comes hours later, at another price.

The vocabulary of such jobs and what a wire format must say of them. Standard library only; knows no
schedule, deadline or store. Every call is short and stands for itself, so that a job outlives the
process that created it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from probes.model import Canary, Format, Picture, Reply, Send, Target, Verdict

# Dates of HTTP are cut to the second, and some servers write a new one only once a second.
_DATE_LAG_S: Final = 2.0


class BatchState(StrEnum):
    """How far a provider says a job is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob:
    """
    One job of one picture, as a provider shows it.

    Attributes:
        name: The provider's name of it.
        label: Ours, given when it was created.
        created_at, ended_at, shown_at: By the provider's clock, seconds since the Unix epoch: when
            it was made, when it ended, when it was shown like this; None where that is not told.
        picture: What came of it, where a look found one.
        verdict: Why no picture ever comes, where a look found that.
    """

    name: str
    state: BatchState
    label: str = ""
    created_at: float | None = None
    ended_at: float | None = None
    shown_at: float | None = None
    picture: Picture | None = None
    verdict: Verdict | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.picture is not None or self.verdict is not None

    @property
    def turnaround_s(self) -> float | None:
        """Seconds from creation to end, both by the provider's clock; None where it is silent."""
        if self.created_at is None or self.ended_at is None or self.ended_at < self.created_at:
            return None
        return self.ended_at - self.created_at

    @property
    def age_s(self) -> float | None:
        """Seconds from creation to what is shown, likewise."""
        if self.created_at is None or self.shown_at is None:
            return None
        age_s = self.shown_at - self.created_at
        return None if age_s < -_DATE_LAG_S else max(0.0, age_s)


@runtime_checkable
class BatchFormat(Format, Protocol):
    """
    A wire format with a batch queue. Each call yields sends like an exchange.

    A call raises Refused when *it* failed, which says nothing of the job. What became of the job is
    in the job.
    """

    def create(
        self, target: Target, canary: Canary, label: str
    ) -> Generator[Send, Reply, BatchJob]:
        """Queue one picture under *label*, in one send: when it was answered, the job has a name."""
        ...

    def look(self, target: Target, name: str) -> Generator[Send, Reply, BatchJob]:
        """Return the job, with its picture or verdict once it is over."""
        ...

    def find(self, target: Target, label: str) -> Generator[Send, Reply, tuple[BatchJob, ...]]:
        """Return the jobs that carry *label*, without pictures and verdicts; none when there is none."""
        ...

    def cancel(self, target: Target, name: str) -> Generator[Send, Reply, bool]:
        """Ask for the job's end; return whether it was there."""
        ...

    def delete(self, target: Target, name: str) -> Generator[Send, Reply, bool]:
        """Remove the job and its results; return whether it was there."""
        ...
