"""From text to checked tables: TOML errors and wrong entries as problems with path and fix."""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from monitor.config.schema import FileTable, PoolTable, ProviderTable, TargetTable
from monitor.errors import ConfigError, Problem
from monitor.limits import CONFIG_BYTES_MAX, INTERVAL_S_MAX

_LIST_MODELS: Final = {"providers": ProviderTable, "targets": TargetTable, "pools": PoolTable}
_AT: Final = re.compile(r" ?\((at .*)\)$")
# Held in place of a required value that is no good, so that the rest of its entry is still checked;
# the longest interval suits every deadline.
_STAND_INS: Final = {"id": "unnamed", "interval": INTERVAL_S_MAX}
_SUBJECT: Final = re.compile(r"^\w+ should")
# Where pydantic's words would not do.
_WORDS: Final = {
    "string_pattern_mismatch": "must be a host suffix such as .bfl.ai",
    "invalid-json-value": "must hold only what JSON can: no dates, no times",
    "model_type": "must be a table, such as {{ key = value }}",
    "dict_type": "must be a table, such as {{ key = value }}",
    "list_type": 'must be a list, such as ["..."]',
    "string_type": "must be a text in quotes",
    "bool_type": "must be true or false, without quotes",
    "float_type": "must be a number, without quotes",
    "int_type": "must be a whole number, without quotes",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "string_too_short": "must not be empty",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
    "finite_number": "must be a finite number",
}
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Tables:
    """
    What could be read: entries by their place in the file, without their unsound values.

    Attributes:
        named: Section to every id in it, those of unsound entries included; a section that could
            not be read at all is absent.
        pooled: Every pool that a target names, unsound ones included.
    """

    rest: FileTable
    providers: Mapping[int, ProviderTable]
    targets: Mapping[int, TargetTable]
    pools: Mapping[int, PoolTable]
    named: Mapping[str, frozenset[str]]
    pooled: frozenset[str]


def decode(raw: bytes) -> str:
    """
    Return the text of a configuration file.

    Raises:
        ConfigError: it is too long or not UTF-8.
    """
    if len(raw) > CONFIG_BYTES_MAX:
        raise ConfigError([Problem("", f"the file is over {CONFIG_BYTES_MAX} bytes long")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(f"line {line}", "is not UTF-8", "save the file as UTF-8")
        raise ConfigError([problem]) from error


def read_toml(text: str) -> dict[str, Any]:
    """
    Return *text* as plain values.

    Raises:
        ConfigError: it is not TOML; says in which line and column.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError([Problem("", "is nested too deep to be read")]) from error
    except ValueError as error:
        message = str(error)
        place = _AT.search(message)
        path = place[1].removeprefix("at ") if place else ""
        problem = Problem(path, f"not TOML: {_AT.sub('', message)}")
        raise ConfigError([problem]) from error


def read_tables(document: Mapping[str, Any]) -> tuple[Tables, list[Problem]]:
    """Return what is sound in *document*, and what is wrong with the rest."""
    problems: list[Problem] = []
    lists, unsound = {}, set()
    for section in _LIST_MODELS:
        entries = document.get(section, [])
        is_sound = isinstance(entries, list) and all(isinstance(e, dict) for e in entries)
        lists[section] = entries if is_sound else []
        if not is_sound:
            unsound.add(section)
            fix = f"write [[{section}]]" if isinstance(entries, dict) else ""
            problems.append(Problem(section, "must be a list of tables", fix))
    if document.get("targets", []) == []:
        problems.append(Problem("targets", "must be at least one", "add a [[targets]] table"))
    rest = {key: value for key, value in document.items() if key not in _LIST_MODELS}
    try:
        file = FileTable.model_validate(rest)
    except ValidationError as error:
        problems += _problems(error, FileTable, ())
        wrong = {str(item["loc"][0]) for item in error.errors() if item["loc"]}
        file = FileTable.model_validate({k: v for k, v in rest.items() if k not in wrong})
    tables = Tables(
        rest=file,
        providers=_entries("providers", ProviderTable, lists["providers"], problems),
        targets=_entries("targets", TargetTable, lists["targets"], problems),
        pools=_entries("pools", PoolTable, lists["pools"], problems),
        named={
            section: frozenset(e["id"] for e in entries if isinstance(e.get("id"), str))
            for section, entries in lists.items()
            if section not in unsound
        },
        pooled=frozenset(
            pool
            for entry in lists["targets"]
            if isinstance(pools := entry.get("pools"), list)
            for pool in pools
            if isinstance(pool, str)
        ),
    )
    return tables, problems


def _entries(
    section: str, model: type[M], raw: Sequence[Any], problems: list[Problem]
) -> dict[int, M]:
    bound = next(m.max_length for m in FileTable.model_fields[section].metadata)
    if len(raw) > bound:
        problems.append(Problem(section, f"must be at most {bound}, are {len(raw)}"))
        return {}
    sound = {}
    for index, entry in enumerate(raw):
        try:
            sound[index] = model.model_validate(entry)
        except ValidationError as error:
            problems += _problems(error, model, (section, index))
            wrong = {str(item["loc"][0]) for item in error.errors()}
            # What is left is still held against the rest of the file.
            with suppress(ValidationError):
                left = {key: value for key, value in entry.items() if key not in wrong}
                stand_ins = {key: _STAND_INS[key] for key in wrong & _STAND_INS.keys()}
                sound[index] = model.model_validate(left | stand_ins)
    return sound


def path_of(location: Sequence[int | str]) -> str:
    """Return a location as people write it: ``targets[3].price_usd``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return a fix for an unknown *word*: the closest known one, or all of them."""
    if close := difflib.get_close_matches(word, known, n=1):
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else ""


def _problems(
    error: ValidationError, model: type[BaseModel], at: tuple[int | str, ...]
) -> list[Problem]:
    """Return pydantic's complaints in our words; values are never echoed, they may be secret."""
    found = []
    for item in error.errors(include_url=False, include_input=False):
        # A complaint about a dictionary's key ends in pydantic's own mark.
        location = tuple(part for part in item["loc"] if part != "[key]")
        path, context = path_of((*at, *location)), item.get("ctx", {})
        match item["type"]:
            case "imgmon":
                found.append(Problem(path, context["message"], context["fix"]))
            case "extra_forbidden":
                known = _keys_at(model, location[:-1])
                fix = suggestion(str(location[-1]), known)
                found.append(Problem(path, "unknown key", fix))
            case "missing":
                found.append(Problem(path, "is required"))
            case kind:
                # Choices of a value that may be of several types are part of the location.
                path = path_of((*at, *_declared(model, location)))
                words = _WORDS.get(kind)
                text = words.format(**context) if words else ""
                found.append(Problem(path, text or _SUBJECT.sub("must", item["msg"])))
    return list(dict.fromkeys(found))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table that a field's type holds, as itself, in a list or beside None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)


def _keys_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        model = (field and _model_in(field.annotation)) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _declared(model: type[BaseModel], location: Sequence[int | str]) -> Sequence[int | str]:
    """Return *location* up to the last key that a table declares, with the index after it."""
    end = 0
    at: type[BaseModel] | None = model
    for position, part in enumerate(location):
        if isinstance(part, int):
            end = position + 1
        elif at is not None and part in at.model_fields:
            end = position + 1
            at = _model_in(at.model_fields[part].annotation)
        else:
            break
    return location[:end]
