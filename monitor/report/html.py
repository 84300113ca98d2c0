"""A report as one HTML file: no script, nothing from elsewhere; light, dark, narrow or on paper."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from monitor.core.words import exact_percent, rfc3339
from monitor.report import charts
from monitor.report.blocks import (
    Block,
    Cell,
    Chart,
    ChartKind,
    Document,
    Facts,
    Folded,
    Marked,
    Quoted,
    Section,
    Stamp,
    Table,
)
from monitor.report.style import STYLE
from monitor.report.words import duration, moment

# Fewer sections are found without a list of them.
_LISTED_FROM: Final = 4
# Patterns that shapes are filled with, once for the page.
_HATCH: Final = (
    '<svg class="defs" aria-hidden="true"><defs><pattern id="hatch" width="6" height="6" '
    'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="6" height="6"/><rect class="hatch-line" width="2" '
    'height="6"/></pattern></defs></svg>'
)
_LEGENDS: Final = {
    ChartKind.AVAILABILITY: (
        ("good", "no failure"),
        ("some", f"failures, at least {exact_percent(charts.BAD_DAY)} % good"),
        ("bad", f"under {exact_percent(charts.BAD_DAY)} % good"),
        ("ours", "refused to our account alone"),
        ("unmeasured", "not measured"),
    ),
    ChartKind.LATENCY: (
        ("point", "p95 of the day"),
        ("failure", "day with failures"),
        ("limit", "claimed p95"),
        ("unmeasured", "not measured"),
    ),
    ChartKind.INCIDENTS: (
        ("bad", "the provider's"),
        ("ours", "our account's"),
        ("unmeasured", "day not measured"),
    ),
}


def render(document: Document) -> str:
    """Return *document* as a whole HTML page."""
    title = escape(document.title)
    body = "\n".join(_body(document))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # The page asks nobody for anything, an icon neither.
        '<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _body(document: Document) -> Iterator[str]:
    yield f"{_HATCH}\n<header>\n<h1>{escape(document.title)}</h1>\n{_facts(document.lead)}\n</header>"
    if len(document.sections) >= _LISTED_FROM:
        links = (
            f'<li><a href="#{escape(section.anchor)}">{escape(section.heading)}</a></li>'
            for section in document.sections
        )
        yield f'<nav aria-label="Sections"><ul>{"".join(links)}</ul></nav>'
    yield "<main>"
    for section in document.sections:
        yield _section(section)
    yield "</main>"


def _section(section: Section) -> str:
    anchor = escape(section.anchor)
    blocks = "\n".join(_block(block) for block in section.blocks)
    return (
        f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{escape(section.heading)}</h2>\n'
        f"{blocks}\n</section>"
    )


def _block(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    if isinstance(block, Facts):
        return _facts(block)
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Folded):
        tables = "\n".join(map(_table, block.tables))
        return f"<details><summary>{escape(block.summary)}</summary>\n{tables}\n</details>"
    assert isinstance(block, Chart)
    return _chart(block)


def _facts(facts: Facts) -> str:
    rows = (f"<dt>{escape(term)}</dt><dd>{_cell(said)}</dd>" for term, said in facts.rows)
    return f"<dl>{''.join(rows)}</dl>"


def _table(table: Table) -> str:
    """Return *table* in a region of its own, which scrolls where the page is too narrow for it."""
    classes = [' class="number"' if i in table.numbers else "" for i in range(len(table.headings))]
    head = "".join(
        f'<th scope="col"{name}>{escape(heading)}</th>'
        for name, heading in zip(classes, table.headings, strict=True)
    )
    rows = []
    for row in table.rows:
        first, *others = map(_cell, row)
        cells = (f"<td{n}>{cell}</td>" for n, cell in zip(classes[1:], others, strict=True))
        rows.append(f'<tr><th scope="row">{first}</th>{"".join(cells)}</tr>')
    caption, body = escape(table.caption), "\n".join(rows)
    return (
        f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table>'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, Quoted):
        return f"<code>{escape(cell.text)}</code>" if cell.text else ""
    if isinstance(cell, Marked):
        return f'<strong class="{cell.tone}">{escape(cell.text)}</strong>'
    if isinstance(cell, Stamp):
        day, clock = moment(cell.at).split()
        return f'<time datetime="{rfc3339(cell.at)}"><span>{day}</span> <span>{clock}</span></time>'
    return escape(cell)


def _chart(chart: Chart) -> str:
    period = chart.period
    first, last = moment(period.since)[:10], moment(period.ends - 1)[:10]
    top = charts.latency_top(chart.target) if chart.kind is ChartKind.LATENCY else None
    scale = f'<p class="scale">0 to {duration(top)}</p>' if top else ""
    shown = (f'<li><span class="key {name}"></span>{text}</li>' for name, text in _legend(chart))
    return (
        f"<figure><figcaption><b>{escape(chart.title)}.</b> {escape(chart.words)}</figcaption>"
        f"{scale}{charts.draw(chart)}"
        f'<p class="axis" aria-hidden="true"><span>{first}</span><span>{last}</span></p>'
        f'<ul class="legend" aria-hidden="true">{"".join(shown)}</ul></figure>'
    )


def _legend(chart: Chart) -> Iterator[tuple[str, str]]:
    is_claimed = chart.target.spec.claim.latency_p95_s is not None
    for name, text in _LEGENDS[chart.kind]:
        if name != "limit" or is_claimed:
            yield name, escape(text)
