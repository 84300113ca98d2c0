"""Waiting for an order to change: one future a waiter, no thread, and no change is missed."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from monitor.api.holds import Seats, until_gone
from monitor.publisher import Publisher


async def changed(
    publisher: Publisher,
    key: tuple[str, str],
    version: int,
    *,
    seats: Seats,
    receive: Receive,
    seconds: float,
) -> bool:
    """
    Wait until the order of *key* has another version than *version*, for *seconds* at most.

    Returns at once when the server stops or the client hangs up; False when all *seats* are taken.
    """
    with seats.seat() as wake:
        if wake is None:
            return False

        def look() -> None:
            current = publisher.current
            order = current.snapshot.orders.get(key) if current is not None else None
            if order is None or order.version != version:
                wake.set()

        with publisher.telling(look):
            look()  # After listening has begun: what is published in between is not missed.
            async with until_gone(receive, wake):
                try:
                    async with asyncio.timeout(seconds):
                        await wake.wait()
                except TimeoutError:
                    pass
    return True
