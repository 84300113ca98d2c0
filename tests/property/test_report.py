"""Laws of a report: nothing that a provider sent becomes markup or a formula, no figure flatters."""

from __future__ import annotations

import csv as csv_module
import io
import re
from decimal import Decimal
from html.parser import HTMLParser
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.availability import Ratio
from monitor.core.incidents import Failures, Incident, IncidentScope
from monitor.core.report import Period, Report, Stored, StoredProbe, TargetReport, report_target
from monitor.report import csv, html, markdown
from monitor.report.blocks import quoted
from monitor.report.document import compose
from monitor.report.words import duration, interval, percent, share
from probes.model import ErrorClass, ProbeKind, ProbeReason
from tests.support.builders import NOW, a_spec

shares = st.floats(0, 1)
# What JSON from the wire may hold once it went through the store.
texts = st.text(st.characters(codec="utf-8"), max_size=60)
nasty = st.one_of(
    texts,
    st.sampled_from([
        "<script>alert(1)</script>", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "a|b", "`a`", "``", "&lt;",
        '"><img src=x onerror=y>', "a\r\nb", "\n=1", "[x](javascript:y)", "</code></td>",
    ]),
)  # fmt: skip


def a_report(request_id: str, detail: str) -> Report:
    """A period of one failed canary and its incident, in the words of a provider."""
    probe = StoredProbe(
        target_id="alpha", probe_id="p-1", started_at=NOW, duration_s=5.0, latency_s=None,
        error=ErrorClass.OVERLOADED, kind=ProbeKind.CANARY, reason=ProbeReason.SCHEDULED,
        slot_s=600.0, cost_usd=0.0, detail=detail, http_status=503, request_id=request_id,
    )  # fmt: skip
    failures = Failures(
        count=1, first_at=NOW, last_at=NOW, errors=((ErrorClass.OVERLOADED, 1),), probes=("p-1",)
    )
    incident = Incident(
        id="alpha-1", target="alpha", scope=IncidentScope.PROVIDER, started_at=NOW,
        confirmed_at=NOW + 30, failures=failures,
    )  # fmt: skip
    period = Period(since=NOW - 3_600, until=NOW + 3_600, ends=NOW + 3_600)
    stored = Stored(probes=(probe,), incidents=(incident,))
    return Report(
        period=period, subject="all targets", vantage="here", version="1", generated_at=NOW,
        targets=(report_target(a_spec(), period, stored),),
    )  # fmt: skip


class Text(HTMLParser):
    """The tags of a page, and what stands in its ``code`` elements."""

    def __init__(self) -> None:
        """Start outside of everything."""
        super().__init__()
        self.tags: list[str] = []
        self.code: list[str] = []
        self._is_code = False

    def handle_starttag(self, tag, _attrs):
        """Note the tag."""
        self.tags.append(tag)
        self._is_code = tag == "code"
        if self._is_code:
            self.code.append("")

    def handle_endtag(self, tag):
        """The text of a ``code`` ends with it."""
        self._is_code = self._is_code and tag != "code"

    def handle_data(self, data):
        """Keep what a ``code`` says."""
        if self._is_code:
            self.code[-1] += data


@given(request_id=nasty, detail=nasty)
def test_what_a_provider_sent_is_text_on_the_page(request_id, detail):
    """The page has the tags of a harmless one, and says the words as far as they can be seen."""
    pages = []
    for words in ((request_id, detail), ("x" if request_id else "", "x" if detail else "")):
        page = Text()
        page.feed(html.render(compose(a_report(*words))))
        pages.append(page)
    sent, harmless = pages

    assert harmless.tags == sent.tags
    said = [quoted(text).text for text in ("here", request_id, detail) if text]
    assert said == sent.code


@given(request_id=nasty, detail=nasty)
def test_what_a_provider_sent_is_code_in_markdown_and_breaks_no_row(request_id, detail):
    """Every line of the table has as many cells as its heading, and no text ends its code early."""
    text = markdown.render(compose(a_report(request_id, detail)))
    lines = text.splitlines()
    heading = next(i for i, line in enumerate(lines) if "request id" in line)
    cells = [len(re.split(r"(?<!\\)\|", line)) for line in lines[heading : heading + 3]]

    assert 1 == len(set(cells))
    assert "" == lines[heading + 3]
    outside = re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", lines[heading + 2])
    assert "<" not in outside
    assert "`" not in outside


@given(request_id=nasty, detail=nasty)
def test_no_cell_of_a_sheet_is_a_formula(request_id, detail):
    """Texts that begin like one are told to be text; a row is what it was otherwise."""
    raw = csv.render(a_report(request_id, detail), "evidence")
    header, row = csv_module.reader(io.StringIO(raw, newline=""))
    named = dict(zip(header, row, strict=True))

    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row)
    assert request_id == named["request_id"].removeprefix("'") or request_id.startswith("'")
    assert "503" == named["http_status"]


@given(value=shares)
def test_a_share_is_cut_and_a_failure_is_raised(value):
    """What is written never flatters, and is within its last digit."""
    cut = Decimal(percent(value).removesuffix(" %"))
    raised = Decimal(share(value).removesuffix(" %"))
    exact = Decimal(repr(value)) * 100

    assert exact - Decimal("0.001") < cut <= exact
    assert exact <= raised <= exact + Decimal("0.01")


@given(ends=st.lists(shares, min_size=2, max_size=2).map(sorted))
def test_a_written_interval_holds_the_measured_one(ends):
    """It is widened to its digits, not narrowed."""
    lower, upper = ends
    written = interval(Ratio(n=1, value=lower, lower=lower, upper=upper)).removesuffix(" %")
    low, high = map(Decimal, written.split(" to "))

    assert low <= Decimal(repr(lower)) * 100
    assert Decimal(repr(upper)) * 100 <= high


@given(value=st.floats(0, 599))
def test_a_written_duration_is_no_shorter(value):
    """Raised to hundredths of a second."""
    written = Decimal(duration(value).removesuffix(" s"))

    assert Decimal(repr(value)) <= written <= Decimal(repr(value)) + Decimal("0.01")


@given(since=st.integers(0, 10**6), span_s=st.integers(1, 10**6))
def test_days_cover_the_period_once(since, span_s):
    """They follow on one another from its start to its end, each within one day of UTC."""
    bounds = Period(since=since, until=since + span_s, ends=since + span_s).days()

    assert since == bounds[0][0]
    assert since + span_s == bounds[-1][1]
    assert all(before[1] == after[0] for before, after in pairwise(bounds))
    assert all(start < end and start // 86_400 == (end - 1) // 86_400 for start, end in bounds)


def test_the_builder_reports_one_target():
    """The other tests are about what they say they are about."""
    (target,) = a_report("a", "b").targets

    assert isinstance(target, TargetReport)
    assert 1 == len(target.incidents[0].evidence)
