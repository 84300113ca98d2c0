"""Counts answers by route and status: which callers there are, and what they are refused."""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

OTHER = "other"  # What no route takes, or the gate refuses before any could.


class Counted:
    """Counts every answer of *app* in *answers*, by (template of the route, status)."""

    def __init__(self, app: ASGIApp, answers: Counter[tuple[str, int]]) -> None:
        """Stand before *app*."""
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count what begins to be answered."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The template, set by the router: a path would be a label without bound.
                route = getattr(scope.get("route"), "path", OTHER)
                self._answers[route, message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counted)
