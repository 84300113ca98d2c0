"""Cumulative counts over all probes since the first: they only grow."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from math import floor

from monitor.core.sketch import LATENCY_BUCKETS_S
from monitor.core.snapshot import GapReason, ProbeCount, Totals
from monitor.core.tally import Exemplar, Tally
from probes.model import ProbeKind, ProbeResult


class Counters:
    """Counts what it is told, from *past* on."""

    def __init__(self, past: Totals | None = None) -> None:
        """Go on from *past*; None to start at nothing."""
        past = past or Totals()
        self.tallies: dict[str, Tally] = {}  # Of this process alone.
        self._probes = Counter(past.probes)
        # Whole micro-units: sums of floats depend on their order, and restart must not show.
        self._spend = {t: _micros(usd) for t, usd in past.spend_usd.items()}
        self._gaps = Counter(past.gaps)
        self._changes = Counter(past.order_changes)
        self._latency_counts = {t: list(c) for t, c in past.latency_counts.items()}
        self._latency_sums = {t: _micros(s) for t, s in past.latency_sum_s.items()}

    def probe(self, result: ProbeResult) -> None:
        """Count one finished probe."""
        target = result.target_id
        key = ProbeCount(
            target=target,
            kind=result.kind.value,
            outcome=result.outcome.value,
            error=result.error.value if result.error else "",
        )
        self._probes[key] += 1
        self._spend[target] = self._spend.get(target, 0) + _micros(result.cost_usd)
        self.tallies[target] = tallied(self.tallies.get(target, Tally()), result)
        # A free call is no picture: its time is told by its own row alone.
        if result.latency_s is not None and result.kind is not ProbeKind.LIVENESS:
            counts = self._latency_counts.setdefault(target, [0] * (len(LATENCY_BUCKETS_S) + 1))
            counts[bisect_left(LATENCY_BUCKETS_S, result.latency_s)] += 1
            latency = _micros(result.latency_s)
            self._latency_sums[target] = self._latency_sums.get(target, 0) + latency

    def gap(self, target_id: str, reason: GapReason) -> None:
        """Count a slot in which no probe ran."""
        self._gaps[target_id, reason] += 1

    def order_change(self, key: tuple[str, str]) -> None:
        """Count a changed decision of a (pool, profile)."""
        self._changes[key] += 1

    def totals(self) -> Totals:
        """Return all counts as they are now."""
        return Totals(
            probes=dict(self._probes),
            spend_usd={t: micros / 1e6 for t, micros in self._spend.items()},
            latency_counts={t: tuple(c) for t, c in self._latency_counts.items()},
            latency_sum_s={t: micros / 1e6 for t, micros in self._latency_sums.items()},
            gaps=dict(self._gaps),
            order_changes=dict(self._changes),
        )


def tallied(tally: Tally, result: ProbeResult) -> Tally:
    """Return *tally* with *result*; the same one where that is no good generation."""
    if result.latency_s is None or result.kind is ProbeKind.LIVENESS:
        return tally
    phases = dict(tally.phases)
    for phase, seconds in result.phases.items():
        count, total_s = phases.get(phase, (0, 0.0))
        phases[phase] = (count + 1, total_s + seconds)
    newest = Exemplar(probe_id=result.probe_id, latency_s=result.latency_s, at=result.started_at)
    bucket = bisect_left(LATENCY_BUCKETS_S, result.latency_s)
    return Tally(phases=phases, exemplars={**tally.exemplars, bucket: newest})


def _micros(amount: float) -> int:
    # Halves go up, as in SQLite's round: the stored rows must add up to the very same sum.
    return floor(amount * 1_000_000 + 0.5)
