"""``POST /v1/reports``: clients say what became of their own requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, NotRequired

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # Pydantic asks for this one before Python 3.12.

from monitor.api.access import needs
from monitor.api.problems import FieldError, ProblemOut, problem
from monitor.api.routes import Sources
from monitor.core.reports import SKEW_S_MAX, Report
from monitor.core.words import span
from monitor.desk import BusyError, Receipt, Rejected
from monitor.errors import StoreError
from monitor.steps import step_aside
from monitor.tokens import Scope
from probes.model import ErrorClass

ROWS_MAX: Final = 1_000
BYTES_MAX: Final = 1024 * 1024


class ReportIn(TypedDict):
    """One attempt of a client at one target."""

    # Dictionaries: to make an object of each row takes three times as long.
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc] # As pydantic has it.

    id: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="Made by the client, unique among its reports: a repeat changes nothing.",
        ),
    ]
    target: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
    at: Annotated[AwareDatetime, Field(description="Start of the attempt by the client's clock.")]
    error: Annotated[  # Required: what a client forgot is no picture.
        ErrorClass | None,
        Field(description="One of the error classes; null for a delivered picture."),
    ]
    latency_s: NotRequired[
        Annotated[
            float | None,
            Field(
                ge=0, le=864_000, allow_inf_nan=False,
                description="From the start to the picture or the failure.",
            ),
        ]
    ]  # fmt: skip
    attempt: NotRequired[
        Annotated[
            int,
            Field(ge=1, le=1000, description="Place in the client's fall-through; 1 if not given."),
        ]
    ]


class ReportsIn(BaseModel):
    """A body of reports."""

    model_config = ConfigDict(extra="forbid")

    sent_at: AwareDatetime = Field(description="The client's clock when it sends this.")
    reports: list[ReportIn] = Field(min_length=1, max_length=ROWS_MAX)


class RejectedOut(BaseModel):
    """A row that was not taken."""

    index: int
    id: str | None
    pointer: str = Field(description="JSON pointer to what is wrong.")
    detail: str


class ReceiptOut(BaseModel):
    """What became of the rows; what is accepted is on disk."""

    accepted: int
    duplicate: int
    rejected: list[RejectedOut]
    skew_s: float = Field(description="How far the client's clock is behind; 0 up to 2 s.")


class _Shape(BaseModel):
    """A body whose rows are not looked at yet."""

    model_config = ConfigDict(extra="forbid")

    sent_at: AwareDatetime
    reports: list[Any] = Field(min_length=1, max_length=ROWS_MAX)


_ROW: Final = TypeAdapter(ReportIn)
_ROWS: Final = TypeAdapter(list[ReportIn])
# Half a millisecond of work: readers of the order are served in between.
_SLICE: Final = 200
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": ReceiptOut, "description": "Stored, but for the rows that are rejected."},
    401: {"model": ProblemOut, "description": "No valid token."},
    403: {"model": ProblemOut, "description": "The token lacks the scope report."},
    409: {"model": ProblemOut, "description": "The client's clock is off by more than a day."},
    413: {"model": ProblemOut, "description": "The body is too large; nothing was taken."},
    422: {"model": ProblemOut, "description": "No body of reports; nothing was taken."},
    429: {"model": ProblemOut, "description": "Nothing was taken; try again after Retry-After."},
    503: {"model": ProblemOut, "description": "The store takes nothing; try again later."},
}


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """Return *schema* with its definitions in their places: OpenAPI looks for them elsewhere."""
    known = schema.pop("$defs", {})

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            if "$ref" in value:
                return placed(known[value["$ref"].rpartition("/")[2]])
            return {key: placed(inner) for key, inner in value.items()}
        return [placed(inner) for inner in value] if isinstance(value, list) else value

    whole: dict[str, Any] = placed(schema)
    return whole


def build(sources: Sources) -> APIRouter:
    """Return the router over *sources*."""
    router = APIRouter()
    caller = Depends(needs(sources.access, Scope.REPORT))

    @router.post(
        "/v1/reports",
        status_code=202,
        response_model=ReceiptOut,
        responses=_RESPONSES,
        tags=["reports"],
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _whole(ReportsIn.model_json_schema())}},
            }
        },
    )
    async def post_reports(request: Request, client: str = caller) -> Response:
        """Outcomes of a client's own requests, at most 1000; 202 once they are on disk."""
        body = await _body(request)
        try:
            whole = _shape(body)
        except ValidationError as error:
            return _no_body(error)
        await step_aside()
        skew_s = sources.clock.wall() - whole.sent_at.timestamp()
        if abs(skew_s) > SKEW_S_MAX:
            return problem(409, "Nothing was taken.", [_too_skewed(skew_s)])
        rows, rejected = await _read(whole.reports)
        sent_at = whole.sent_at.timestamp()
        try:
            receipt = await sources.desk.take(client, sent_at, rows, len(rejected))
        except BusyError as error:
            after = str(max(1, round(error.retry_after_s)))
            raise HTTPException(
                429, f"Nothing was taken: {error}.", {"Retry-After": after}
            ) from error
        except StoreError as error:
            detail = f"Nothing was taken: {error}."
            raise HTTPException(503, detail, {"Retry-After": "5"}) from error
        return JSONResponse(_receipt(receipt, rejected), status_code=202)

    return router


async def _body(request: Request) -> bytes:
    """Return the body, read up to the bound."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BYTES_MAX:
            raise HTTPException(413, f"The body is over {BYTES_MAX} bytes; send fewer reports.")
        chunks.append(chunk)
    return b"".join(chunks)


def _shape(body: bytes) -> _Shape:
    """
    Return *body* read as far as its shape: in one go, so the rows are left for later.

    Raises:
        ValidationError: It has another shape, or is no JSON.
    """
    try:
        found = from_json(body, cache_strings="keys")
    except ValueError:
        return _Shape.model_validate_json(body)  # Says where.
    return _Shape.model_validate(found)


Rows = list[tuple[int, Report]]


def _no_body(found: ValidationError) -> Response:
    """Return the problem with a body that is not of the shape."""
    errors = [
        FieldError(pointer="/" + "/".join(map(str, e["loc"])), detail=e["msg"])
        for e in found.errors(include_url=False, include_input=False)[:100]
    ]
    return problem(422, "This is no body of reports.", errors)


def _too_skewed(skew_s: float) -> FieldError:
    way = "behind" if skew_s > 0 else "ahead of"
    return FieldError(
        pointer="/sent_at",
        detail=f"is {span(abs(skew_s))} {way} the daemon's clock, and at most {span(SKEW_S_MAX)} is "
        "corrected; set the clock, and write sent_at anew each time a body is sent",
    )


async def _read(told: list[Any]) -> tuple[Rows, list[Rejected]]:
    """Return the rows of a body, and those that are none."""
    rows: Rows = []
    rejected: list[Rejected] = []
    for first in range(0, len(told), _SLICE):
        part = told[first : first + _SLICE]
        try:
            rows += enumerate(map(_report, _ROWS.validate_python(part)), first)
        except ValidationError:
            for index, row in enumerate(part, first):
                try:
                    rows.append((index, _report(_ROW.validate_python(row))))
                except ValidationError as error:
                    rejected.append(_rejected_row(index, row, error))
        await step_aside()
    return rows, rejected


def _rejected_row(index: int, row: object, error: ValidationError) -> Rejected:
    first = error.errors(include_url=False, include_input=False)[0]
    own = row.get("id") if isinstance(row, dict) else None
    # The id is what the client will look for; a wrong one is as long as it likes.
    own = own[:64] if isinstance(own, str) else None
    return Rejected(index, own, "/".join(map(str, first["loc"])), first["msg"])


def _report(row: ReportIn) -> Report:
    at, latency_s, attempt = row["at"].timestamp(), row.get("latency_s"), row.get("attempt", 1)
    return Report(row["id"], row["target"], at, row["error"], latency_s, attempt)


def _receipt(receipt: Receipt, rejected: list[Rejected]) -> dict[str, Any]:
    every = sorted((*rejected, *receipt.rejected), key=lambda row: row.index)
    return {
        "accepted": receipt.accepted,
        "duplicate": receipt.duplicates,
        "rejected": list(_rejected(every)),
        "skew_s": round(receipt.skew_s, 3),
    }


def _rejected(rows: list[Rejected]) -> Iterator[dict[str, Any]]:
    for row in rows:
        place = f"/reports/{row.index}"
        yield {
            "index": row.index,
            "id": row.id,
            "pointer": f"{place}/{row.field}" if row.field else place,
            "detail": row.detail,
        }
