"""
One step of a wire format: give its generator a reply, take what it wants next or what it found.

A fault in a format or plug-in stops its probe and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, TypeVar

from probes.batch import BatchJob
from probes.model import Alive, ErrorClass, Format, Picture, Refused, Reply, Send, Verdict

Found = TypeVar("Found")
_ENDS: Final[Mapping[type, str]] = {
    Picture: "a picture", Alive: "a sign of life", BatchJob: "a job", tuple: "jobs", bool: "a word",
}  # fmt: skip


def begin(
    fmt: Format, make: Callable[[], Generator[Send, Reply, Found]]
) -> Generator[Send, Reply, Found]:
    """Return the generator that *make* gives; raises Refused where *fmt* breaks."""
    try:
        return make()
    except Exception as error:
        raise _fault(fmt, type(error).__name__) from error


def advance(
    fmt: Format,
    steps: Generator[Send, Reply, Found],
    reply: Reply | None,
    wanted: type[Found],
) -> Send | Found:
    """Give *steps* its reply, None at first; return the next send or the *wanted* end."""
    step: object
    try:
        step = next(steps) if reply is None else steps.send(reply)
    except StopIteration as stop:
        step = stop.value
    except Refused:
        raise
    except Exception as error:
        # Its message may quote the reply or the key, so only the type is kept.
        raise _fault(fmt, type(error).__name__) from error
    if isinstance(step, (Send, wanted)) and _is_sound(step):
        return step
    raise _fault(fmt, f"neither a send nor {_ENDS[wanted]} but {type(step).__name__}")


def _is_sound(step: Any) -> bool:
    """Whether a picture, which a plug-in may have filled with anything, holds bytes."""
    picture = step.picture if isinstance(step, BatchJob) else step
    return not isinstance(picture, Picture) or isinstance(picture.data, bytes)


def _fault(fmt: Format, what: str) -> Refused:
    detail = f"{what} in wire format {fmt.name!r}"
    return Refused(Verdict(error=ErrorClass.MONITOR_FAULT, detail=detail))
