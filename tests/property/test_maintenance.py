"""Maintenance and coverage equal what one finds by looking at every moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.maintenance import Maintenance, Weekly, maintenance_end, maintenance_s, stretches
from monitor.core.window import History
from probes.model import Outcome
from tests.support.builders import NOW
from tests.support.strategies import samples

ZONES = ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Kiritimati",
         "Pacific/Pago_Pago", "Australia/Lord_Howe"]  # fmt: skip
QUARTER = 900
# 2026 from its first Sunday; every change of clocks of the zones lies on a quarter of an hour.
YEAR = st.integers(0, 365 * 96).map(lambda quarters: 1_767_484_800.0 + quarters * QUARTER)


@st.composite
def rules(draw):
    """A weekly time of whole quarters, perhaps bounded."""
    start = draw(st.integers(0, 95))
    length = draw(st.integers(1, 96))
    since = draw(st.none() | YEAR)
    return Maintenance(
        since=since,
        until=None if since is None else draw(st.none() | st.just(since + 30 * 86_400)),
        weekly=Weekly(
            weekday=draw(st.integers(0, 6)),
            start_s=start * QUARTER,
            end_s=(start + length) * QUARTER,
            zone=ZoneInfo(draw(st.sampled_from(ZONES))),
        ),
    )


def holds(rule, at):
    """Whether the clock on the wall shows a time of *rule*."""
    if (rule.since or at) > at or at >= (rule.until or at + 1):
        return False
    weekly = rule.weekly
    local = datetime.fromtimestamp(at, weekly.zone).replace(tzinfo=None)
    for day in (local.date(), local.date() - timedelta(days=1)):
        midnight = datetime.combine(day, datetime.min.time())
        shown = (local - midnight).total_seconds()
        if day.weekday() == weekly.weekday and weekly.start_s <= shown < weekly.end_s:
            return True
    return False


@settings(max_examples=150)
@given(found=st.lists(rules(), min_size=1, max_size=3), since=YEAR, quarters=st.integers(1, 900))
def test_maintenance_is_when_the_local_clock_shows_it(found, since, quarters):
    """Every quarter of an hour is in a stretch exactly if a clock of some rule shows its time."""
    until = since + quarters * QUARTER
    ats = [since + k * QUARTER for k in range(quarters)]
    expected = [at for at in ats if any(holds(rule, at) for rule in found)]
    merged = stretches(tuple(found), since, until)

    assert expected == [at for at in ats if any(a <= at < b for a, b in merged)]
    assert len(expected) * QUARTER == maintenance_s(tuple(found), since, until)
    assert all(b < c for (_, b), (c, _) in pairwise(merged))


@given(found=st.lists(rules(), max_size=3), at=YEAR)
def test_an_end_is_the_first_moment_without_maintenance(found, at):
    """None while none holds; else nothing holds at the end, and everything before it does."""
    end = maintenance_end(tuple(found), at)
    is_on = any(holds(rule, at) for rule in found)

    assert is_on == (end is not None)
    if end is not None:
        assert not any(holds(rule, end) for rule in found)
        before = at
        while before < end:
            assert any(holds(rule, before) for rule in found)
            before += QUARTER


OFFSETS = st.integers(0, 400).map(float)
ONCE = st.tuples(OFFSETS, st.integers(1, 60)).map(
    lambda pair: Maintenance(since=NOW + pair[0], until=NOW + pair[0] + pair[1])
)


def covered_seconds(members, start, now, found):
    """Walk through the half seconds of a window and ask of each who speaks for it."""
    count = asked = 0
    for half in range(round((now - start) * 2)):
        at = start + half / 2 + 0.25
        if any(rule.since <= at < rule.until for rule in found):
            continue
        asked += 1
        nearest = min((abs(s.at - at) for s in members), default=float("inf"))
        speaks = [s for s in members if abs(s.at - at) == nearest and nearest < s.slot_s]
        count += bool(speaks)
    return count / asked if asked else 0.0


@settings(max_examples=60)
@given(
    appended=st.lists(samples(OFFSETS.map(lambda s: NOW + s)), max_size=12),
    found=st.lists(ONCE, max_size=3),
    readings=st.lists(OFFSETS.map(lambda s: NOW + s), max_size=3),
)
def test_coverage_is_the_share_of_the_rest_that_samples_speak_for(appended, found, readings):
    """Each moment outside maintenance counts, and counts as covered by its nearest sample."""
    history = History({"w": 200.0}, maintenance=tuple(found))
    for sample in appended:
        history.append(sample)
    newest = NOW
    for reading in [*readings, NOW + 400.0]:
        newest = max(newest, reading)
        if reading < newest - 200.0:  # A clock set back by more than the window forgets samples.
            continue
        figures = history.figures(reading)["w"]
        # Of samples at one moment, the reach of either would do; look at apart ones only.
        members = [
            s for s in appended
            if reading - 200.0 < s.at <= reading and s.outcome is not Outcome.VOID
        ]  # fmt: skip
        if len({s.at for s in members}) == len(members):
            expected = covered_seconds(members, reading - 200.0, reading, found)
            assert abs(expected - figures.coverage) < 1e-6
        assert 0 <= figures.coverage <= 1
        assert figures.maintenance_s == maintenance_s(tuple(found), reading - 200.0, reading)
