"""The report in words, once for every medium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from monitor.core.report import METHOD, Period, Report, TargetReport
from monitor.core.snapshot import GapReason, Quantile
from monitor.core.verdict import ClaimKind, Verdict
from monitor.core.words import exact, exact_percent, span
from monitor.report import method
from monitor.report.blocks import (
    Block,
    Cell,
    Chart,
    ChartKind,
    Document,
    Facts,
    Folded,
    Marked,
    Section,
    Stamp,
    Table,
    quoted,
)
from monitor.report.clients import client_blocks
from monitor.report.incidents import incident_blocks
from monitor.report.words import (
    UNKNOWN,
    count,
    duration,
    hours,
    interval,
    moment,
    percent,
    share,
)
from probes.model import ERROR_TABLE


def compose(report: Report) -> Document:
    """Return *report* in words."""
    period = report.period
    sections = [Section("Summary", "summary", (_summary(report),))]
    sections += [
        Section(target.spec.id, f"target-{target.spec.id}", tuple(_target(target, period)))
        for target in report.targets
    ]
    texts = method.TEXTS
    if any(target.reported is not None for target in report.targets):
        texts += method.CLIENTS
    sections.append(Section("Method", "method", (Facts(texts), _classes())))
    made = f"{moment(report.generated_at)} by imgmon {report.version}, method {METHOD}"
    lead = (
        ("Period", _period(period)),
        ("Made", made),
        ("Measured from", quoted(report.vantage)),
    )
    return Document(
        title=f"Service report: {report.subject}",
        lead=Facts(lead),
        sections=tuple(sections),
    )


def _period(period: Period) -> str:
    said = f"{moment(period.since)} to {moment(period.until)}, the end excluded"
    if period.is_running:
        said += f"; it has not ended: figures are of what passed until {moment(period.ends)}"
    return said


def _summary(report: Report) -> Table:
    return Table(
        caption="Each target over the whole period",
        headings=(
            "target", "availability", "95 % interval", "n", "coverage", "usable to us", "p95",
            "timeouts", "claimed availability", "claimed p95", "spent",
        ),
        rows=tuple(_summary_row(target) for target in report.targets),
        numbers=frozenset({1, 2, 3, 4, 5, 6, 7, 10}),
    )  # fmt: skip


def _summary_row(target: TargetReport) -> tuple[Cell, ...]:
    figures = target.figures
    verdicts = {verdict.kind: verdict.verdict for verdict in target.verdicts}
    return (
        target.spec.id,
        percent(figures.provider.value),
        interval(figures.provider),
        count(figures.provider.n),
        percent(figures.coverage, 1),
        percent(figures.user.value),
        duration(figures.quantiles[0.95].value),
        share(figures.timeout_ratio),
        _verdict(verdicts.get(ClaimKind.AVAILABILITY)),
        _verdict(verdicts.get(ClaimKind.LATENCY_P95)),
        f"${target.spend_usd:,.2f}",
    )


def _verdict(verdict: Verdict | None) -> Cell:
    return "none" if verdict is None else Marked(verdict, _TONES[verdict])


_TONES: Final = {
    Verdict.ATTAINED: "good",
    Verdict.UNDETERMINED: "unsure",
    Verdict.MISSED: "bad",
}


def _target(target: TargetReport, period: Period) -> Iterator[Block]:
    spec, figures = target.spec, target.figures
    yield (
        f"Model {spec.model} at provider {spec.provider}, wire format {spec.format}. One canary "
        f"every {span(spec.interval_s)}, list price ${exact(spec.price_usd)}, deadline "
        f"{span(spec.deadline_s)}."
    )
    yield from _partial(target)
    if figures.n == 0:
        yield "Nothing was measured in this period: availability and latency are unknown."
    else:
        yield _strip(target, period)
        yield _availability(target)
        yield _latency_chart(target, period)
        yield _latency(target)
    if target.verdicts:
        yield _claims(target)
    yield from incident_blocks(target, period)
    if target.errors:
        yield _errors(target)
    if target.reported is not None:
        yield from client_blocks(target.reported)
    yield from _time(target)
    if figures.n:
        yield Folded("Day by day", (_days(target),))
    yield _outside(target)


def _partial(target: TargetReport) -> Iterator[str]:
    """Yield what of the period was not measured for want of a beginning or an end."""
    if target.measured_since is not None:
        yield (
            f"Partial: measured since {moment(target.measured_since)}. Coverage is of the whole "
            "period."
        )
    if target.measured_until is not None:
        yield f"Partial: the last canary of the period was sent {moment(target.measured_until)}."


def _availability(target: TargetReport) -> Table:
    figures = target.figures
    sides = (
        ("Provider's own record", figures.provider, figures.bad),
        ("Usable to our account", figures.user, figures.bad + figures.unusable),
    )
    return Table(
        caption="Availability",
        headings=("view", "availability", "95 % interval", "good", "failed", "n", "coverage"),
        rows=tuple(
            (
                name,
                percent(ratio.value),
                interval(ratio),
                count(figures.good),
                count(failed),
                count(ratio.n),
                percent(figures.coverage, 1),
            )
            for name, ratio, failed in sides
        ),
        numbers=frozenset(range(1, 7)),
    )


def _latency(target: TargetReport) -> Table:
    figures = target.figures
    timeouts = share(figures.timeout_ratio)
    return Table(
        caption=f"Latency of {count(figures.latency_n)} good canaries; timeouts: {timeouts}",
        headings=("percentile", "latency", "at least", "at most"),
        rows=tuple(
            (f"p{round(q * 100)}", *_bounds(figures.quantiles[q])) for q in (0.5, 0.95, 0.99)
        ),
        numbers=frozenset(range(1, 4)),
    )


def _bounds(quantile: Quantile) -> tuple[str, str, str]:
    unsupported = UNKNOWN if quantile.value is None else "too few canaries"
    lower, upper = quantile.lower, quantile.upper
    return (
        duration(quantile.value),
        unsupported if lower is None else duration(lower),
        unsupported if upper is None else duration(upper),
    )


def _claims(target: TargetReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for verdict in target.verdicts:
        claim = (
            f"{exact_percent(verdict.claim)} % available"
            if verdict.kind is ClaimKind.AVAILABILITY
            else f"95 % within {exact(verdict.claim)} s"
        )
        rows.append((claim, _verdict(verdict.verdict), verdict.words))
    return Table("Claims", ("claim", "verdict", "evidence, and what would decide"), tuple(rows))


def _errors(target: TargetReport) -> Table:
    rows = []
    for error in target.errors:
        row = ERROR_TABLE[error.error]
        rows.append((
            error.error.value,
            count(error.count),
            row.provider_view,
            row.user_view,
            Stamp(error.first_at),
            Stamp(error.last_at),
        ))  # fmt: skip
    return Table(
        caption="Scheduled canaries that failed, by class",
        headings=("class", "canaries", "provider's record", "usable to us", "first", "last"),
        rows=tuple(rows),
        numbers=frozenset({1}),
    )


def _time(target: TargetReport) -> Iterator[Table]:
    """Yield where the time of the period went: measured, left out for a reason, or nowhere."""
    n = count(target.figures.n)
    rows = [("measured", n, hours(target.measured_s), "canaries speak for it")]
    rows += [
        (gap.reason.value, count(gap.slots), hours(gap.seconds), GAPS[gap.reason])
        for gap in target.gaps
    ]
    nowhere = "neither a canary nor a reason is stored: no daemon ran"
    rows.append(("not recorded", "", hours(target.unrecorded_s), nowhere))
    yield Table(
        caption="Where the time went",
        headings=("time", "slots", "hours", "meaning"),
        rows=tuple(rows),
        numbers=frozenset({1, 2}),
    )
    if target.maintenance:
        yield Table(
            caption="Announced maintenance, of which nothing is asked",
            headings=("from", "to", "hours"),
            rows=tuple(
                (Stamp(begin), Stamp(end), hours(end - begin)) for begin, end in target.maintenance
            ),
            numbers=frozenset({2}),
        )


GAPS: Final = {
    GapReason.SPEND_CAP: "gap: the money for probes was spent",
    GapReason.QUOTA_GUARD: "gap: probes keep to a share of the provider's quota",
    GapReason.RETRY_AFTER: "gap: the provider asked to wait, or a person has to mend our account",
    GapReason.MAINTENANCE: "gap: announced maintenance, excluded from every figure",
    GapReason.PAUSED: "gap: paused by an operator",
    GapReason.MISSED: "gap: our own fault, the slot was missed",
    GapReason.FRESH_REPORTS: "gap: clients' reports were fresh enough",
}


def _days(target: TargetReport) -> Table:
    rows = []
    for day in target.days:
        figures = day.figures
        rows.append((
            moment(day.since)[:10],
            percent(figures.provider.value),
            count(figures.provider.n),
            count(figures.bad),
            count(figures.unusable),
            percent(figures.coverage, 1),
            duration(figures.quantiles[0.5].value),
            duration(figures.quantiles[0.95].value),
        ))  # fmt: skip
    headings = (
        "day (UTC)", "availability", "n", "failed", "unusable", "coverage", "p50", "p95",
    )  # fmt: skip
    return Table("Each day", headings, tuple(rows), numbers=frozenset(range(1, 8)))


def _outside(target: TargetReport) -> str:
    """Return what was sent beside the schedule, and the money of all."""
    uncounted = ", ".join(f"{n:,} {reason}" for reason, n in sorted(target.uncounted.items()))
    sent = f"Beside the schedule: {uncounted}; they enter no figure." if uncounted else ""
    return f"{sent} All probes of the period cost ${target.spend_usd:,.2f}.".strip()


def _strip(target: TargetReport, period: Period) -> Chart:
    days = target.days
    measured = [day.figures for day in days if day.figures.provider.n]
    failed = sum(1 for figures in measured if figures.bad)
    words = (
        f"Of {len(days)} days, {len(measured)} were measured; {failed} of these had failures. "
        f"Availability over all: {percent(target.figures.provider.value)}."
    )
    return Chart(ChartKind.AVAILABILITY, "Availability by day", words, target, period)


def _latency_chart(target: TargetReport, period: Period) -> Chart:
    values = [day.figures.quantiles[0.95].value for day in target.days]
    known = [value for value in values if value is not None]
    words = "No day has one."
    if known:
        words = f"From {duration(min(known))} to {duration(max(known))}, on {len(known)} of "
        words += f"{len(values)} days."
    limit_s = target.spec.claim.latency_p95_s
    if limit_s is not None:
        words += f" Claimed: at most {exact(limit_s)} s."
    return Chart(ChartKind.LATENCY, "p95 by day", words, target, period)


def _classes() -> Table:
    return Table(
        caption="Which class counts for whom",
        headings=("class", "outcome", "provider's record", "usable to us", "signal"),
        rows=tuple(
            (error.value, row.outcome.value, row.provider_view, row.user_view, row.signal)
            for error, row in ERROR_TABLE.items()
        ),
    )
