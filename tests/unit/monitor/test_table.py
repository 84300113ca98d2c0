"""The order as a table for people: what free calls add to the reasons."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from monitor.cli.demo import sums
from monitor.cli.sources import liveness_out, order_out
from monitor.cli.table import order_view
from monitor.core.spec import Policy
from monitor.engine import Engine
from probes.model import ErrorClass, ProbeKind, ProbeResult
from tests.support.builders import NOW, a_pool, a_result, a_spec

E = ErrorClass


def shown(*results: ProbeResult, width: int = 160) -> str:
    """The table of one target after *results*, as one line of text."""
    engine = Engine({"alpha": a_spec(liveness_s=300.0)}, [a_pool("alpha")], Policy())
    for result in results:
        engine.accept(result)
    snapshot = engine.tick(NOW + 10)
    console = Console(file=StringIO(), width=width)
    order = order_out(snapshot, "pool", "balanced")
    caption = sums(snapshot.totals)
    console.print(order_view(order, liveness_out(snapshot), width=width, caption=caption))
    return " ".join(console.file.getvalue().split())


@pytest.mark.parametrize(
    ("canary", "call", "words"),
    [
        (E.OVERLOADED, None, "free calls are answered"),
        (E.CONNECTION, E.CONNECTION, "free calls fail: connection"),
        (None, E.AUTH, "free calls fail: auth"),
        (None, None, None),
    ],
)
def test_a_failure_is_explained_by_its_free_calls(canary, call, words):
    """Answered while pictures fail, failing with them, or failing alone; else not a word."""
    free = a_result(call, NOW + 5, kind=ProbeKind.LIVENESS, cost_usd=0.0)
    text = shown(a_result(canary, NOW - 600), a_result(canary), free)

    assert (words is not None) == ("free calls are" in text or "free calls fail" in text)
    assert words is None or words in text


def test_the_caption_counts_free_calls_apart():
    """What was paid for is not mixed with what was not."""
    call = a_result(at=NOW + 5, kind=ProbeKind.LIVENESS, cost_usd=0.0)

    assert "1 probes, $0.04 at list price; 2 free calls" in shown(
        a_result(cost_usd=0.04), call, call
    )


def test_a_narrow_terminal_is_told_the_same_below_the_table():
    """Reasons that have no column are lines, and none is lost."""
    call = a_result(at=NOW + 5, kind=ProbeKind.LIVENESS, cost_usd=0.0)
    text = shown(a_result(E.OVERLOADED), call, width=80)

    assert "why here" not in text
    assert "1 1 failure since" in text
    assert "free calls are answered" in text
