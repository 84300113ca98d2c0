"""Announced maintenance: once or weekly, by the local clock, and what it does to coverage."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from monitor.core.maintenance import (
    Maintenance,
    Weekly,
    maintenance_end,
    maintenance_s,
    stretches,
)
from monitor.core.period import figures_between
from monitor.core.window import History
from tests.support.builders import a_sample

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600


def utc(*parts):
    """A time in UTC, in seconds since the epoch."""
    return datetime(*parts, tzinfo=UTC).timestamp()


def weekly(day, start_h, end_h, *, zone=BERLIN, since=None, until=None):
    """Maintenance on *day* (Monday is 0) between two hours of the local clock."""
    rule = Weekly(weekday=day, start_s=round(start_h * HOUR), end_s=round(end_h * HOUR), zone=zone)
    return (Maintenance(since=since, until=until, weekly=rule),)


def once(since, until):
    """Maintenance between two times."""
    return Maintenance(since=since, until=until)


def test_a_single_maintenance_has_its_first_moment_and_not_its_last():
    """From 22:00 until before 02:00."""
    rules = (once(utc(2026, 12, 1, 22), utc(2026, 12, 2, 2)),)

    assert utc(2026, 12, 2, 2) == maintenance_end(rules, utc(2026, 12, 1, 22))
    assert maintenance_end(rules, utc(2026, 12, 1, 21, 59)) is None
    assert maintenance_end(rules, utc(2026, 12, 2, 2)) is None
    assert 2 * HOUR == maintenance_s(rules, utc(2026, 12, 2), utc(2026, 12, 3))
    assert maintenance_end((), 0.0) is None


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        # Sunday, 02:00 to 04:00 in Berlin: in winter, in summer, and on the nights between.
        ((2026, 3, 22), [(1, 3)]),
        ((2026, 4, 5), [(0, 2)]),
        ((2026, 3, 29), [(1, 2)]),  # 02:00 to 03:00 does not happen.
        ((2026, 10, 25), [(0, 3)]),  # 02:00 to 03:00 happens twice.
    ],
)
def test_a_weekly_maintenance_follows_the_local_clock(day, expected):
    """Both nights on which clocks are changed included."""
    midnight = utc(*day)
    rules = weekly(6, 2, 4)

    assert [(midnight + a * HOUR, midnight + b * HOUR) for a, b in expected] == stretches(
        rules, midnight - 12 * HOUR, midnight + 12 * HOUR
    )


def test_a_quarter_of_the_hour_that_comes_twice_comes_twice():
    """02:30 to 02:45 is shown by the clock at 00:30 and at 01:30 UTC, and not in between."""
    midnight = utc(2026, 10, 25)
    found = stretches(weekly(6, 2.5, 2.75), midnight - HOUR, midnight + 4 * HOUR)

    assert [(midnight + 1800, midnight + 2700), (midnight + 5400, midnight + 6300)] == found
    assert maintenance_end(weekly(6, 2.5, 2.75), midnight + 3000) is None


def test_an_hour_that_the_clock_skips_is_no_maintenance():
    """02:15 to 02:45 is not shown on the night that clocks go forward."""
    midnight = utc(2026, 3, 29)

    assert [] == stretches(weekly(6, 2.25, 2.75), midnight - 6 * HOUR, midnight + 6 * HOUR)


def test_a_weekly_maintenance_may_end_on_the_next_day():
    """Saturday 22:00 to Sunday 02:00, wherever one starts to look."""
    rules = weekly(5, 22, 26, zone=ZoneInfo("UTC"))
    saturday = utc(2026, 11, 28)

    assert utc(2026, 11, 29, 2) == maintenance_end(rules, saturday + 25 * HOUR)
    assert 4 * HOUR == maintenance_s(rules, saturday, saturday + 7 * 86_400)
    assert 2 * HOUR == maintenance_s(rules, saturday + 24 * HOUR, saturday + 48 * HOUR)


def test_a_weekly_maintenance_is_bounded_by_from_and_until():
    """Four Sundays lie in the bounds, and one is cut by the last."""
    rules = weekly(
        6, 2, 4, zone=ZoneInfo("UTC"), since=utc(2026, 11, 1), until=utc(2026, 11, 22, 3)
    )

    assert 7 * HOUR == maintenance_s(rules, utc(2026, 10, 1), utc(2027, 1, 1))
    assert 0 == maintenance_s(rules, utc(2027, 1, 1), utc(2027, 2, 1))


def test_maintenance_that_overlaps_or_follows_is_one():
    """Nothing is counted twice, and the end is that of the last."""
    rules = (once(100.0, 200.0), once(150.0, 180.0), once(200.0, 300.0), once(400.0, 500.0))

    assert [(100.0, 300.0), (400.0, 500.0)] == stretches(rules, 0.0, 1000.0)
    assert 300.0 == maintenance_s(rules, 0.0, 1000.0)
    assert 300.0 == maintenance_end(rules, 160.0)


def test_a_maintenance_of_days_has_its_end_and_one_without_an_end_a_bound():
    """A week is found whole; times that follow on one another for ever end 400 days away."""
    day = 86_400.0
    every_day = tuple(
        rule for weekday in range(7) for rule in weekly(weekday, 0, 24, zone=ZoneInfo("UTC"))
    )

    assert 8 * day == maintenance_end((once(day, 8 * day),), 2 * day)
    assert 500 * day == maintenance_end(every_day, 100 * day)
    assert 500 * day == maintenance_end((Maintenance(since=None, until=None),), 100 * day)


def test_maintenance_is_taken_from_what_coverage_asks_for():
    """Six hours of a day without canaries: the other eighteen are covered, and it is said."""
    start = utc(2026, 11, 24)
    rules = (once(start + 6 * HOUR, start + 12 * HOUR),)
    ats = [start + 300 + 600 * slot for slot in range(144)]
    samples = [a_sample(at) for at in ats if maintenance_end(rules, at) is None]
    with_it = figures_between(samples, start, start + 24 * HOUR, maintenance=rules)
    without = figures_between(samples, start, start + 24 * HOUR)

    assert (108, 6.0 * HOUR) == (with_it.n, with_it.maintenance_s)
    assert 1.0 == pytest.approx(with_it.coverage)
    assert (18 * HOUR + 600) / (24 * HOUR) == pytest.approx(without.coverage)


def test_a_window_of_nothing_but_maintenance_is_not_covered():
    """Nothing was asked for and nothing was measured; samples sent by hand stay what they are."""
    history = History({"1h": 3600.0}, maintenance=(once(0.0, 1e10),))
    history.append(a_sample(utc(2026, 11, 24)))
    figures = history.figures(utc(2026, 11, 24) + 60.0)["1h"]

    assert (1, 1.0, 0.0, 3600.0) == (
        figures.n, figures.provider.value, figures.coverage, figures.maintenance_s,
    )  # fmt: skip
