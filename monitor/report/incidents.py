"""The incidents of a report in words, each with the probes that show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from monitor.core.incidents import Incident, IncidentScope
from monitor.core.report import IncidentReport, Period, TargetReport
from monitor.core.words import span
from monitor.report.blocks import Block, Cell, Chart, ChartKind, Folded, Stamp, Table, quoted
from monitor.report.words import at_least, count

WHOSE: Final = {
    IncidentScope.PROVIDER: "the provider's",
    IncidentScope.ACCOUNT: "our account's",
}


def incident_blocks(target: TargetReport, period: Period) -> Iterator[Block]:
    """Yield the incidents of the period with the probes that show them; that there was none."""
    if not target.incidents:
        if target.figures.n:
            yield "No incident: no failure of the period was confirmed."
        return
    longest = max((told.incident for told in target.incidents), key=_seconds)
    words = f"{len(target.incidents)} in the period; the longest took {_took(longest)}."
    yield Chart(ChartKind.INCIDENTS, "Incidents over the period", words, target, period)
    headings = (
        "incident", "whose", "class", "first failure", "confirmed", "last failure", "good again",
        "took", "failures",
    )  # fmt: skip
    rows = tuple(map(_incident, target.incidents))
    yield Table("Incidents", headings, rows, numbers=frozenset({7, 8}))
    yield Folded("Evidence of the incidents", tuple(map(_evidence, target.incidents)))


def _seconds(incident: Incident) -> float:
    """Return how long it lasted for all that is known: to the next success or the last failure."""
    return (incident.ended_at or incident.failures.last_at) - incident.started_at


def _took(incident: Incident) -> str:
    """Return its length in words: an upper bound once somebody saw it end, a lower one before."""
    lasted_s = _seconds(incident)
    return (
        f"over {at_least(lasted_s)}" if incident.ended_at is None else f"at most {span(lasted_s)}"
    )


def _incident(told: IncidentReport) -> tuple[Cell, ...]:
    incident = told.incident
    failures = incident.failures
    again: Cell = "not yet" if incident.is_open else "nobody saw it"
    if incident.ended_at is not None:
        again = Stamp(incident.ended_at)
    return (
        incident.id,
        WHOSE[incident.scope],
        ", ".join(error.value for error, _ in failures.errors),
        Stamp(incident.started_at),
        Stamp(incident.confirmed_at),
        Stamp(failures.last_at),
        again,
        _took(incident),
        count(failures.count),
    )


def _evidence(told: IncidentReport) -> Table:
    rows = tuple(
        (
            Stamp(probe.started_at),
            probe.probe_id,
            probe.reason.value,
            probe.error.value if probe.error else "",
            "" if probe.http_status is None else str(probe.http_status),
            quoted(probe.request_id),
            quoted(probe.detail),
        )
        for probe in told.evidence
    )
    shown, failures = len(rows), told.incident.failures.count
    return Table(
        caption=f"{told.incident.id}: {shown} of {count(failures)} failed probes",
        headings=("time", "probe", "sent", "class", "HTTP", "provider's request id", "its words"),
        rows=rows,
    )
