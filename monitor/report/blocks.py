"""
What a report is laid out from: sections of paragraphs, tables and charts.

What a provider sent is wrapped in :class:`Quoted`, so that no renderer can take it for its own text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from monitor.core.report import Period, TargetReport


@dataclass(frozen=True, slots=True)
class Quoted:
    """Text that is not ours: a request id, an error's words. Made by :func:`quoted`."""

    text: str


def quoted(text: str | None) -> Quoted:
    """
    Return *text* (None is none) as somebody else's.

    What is not seen, such as a line break or a mark that turns the direction of what follows, is
    shown as U+FFFD: it could make a line say what nobody sent.
    """
    return Quoted("".join(c if c.isprintable() else "\ufffd" for c in text or ""))


@dataclass(frozen=True, slots=True)
class Marked:
    """A cell with a verdict: *tone* is ``good``, ``bad`` or ``unsure``; *text* says the same."""

    text: str
    tone: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """A cell with a wall time in seconds."""

    at: float


Cell = str | Quoted | Marked | Stamp


@dataclass(frozen=True, slots=True)
class Table:
    """*headings* of columns, those of numbers in *numbers* by index; rows are as long."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()


class ChartKind(StrEnum):
    """What a chart shows of a target over the period."""

    AVAILABILITY = "availability"
    LATENCY = "latency"
    INCIDENTS = "incidents"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its *title* and, for those who do not see it, what it says in *words*."""

    kind: ChartKind
    title: str
    words: str
    target: TargetReport
    period: Period


@dataclass(frozen=True, slots=True)
class Folded:
    """Tables that most readers skip, behind *summary* where the medium can fold."""

    summary: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Terms, each with what holds."""

    rows: tuple[tuple[str, Cell], ...]


Block = str | Table | Chart | Folded | Facts


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it; *anchor* names it within the file."""

    heading: str
    anchor: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A report, ready to be laid out."""

    title: str
    lead: Facts
    sections: tuple[Section, ...]
