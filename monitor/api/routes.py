"""
The routes. Hot ones answer from the published bytes; none of them probes, pays or writes.

A body past its time says ``stale`` and is still served: an old order beats none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, HTTPException, Path, Query, Response
from fastapi.responses import JSONResponse

from monitor.api import encode, schemas
from monitor.api.access import Access
from monitor.api.problems import ProblemOut
from monitor.clock import Clock
from monitor.core.months import MonthFigures
from monitor.core.profile import Profile
from monitor.desk import ReportDesk
from monitor.exposition import Scrape
from monitor.pauses import Pauses
from monitor.publisher import Body, Published, Publisher
from monitor.reloading import Reloads
from monitor.runner import Runner
from monitor.store.history import History
from probes.model import ProbeKind, ProbeResult

Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
IfNoneMatch = Annotated[str | None, Header(max_length=1000)]
NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ProblemOut, "description": "No such thing; the answer names what there is."},
    503: {"model": ProblemOut, "description": "The first snapshot is not made yet."},
}
CACHED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "What the caller holds is still true; freshness is in the headers."},
    **NOT_FOUND,
}
EXPOSITION: Final[dict[str, Any]] = {"text/plain": {}, "application/openmetrics-text": {}}
PAGE_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Stored probes, newest first, and the cursor of the next page."""

    results: tuple[ProbeResult, ...]
    next_cursor: int | None


@dataclass(frozen=True, slots=True)
class Operator:
    """
    The parts that an operator moves.

    Attributes:
        can_probe: Whether a target has all that a canary needs.
        changed: Told of a target whose schedule is to be looked at anew.
        reloads: Of the configuration.
    """

    runner: Runner
    pauses: Pauses
    can_probe: Callable[[str], bool]
    changed: Callable[[str], None]
    reloads: Reloads


@dataclass(frozen=True, slots=True)
class Sources:
    """
    What the routes read.

    Attributes:
        access: Who may ask for what.
        operator: What an operator may do.
        desk: Takes in what clients report.
        results: (target id, cursor, limit, kind) to a page of stored probes; runs in a thread.
        history: Incidents and events of the store; runs in a thread.
        profile: Target id to its hours of the week; runs in a thread.
        problems: Reasons why the daemon is not ready; empty when it is.
        months: Target id to its calendar months, oldest first; runs in a thread.
        metrics: Headers Accept and Accept-Encoding to what a scraper is answered.
        answers: Counts answers by (template of the route, status).
    """

    access: Access
    operator: Operator
    desk: ReportDesk
    publisher: Publisher
    clock: Clock
    results: Callable[[str, int | None, int, ProbeKind | None], Page]
    months: Callable[[str], tuple[MonthFigures, ...]]
    history: History
    profile: Callable[[str], Profile]
    problems: Callable[[], list[str]]
    metrics: Callable[[str, str], Awaitable[Scrape]]
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)


def published(sources: Sources) -> Published:
    """Return what is published, once per request: all that is said is of one version."""
    current = sources.publisher.current
    if current is None:
        raise HTTPException(503, "No snapshot yet; ask again in a second.", {"Retry-After": "1"})
    return current


def answer(
    sources: Sources,
    current: Published,
    body: Body,
    if_none_match: str | None,
    media_type: str = "application/json",
) -> Response:
    """Return *body*, or 304 when the caller has it; both renew freshness by header."""
    snapshot = current.snapshot
    data, etag = body.data, body.etag
    headers = {
        "Cache-Control": "max-age=1, stale-if-error=86400",
        "X-Imgmon-Made-At": str(encode.timestamp(snapshot.made_at)),
        "X-Imgmon-Version": str(snapshot.version),
    }
    is_stale = sources.clock.wall() > snapshot.stale_after
    headers["X-Imgmon-Stale"] = str(is_stale).lower()
    if is_stale:
        data = data.replace(b'"stale":false', b'"stale":true', 1)
        etag = f'{etag[:-1]}-stale"'
    headers["ETag"] = etag
    if if_none_match is not None and matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)


def matches(if_none_match: str, etag: str) -> bool:
    """Return whether the header names *etag*, by weak comparison (RFC 9110, 13.1.2)."""
    tags = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in ("*", etag) for tag in tags)


def build(sources: Sources) -> APIRouter:
    """Return the router over *sources*."""
    router = APIRouter()
    _targets(router, sources)
    _self(router, sources)
    return router


def _targets(router: APIRouter, sources: Sources) -> None:
    @router.get(
        "/v1/targets", response_model=schemas.TargetsOut, responses=CACHED, tags=["targets"]
    )
    async def get_targets(if_none_match: IfNoneMatch = None) -> Response:
        """Every target, its state, what free calls say, and its newest generation."""
        current = published(sources)
        return answer(sources, current, current.bodies[encode.TARGETS_KEY], if_none_match)

    @router.get(
        "/v1/targets/{target}",
        response_model=schemas.TargetDetailOut,
        responses=CACHED,
        tags=["targets"],
    )
    async def get_target(target: Id, if_none_match: IfNoneMatch = None) -> Response:
        """One target with its figures over every window."""
        current = published(sources)
        body = current.bodies[encode.target_key(existing(current, target))]
        return answer(sources, current, body, if_none_match)

    @router.get(
        "/v1/targets/{target}/windows",
        response_model=schemas.WindowsOut,
        responses=CACHED,
        tags=["targets"],
    )
    async def get_windows(target: Id, if_none_match: IfNoneMatch = None) -> Response:
        """Figures of one target: n, coverage, both views with intervals, percentiles."""
        current = published(sources)
        body = current.bodies[encode.windows_key(existing(current, target))]
        return answer(sources, current, body, if_none_match)

    @router.get(
        "/v1/targets/{target}/results",
        response_model=schemas.ResultsOut,
        responses=NOT_FOUND,
        tags=["targets"],
    )
    async def get_results(
        target: Id,
        cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
        kind: Annotated[ProbeKind | None, Query()] = None,
    ) -> Response:
        """Stored probes, newest first, paged by cursor; of one kind, or all."""
        existing(published(sources), target)
        page = await asyncio.to_thread(sources.results, target, cursor, limit, kind)
        rows = [result_document(result) for result in page.results]
        return JSONResponse({
            "schema": encode.SCHEMA,
            "target": target,
            "results": rows,
            "next_cursor": page.next_cursor,
        })  # fmt: skip


def _self(router: APIRouter, sources: Sources) -> None:
    @router.get("/livez", response_model=schemas.LiveOut, tags=["daemon"])
    async def get_livez() -> Response:
        """200 while the event loop turns; no provider's trouble changes it."""
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz",
        response_model=schemas.ReadyOut,
        responses={503: {"model": schemas.ReadyOut, "description": "Not ready, and why."}},
        tags=["daemon"],
    )
    async def get_readyz() -> Response:
        """200 when a fresh snapshot stands, the schedule turns and the store takes rows."""
        problems = sources.problems()
        return JSONResponse(
            {"ready": not problems, "problems": problems}, status_code=503 if problems else 200
        )

    @router.get(
        "/metrics",
        responses={200: {"content": EXPOSITION}},
        response_class=Response,
        tags=["daemon"],
    )
    async def get_metrics(
        accept: Annotated[str, Header(max_length=1000)] = "",
        accept_encoding: Annotated[str, Header(max_length=1000)] = "",
    ) -> Response:
        """Prometheus text or OpenMetrics, by the Accept header; rendered once a second at most."""
        scrape = await sources.metrics(accept, accept_encoding)
        headers = {"Content-Type": scrape.media_type, "Vary": "Accept, Accept-Encoding"}
        if scrape.is_gzip:
            headers["Content-Encoding"] = "gzip"
        return Response(scrape.body, headers=headers)


def existing(current: Published, target: str) -> str:
    """Return *target* if it is configured; else a 404 that says where the list is."""
    if target not in current.snapshot.targets:
        raise HTTPException(404, f"No target {target!r}; GET /v1/targets lists them.")
    return target


def result_document(result: ProbeResult) -> dict[str, Any]:
    """Return one stored probe as the API shows it."""
    return {
        "probe": result.probe_id,
        "kind": result.kind.value,
        "reason": result.reason.value,
        "started_at": encode.timestamp(result.started_at),
        "duration_s": round(result.duration_s, 4),
        "latency_s": None if result.latency_s is None else round(result.latency_s, 4),
        "outcome": result.outcome.value,
        "error": result.error.value if result.error else None,
        "failed_phase": result.failed_phase.value if result.failed_phase else None,
        "detail": result.detail,
        "code": result.code,
        "http_status": result.http_status,
        "retry_at": encode.timestamp(result.retry_at),
        "cost_usd": result.cost_usd,
        "phases_s": {phase.value: round(s, 4) for phase, s in result.phases.items()},
        "slot_s": round(result.slot_s, 4),
        "finish_reason": result.finish_reason,
        "request_id": result.request_id,
        "image": encode.image_document(result.image),
        "model_version": result.model_version,
        "shutdown_on": result.shutdown_on,
        "balance_usd": result.balance_usd,
    }
