"""Logs: one line an event, from structlog and the standard library, without secrets."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC, datetime

import pytest
import structlog

from monitor import logs
from monitor.secrets import Redactor

KEY = "seeded/secret+value=1"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def configured(style="json", level="info", stream=None):
    """Configure logging onto a stream of the test's own."""
    stream = stream or io.StringIO()
    logs.configure(style, level, Redactor([KEY]), stream)
    return stream


def failing():
    """Raise with the secret in the message and in a local variable."""
    api_key = KEY
    raise ValueError(f"refused {api_key}")


def test_an_event_is_one_json_line():
    """With event, level, logger, UTC time and its fields."""
    stream = configured()

    structlog.get_logger("imgmon.test").info("probe.finished", target="a", latency_s=1.5, n=None)

    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    stamp = datetime.fromisoformat(event.pop("timestamp"))
    wanted = {
        "event": "probe.finished", "level": "info", "logger": "imgmon.test",
        "target": "a", "latency_s": 1.5, "n": None,
    }  # fmt: skip
    assert wanted == event
    assert UTC.utcoffset(None) == stamp.utcoffset()


def test_the_standard_library_speaks_the_same_way():
    """A record becomes the same kind of line."""
    stream = configured()

    logging.getLogger("some.library").warning("disk %s is full", "sda")

    event = json.loads(stream.getvalue())
    assert ("disk sda is full", "warning", "some.library") == (
        event["event"], event["level"], event["logger"],
    )  # fmt: skip


def test_bound_context_is_on_every_line():
    """The runner binds probe and target once."""
    stream = configured()

    with structlog.contextvars.bound_contextvars(probe="p-1"):
        logging.getLogger("x").warning("a")
        structlog.get_logger("y").warning("b")

    assert ["p-1", "p-1"] == [json.loads(line)["probe"] for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize(
    "log",
    [
        pytest.param(lambda log: log.warning(KEY), id="event"),
        pytest.param(lambda log: log.warning("e", detail=f"x {KEY} y"), id="field"),
        pytest.param(lambda log: log.warning("e", headers={"a": [{"b": (KEY,)}]}), id="nested"),
        pytest.param(lambda log: log.warning("e", headers={KEY: 1}), id="key"),
        pytest.param(lambda log: log.warning("e", thing=ValueError(KEY)), id="object"),
        pytest.param(lambda log: log.warning("e", raw=KEY.encode()), id="bytes"),
        pytest.param(lambda log: log.warning("e", deep=deep(20)), id="deep"),
        pytest.param(lambda _: logging.getLogger("lib").warning("got %s", KEY), id="record"),
        pytest.param(lambda log: log.warning("e", stack_info=True, key=KEY), id="stack"),
    ],
)
def test_no_secret_is_written(style, log):
    """Wherever it stands in an event."""
    stream = configured(style)

    log(structlog.get_logger("imgmon.test"))

    assert stream.getvalue()
    assert KEY not in stream.getvalue()
    assert "***" in stream.getvalue()


def deep(levels):
    """A secret under many lists."""
    return [deep(levels - 1)] if levels else KEY


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("source", ["structlog", "stdlib"])
def test_exceptions_show_no_variables_and_no_secret(style, source):
    """Type, message and place of the exception, but no variable's value."""
    stream = configured(style)
    log = structlog.get_logger("x") if source == "structlog" else logging.getLogger("x")

    try:
        failing()
    except ValueError:
        log.exception("call failed")

    text = stream.getvalue()
    assert "ValueError" in text
    assert "refused ***" in text
    assert "failing" in text
    assert KEY not in text
    assert "locals" not in text


def test_a_cycle_ends():
    """A value that holds itself is cut off."""
    stream = configured()
    loop = []
    loop.append(loop)

    structlog.get_logger("x").warning("e", loop=loop)

    assert "e" == json.loads(stream.getvalue())["event"]


@pytest.mark.parametrize("style", ["json", "console"])
def test_half_a_surrogate_pair_costs_no_line(style):
    """JSON of a provider may hold one; no file can, and the line arrives all the same."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="utf-8") as stream:
        configured(style, stream=stream)
        structlog.get_logger("x").warning("e", detail="cut \ud83d here", nested={"\udc00": 1})
        stream.flush()
        line = raw.getvalue().decode()

    assert "cut " in line
    assert " here" in line


def test_auto_is_console_on_a_terminal_and_json_elsewhere():
    """People get columns, programs get JSON."""
    terminal, pipe = Terminal(), io.StringIO()

    configured("auto", stream=terminal)
    structlog.get_logger("x").warning("hello")
    configured("auto", stream=pipe)
    structlog.get_logger("x").warning("hello")

    assert not terminal.getvalue().startswith("{")
    assert "\x1b[" in terminal.getvalue()
    assert "hello" == json.loads(pipe.getvalue())["event"]


def test_a_later_call_takes_over():
    """Lines go to the new stream only."""
    first = configured()
    second = configured()

    structlog.get_logger("x").warning("hello")

    assert "" == first.getvalue()
    assert 1 == len(second.getvalue().splitlines())


def test_events_below_the_level_are_not_written():
    """From either side; chatty libraries speak from warning on."""
    stream = configured(level="info")

    structlog.get_logger("x").debug("no")
    logging.getLogger("x").debug("no")
    for name in ("uvicorn.access", "apscheduler.scheduler", "httpx"):
        logging.getLogger(name).info("no")
    logging.getLogger("x").info("yes")

    assert ["yes"] == [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def test_a_line_that_cannot_be_written_is_told_without_its_content(capsys, monkeypatch):
    """The standard library would print the record, secret and all."""
    stream = configured()
    lost = io.StringIO()
    monkeypatch.setattr("sys.__stderr__", lost)
    stream.close()

    logging.getLogger("lib").warning("got %s", KEY)

    assert "imgmon: a log line of lib was lost\n" == lost.getvalue()
    assert "" == capsys.readouterr().err
