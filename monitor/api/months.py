"""The route of calendar months."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from monitor.api import encode
from monitor.api.routes import NOT_FOUND, Id, Sources, existing, published
from monitor.api.schemas import ObjectiveOut, WindowOut
from monitor.core.months import MonthFigures, month_bounds


class MonthOut(WindowOut):
    """Figures of one UTC month, or of what has passed of it."""

    month: str = Field(description="Such as 2026-11.")
    is_final: bool = Field(description="Frozen: nothing changes these figures any more.")
    begins_at: str
    ends_at: str
    made_at: str
    claim: ObjectiveOut = Field(description="As it was when the figures were made.")
    spend_usd: float = Field(description="Booked for all probes of the target.")


class MonthsOut(BaseModel):
    """The months of one target, oldest first; the running one is the last."""

    schema_: int = Field(alias="schema")
    target: str
    months: list[MonthOut]


def build(sources: Sources) -> APIRouter:
    """Return the router over *sources*."""
    router = APIRouter()

    @router.get(
        "/v1/targets/{target}/months",
        response_model=MonthsOut,
        responses=NOT_FOUND,
        tags=["targets"],
    )
    async def get_months(target: Id) -> Response:
        """Figures of one target by UTC month; those of ended months are frozen a day later."""
        existing(published(sources), target)
        months = await asyncio.to_thread(sources.months, target)
        return JSONResponse({
            "schema": encode.SCHEMA,
            "target": target,
            "months": [month_document(month) for month in months],
        })  # fmt: skip

    return router


def month_document(month: MonthFigures) -> dict[str, Any]:
    """Return one month as the API shows it."""
    since, until = month_bounds(month.month)
    return {
        "month": month.month,
        "is_final": month.is_final,
        "begins_at": encode.timestamp(since),
        "ends_at": encode.timestamp(until),
        "made_at": encode.timestamp(month.made_at),
        "claim": {
            "availability": month.claim.availability,
            "latency_p95_s": month.claim.latency_p95_s,
        },
        "spend_usd": month.spend_usd,
        **encode.window_document(month.figures, month.verdicts),
    }
