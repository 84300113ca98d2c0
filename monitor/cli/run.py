"""``imgmon run``: the daemon."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import click

from monitor import logs
from monitor.app import Daemon
from monitor.cli.common import ConfigProblem, config_option, read_config
from monitor.clock import SystemClock
from monitor.config.listen import listening
from monitor.errors import MonitorError
from monitor.secrets import Redactor
from monitor.serve import run_until_stopped


@click.command()
@config_option
@click.option(
    "--listen",
    envvar="IMGMON_LISTEN",
    default=None,
    metavar="HOST:PORT",
    help="Where the API listens, instead of what the file says.",
)
@click.option("--public-read", is_flag=True, help="Reading asks for no token, as in the file.")
def command(path: Path, listen: str | None, public_read: bool) -> None:
    """Probe the configured providers and serve figures, order and metrics until stopped."""
    try:
        config = listening(read_config(path), listen, public_read=public_read)
    except MonitorError as error:
        raise ConfigProblem(str(error)) from error
    logs.configure(config.log_format, config.log_level, Redactor(config.secrets), sys.stderr)
    # Entropy of the machine: jitter and colours must not be guessable by a provider.
    rng = random.Random()
    try:
        run_until_stopped(lambda: Daemon(config, clock=SystemClock(), rng=rng))
    except MonitorError as error:
        raise ConfigProblem(str(error)) from error
