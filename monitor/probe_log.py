"""What the log says of probes: one canonical line each, and what a person should look at."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

import structlog

from monitor.core.events import Event, EventKind
from monitor.core.spec import TargetSpec
from monitor.core.spend import CapUse, Mark
from monitor.limits import SHUTDOWN_WARN_DAYS
from probes.model import Outcome, ProbeKind, ProbeResult

log = structlog.get_logger("imgmon.runner")

# A block of the harmless canary is void; this many in a row is worth a word.
_POLICY_BLOCKS_WARN: Final = 3


# What a start derives of the past is no news.
_NEWS_S: Final = 3_600.0
_BAD_NEWS: Final = frozenset({EventKind.INCIDENT_OPENED, EventKind.INCIDENT_REOPENED})


def happened(event: Event, now: float) -> None:
    """Write the line of *event*, stored at *now*; what happens with every probe is only debugging."""
    if event.kind is EventKind.STATE_CHANGED or now - event.at > _NEWS_S:
        write = log.debug
    else:
        write = log.warning if event.kind in _BAD_NEWS else log.info
    about = {"target": event.target, "pool": event.pool, "provider": event.provider}
    fields = {**{name: who for name, who in about.items() if who is not None}, **event.data}
    write(event.kind.value.replace("_", ".", 1), **fields)


class ProbeLog:
    """Writes the lines; remembers which ends of models were told in this process."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._ends_told: set[tuple[str, str]] = set()

    def finished(self, result: ProbeResult, spec: TargetSpec, policy_blocks: int) -> None:
        """Write the canonical line of *result*; *policy_blocks* were in a row with it."""
        fields = {
            "probe": result.probe_id,
            "target": result.target_id,
            "provider": spec.provider,
            "kind": result.kind.value,
            "reason": result.reason.value,
            "outcome": result.outcome.value,
            "error": result.error.value if result.error else None,
            "detail": result.detail or None,
            "code": result.code,
            "finish_reason": result.finish_reason,
            "http_status": result.http_status,
            "phase": result.failed_phase.value if result.failed_phase else None,
            "duration_s": round(result.duration_s, 4),
            "latency_s": None if result.latency_s is None else round(result.latency_s, 4),
            "phases_s": {phase.value: round(s, 4) for phase, s in result.phases.items()},
            "cost_usd": result.cost_usd,
            "bytes": result.received_bytes,
            "model_version": result.model_version,
            "request_id": result.request_id,
            "retry_at": result.retry_at,
            "shutdown_on": result.shutdown_on,
            "balance_usd": result.balance_usd,
            "body_head": result.body_head,
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        if result.outcome is not Outcome.GOOD:
            write = log.warning
        else:
            # Every few minutes, for nothing, and all is well.
            write = log.debug if result.kind is ProbeKind.LIVENESS else log.info
        write("probe.finished", **fields)
        if policy_blocks >= _POLICY_BLOCKS_WARN:
            log.warning(
                "canary.blocked",
                target=spec.id,
                in_a_row=policy_blocks,
                hint="the harmless canary is refused: over-blocking, or the account is limited",
            )
        if result.shutdown_on is not None:
            self._model_ends(spec, result.shutdown_on, result.started_at)

    def _model_ends(self, spec: TargetSpec, day: str, now: float) -> None:
        """Warn of a model's end within 30 days, once per target and day."""
        days = (date.fromisoformat(day) - datetime.fromtimestamp(now, UTC).date()).days
        if days > SHUTDOWN_WARN_DAYS or (spec.id, day) in self._ends_told:
            return
        self._ends_told.add((spec.id, day))
        log.warning(
            "model.shutdown",
            target=spec.id,
            model=spec.model,
            shutdown_on=day,
            days_left=days,
            hint="move to another model in time",
        )

    @staticmethod
    def cap(mark: Mark, use: CapUse) -> None:
        """Tell that a cap came to *mark*."""
        write = log.error if mark is Mark.REACHED else log.warning
        write(
            f"spend_cap.{mark}",
            cap=str(use.cap),
            cap_usd=use.cap.micros / 1e6,
            booked_usd=use.booked_micros / 1e6,
        )
