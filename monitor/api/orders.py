"""The routes of orders: published bytes, or a variant of them that a caller asked for."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from monitor.api import encode, schemas, text
from monitor.api.holds import Holds
from monitor.api.limits import Limits, limited, limited_body
from monitor.api.polling import changed
from monitor.api.routes import CACHED, Id, IfNoneMatch, Sources, answer, published
from monitor.core.snapshot import Order
from monitor.limits import EXCLUDED_CHARS_MAX, EXCLUDED_MAX, LONG_POLL_S_MAX, POLL_FULL_RETRY_S
from monitor.publisher import Published

_Ids = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9._-]{1,100}(,[A-Za-z0-9._-]{1,100})*$", max_length=EXCLUDED_CHARS_MAX
    ),
]


class Asked(BaseModel):
    """What a caller may ask of an order."""

    profile: str | None = Field(default=None, max_length=100, description="Default: the pool's.")
    view: Literal["full", "ids"] = Field(default="full", description="Everything, or ids alone.")
    format: Literal["json", "text"] | None = Field(
        default=None, description="Instead of an Accept header."
    )
    wait: float = Field(
        default=0,
        ge=0,
        le=LONG_POLL_S_MAX,
        allow_inf_nan=False,
        description="Seconds to wait while the order's version is still `version`.",
    )
    version: int | None = Field(
        default=None,
        ge=0,
        le=2**63 - 1,
        description="Version that the caller has; without it nothing is waited for.",
    )
    max_price: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="US dollars a picture, at most."
    )
    max_p95: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Seconds, at most; a target whose p95 is not known is left out.",
    )
    exclude: list[_Ids] = Field(
        default=[],
        max_length=EXCLUDED_MAX,
        description="Targets or providers to leave out: repeated, or between commas.",
    )

    def limits(self) -> Limits:
        """Return the limits among them."""
        ids = (name for names in self.exclude for name in names.split(","))
        return Limits(max_price_usd=self.max_price, max_p95_s=self.max_p95, exclude=frozenset(ids))


_TEXT_HEADER: Final = {"schema": {"type": "string"}}
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/plain": {"schema": {"type": "string"}}},
        "headers": {
            name: _TEXT_HEADER | {"description": description}
            for name, description in (
                ("ETag", "Of exactly these bytes."),
                ("X-Imgmon-Order-Version", "Grows when the decision changes."),
                ("X-Imgmon-Valid-Until", "Until when its verdicts are fresh."),
                ("X-Imgmon-Stale", "`true` when the daemon has published nothing for 30 s."),
                ("Retry-After", "Only when too many wait: answered at once, come back later."),
            )
        },
    },
    **CACHED,
}


def build(sources: Sources, holds: Holds) -> APIRouter:
    """Return the router over *sources*; *holds* has the seats of those who wait."""
    router = APIRouter()

    @router.get("/v1/pools", response_model=schemas.PoolsOut, responses=CACHED, tags=["order"])
    async def get_pools(if_none_match: IfNoneMatch = None) -> Response:
        """Every pool, its SLO, and what each profile decided last."""
        current = published(sources)
        return answer(sources, current, current.bodies[encode.POOLS_KEY], if_none_match)

    @router.get(
        "/v1/pools/{pool}/priority",
        response_model=schemas.PriorityOut | schemas.IdsOut,
        responses=_RESPONSES,
        tags=["order"],
    )
    async def get_priority(
        request: Request,
        pool: Id,
        asked: Annotated[Asked, Query()],
        accept: Annotated[str, Header(max_length=1000, include_in_schema=False)] = "",
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """
        Targets in the order a failover client should try them, best first; never empty.

        JSON, or one line a target as text/plain. With `wait` and `version` it is a long poll.
        """
        current = published(sources)
        order = find(current, pool, asked.profile)
        is_refused = False
        if asked.wait and asked.version == order.version:
            key = (pool, order.profile.name)
            is_refused = not await changed(
                sources.publisher,
                key,
                order.version,
                seats=holds.polls,
                receive=request.receive,
                seconds=asked.wait,
            )
            current = published(sources)
            order = find(current, pool, asked.profile)
        is_text = text.prefers_text(accept) if asked.format is None else asked.format == "text"
        response = await variant(sources, current, order, asked, is_text, if_none_match)
        response.headers["Vary"] = "Accept"
        response.headers["X-Imgmon-Valid-Until"] = str(encode.timestamp(order.valid_until))
        response.headers["X-Imgmon-Order-Version"] = str(order.version)
        if is_refused:
            response.headers["Retry-After"] = str(POLL_FULL_RETRY_S)
        return response

    return router


def find(current: Published, pool: str, profile: str | None) -> Order:
    """Return the order of *pool* under *profile*, None for its own; a 404 that names what is."""
    orders = current.snapshot.orders
    known = {name: order for (pool_id, name), order in orders.items() if pool_id == pool}
    if not known:
        pools = sorted({pool_id for pool_id, _ in orders})
        raise HTTPException(404, f"No pool {pool!r}; there are: {', '.join(pools)}.")
    name = profile or next(iter(known.values())).pool.profile
    if name not in known:
        raise HTTPException(
            404, f"No such profile in pool {pool!r}; there are: {', '.join(known)}."
        )
    return known[name]


async def variant(  # noqa: PLR0917 - one call, and the names are those of its caller
    sources: Sources,
    current: Published,
    order: Order,
    asked: Asked,
    is_text: bool,
    if_none_match: str | None,
) -> Response:
    """Return the representation that was asked for; without limits JSON is the published bytes."""
    limits = asked.limits()
    if is_text:
        if limits:
            # In a thread, like all that grows with a pool: this loop times providers.
            order = (await asyncio.to_thread(limited, current, order, limits)).order
        body = text.order_text(current, order, asked.view)
        return answer(sources, current, body, if_none_match, text.TEXT)
    if limits:
        body = await asyncio.to_thread(limited_body, current, order, limits, asked.view)
    else:
        key = encode.priority_key(order.pool.id, order.profile.name, asked.view)
        body = current.bodies[key]
    return answer(sources, current, body, if_none_match)
