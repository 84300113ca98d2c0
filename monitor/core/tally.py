"""What a process counts of good probes beside the totals that the store keeps, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from probes.model import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplar:
    """A probe that stands for its bucket of the latency histogram; *at* is its start."""

    probe_id: str
    latency_s: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """
    Good generations of one target since the start of this process.

    Attributes:
        phases: Phase to how many probes had it, and the seconds they spent in it together.
        exemplars: Bucket of the latency histogram, from 0, to its newest probe.
    """

    phases: Mapping[Phase, tuple[int, float]] = field(default_factory=dict)
    exemplars: Mapping[int, Exemplar] = field(default_factory=dict)
