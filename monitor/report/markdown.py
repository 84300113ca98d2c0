"""A report as Markdown: headings, lists and pipe tables that any renderer takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from monitor.report.blocks import Block, Cell, Chart, Document, Facts, Folded, Quoted, Stamp, Table
from monitor.report.words import moment

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>&|~])")
_BACKTICKS: Final = re.compile(r"`+")


def render(document: Document) -> str:
    """Return *document* as Markdown (GitHub's tables); text of a provider is code, never markup."""
    blocks = [f"# {_escaped(document.title)}", _facts(document.lead)]
    for section in document.sections:
        blocks.append(f"## {_escaped(section.heading)}")
        blocks += chain.from_iterable(map(_block, section.blocks))
    return "\n\n".join(blocks) + "\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, str):
        yield _escaped(block)
    elif isinstance(block, Facts):
        yield _facts(block)
    elif isinstance(block, Table):
        yield _table(block)
    elif isinstance(block, Folded):
        yield from map(_table, block.tables)
    else:
        assert isinstance(block, Chart)
        yield _escaped(f"{block.title}: {block.words}")


def _facts(facts: Facts) -> str:
    return "\n".join(f"- **{_escaped(term)}**: {_cell(said)}" for term, said in facts.rows)


def _table(table: Table) -> str:
    marks = ["---:" if i in table.numbers else "---" for i in range(len(table.headings))]
    rows = [_row(map(_escaped, table.headings)), _row(marks)]
    rows += [_row(map(_cell, row)) for row in table.rows]
    return f"**{_escaped(table.caption)}**\n\n" + "\n".join(rows)


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _cell(cell: Cell) -> str:
    if isinstance(cell, Quoted):
        return _code(cell.text)
    if isinstance(cell, Stamp):
        return moment(cell.at)
    return _escaped(cell if isinstance(cell, str) else cell.text)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _code(text: str) -> str:
    """Return *text* as code, in more backticks than it has in a row (CommonMark 6.1)."""
    if not text:
        return ""
    fence = "`" * (1 + max(map(len, _BACKTICKS.findall(text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    # A pipe would end the cell even within code.
    return f"{fence}{space}{text}{space}{fence}".replace("|", r"\|")
