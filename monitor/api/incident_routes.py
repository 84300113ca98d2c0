"""The routes of incidents, events and profiles: they read the store, or compute, in a thread."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator

from monitor.api import incidents as documents
from monitor.api.encode import SCHEMA
from monitor.api.routes import NOT_FOUND, PAGE_MAX, Id, Sources, existing, published

Number = Annotated[int | None, Query(ge=1, le=2**63 - 1)]


def _no_number(value: Any) -> Any:
    """Refuse a bare number: seconds or milliseconds would be a guess, and 2026 a second of 1970."""
    if isinstance(value, str) and value.replace(".", "", 1).lstrip("+-").isdecimal():
        raise ValueError("must be a time such as 2026-11-25T12:00:00Z")
    return value


Since = Annotated[datetime, BeforeValidator(_no_number)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


def build(sources: Sources) -> APIRouter:
    """Return the router over *sources*."""
    router = APIRouter()

    @router.get("/v1/incidents", response_model=documents.IncidentsOut, tags=["incidents"])
    async def get_incidents(
        target: Annotated[str | None, Query(max_length=100)] = None,
        is_open: Annotated[bool | None, Query(alias="open")] = None,
        since: Annotated[Since | None, Query()] = None,
        cursor: Number = None,
        limit: Limit = 100,
    ) -> Response:
        """Incidents, newest first, paged by cursor; not those that were over before `since` (UTC)."""
        page, next_cursor = await asyncio.to_thread(
            sources.history.incidents,
            target=target,
            is_open=is_open,
            since=None if since is None else _utc(since),
            before=cursor,
            limit=limit,
        )
        return JSONResponse({
            "schema": SCHEMA,
            "incidents": [
                documents.incident_document(stored.incident, stored.group_targets)
                for stored in page
            ],
            "next_cursor": next_cursor,
        })  # fmt: skip

    @router.get("/v1/events", response_model=documents.EventsOut, tags=["incidents"])
    async def get_events(
        since_id: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0, limit: Limit = 100
    ) -> Response:
        """What happened, oldest first, from after the event `since_id` on; nothing is told twice."""
        events = await asyncio.to_thread(sources.history.events, since_id, limit)
        return JSONResponse({
            "schema": SCHEMA,
            "events": [documents.event_document(stored.id, stored.event) for stored in events],
            "next_since_id": events[-1].id if events else since_id,
        })  # fmt: skip

    @router.get(
        "/v1/targets/{target}/profile",
        response_model=documents.ProfileOut,
        responses=NOT_FOUND,
        tags=["targets"],
    )
    async def get_profile(target: Id) -> Response:
        """Availability and latency of one target by hour of the week, over the longest window."""
        existing(published(sources), target)
        profile = await asyncio.to_thread(sources.profile, target)
        return JSONResponse({
            "schema": SCHEMA,
            "target": target,
            "zone": profile.zone,
            "span_s": profile.span_s,
            "hours": [documents.hour_document(hour) for hour in profile.hours],
        })  # fmt: skip

    return router


def _utc(at: datetime) -> float:
    """Return *at* in seconds since the epoch; one without a zone is in UTC."""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
