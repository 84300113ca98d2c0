"""``imgmon run``: the daemon."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import click

from monitor import logs
from monitor.app import Daemon
from monitor.cli.common import ConfigProblem, config_option, read_config
from monitor.clock import SystemClock
from monitor.config import Config, load
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
    # Entropy of the machine: jitter and colours must not be guessable by a provider.
    rng = random.Random()
    # A key that was exchanged for another stays a secret.
    secrets: set[str] = set()

    def build(config: Config) -> Daemon:
        secrets.update(config.secrets)
        logs.configure(config.log_format, config.log_level, Redactor(secrets), sys.stderr)
        return Daemon(config, clock=SystemClock(), rng=rng)

    def read_again() -> Config:
        return listening(load(path, os.environ), listen, public_read=public_read)

    try:
        config = listening(read_config(path), listen, public_read=public_read)
        run_until_stopped(config, build, read_again)
    except MonitorError as error:
        raise ConfigProblem(str(error)) from error
