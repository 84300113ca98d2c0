"""
Logs: structlog and the standard library through one chain, secrets replaced in every value.

Exceptions are rendered without local variables: those of an HTTP call hold its key.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, TextIO

import structlog
from structlog.processors import (
    ExceptionRenderer,
    JSONRenderer,
    StackInfoRenderer,
    TimeStamper,
    add_log_level,
)
from structlog.stdlib import ProcessorFormatter, add_logger_name
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from monitor.secrets import Redactor

FORMATS: Final = ("auto", "json", "console")
LEVELS: Final = ("debug", "info", "warning", "error")
# Libraries that speak of every request or job at info.
_QUIET: Final = ("uvicorn", "apscheduler", "httpx", "httpcore", "asyncio", "tzlocal")
# Deeper values are shown as one text; nobody reads further down, and a cycle must end.
_DEPTH_MAX: Final = 8


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Say that a line was lost; the default would print the unredacted record."""
        if sys.__stderr__ is not None:
            sys.__stderr__.write(f"imgmon: a log line of {record.name} was lost\n")


def configure(format: str, level: str, redactor: Redactor, stream: TextIO) -> None:  # noqa: A002 - the word of the configuration
    """
    Send all logs of this process to *stream*, one line each; may be called again.

    Args:
        format: ``json``, ``console``, or ``auto``: console where *stream* is a terminal.
        level: Least severity shown: ``debug``, ``info``, ``warning`` or ``error``.
        redactor: Applied to every text of every event.
        stream: Where lines go.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    is_console = format == "console" or (format == "auto" and stream.isatty())
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_log_level,
        add_logger_name,
        TimeStamper(fmt="iso", utc=True),
        StackInfoRenderer(),
    ]
    handler = _Handler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                ProcessorFormatter.remove_processors_meta,
                _exceptions(is_console=is_console),
                _Redaction(redactor),
                _renderer(stream, is_console=is_console),
            ],
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[*before, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Module-level loggers must follow a later call.
        cache_logger_on_first_use=False,
    )


def _exceptions(*, is_console: bool) -> Processor:
    if is_console:
        return ExceptionRenderer()
    # structlog's own dict_tracebacks shows locals.
    return ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def _renderer(stream: TextIO, *, is_console: bool) -> Processor:
    if is_console:
        return structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return JSONRenderer(ensure_ascii=False)


class _Redaction:
    """Replaces secrets in every text of an event, at any depth."""

    def __init__(self, redactor: Redactor) -> None:
        self._redact = redactor

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        return {self._text(str(key)): self._clean(value, 0) for key, value in event.items()}

    def _clean(self, value: object, depth: int) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self._text(value)
        if depth < _DEPTH_MAX:
            if isinstance(value, dict):
                return {self._text(str(k)): self._clean(v, depth + 1) for k, v in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [self._clean(item, depth + 1) for item in value]
        # Whatever a renderer would call repr() on.
        return self._text(repr(value))

    def _text(self, text: str) -> str:
        # JSON can spell half a surrogate pair, UTF-8 cannot: the whole line would be lost.
        return self._redact(text).encode(errors="backslashreplace").decode()
