"""Errors as RFC 9457 problems: what, where and what to do; secrets never echo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match


class FieldError(BaseModel):
    """One wrong field."""

    pointer: str = Field(
        description="A JSON pointer into the body, or query/NAME, path/NAME, header/NAME; of a "
        "configuration file/KEY, such as file/targets[3].interval."
    )
    detail: str


class ProblemOut(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


class ProblemResponse(JSONResponse):
    """A JSON answer of the media type of RFC 9457."""

    media_type = "application/problem+json"


def problem(
    status: int,
    detail: str,
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> ProblemResponse:
    """Return a problem answer for *status*."""
    content = ProblemOut(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors or []
    )
    return ProblemResponse(content.model_dump(), status_code=status, headers=headers)


def pointer(place: Sequence[str | int]) -> str:
    """Return where *place* is: a JSON pointer (RFC 6901) in the body, else query/NAME and so on."""
    source, *parts = (str(part) for part in place)
    if source != "body":
        return "/".join((source, *parts))
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)


def field_error(error: Mapping[str, Any]) -> FieldError:
    """Return what one of pydantic's errors says; without the value."""
    if error.get("type") == "json_invalid":  # Its place is a character, which no pointer tells.
        detail = f"Not JSON at character {error['loc'][-1]}."
        return FieldError(pointer="", detail=detail)
    return FieldError(pointer=pointer(error["loc"]), detail=error["msg"])


async def only_known_parameters(request: Request) -> None:
    """
    Refuse a query parameter of the API that does not exist: a mistyped limit would limit nothing.

    Raises:
        RequestValidationError: There is one.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.path_format.startswith("/v1/"):
        return  # Scrapers add parameters of their own.
    operation = request.app.openapi()["paths"][route.path_format][request.method.lower()]
    known = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
    there_are = f"there are: {', '.join(known)}" if known else "there is none"
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError([
            {"loc": ("query", name[:100]), "msg": f"No such parameter; {there_are}."}
            for name in unknown[:10]
        ])  # fmt: skip


def install(app: FastAPI) -> None:
    """Answer every error of *app* as a problem."""

    async def http_error(request: Request, error: Exception) -> ProblemResponse:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router names the methods of the first route of the path alone.
            routes = [r for r in app.routes if r.matches(request.scope)[0] is not Match.NONE]
            methods = {m for r in routes for m in getattr(r, "methods", ())}
            headers["Allow"] = ", ".join(sorted(methods))
        if error.status_code == HTTPStatus.BAD_REQUEST:
            # FastAPI's own word for a body of bytes that are no text.
            field = FieldError(pointer="", detail="This is no JSON.")
            return problem(422, "The request does not fit the schema.", [field])
        return problem(error.status_code, str(error.detail), headers=headers)

    async def invalid(_: Request, error: Exception) -> ProblemResponse:
        assert isinstance(error, RequestValidationError)
        # Only place and message: the rejected value may be somebody's token.
        errors = [field_error(e) for e in error.errors()]
        return problem(422, "The request does not fit the schema.", errors)

    async def gone(_: Request, __: Exception) -> ProblemResponse:
        return problem(400, "The body ended before its end.")  # For the count: nobody reads it.

    async def crash(_: Request, error: Exception) -> ProblemResponse:
        return problem(
            500, f"{type(error).__name__} in the monitor; its log has the rest. Please report it."
        )

    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, crash)
