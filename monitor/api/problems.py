"""Errors as RFC 9457 problems: what, where and what to do; secrets never echo."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException


class FieldError(BaseModel):
    """One wrong field."""

    pointer: str = Field(description="Where it is, as query/NAME, path/NAME or a JSON pointer.")
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


def install(app: FastAPI) -> None:
    """Answer every error of *app* as a problem."""

    async def http_error(_: Request, error: Exception) -> ProblemResponse:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers) if error.headers else None
        return problem(error.status_code, str(error.detail), headers=headers)

    async def invalid(_: Request, error: Exception) -> ProblemResponse:
        assert isinstance(error, RequestValidationError)
        # Only place and message: the rejected value may be somebody's token.
        errors = [
            FieldError(pointer="/".join(str(part) for part in e["loc"]), detail=e["msg"])
            for e in error.errors()
        ]
        return problem(422, "The request does not fit the schema.", errors)

    async def crash(_: Request, error: Exception) -> ProblemResponse:
        return problem(
            500, f"{type(error).__name__} in the monitor; its log has the rest. Please report it."
        )

    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, crash)
