"""``imgmon openapi``: the API's description."""

from __future__ import annotations

import json
import random
from typing import Final

import click

from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.config import parse

# The routes are the same whatever is configured; nothing of a daemon is opened before its start.
_CONFIG: Final = """
[[providers]]
id = "none"
format = "openai-images"
base_url = "https://api.example.com/v1"

[[targets]]
id = "none"
provider = "none"
model = "none"
price_usd = 0.0
interval = "1h"
"""


@click.command()
def command() -> None:
    """Print the OpenAPI description of the HTTP API as JSON."""
    daemon = Daemon(parse(_CONFIG, {}, "none"), clock=SystemClock(), rng=random.Random(0))
    click.echo(json.dumps(daemon.api().openapi(), indent=2))
