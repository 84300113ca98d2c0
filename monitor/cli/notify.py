"""``imgmon notify``: does a route lead where it should?"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from monitor import logs
from monitor.cli import PROVIDER_BAD
from monitor.cli.common import ConfigProblem, config_option, read_config
from monitor.clock import Clock, SystemClock
from monitor.config.notify import Channel, Outlet
from monitor.core.notices import Notice, Part, Severity, Topic
from monitor.core.notify import Message, message_of
from monitor.notify.channels import Attempt, channel_of, client
from monitor.secrets import Redactor


@click.group()
def command() -> None:
    """Try the notification routes of the configuration."""


@command.command()
@click.argument("route_id", metavar="ROUTE")
@config_option
def test(path: Path, route_id: str) -> None:
    """
    Send a test message over ROUTE, once, and show what came back.

    PagerDuty gets an alert and its resolution. Exit code 1 when the message did not arrive.
    """
    config = read_config(path)
    known = {outlet.route.id: outlet for outlet in config.routes}
    if route_id not in known:
        names = ", ".join(known) or "none"
        raise ConfigProblem(f"There is no route {route_id!r} in {path}; there are: {names}.")
    outlet = known[route_id]
    if not outlet.place:
        raise ConfigProblem("\n".join(w for w in config.warnings if f"route {route_id}:" in w))
    redact = Redactor(config.secrets)
    logs.configure("auto", "error", redact, sys.stderr)
    attempts = asyncio.run(_try(outlet, SystemClock(), redact))
    for attempt in attempts:
        click.echo(f"{route_id}: {'sent' if attempt.is_sent else 'not sent'}, {attempt.words}")
    if not all(attempt.is_sent for attempt in attempts):
        raise SystemExit(PROVIDER_BAD)


async def _try(outlet: Outlet, clock: Clock, redact: Redactor) -> list[Attempt]:
    async with client() as http:
        channel = channel_of(outlet, http, clock, redact)
        return [await channel.send(message) for message in test_messages(outlet, clock.wall())]


def test_messages(outlet: Outlet, now: float) -> Sequence[Message]:
    """Return what a test sends at *now*: nothing that stays open anywhere."""
    notice = Notice(
        event=0,
        part=Part.FACT,
        topic=Topic.STATE,
        severity=Severity.INFO,
        key=f"test-{now:.3f}",
        at=now,
        started_at=now,
        text="this is a test of imgmon; nothing is wrong",
    )
    notices = [notice]
    if outlet.channel is Channel.PAGERDUTY:
        notices = [replace(notice, part=Part.BEGUN), replace(notice, part=Part.OVER)]
    return [message_of(outlet.route, (notice,), now) for notice in notices]
