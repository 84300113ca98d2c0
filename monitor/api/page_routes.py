"""The status page and the badges, made when they are asked for and kept while they are true."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Path, Query, Response

from monitor.api.routes import CACHED, Id, IfNoneMatch, Sources, existing, matches, published
from monitor.core.snapshot import Snapshot, WindowFigures
from monitor.core.standing import OBJECTIVE_SPAN_S
from monitor.page.badges import BadgeKind, badge
from monitor.page.html import POLICY, render
from monitor.publisher import Body, body_of

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(slots=True)
class _Made:
    """The page that was made last, and of which snapshot."""

    version: tuple[int, bool] = (-1, False)
    body: Body | None = None


def build(sources: Sources) -> APIRouter:
    """Return the router over *sources*."""
    router = APIRouter()
    made, making = _Made(), asyncio.Lock()

    @router.get("/", include_in_schema=False)
    async def get_page(if_none_match: IfNoneMatch = None) -> Response:
        """The status page; made at most once for each snapshot, however many look."""
        snapshot = published(sources).snapshot
        version = (snapshot.version, sources.clock.wall() > snapshot.stale_after)
        async with making:
            if made.body is None or made.version != version:
                # In a thread: a thousand targets take longer than the loop may stand still.
                html = await asyncio.to_thread(render, snapshot, is_stale=version[1])
                made.version, made.body = version, body_of(html.encode())
            body = made.body
        return _answer(body, "text/html; charset=utf-8", _HEADERS, if_none_match)

    @router.get(
        "/badges/{target}/{kind}.svg",
        responses={200: {"content": {"image/svg+xml": {}}}, **CACHED},
        response_class=Response,
        tags=["targets"],
    )
    async def get_badge(
        target: Id,
        kind: Annotated[BadgeKind, Path()],
        window: Annotated[str | None, Query(max_length=20)] = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Availability, p95 or state of one target as a small picture; of a day unless ?window=."""
        current = published(sources)
        snapshot, target = current.snapshot, existing(current, target)
        figures = _window(snapshot, target, window)
        body = body_of(badge(snapshot.targets[target], kind, figures).encode())
        headers = {"X-Content-Type-Options": "nosniff"}
        return _answer(body, "image/svg+xml", headers, if_none_match)

    return router


def _window(snapshot: Snapshot, target: str, name: str | None) -> WindowFigures:
    """Return the window of that name, or the shortest that holds a day."""
    windows = sorted(snapshot.targets[target].windows.values(), key=lambda window: window.span_s)
    if name is None:
        return next((w for w in windows if w.span_s >= OBJECTIVE_SPAN_S), windows[-1])
    found = next((w for w in windows if w.name == name), None)
    if found is None:
        names = ", ".join(w.name for w in windows)
        raise HTTPException(404, f"Target {target!r} has no window {name!r}; there are: {names}.")
    return found


def _answer(
    body: Body, media_type: str, headers: dict[str, str], if_none_match: str | None
) -> Response:
    headers = {**headers, "ETag": body.etag, "Cache-Control": "no-cache"}
    if if_none_match is not None and matches(if_none_match, body.etag):
        return Response(status_code=304, headers=headers)
    return Response(body.data, media_type=media_type, headers=headers)
