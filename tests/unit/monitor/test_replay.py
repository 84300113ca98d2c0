"""Replays: the truth they play, the rules they compare, and what they score."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.snapshot import State
from monitor.core.spec import PROFILES, Policy
from monitor.replay.chart import bars
from monitor.replay.compare import Clients, compare, excess, premium
from monitor.replay.monitored import Change, Monitored, Settings
from monitor.replay.play import play, watched
from monitor.replay.routers import Cooldown, Latency, Oracle, Static, Strikes, SuccessRate
from monitor.replay.synthetic import laid_out, synthetic
from monitor.replay.traces import TraceError, latency_of, read_outages, record_of, world_of
from monitor.replay.world import Service, Spell, World, outages
from probes.model import ErrorClass
from tests.support.builders import a_result

HOUR, DAY = 3_600.0, 86_400.0
SETTINGS = Settings(policy=Policy(windows={"1h": HOUR, "24h": DAY}), profile=PROFILES[1])


def a_world(*spells, days=2.0, seed=1, failure=0.0):
    """A cheap service with *spells* and a dearer one that never fails."""
    cheap = Service(id="cheap", price_usd=0.03, failure=failure, spells=spells)
    dear = Service(id="dear", price_usd=0.04, failure=failure)
    return World((cheap, dear), 0.0, days * DAY, seed)


def down(begin, end):
    """A hard outage, in hours."""
    return Spell(begin=begin * HOUR, end=end * HOUR, failure=1.0)


def every(seconds, world):
    """Requests at even distances."""
    count = int((world.end - world.begin) / seconds)
    return [world.begin + seconds * (number + 0.5) for number in range(count)]


def scored(world, router, seconds=60.0):
    """The score of even requests."""
    return play(world, router, every(seconds, world), deadline_s=30.0, billed_share=0.5)


def test_luck_belongs_to_the_attempt():
    """Whoever sends an attempt meets the same answer; another attempt meets another."""
    world = a_world(failure=0.5)
    answers = [world.answer(0, 10.0, number, 60.0) for number in range(200)]

    assert answers == [world.answer(0, 10.0, number, 60.0) for number in range(200)]
    assert 60 < sum(answer.is_good for answer in answers) < 140
    assert len({answer.took_s for answer in answers}) == 200


def test_what_is_not_there_in_time_has_failed():
    """A slow spell beyond the deadline is a failure that took the deadline."""
    slow = Spell(begin=0.0, end=DAY, slowdown=1e6)
    answer = a_world(slow).answer(0, 10.0, 1, 60.0)

    assert not answer.is_good
    assert 60.0 == answer.took_s


def test_a_spell_has_its_first_moment_and_not_its_last():
    """Adjacent spells share nothing."""
    service = Service(
        id="s", price_usd=0.0, spells=(down(1, 2), Spell(begin=2 * HOUR, end=3 * HOUR))
    )

    assert [False, True, False, False] == [service.is_down(h * HOUR) for h in (0.5, 1, 2, 4)]
    assert service.failure == service.failure_at(2.5 * HOUR)


def test_a_static_order_wastes_every_request_of_an_outage():
    """Ten hours of one request a minute are 600 first attempts that gave nothing."""
    world = a_world(down(10, 20))
    score = scored(world, Static(world))

    assert 600 == score.wasted
    assert 0 == score.failed
    assert 0 == score.changes
    assert 2880 == score.requests == len(score.times)
    assert score.price_usd == pytest.approx(2280 * 0.03 + 600 * 0.04)
    assert score.spent_usd == pytest.approx(score.price_usd + 600 * 0.015)


def test_the_oracle_wastes_none_of_it():
    """Who knows the state calls the other one, at its price."""
    world = a_world(down(10, 20))
    score = scored(world, Oracle(world, 0.002, 0.5))

    assert 0 == score.wasted
    assert 2 == score.changes


def test_a_cooldown_needs_three_failures_within_its_minute():
    """One request a minute never fills it; one every ten seconds does."""
    world = a_world(down(10, 20))

    assert 600 == scored(world, Cooldown(world)).wasted
    assert scored(world, Cooldown(world), seconds=10.0).wasted < 2000


def test_routers_that_learn_from_failures_leave_the_failing_one():
    """Latency and success rate both find the outage, and neither finds back soon."""
    world = a_world(down(10, 20))

    assert scored(world, Latency(world, 60.0)).wasted < 30
    assert scored(world, SuccessRate(world)).wasted < 60


def test_a_plain_prober_loses_two_of_its_intervals():
    """Two strikes of five minutes: ten requests at most, and no more probes than its grid."""
    world = a_world(down(10, 20))
    router = Strikes(world, 300.0, 2)
    score = scored(world, router)

    assert 5 <= score.wasted <= 11
    assert pytest.approx(2 * 576, abs=3) == router.probes


def test_this_monitor_demotes_after_one_failure_and_confirms_it():
    """At most a slot and its jitter passes; an outage of ten hours is called down in it once."""
    world = a_world(down(10, 20))
    router = Monitored(world, SETTINGS)
    score = scored(world, router)
    seen = watched(world, router)

    assert score.wasted <= 20
    assert len(seen.delays) == 1
    assert seen.delays[0] < 1.5 * 900
    assert 0 == seen.missed == seen.false_downs
    assert router.probes < 2 * 2 * 110


def test_reports_show_it_what_no_canary_has():
    """The first failing request demotes: the second one is not wasted."""
    world = a_world(down(10, 20))
    score = scored(world, Monitored(world, replace(SETTINGS, hears_reports=True)))

    assert score.wasted <= 3


def test_a_report_of_a_picture_ends_no_outage():
    """Only canaries prove a recovery: the state is the one without it."""
    world = a_world(down(10, 20))
    router = Monitored(world, replace(SETTINGS, hears_reports=True))
    router.order(12 * HOUR)
    before = list(router.changes[0])
    router.told(0, 12 * HOUR, is_good=True, took_s=1.0)

    assert State.DOWN is before[-1].state
    assert before == router.changes[0]


def test_what_is_called_down_is_compared_with_the_truth():
    """An outage that was never called is missed; a call in a calm time is false."""
    world = a_world(down(10, 20), down(30, 31))
    router = Monitored(world, SETTINGS)
    router.changes[0] += [Change(10.1 * HOUR, State.DOWN), Change(20.2 * HOUR, State.HEALTHY)]
    router.changes[1] += [Change(5 * HOUR, State.DOWN), Change(6 * HOUR, State.HEALTHY)]
    seen = watched(world, router)

    assert [pytest.approx(0.1 * HOUR)] == seen.delays
    assert 1 == seen.missed
    assert 1 == seen.false_downs


def test_an_outage_that_begins_in_another_is_known_at_once():
    """A target that is called down already has no delay."""
    world = a_world(down(10, 20), down(20.5, 21))
    router = Monitored(world, SETTINGS)
    router.changes[0] += [Change(10.1 * HOUR, State.DOWN)]

    assert [pytest.approx(360.0), 0.0] == watched(world, router).delays


def test_scores_and_what_was_seen_add_up():
    """Two worlds are one of both."""
    world = a_world(down(10, 20))
    one, other = scored(world, Static(world)), scored(world, Static(world))
    one.add(other)
    seen = watched(world, Monitored(world, SETTINGS))
    seen.add(watched(world, Monitored(world, SETTINGS)))

    assert (5760, 1200) == (one.requests, one.wasted)
    assert one.wasted_ratio == other.wasted_ratio
    assert one.usd_per_image == pytest.approx(other.usd_per_image)
    assert (2, 8.0) == (seen.missed, seen.target_days)


def test_without_a_request_nothing_is_known():
    """No share, no price and no time of no requests."""
    world = a_world()
    score = play(world, Static(world), [], deadline_s=30.0, billed_share=0.5)

    assert (0.0, 0.0) == (score.wasted_ratio, score.within_ratio)
    assert (None, None) == (score.usd_per_image, score.mean_price_usd)
    assert [None] == score.quantiles([0.5])


def test_a_request_gives_up_after_its_time():
    """Where all are down, each request fails and is counted once as wasted."""
    spell = Spell(begin=0.0, end=DAY, failure=1.0)
    services = tuple(Service(id=str(i), price_usd=0.01, spells=(spell,)) for i in range(4))
    world = World(services, 0.0, DAY, 1)
    score = scored(world, Static(world))

    assert (1440, 1440) == (score.failed, score.wasted)


def test_a_comparison_is_the_same_by_the_same_seed():
    """Every rule meets the same requests and luck; progress ends at one."""
    told: list[float] = []
    world = synthetic(services=3, days=1.0, seed=7)
    first, second = (
        compare(world, Clients(every_s=600.0), [SETTINGS], told.append) for _ in range(2)
    )

    assert first == second
    assert ["oracle"] == [line.name for line in first][-1:]
    assert len({line.score.requests for line in first}) == 1
    assert 1.0 == told[-1]
    assert told == sorted(told[: len(told) // 2]) + sorted(told[len(told) // 2 :])
    assert 0.0 == excess(first[-1], first[-1]) == premium(first[-1], first[-1])


def test_a_comparison_is_the_same_in_however_many_processes():
    """No router knows another; their progress is told as one, and never goes back."""
    told: list[float] = []
    world, clients = synthetic(services=2, days=0.5, seed=7), Clients(every_s=1800.0)

    assert compare(world, clients, [SETTINGS]) == compare(
        world, clients, [SETTINGS], told.append, processes=2
    )
    assert told == sorted(told)
    assert 1.0 == told[-1]


def test_a_monitor_beats_a_static_list_on_drawn_outages():
    """The least that a monitor must do, over a month of drawn outages."""
    world = synthetic(services=4, days=30.0, seed=3)
    lines = {
        line.name: line
        for line in compare(
            world,
            Clients(every_s=900.0),
            [SETTINGS, replace(SETTINGS, name="reports", hears_reports=True)],
        )
    }
    oracle = lines["oracle"]

    assert excess(lines["this monitor"], oracle) < 0.7 * excess(lines["static order"], oracle)
    seen = lines["this monitor"].seen
    # A lone failure while an outage is not proven over counts as one of it.
    assert seen.false_downs <= seen.target_days / 30


def test_drawn_outages_have_the_shape_of_real_ones():
    """Half within 29 min, a tenth beyond 90; 31 % come back within the hour."""
    world = synthetic(services=1, days=40_000.0, seed=5)
    found = [spell for _, spell in outages(world.services)]
    lengths = sorted((s.end - s.begin) / 60 for s in found)
    between = [(b.begin - a.end) / HOUR for a, b in itertools.pairwise(found)]

    assert 24 < lengths[len(lengths) // 2] < 34
    assert 75 < lengths[int(0.9 * len(lengths))] < 110
    assert 0.26 < sum(gap <= 1.0 for gap in between) / len(between) < 0.36


SPELLS = st.builds(
    lambda begin, length, failure, slowdown: Spell(
        begin=float(begin), end=float(begin + length), failure=failure, slowdown=slowdown
    ),
    st.integers(0, 50),
    st.integers(1, 20),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([1.0, 2.0]),
)


@given(spells=st.lists(SPELLS, max_size=8))
def test_spells_that_meet_are_laid_out_without_overlap(spells):
    """At every moment the worst of those there holds, and nothing where none was."""
    service = Service(id="s", price_usd=0.0, failure=0.0, spells=laid_out(spells))

    for moment in range(72):
        at = moment + 0.5
        there = [s for s in spells if s.begin <= at < s.end]
        found = service.spell(at)
        assert (found is None) == (not there)
        if found is not None:
            assert max(s.failure for s in there) == found.failure
            assert max(s.slowdown for s in there) == found.slowdown


def test_outages_of_a_file_are_read(tmp_path):
    """Down is an outage, degraded is slow, and empty ones are left out."""
    path = tmp_path / "trace.csv"
    path.write_text(
        "service,state,start,end\na,up,0,100\na,down,100,200\na,degraded,200,260\na,down,260,260\n"
        "b,up,50,400\nc,up,7,7\n"
    )
    a, b = read_outages(path)
    world = world_of([a, b], [0.01, 0.02], seed=1)

    assert (0.0, 260.0) == (a.begin, a.end)
    assert pytest.approx(100 / 260) == a.down_share
    assert [(100.0, 200.0, 1.0), (200.0, 260.0, 0.0)] == [
        (s.begin, s.end, s.failure) for s in a.spells
    ]
    assert (50.0, 260.0) == (world.begin, world.end)
    assert ["a", "b"] == [service.id for service in world.services]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("service,state,start\n", "has no column 'end'"),
        ("service,state,start,end\na,gone,1,2\n", "line 2: state 'gone' is none of"),
        ("service,state,start,end\na,up,x,2\n", "line 2: could not convert"),
        ("service,state,start,end\na,up,3,2\n", "line 2: ends before it starts"),
        ("service,state,start,end\na,up,nan,2\n", "line 2: ends before it starts"),
        ("service,state,start,end\na,up,2,2\n", "tells of no service"),
        ("", "has no column 'service'"),
    ],
)
def test_a_bad_file_says_what_is_wrong_and_where(tmp_path, text, said):
    """With the file and the line."""
    path = tmp_path / "trace.csv"
    path.write_text(text)

    with pytest.raises(TraceError, match=said) as raised:
        read_outages(path)
    assert str(path) in str(raised.value)


def test_a_file_that_is_not_there_or_no_archive_says_so(tmp_path):
    """Missing, and named as an archive that it is not."""
    (tmp_path / "a.csv.gz").write_text("service,state,start,end\n")

    for name in ("no.csv", "a.csv.gz"):
        with pytest.raises(TraceError, match="cannot be read"):
            read_outages(tmp_path / name)


def test_services_without_a_common_time_are_no_pool(tmp_path):
    """What was never watched together cannot be compared."""
    path = tmp_path / "trace.csv"
    path.write_text("service,state,start,end\na,up,0,10\nb,up,20,30\n")

    with pytest.raises(TraceError, match="no time in which all were watched: a, b"):
        world_of(read_outages(path), [0.01, 0.02], seed=1)


def test_history_tells_outages_of_two_failures_or_more():
    """From the first failure to the next picture; one that goes on ends with what is known."""
    good = [a_result(started_at=at) for at in (0.0, 100.0, 400.0, 600.0)]
    bad = [
        a_result(started_at=at, error=ErrorClass.OVERLOADED)
        for at in (200.0, 300.0, 500.0, 700.0, 800.0)
    ]
    record = record_of("t", sorted([*good, *bad], key=lambda r: r.started_at))

    assert (0.0, 800.0) == (record.begin, record.end)
    assert [(200.0, 400.0), (700.0, 800.0)] == [(s.begin, s.end) for s in record.spells]
    assert record_of("t", good[:1]) is None


def test_history_tells_a_latency_from_three_pictures_on():
    """Its median and the spread of its logarithm."""
    results = [a_result(latency_s=s) for s in (1.0, 2.0, 4.0)]
    middle, spread = latency_of(results)

    assert (2.0, pytest.approx(0.693, abs=1e-3)) == (middle, spread)
    assert latency_of(results[:2]) is None


def test_a_chart_shows_every_rule_and_escapes_names():
    """One bar each; the longest is the worst."""
    svg = bars("of <1000>", [("a & b", 2.0), ("c", 0.0)])

    assert 2 == svg.count("<rect")
    assert "a &amp; b" in svg
    assert "of &lt;1000&gt;" in svg
    assert 'width="460.0"' in svg
