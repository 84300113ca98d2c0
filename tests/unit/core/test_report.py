"""What a report says of a period: cases computed by hand, and nothing said of what nobody saw."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.core.availability import floor_ratio
from monitor.core.gaps import Gap
from monitor.core.incidents import Failures, Incident, IncidentScope
from monitor.core.maintenance import Maintenance
from monitor.core.report import Period, Stored, StoredProbe, report_target
from monitor.core.snapshot import GapReason
from monitor.core.spec import Objective
from monitor.core.verdict import ClaimKind, Verdict
from monitor.report.words import interval, percent
from probes.model import ErrorClass, ProbeKind, ProbeReason
from tests.support.builders import a_spec

E = ErrorClass
START = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
SLOTS = 144  # Of ten minutes, in a day.


def a_probe(at: float, error: ErrorClass | None = None, **changes) -> StoredProbe:
    """A scheduled canary of a ten-minute slot, good in five seconds or failed."""
    fields = {
        "target_id": "alpha",
        "probe_id": f"probe-{at:.0f}",
        "started_at": at,
        "duration_s": 5.0,
        "latency_s": 5.0 if error is None else None,
        "error": error,
        "kind": ProbeKind.CANARY,
        "reason": ProbeReason.SCHEDULED,
        "slot_s": 600.0,
        "cost_usd": 0.04,
    }
    return StoredProbe(**fields | changes)


def days(count: float, *, running: bool = False) -> Period:
    """So many days from the start; *running* ones have a day to come."""
    end = START + count * DAY_S
    return Period(since=START, until=end + DAY_S if running else end, ends=end)


def slots(first: int, last: int, error: ErrorClass | None = None) -> list[StoredProbe]:
    """One canary in the middle of each slot from *first* to before *last*."""
    return [a_probe(START + 600 * slot + 300, error) for slot in range(first, last)]


def the_report(probes, period=None, spec=None, **stored):
    """The report of a target that is probed every ten minutes."""
    return report_target(spec or a_spec(), period or days(1), Stored(probes=probes, **stored))


def test_an_outage_of_ten_minutes_is_one_slot_however_often_it_was_confirmed():
    """143 of 144 is 99.306 %; nine confirmations would make it 93.5 if they counted."""
    confirmations = [
        a_probe(START + 6_000 + 30 * n, E.OVERLOADED, reason=ProbeReason.CONFIRM, slot_s=0.0)
        for n in range(9)
    ]
    probes = [*slots(0, 10), *slots(10, 11, E.OVERLOADED), *slots(11, SLOTS), *confirmations]
    report = the_report(sorted(probes, key=lambda probe: probe.started_at))

    assert 99.306 == round(100 * report.figures.provider.value, 3)
    assert "99.305 %" == percent(report.figures.provider.value)  # Cut, never rounded up.
    assert {ProbeReason.CONFIRM: 9} == report.uncounted
    assert (E.OVERLOADED, 1) == (report.errors[0].error, report.errors[0].count)
    assert pytest.approx((SLOTS + 9) * 0.04) == report.spend_usd


def test_a_period_is_pooled_and_no_mean_of_its_days():
    """Six perfect days and a day of ten failures are 864 of 874, not six sevenths."""
    report = the_report(
        [*slots(0, 6 * SLOTS), *slots(6 * SLOTS, 6 * SLOTS + 10, E.TIMEOUT)], days(7)
    )
    by_day = [day.figures.provider.value for day in report.days]

    assert pytest.approx(864 / 874) == report.figures.provider.value
    assert "98.855 %" == percent(report.figures.provider.value)
    assert [1.0] * 6 + [0.0] == by_day


def test_a_dead_provider_has_no_p95():
    """Its failures are no latencies: not fast ones, not slow ones; timeouts are a share apart."""
    spec = a_spec(claim=Objective(latency_p95_s=8.0))
    report = the_report(slots(0, SLOTS, E.TIMEOUT), spec=spec)

    assert [None] * 4 == [q.value for q in report.figures.quantiles.values()]
    assert (1.0, 0.0) == (report.figures.timeout_ratio, report.figures.provider.value)
    assert Verdict.MISSED is report.verdicts[0].verdict


def test_no_data_is_unknown():
    """Neither 0 nor 100 %: no share, no interval, no verdict, and all of the time unrecorded."""
    spec = a_spec(claim=Objective(availability=0.99, latency_p95_s=8.0))
    report = the_report([], spec=spec)
    figures = report.figures

    assert (None, None, 0.0) == (figures.provider.value, figures.user.value, figures.coverage)
    assert "unknown" == percent(figures.provider.value) == interval(figures.provider)
    assert {Verdict.UNDETERMINED} == {verdict.verdict for verdict in report.verdicts}
    assert (DAY_S, 0.0, 0.0) == (report.unrecorded_s, report.measured_s, report.spend_usd)
    assert (None, None) == (report.measured_since, report.measured_until)


def test_144_clean_canaries_prove_97_4_and_not_99_9():
    """A hundred per cent of a day attains 97.4 % and leaves 99.9 % undetermined, with its price."""
    probes = slots(0, SLOTS)
    claims = {
        share: the_report(probes, spec=a_spec(claim=Objective(availability=share))).verdicts[0]
        for share in (0.974, 0.999)
    }
    open_claim = claims[0.999]

    assert (Verdict.ATTAINED, Verdict.UNDETERMINED) == tuple(c.verdict for c in claims.values())
    assert "144 clean canaries prove 97.4 %" in open_claim.words
    assert ClaimKind.AVAILABILITY is open_claim.kind
    assert 3_838 - SLOTS == open_claim.decider.canaries
    assert "100.000 %" == percent(the_report(probes).figures.provider.value)
    assert "97.40 to 100.00 %" == interval(the_report(probes).figures.provider)


def test_our_account_spoils_only_what_is_usable_to_it():
    """A refused key is in neither side of the provider's record; void samples are in nothing."""
    report = the_report(
        [*slots(0, 72), *slots(72, 108, E.AUTH), *slots(108, SLOTS, E.MONITOR_FAULT)]
    )

    assert (1.0, 72) == (report.figures.provider.value, report.figures.provider.n)
    assert (pytest.approx(72 / 108), 108) == (report.figures.user.value, report.figures.user.n)
    assert [(E.AUTH, 36), (E.MONITOR_FAULT, 36)] == [(e.error, e.count) for e in report.errors]


def test_a_period_still_running_is_judged_by_its_whole_length():
    """What would decide a claim must fit what is left of the period, not what has passed."""
    spec = a_spec(claim=Objective(availability=0.98))
    probes = slots(0, SLOTS)
    over = the_report(probes, days(1), spec).verdicts[0].decider
    running = the_report(probes, days(1, running=True), spec).verdicts[0].decider

    assert 45 == over.canaries == running.canaries
    assert (False, True) == (over.fits, running.fits)


def test_gaps_are_summed_by_reason_and_what_is_left_was_not_recorded():
    """Half a day measured, a quarter left out for money, a quarter about which nothing is known."""
    gaps = [
        Gap("alpha", START + 600 * slot + 300, GapReason.SPEND_CAP, 600.0)
        for slot in range(72, 108)
    ]
    gaps += [Gap("alpha", START + 65_000, GapReason.MISSED, 600.0)]
    report = the_report(slots(0, 72), gaps=gaps)
    first, second = report.gaps

    assert (GapReason.SPEND_CAP, 36, 21_600.0) == (first.reason, first.slots, first.seconds)
    assert (GapReason.MISSED, 1) == (second.reason, second.slots)
    # The last sample speaks for one whole slot to its right: five minutes into the gap.
    assert pytest.approx(43_500) == report.measured_s
    assert pytest.approx(DAY_S - 43_500 - 22_200) == report.unrecorded_s
    assert 36 == report.days[0].figures.gaps[GapReason.SPEND_CAP].slots


def test_announced_maintenance_is_shown_and_nothing_is_asked_of_it():
    """Two hours of it leave coverage whole and no time unrecorded; its gaps explain no other."""
    rule = Maintenance(since=START + 36_000, until=START + 43_200)
    gaps = [
        Gap("alpha", START + 600 * slot + 300, GapReason.MAINTENANCE, 600.0)
        for slot in range(60, 72)
    ]
    spec = a_spec(maintenance=(rule,))
    report = the_report([*slots(0, 60), *slots(72, SLOTS)], spec=spec, gaps=gaps)

    assert ((START + 36_000, START + 43_200),) == report.maintenance
    assert 1.0 == report.figures.coverage
    assert 0.0 == report.unrecorded_s
    assert pytest.approx(DAY_S - 7_200) == report.measured_s
    assert 12 == report.gaps[0].slots


def test_a_period_says_where_measuring_began_and_ended_in_it():
    """A target that is new, or that nobody probes any more, is not judged as if it had been seen."""
    late = the_report(slots(72, SLOTS), first_at=START + 72 * 600 + 300)
    early = the_report(slots(0, 72), first_at=START - DAY_S)
    whole = the_report(slots(0, SLOTS), first_at=START + 300)

    assert (START + 72 * 600 + 300, None) == (late.measured_since, late.measured_until)
    assert (None, START + 71 * 600 + 300) == (early.measured_since, early.measured_until)
    assert (None, None) == (whole.measured_since, whole.measured_until)


def test_days_are_those_of_utc_and_cut_to_the_period():
    """A period of 36 hours from 18:00 touches three days; the parts add up to it."""
    period = Period(since=START + 64_800, until=START + 194_400, ends=START + 194_400)
    bounds = period.days()

    assert [21_600.0, 86_400.0, 21_600.0] == [until - since for since, until in bounds]
    assert (period.since, period.ends) == (bounds[0][0], bounds[-1][1])
    assert not period.is_running
    assert days(1, running=True).is_running


def test_batch_jobs_count_and_probes_by_hand_do_not():
    """Whatever fills a slot of the schedule is a sample; what a person sent is listed apart."""
    report = the_report([
        a_probe(START + 1, kind=ProbeKind.BATCH),
        a_probe(START + 2, kind=ProbeKind.MANUAL, reason=ProbeReason.MANUAL, slot_s=0.0),
        a_probe(START + 3, reason=ProbeReason.STARTUP, slot_s=0.0),
    ])  # fmt: skip

    assert 1 == report.figures.n
    assert {ProbeReason.MANUAL: 1, ProbeReason.STARTUP: 1} == report.uncounted


def test_an_incident_brings_the_probes_that_show_it():
    """Those of its kept ids that are in the period, in the order in which they failed."""
    outage = slots(10, 13, E.OVERLOADED)

    def incident(name: str, first: float, ids: list[str]) -> Incident:
        failures = Failures(
            count=3, first_at=first, last_at=first + 1_200, errors=((E.OVERLOADED, 3),),
            probes=tuple(ids),
        )  # fmt: skip
        return Incident(
            id=name, target="alpha", scope=IncidentScope.PROVIDER, started_at=first,
            confirmed_at=first + 30, failures=failures, ended_at=first + 1_800,
            closed_at=first + 2_400,
        )  # fmt: skip

    ids = [probe.probe_id for probe in outage]
    later = incident("later", outage[0].started_at, ids)
    before = incident("before", START - 3_600, ["long-ago"])
    report = the_report([*slots(0, 10), *outage, *slots(13, SLOTS)], incidents=[later, before])

    assert ["before", "later"] == [told.incident.id for told in report.incidents]
    assert [(), tuple(outage)] == [told.evidence for told in report.incidents]


def test_a_published_share_is_never_above_what_was_measured():
    """Both ways of writing it cut: 99.9994 % is not 100 %, and the JSON says the same."""
    assert "99.999 %" == percent(0.999999)
    assert 0.99999 == floor_ratio(0.999999)
    assert "29.000 %" == percent(0.29)
