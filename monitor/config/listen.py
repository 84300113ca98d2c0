"""Where the API listens, and who may read there, as the command line says instead of the file."""

from __future__ import annotations

from dataclasses import replace

from monitor.config.model import Config
from monitor.config.values import BadValueError, parse_listen
from monitor.errors import ConfigError, Problem


def listening(config: Config, listen: str | None, *, public_read: bool = False) -> Config:
    """
    Return *config* as the command line changes it.

    Args:
        config: As the file has it.
        listen: HOST:PORT; None for that of the file.
        public_read: Whether reading asks for no token, beside what the file says.

    Raises:
        ConfigError: *listen* is no address.
    """
    try:
        place = config.listen if listen is None else parse_listen(listen)
    except BadValueError as error:
        raise ConfigError([Problem("--listen", str(error), error.fix)]) from error
    return replace(config, listen=place, public_read=config.public_read or public_read)
