"""``imgmon openapi``: the API's description."""

from __future__ import annotations

import json
from pathlib import Path

import click

from monitor.api.access import Access
from monitor.api.routes import Page, Sources
from monitor.api.server import build_api
from monitor.clock import SystemClock
from monitor.core.profile import Profile
from monitor.exposition import Scrape
from monitor.publisher import Publisher
from monitor.store.history import History
from monitor.store.reader import Reader
from monitor.tokens import TokenBook


async def _no_metrics(_: str, __: str) -> Scrape:
    return Scrape("text/plain", b"", is_gzip=False)


@click.command()
def command() -> None:
    """Print the OpenAPI description of the HTTP API as JSON."""
    clock = SystemClock()
    sources = Sources(
        access=Access(TokenBook(Path("unread"), clock), is_reading_open=False),
        publisher=Publisher(lambda _: {}),
        clock=clock,
        results=lambda *_: Page((), None),
        months=lambda _: (),
        history=History(Reader(Path("unread"))),
        profile=lambda _: Profile("UTC", 0.0, ()),
        problems=list,
        metrics=_no_metrics,
    )
    click.echo(json.dumps(build_api(sources).openapi(), indent=2))
