"""The route by which the configuration is read anew, and what became of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from fastapi import APIRouter, Depends, HTTPException, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from monitor.api import encode
from monitor.api.access import needs
from monitor.api.front import RELOAD_PATH
from monitor.api.problems import FieldError, ProblemOut, problem
from monitor.api.routes import Sources
from monitor.errors import ConfigError
from monitor.errors import Problem as ConfigurationProblem
from monitor.reloading import Reload, ReloadRefusedError, Stage
from monitor.tokens import Scope

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": ProblemOut, "description": "No valid token."},
    403: {"model": ProblemOut, "description": "The token lacks the scope operate."},
    409: {"model": ProblemOut, "description": "One is under way, or there is no file."},
}


class ChangesOut(BaseModel):
    """What became of the entries of a section."""

    added: list[str]
    removed: list[str]
    changed: dict[str, list[str]] = Field(description="Id to the keys that have other values.")


class DifferenceOut(BaseModel):
    """What a reload changes: names of entries and keys, no values."""

    targets: ChangesOut
    pools: ChangesOut
    providers: ChangesOut
    other: list[str] = Field(description="Keys of no entry, such as judging.dwell.")


class ReloadOut(BaseModel):
    """The newest reload; `none` before any."""

    stage: Stage
    at: str = Field(description="When this stage began.")
    difference: DifferenceOut
    detail: str | None = Field(description="Why it failed; the configuration of before holds.")


def build(sources: Sources) -> APIRouter:
    """Return the router over *sources*."""
    router = APIRouter(tags=["operate"])
    reloads = sources.operator.reloads
    caller = Depends(needs(sources.access, Scope.OPERATE))

    @router.get(RELOAD_PATH, response_model=ReloadOut)
    async def get_reload() -> Response:
        """What became of the newest reload, and what it changed."""
        return JSONResponse(document(reloads.last))

    @router.post(
        RELOAD_PATH,
        response_model=ReloadOut,
        responses={
            202: {"model": ReloadOut, "description": "It is under way; GET tells how it ends."},
            **_RESPONSES,
        },
    )
    async def post_reload(_: str = caller) -> Response:
        """
        Read the configuration anew and let it take the place of the one that runs.

        Answers what changes, at once; 200 when that is nothing. A bad file changes nothing.
        """
        try:
            reload = await reloads.begin()
        except ReloadRefusedError as error:
            raise HTTPException(409, f"Not reloaded: {error}.") from error
        except ConfigError as error:
            errors = [_field_error(one) for one in error.problems]
            return problem(422, "The file cannot be used; nothing was changed.", errors)
        status = 200 if reload.stage is Stage.DONE else 202
        return JSONResponse(document(reload), status_code=status)

    return router


def document(reload: Reload) -> dict[str, Any]:
    """Return *reload* as the API shows it."""
    return {
        "stage": reload.stage.value,
        "at": encode.timestamp(reload.at),
        "difference": asdict(reload.difference),
        "detail": reload.detail,
    }


def _field_error(one: ConfigurationProblem) -> FieldError:
    detail = f"{one.message}; {one.fix}" if one.fix else one.message
    return FieldError(pointer=f"file/{one.path}", detail=detail)
