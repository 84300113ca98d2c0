"""What an operator does to a running daemon; each asks for a token with the scope ``operate``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from monitor.api import encode
from monitor.api.access import needs
from monitor.api.problems import ProblemOut
from monitor.api.routes import NOT_FOUND, Id, Sources, existing, published, result_document
from monitor.api.schemas import PauseOut, ResultOut
from monitor.core.pause import Pause
from monitor.errors import StoreError
from monitor.tokens import Scope
from probes.model import ProbeReason

PAUSE_S_MAX: Final = 366 * 86_400
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": ProblemOut, "description": "No valid token."},
    403: {"model": ProblemOut, "description": "The token lacks the scope operate."},
    **NOT_FOUND,
}


class PauseIn(BaseModel):
    """A pause to begin now."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, description="Why, for whoever asks later.")
    seconds: float | None = Field(
        default=None, gt=0, le=PAUSE_S_MAX, allow_inf_nan=False, strict=True,
        description="For how long; null until it is ended.",
    )  # fmt: skip


class PausedOut(BaseModel):
    """The pause that a target is in; null for none."""

    target: str
    paused: PauseOut | None


class SentOut(BaseModel):
    """A probe that was asked for; its result is null while it is under way."""

    target: str
    result: ResultOut | None


def build(sources: Sources) -> APIRouter:
    """Return the router over *sources*."""
    router = APIRouter(tags=["operate"])
    caller = Depends(needs(sources.access, Scope.OPERATE))
    operator = sources.operator
    waited: set[asyncio.Future[Any]] = set()

    @router.post(
        "/v1/targets/{target}/probe",
        response_model=SentOut,
        responses={
            202: {"model": SentOut, "description": "It is under way; its result will be stored."},
            409: {"model": ProblemOut, "description": "It was not sent, and why."},
            **_REFUSED,
        },
    )
    async def post_probe(
        target: Id,
        wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for it.")] = 10.0,
        _: str = caller,
    ) -> Response:
        """Send one canary now, within all caps and quotas; it feeds the state, never availability."""
        existing(published(sources), target)
        runner = operator.runner
        if not operator.can_probe(target):
            why = "its key is missing, its format is broken, or it is a batch queue, whose jobs come by schedule"
            raise HTTPException(409, f"{target} cannot be probed by hand: {why}.")
        if runner.is_under_way(target):
            raise HTTPException(409, f"A probe of {target} is under way; see its results.")
        probe = asyncio.ensure_future(runner.run(target, reason=ProbeReason.MANUAL))
        waited.add(probe)
        probe.add_done_callback(waited.discard)
        done, _pending = await asyncio.wait({probe}, timeout=wait)
        if not done:
            return JSONResponse({"target": target, "result": None}, status_code=202)
        result = probe.result()
        if result is None:
            raise HTTPException(409, f"Not sent: {runner.last_refusal(target)}.")
        return JSONResponse({"target": target, "result": result_document(result)})

    @router.post("/v1/targets/{target}/pause", response_model=PausedOut, responses=_REFUSED)
    async def post_pause(target: Id, body: PauseIn, name: str = caller) -> Response:
        """Send no canaries of the schedule: its slots are gaps `paused`. Free calls go on."""
        existing(published(sources), target)
        now = sources.clock.wall()
        until = None if body.seconds is None else now + body.seconds
        pause = Pause(now, until, body.reason, name)
        try:
            await operator.pauses.set(target, pause)
        except StoreError as error:
            raise HTTPException(503, f"Nothing was changed: {error}.") from error
        operator.changed(target)
        return JSONResponse({"target": target, "paused": encode.pause_document(pause)})

    @router.delete("/v1/targets/{target}/pause", response_model=PausedOut, responses=_REFUSED)
    async def delete_pause(target: Id, _: str = caller) -> Response:
        """End the pause of a target; fine when it is in none."""
        existing(published(sources), target)
        try:
            await operator.pauses.end(target)
        except StoreError as error:
            raise HTTPException(503, f"Nothing was changed: {error}.") from error
        operator.changed(target)
        return JSONResponse({"target": target, "paused": None})

    return router
