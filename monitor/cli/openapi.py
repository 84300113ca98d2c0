"""``imgmon openapi``: the API's description."""

from __future__ import annotations

import json

import click

from monitor.api.routes import Page, Sources
from monitor.api.server import build_api
from monitor.clock import SystemClock
from monitor.publisher import Publisher


@click.command()
def command() -> None:
    """Print the OpenAPI description of the HTTP API as JSON."""
    sources = Sources(
        publisher=Publisher(lambda _: {}),
        clock=SystemClock(),
        results=lambda *_: Page((), None),
        months=lambda _: (),
        problems=list,
        metrics=lambda _: ("text/plain", b""),
    )
    click.echo(json.dumps(build_api(sources).openapi(), indent=2))
