"""``imgmon agent``: tells HAProxy which of its servers is first now, over its agent-check protocol."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from monitor.cli.common import config_option, read_config, url_option
from monitor.cli.sources import listening_url
from monitor.client import AsyncPriorityClient, Order, Settings, Source

# HAProxy gives up on an agent after its own check time; one that connects and says nothing may not
# hold a connection longer.
_QUESTION_S: Final = 5.0
_QUESTION_BYTES_MAX: Final = 200
# The daemon may be away before it was ever reached: then nothing is known, and nothing is changed.
_NOTHING_KNOWN: Final = "ready up 100%"


def agent_word(order: Order, target: str) -> str:
    """
    Return what HAProxy is told of the server that stands for *target*.

    The first in the order has its full weight, the rest that could serve one percent of theirs: the
    least that HAProxy does not take for a drain. One that waits or is refused is drained, one that is
    down is down; but never the first, so that there is always a server. What nobody knows of keeps
    its weight.
    """
    places = {place.target: place for place in order.places}
    if order.source is Source.STATIC:
        return _NOTHING_KNOWN
    if target not in places:
        return "ready down #not in the order"
    if target == order.places[0].target:
        return "ready up 100%"
    place = places[target]
    if order.wait_s(place) > 0 or not place.usable:
        return f"drain up #{place.state}"
    return f"ready down #{place.state}" if place.state == "down" else "ready up 1%"


@click.command()
@click.argument("pool")
@click.option("--profile", default=None, help="What a second is worth; default: the pool's own.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8722, show_default=True, type=click.IntRange(0, 65535))
@config_option
@url_option
def command(
    *, pool: str, profile: str | None, host: str, port: int, path: Path, url: str | None
) -> None:
    """
    Answer HAProxy's agent checks with the order of POOL.

    HAProxy sends a target's id and a line feed (its option agent-send) and is answered with a weight and a
    state. While the daemon is away the last order counts; before there was any, weights stay as they
    are configured.
    """
    url = url or listening_url(read_config(path))
    try:
        client = AsyncPriorityClient(
            url, pool, static_order=["unknown"], profile=profile, settings=Settings()
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        asyncio.run(_serve(client, host, port))
    except OSError as error:
        raise click.UsageError(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what listens there or give "
            "another --port"
        ) from error


async def _serve(client: AsyncPriorityClient, host: str, port: int) -> None:
    """Answer until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(_QUESTION_S):
                line = await reader.readline()
            target = line[:_QUESTION_BYTES_MAX].decode("ascii", errors="replace").strip()
            writer.write(f"{agent_word(client.order(), target)}\n".encode())
            await writer.drain()
        writer.close()

    async with client, await asyncio.start_server(answer, host, port, limit=1024) as server:
        listening = server.sockets[0].getsockname()[1]
        click.echo(f"agent checks of pool {client.order().pool} on {host}:{listening}")
        sys.stdout.flush()
        await stop.wait()
