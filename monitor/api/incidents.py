"""Incidents, events and hours of the week as JSON, and what they look like for OpenAPI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from monitor.core.availability import floor_ratio
from monitor.core.events import Event, EventKind
from monitor.core.incidents import Incident
from monitor.core.profile import HourFigures
from monitor.core.words import rfc3339

Scope = Literal["provider", "monitor_account"]


class OpenIncidentOut(BaseModel):
    """An incident that lasts, in the document of its target."""

    incident: str
    scope: Scope = Field(description="Whom it concerns: everybody, or only the monitor's own key.")
    error: str
    started_at: str
    confirmed_at: str
    failures: int
    relapses: int


class GroupOut(BaseModel):
    """Incidents of one upstream that began within ten minutes."""

    group: str
    upstream: str
    targets: list[str]


class IncidentOut(OpenIncidentOut):
    """One incident with its evidence."""

    target: str
    open: bool
    errors: dict[str, int] = Field(description="Failures by class; error is the most frequent.")
    last_failed_at: str = Field(description="It ended after this ...")
    ended_at: str | None = Field(
        description="... and by this, the first good probe. Null while open, or if nobody saw it."
    )
    closed_at: str | None = Field(description="When its end was known.")
    duration_s: float | None
    probes: list[str] = Field(description="Failed probes by id: the first ten and the last ten.")
    group: GroupOut | None = Field(description="Null where it is alone.")


class IncidentsOut(BaseModel):
    """A page of incidents, the newest first."""

    schema_: int = Field(alias="schema")
    incidents: list[IncidentOut]
    next_cursor: int | None = Field(description="Pass as ?cursor= for older ones; null at the end.")


class EventOut(BaseModel):
    """One event."""

    id: int = Field(description="Grows, and is never given twice.")
    at: str
    kind: EventKind
    target: str | None
    pool: str | None
    provider: str | None
    probe: str | None = Field(description="The probe that showed it.")
    data: dict[str, Any]


class EventsOut(BaseModel):
    """A page of events, the oldest first."""

    schema_: int = Field(alias="schema")
    events: list[EventOut]
    next_since_id: int = Field(description="Pass as ?since_id= to go on, also when it is empty.")


class HourOut(BaseModel):
    """One hour of the week."""

    weekday: int = Field(description="0 for Monday to 6 for Sunday.")
    hour: int
    samples: int
    availability: float | None
    availability_lower: float | None = Field(description="Lower end of the 95 % interval.")
    latency_samples: int
    latency_p50_s: float | None
    latency_p95_s: float | None = Field(description="Null under 59 samples.")


class ProfileOut(BaseModel):
    """A target hour by hour over the weeks of the longest window."""

    schema_: int = Field(alias="schema")
    target: str
    zone: str
    span_s: float
    hours: list[HourOut]


def open_incident_document(incident: Incident) -> dict[str, Any]:
    """Return what the document of a target says of an incident that lasts."""
    return {
        "incident": incident.id,
        "scope": incident.scope.value,
        "error": incident.failures.error.value,
        "started_at": rfc3339(incident.started_at),
        "confirmed_at": rfc3339(incident.confirmed_at),
        "failures": incident.failures.count,
        "relapses": incident.relapses,
    }


def incident_document(incident: Incident, group_targets: Sequence[str]) -> dict[str, Any]:
    """Return one incident; *group_targets* are those of its group, itself included."""
    ended_at = incident.ended_at
    is_group = len(group_targets) > 1
    return {
        **open_incident_document(incident),
        "target": incident.target,
        "open": incident.is_open,
        "errors": {error.value: count for error, count in incident.failures.errors},
        "last_failed_at": rfc3339(incident.failures.last_at),
        "ended_at": None if ended_at is None else rfc3339(ended_at),
        "closed_at": None if incident.closed_at is None else rfc3339(incident.closed_at),
        "duration_s": None if ended_at is None else round(ended_at - incident.started_at, 3),
        "probes": list(incident.failures.probes),
        "group": (
            {
                "group": incident.group,
                "upstream": incident.upstream,
                "targets": list(group_targets),
            }
            if is_group
            else None
        ),
    }


def event_document(event_id: int, event: Event) -> dict[str, Any]:
    """Return one event."""
    return {
        "id": event_id,
        "at": rfc3339(event.at),
        "kind": event.kind.value,
        "target": event.target,
        "pool": event.pool,
        "provider": event.provider,
        "probe": event.probe_id,
        "data": event.data,
    }


def hour_document(hour: HourFigures) -> dict[str, Any]:
    """Return one hour of the week."""
    value, lower = hour.availability.value, hour.availability.lower
    return {
        "weekday": hour.weekday,
        "hour": hour.hour,
        "samples": hour.n,
        "availability": None if value is None else floor_ratio(value),
        "availability_lower": None if lower is None else floor_ratio(lower),
        "latency_samples": hour.latency_n,
        "latency_p50_s": None if hour.p50 is None else round(hour.p50, 4),
        "latency_p95_s": None if hour.p95 is None else round(hour.p95, 4),
    }
