"""
The journal: what of each result is worth keeping, as incidents and events, each written once.

Every generation leaves an entry: the target's log as it is now, by which probe it came to be so, and
the incidents and events that this made. An entry is stored whole or not at all, after the row of its
probe. So what a process that was killed did not write down is known at the next start: the probes
stored after the one that each target's log speaks of. They are followed then, and no others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from monitor.core.drift import Looks, look
from monitor.core.events import Event, EventKind
from monitor.core.health import HealthState
from monitor.core.incidents import (
    Change,
    Incident,
    IncidentLog,
    IncidentScope,
    Turn,
    abandoned,
    follow,
)
from monitor.core.snapshot import Health, State
from monitor.core.spec import Policy, TargetSpec
from monitor.core.words import rfc3339
from probes.model import Outcome, ProbeKind, ProbeResult

# Targets of one upstream whose outages begin within this time of the first are one group.
GROUP_S: Final = 600.0
_KINDS: Final = {
    Turn.OPENED: EventKind.INCIDENT_OPENED,
    Turn.CLOSED: EventKind.INCIDENT_CLOSED,
    Turn.REOPENED: EventKind.INCIDENT_REOPENED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLog:
    """All that the next result of a target is held against. *state* is the one told last."""

    incidents: IncidentLog = field(default_factory=IncidentLog)
    looks: Looks = field(default_factory=Looks)
    state: State = State.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    What one moment adds to the store, whole or not at all.

    Attributes:
        log: The target's log from now on.
        through: The last probe that is in *log*; None before the first.
        through_at: Its start, wall time.
        incidents: Those that changed, as they are now.
        events: What happened, oldest first.
    """

    target: str
    log: TargetLog
    through: str | None
    through_at: float
    incidents: tuple[Incident, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """
    What the store has of a target's log.

    Attributes:
        through, through_at: As in :class:`Entry`.
        missing: The probes that are stored and not in *log*: id, and number of the row.
    """

    log: TargetLog
    through: str | None
    through_at: float
    missing: Mapping[str, int]


@dataclass(slots=True)
class _Page:
    log: TargetLog = field(default_factory=TargetLog)
    through: str | None = None
    through_at: float = 0.0


class Journal:
    """Follows the results of all targets and gathers entries for the store."""

    def __init__(self, policy: Policy, kept: Mapping[str, Kept] | None = None) -> None:
        """Go on from what was *kept*, until :meth:`caught_up` with those results only it lacks."""
        self._policy = policy
        self._entries: list[Entry] = []
        # Entries that only say how far a target's log goes: the next one of it says that too.
        self._plain: dict[str, Entry] = {}
        self._missing = {target: one.missing for target, one in (kept or {}).items()}
        self._pages = {
            target: _Page(one.log, one.through, one.through_at)
            for target, one in (kept or {}).items()
        }
        # The newest group of each upstream: its id, and the start of its first incident.
        self._groups: dict[str, tuple[str, float]] = {}
        for page in self._pages.values():
            track = page.log.incidents.provider
            if track.incident is not None:
                self._note_group(track.incident)

    def caught_up(self, targets: Collection[str], now: float) -> None:
        """Follow every result from now on; close what nobody watches: all but *targets*."""
        self._missing = {}
        for target in self._pages.keys() - set(targets):
            page = self._pages[target]
            incidents, changes = abandoned(page.log.incidents, now)
            if changes:
                page.log = replace(page.log, incidents=incidents)
                self._enter(
                    target, page, changes, [_turned(change, None, None) for change in changes]
                )

    def open(self, target: str) -> tuple[Incident, ...]:
        """Return the open incidents of *target*."""
        page = self._pages.get(target)
        return page.log.incidents.lasting if page else ()

    def take(self) -> list[Entry]:
        """Return the entries since the last call, oldest first; those that tell nothing come last."""
        entries, self._entries = [*self._entries, *self._plain.values()], []
        self._plain = {}
        return entries

    def follow(
        self, result: ProbeResult, before: HealthState, after: HealthState, spec: TargetSpec
    ) -> None:
        """Note what *result* made of the evidence *before* it, and how its answer looks."""
        missing = self._missing.get(spec.id)
        if missing is not None and result.probe_id not in missing:
            return
        page = self._pages.setdefault(spec.id, _Page())
        log, at = page.log, result.started_at + result.duration_s
        incidents, changes = follow(log.incidents, result, before, after, self._policy)
        incidents, changes = self._grouped(incidents, changes, spec)
        looks, drifts = look(log.looks, result, spec.price_usd)
        says_nothing = result.kind is ProbeKind.LIVENESS or result.outcome is Outcome.VOID
        state = log.state if says_nothing else after.shown
        events = [_turned(change, spec, result) for change in changes if change.turn in _KINDS]
        if state is not log.state:
            events.append(_state_changed(log.state, spec, at, after, result))
        events += [_of(drift.kind, spec, at, drift.data, result) for drift in drifts]
        page.log = TargetLog(incidents=incidents, looks=looks, state=state)
        page.through, page.through_at = result.probe_id, result.started_at
        if result.kind is not ProbeKind.LIVENESS or page.log != log:
            self._enter(spec.id, page, changes, events)

    def observe(self, spec: TargetSpec, health: Health, now: float) -> None:
        """Note a state that no result brought about: it grew old, or its time to wait is over."""
        page = self._pages.setdefault(spec.id, _Page())
        if health.state is page.log.state:
            return
        data: dict[str, Any] = {"before": page.log.state.value, "after": health.state.value}
        data |= {"error": health.error.value if health.error else None, "detail": health.detail}
        page.log = replace(page.log, state=health.state)
        self._enter(spec.id, page, (), [_of(EventKind.STATE_CHANGED, spec, now, data, None)])

    def _enter(
        self, target: str, page: _Page, changes: tuple[Change, ...], events: list[Event]
    ) -> None:
        entry = Entry(
            target=target,
            log=page.log,
            through=page.through,
            through_at=page.through_at,
            incidents=tuple(change.incident for change in changes),
            events=tuple(events),
        )
        self._plain.pop(target, None)
        if changes or events:
            self._entries.append(entry)
        else:
            self._plain[target] = entry

    def _grouped(
        self, incidents: IncidentLog, changes: tuple[Change, ...], spec: TargetSpec
    ) -> tuple[IncidentLog, tuple[Change, ...]]:
        """Return both with the group of an outage that has just opened."""
        track = incidents.provider
        opened = any(
            change.turn is Turn.OPENED and change.incident.scope is IncidentScope.PROVIDER
            for change in changes
        )
        if spec.upstream is None or not opened:
            return incidents, changes
        assert track.incident is not None
        start = track.incident.started_at
        group, first_at = self._groups.get(spec.upstream, ("", float("-inf")))
        if abs(start - first_at) > GROUP_S:
            group = f"{spec.upstream}-{round(start * 1000):012x}"
        incident = replace(track.incident, upstream=spec.upstream, group=group)
        self._note_group(incident)
        incidents = replace(incidents, provider=replace(track, incident=incident))
        return incidents, tuple(
            replace(change, incident=incident) if change.incident.id == incident.id else change
            for change in changes
        )

    def _note_group(self, incident: Incident) -> None:
        if incident.upstream is None or incident.group is None:
            return
        known, first_at = self._groups.get(incident.upstream, ("", float("-inf")))
        if incident.group == known:
            first_at = min(first_at, incident.started_at)
        elif incident.started_at > first_at:
            first_at = incident.started_at
        else:
            return
        self._groups[incident.upstream] = (incident.group, first_at)


def _of(
    kind: EventKind,
    spec: TargetSpec,
    at: float,
    data: Mapping[str, Any],
    result: ProbeResult | None,
) -> Event:
    return Event(
        kind=kind,
        at=at,
        target=spec.id,
        provider=spec.provider,
        data=data,
        probe_id=result.probe_id if result else None,
    )


def _turned(change: Change, spec: TargetSpec | None, result: ProbeResult | None) -> Event:
    """Return the event of an incident that opened, closed or opened again."""
    incident = change.incident
    data: dict[str, Any] = {
        "incident": incident.id,
        "scope": incident.scope.value,
        "error": incident.failures.error.value,
        "failures": incident.failures.count,
        "started_at": rfc3339(incident.started_at),
        "relapses": incident.relapses,
    }
    if incident.group is not None:
        data |= {"upstream": incident.upstream, "group": incident.group}
    if not incident.is_open:
        data["last_failed_at"] = rfc3339(incident.failures.last_at)
        data["ended_at"] = None if incident.ended_at is None else rfc3339(incident.ended_at)
    return Event(
        kind=_KINDS[change.turn],
        at=change.at,
        target=incident.target,
        provider=spec.provider if spec else None,
        data=data,
        probe_id=result.probe_id if result else None,
    )


def _state_changed(
    before: State, spec: TargetSpec, at: float, health: HealthState, result: ProbeResult
) -> Event:
    after = health.shown
    error = result.error
    if error is None and after is not State.HEALTHY:
        error = health.error
    data = {
        "before": before.value,
        "after": after.value,
        "error": error.value if error else None,
        "detail": result.detail,
    }
    return _of(EventKind.STATE_CHANGED, spec, at, data, result)
