"""Where the API listens: who may reach it, and what the command line says instead of the file."""

from __future__ import annotations

from dataclasses import replace

from monitor.config.model import Config
from monitor.config.values import LOOPBACK, BadValueError, parse_listen
from monitor.errors import ConfigError, Problem


def exposed(listen: tuple[str, int], *, public_read: bool, path: str) -> Problem | None:
    """Return what is wrong with listening there, as a problem of *path*; None when nothing is."""
    if listen[0] in LOOPBACK or public_read:
        return None
    return Problem(
        path,
        f"{listen[0]} is reachable from elsewhere, and reading asks for no token",
        "listen on 127.0.0.1, or set public_read = true",
    )


def listening(config: Config, listen: str | None, *, public_read: bool = False) -> Config:
    """
    Return *config* as the command line changes it.

    Args:
        config: As the file has it.
        listen: HOST:PORT; None for that of the file.
        public_read: Whether everybody who reaches it may read, beside what the file says.

    Raises:
        ConfigError: *listen* is no address, or reachable from elsewhere without *public_read*.
    """
    try:
        place = config.listen if listen is None else parse_listen(listen)
    except BadValueError as error:
        raise ConfigError([Problem("--listen", str(error), error.fix)]) from error
    is_public = config.public_read or public_read
    fault = exposed(place, public_read=is_public, path="--listen")
    if fault is not None:
        raise ConfigError([fault])
    return replace(config, listen=place, public_read=is_public)
