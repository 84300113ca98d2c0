"""
What the server serves: an application that can be exchanged while it is called.

Readers are answered by the one before until the next is there. Who writes is asked to come back
while nobody can take it in.
"""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import FastAPI
from fastapi.dependencies import models
from starlette.types import Receive, Scope, Send

from monitor.api.problems import problem
from monitor.limits import DRAIN_S

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_RETRY_S: Final = 2
RELOAD_PATH: Final = "/v1/reload"


class Front:
    """Calls the application of the moment."""

    def __init__(self, app: FastAPI) -> None:
        """Begin with *app*."""
        self._app = app
        self._writing = 0
        self._is_shut = False
        self._is_quiet = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or ask to come back."""
        # A reload writes nothing itself; while one is under way the answer is that it is.
        if scope["type"] != "http" or scope["method"] in _READING or scope["path"] == RELOAD_PATH:
            await self._app(scope, receive, send)
            return
        if self._is_shut:
            words = "The configuration is being exchanged; ask again in a moment."
            await problem(503, words, headers={"Retry-After": str(_RETRY_S)})(scope, receive, send)
            return
        self._writing += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._writing -= 1
            if not self._writing:
                self._is_quiet.set()

    async def shut(self, grace_s: float = DRAIN_S) -> None:
        """Let nobody write any more, and those who do finish, for *grace_s* at most."""
        self._is_shut = True
        if self._writing:
            self._is_quiet.clear()
            try:
                async with asyncio.timeout(grace_s):
                    await self._is_quiet.wait()
            except TimeoutError:
                pass

    def exchange(self, app: FastAPI) -> None:
        """Have *app* answer from now on; who waits for something is released and asks it anew."""
        before, self._app = self._app, app
        self._is_shut = False
        before.state.holds.close()
        # FastAPI caches what it finds out of functions, and keeps with them all that they hold.
        for cache in vars(models).values():
            if hasattr(cache, "cache_clear"):
                cache.cache_clear()

    def close(self) -> None:
        """Release those who wait for something: the server stops."""
        self._app.state.holds.close()
