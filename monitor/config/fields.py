"""Kinds of value in the file, each read by ``values`` and described for JSON Schema; tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from monitor.config import values
from monitor.limits import INTERVAL_S_MIN
from monitor.secrets import Reference, SecretError, parse_reference

T = TypeVar("T")


class Table(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _told(parse: Callable[[object], T]) -> Callable[[object], T]:
    """Return *parse* with its complaint, and the fix in it, as pydantic wants them."""

    def validate(value: object) -> T:
        try:
            return parse(value)
        except (values.BadValueError, SecretError) as error:
            context = {"message": str(error), "fix": error.fix}
            raise PydanticCustomError("imgmon", "{message}", context) from None

    return validate


Slug = Annotated[
    str,
    BeforeValidator(_told(values.parse_slug)),
    Field(json_schema_extra={"pattern": f"^{values.SLUG.pattern}$"}),
]
Duration = Annotated[
    float,
    PlainValidator(_told(values.parse_duration)),
    WithJsonSchema({
        "description": 'Such as "90s", "15m", "1h", "1d", or seconds.',
        "anyOf": [
            {"type": "string", "pattern": values.DURATION_PATTERN},
            {"type": "number", "exclusiveMinimum": 0},
        ],
    }),
]  # fmt: skip
Every = Annotated[
    float | Literal["off"],
    PlainValidator(_told(values.parse_every)),
    WithJsonSchema({
        "description": 'Such as "90s" or "5m", at least a second, or "off".',
        "anyOf": [
            {"const": "off"},
            {"type": "string", "pattern": values.DURATION_PATTERN},
            {"type": "number", "minimum": INTERVAL_S_MIN},
        ],
    }),
]  # fmt: skip
Size = Annotated[
    tuple[int, int],
    PlainValidator(_told(values.parse_size)),
    WithJsonSchema({"type": "string", "pattern": values.SIZE_PATTERN}),
]
BaseUrl = Annotated[
    str,
    PlainValidator(_told(values.parse_base_url)),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
Listen = Annotated[
    tuple[str, int],
    PlainValidator(_told(values.parse_listen)),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:8720"]}),
]
Key = Annotated[
    Reference,
    PlainValidator(_told(parse_reference)),
    WithJsonSchema({
        "type": "object",
        "oneOf": [
            {"required": [kind], "properties": {kind: {"type": "string"}},
             "additionalProperties": False}
            for kind in ("env", "file")
        ],
    }),
]  # fmt: skip
Zone = Annotated[
    ZoneInfo,
    PlainValidator(_told(values.parse_zone)),
    WithJsonSchema({"type": "string", "examples": ["America/Los_Angeles", "UTC"]}),
]
Moment = Annotated[
    float,
    PlainValidator(_told(values.parse_moment)),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
WeeklyTimes = Annotated[
    tuple[int, int, int],
    PlainValidator(_told(values.parse_weekly)),
    WithJsonSchema({"type": "string", "pattern": values.WEEKLY_PATTERN}),
]
TimeOfDay = Annotated[
    int,
    PlainValidator(_told(values.parse_time)),
    WithJsonSchema({"type": "string", "pattern": values.TIME_PATTERN}),
]
Requests = Annotated[int, Field(ge=1, le=1_000_000_000)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
HostSuffix = Annotated[str, Field(pattern=r"^(\.[a-z0-9-]+){2,}$", max_length=253)]
