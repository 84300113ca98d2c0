"""Laws of the journal: what a kill cut off is written by the next start, once, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.events import EventKind
from monitor.core.health import HealthState, fold
from monitor.core.incidents import IncidentScope
from monitor.core.journal import GROUP_S, Entry, Journal, Kept, TargetLog
from monitor.core.snapshot import Health, State
from monitor.core.spec import Policy
from probes.model import ErrorClass, ProbeKind
from tests.support.builders import NOW, a_result, a_spec
from tests.support.strategies import results

POLICY = Policy()
SPECS = {
    "alpha": a_spec("alpha", upstream="cloud"),
    "beta": a_spec("beta", upstream="cloud"),
    "gamma": a_spec("gamma", provider="lab"),
}


@st.composite
def histories(draw):
    """Up to forty results of three targets, a minute apart, in the order in which they finished."""
    found = []
    for number in range(draw(st.integers(0, 40))):
        result = draw(results(NOW + 60.0 * number))
        target = draw(st.sampled_from(sorted(SPECS)))
        found.append(replace(result, target_id=target, probe_id=f"p-{number}"))
    return found


def play(journal, history, states=None):
    """Follow *history*; the states after it."""
    states = dict(states or {})
    for result in history:
        before = states.get(result.target_id, HealthState())
        after = states[result.target_id] = fold(before, result, POLICY)
        journal.follow(result, before, after, SPECS[result.target_id])
    return states


class Disk:
    """What entries add up to, as the store keeps them."""

    def __init__(self) -> None:
        """Start empty."""
        self.logs: dict[str, Entry] = {}
        self.incidents = {}
        self.events = []

    def write(self, entries) -> None:
        """Write whole entries in their order."""
        for entry in entries:
            self.logs[entry.target] = entry
            self.incidents |= {incident.id: incident for incident in entry.incidents}
            self.events += entry.events

    def kept(self, history):
        """What a start reads, with *history* as the stored probes."""
        kept = {}
        for target, entry in self.logs.items():
            rows = [result for result in history if result.target_id == target]
            own = [result.probe_id for result in rows]
            late = [r.probe_id for r in rows if r.started_at > entry.through_at]
            if entry.through in own:
                late = own[own.index(entry.through) + 1 :]
            kept[target] = Kept(
                log=entry.log,
                through=entry.through,
                through_at=entry.through_at,
                missing=dict.fromkeys(late, 0),  # Rows that nobody reads here.
            )
        return kept


def start(disk, history, at=NOW + 1e6):
    """A start over *history*: what it writes."""
    journal = Journal(POLICY, disk.kept(history))
    play(journal, history)
    journal.caught_up(SPECS, at)
    return journal.take()


@given(history=histories(), data=st.data())
def test_a_kill_at_any_point_loses_nothing_and_repeats_nothing(history, data):
    """Law: with only some entries written, the next start completes the store; one more adds none."""
    whole, journal = Disk(), Journal(POLICY)
    play(journal, history)
    whole.write(journal.take())

    # A process takes its entries now and then; each time it may die with some of them unwritten.
    cut, journal, states = Disk(), Journal(POLICY), {}
    taken, pieces = [], sorted(data.draw(st.lists(st.integers(0, len(history)), max_size=5)))
    for first, last in pairwise([0, *pieces, len(history)]):
        states = play(journal, history[first:last], states)
        taken += journal.take()
    cut.write(taken[: data.draw(st.integers(0, len(taken)))])
    cut.write(start(cut, history))

    assert whole.incidents == cut.incidents
    assert sorted(map(repr, whole.events)) == sorted(map(repr, cut.events))
    assert {t: entry.log for t, entry in whole.logs.items()} == {
        t: entry.log for t, entry in cut.logs.items()
    }
    again = start(cut, history)
    assert [] == [entry for entry in again if entry.incidents or entry.events]


@given(history=histories(), cut=st.integers(0, 40))
def test_a_log_outlives_the_probes_it_was_made_of(history, cut):
    """Law: where old rows are gone a start still derives nothing of what it was told before."""
    disk, journal = Disk(), Journal(POLICY)
    play(journal, history)
    disk.write(journal.take())

    assert [] == [entry for entry in start(disk, history[cut:]) if entry.incidents or entry.events]


@given(history=histories())
def test_of_one_probe_there_is_one_event_of_a_kind(history):
    """Law: of each scope; that is what makes an event that is derived twice one row."""
    journal = Journal(POLICY)
    play(journal, history)
    keys = [
        (event.kind, event.data.get("scope"), event.target, event.probe_id)
        for entry in journal.take()
        for event in entry.events
    ]

    assert len(set(keys)) == len(keys)


@given(history=histories())
def test_states_are_told_without_a_break(history):
    """Law: each change begins with the state that the last one ended in."""
    journal, last = Journal(POLICY), {}
    states = play(journal, history)
    for entry in journal.take():
        for event in entry.events:
            if event.kind is EventKind.STATE_CHANGED:
                assert last.get(event.target, "unknown") == event.data["before"]
                assert event.data["before"] != event.data["after"]
                last[event.target] = event.data["after"]
    for target, state in states.items():
        if state.block is None:
            assert last.get(target, "unknown") == state.state.value


def failing(target, at, number=0):
    """Two failures half a minute apart: an outage, confirmed."""
    return [
        a_result(
            ErrorClass.SERVER_ERROR, at + 30 * n, target_id=target, probe_id=f"{target}-{at}-{n}"
        )
        for n in (0, 1)
    ]


@pytest.mark.parametrize(("apart", "is_one"), [(GROUP_S, True), (GROUP_S + 1, False)])
def test_outages_of_one_upstream_that_begin_together_are_a_group(apart, is_one):
    """Within ten minutes of the first; what shares nothing is in none."""
    journal = Journal(POLICY)
    play(journal, [*failing("alpha", NOW), *failing("gamma", NOW), *failing("beta", NOW + apart)])
    alpha, beta, gamma = (journal.open(target)[0] for target in ("alpha", "beta", "gamma"))

    assert ("cloud", None, None) == (alpha.upstream, gamma.upstream, gamma.group)
    assert is_one == (alpha.group == beta.group)
    assert alpha.group.startswith("cloud-")


def test_a_group_goes_on_after_a_restart():
    """It is known by the incidents in the logs, whichever of them is read first."""
    history = [*failing("alpha", NOW), *failing("beta", NOW + 500)]
    late = failing("beta", NOW + 2000)
    for order in (1, -1):
        disk, journal = Disk(), Journal(POLICY)
        play(journal, history[:2])
        disk.write(journal.take())
        disk.logs = dict(list(disk.logs.items())[::order])
        disk.write(start(disk, history))

        assert 1 == len({incident.group for incident in disk.incidents.values()})
        journal = Journal(POLICY, disk.kept(history))
        assert 2 == len(disk.incidents)
        play(journal, late)


def test_the_newest_group_is_the_one_that_is_joined():
    """Older ones that other logs still hold take nobody in."""
    old, new = failing("alpha", NOW), failing("beta", NOW + 5000)
    disk, journal = Disk(), Journal(POLICY)
    play(journal, old + new)
    disk.write(journal.take())
    for order in (1, -1):
        disk.logs = dict(list(disk.logs.items())[::order])
        journal = Journal(POLICY, disk.kept(old + new))
        assert NOW + 5000 == journal._groups["cloud"][1]


def test_a_state_that_time_brought_about_is_told_once():
    """A target that nobody hears of any more is unknown; the next start knows that it was told."""
    spec, journal, disk = SPECS["alpha"], Journal(POLICY), Disk()
    play(journal, [a_result(probe_id="p-1")])
    gone = Health(state=State.UNKNOWN, since=NOW + 1800, detail="no result")
    for at in (NOW + 1900, NOW + 1905):
        journal.observe(spec, gone, at)
    disk.write(journal.take())
    again = Journal(POLICY, disk.kept([a_result(probe_id="p-1")]))
    again.observe(spec, gone, NOW + 2000)

    assert [("healthy", None), ("unknown", NOW + 1900)] == [
        (event.data["after"], None if event.probe_id else event.at) for event in disk.events
    ]
    assert [] == again.take()


def test_a_void_result_brings_no_state_back():
    """A target that was told to be unknown stays so while only our own trouble is heard of."""
    journal = Journal(POLICY)
    states = play(journal, [a_result(probe_id="p-1")])
    journal.observe(SPECS["alpha"], Health(state=State.UNKNOWN, since=None), NOW + 5000)
    journal.take()
    play(journal, [a_result(ErrorClass.OUR_NETWORK, NOW + 6000, probe_id="p-2")], states)

    assert [()] == [entry.events for entry in journal.take()]


def test_what_is_no_longer_configured_is_closed_by_the_next_start():
    """Nobody will see its end; the store must not show it open for ever."""
    disk, journal = Disk(), Journal(POLICY)
    history = failing("alpha", NOW)
    play(journal, history)
    disk.write(journal.take())
    journal = Journal(POLICY, disk.kept(history))
    journal.caught_up({"beta"}, NOW + 99)
    (entry,) = journal.take()

    assert [(EventKind.INCIDENT_CLOSED, None, None)] == [
        (event.kind, event.probe_id, event.data["ended_at"]) for event in entry.events
    ]
    assert [(NOW + 99, None)] == [(i.closed_at, i.ended_at) for i in entry.incidents]
    disk.write([entry])
    journal = Journal(POLICY, disk.kept(history))
    journal.caught_up({"beta"}, NOW + 100)
    assert [] == journal.take()


def test_free_calls_leave_an_entry_only_when_they_tell_something_new():
    """One every five minutes of each target would be most of what is written."""
    journal = Journal(POLICY)
    calls = [
        a_result(None, NOW + n, kind=ProbeKind.LIVENESS, probe_id=f"c-{n}", shutdown_on=day)
        for n, day in enumerate([None, "2026-12-01", "2026-12-01"])
    ]
    play(journal, calls)
    (entry,) = journal.take()

    assert [EventKind.SHUTDOWN_ANNOUNCED] == [event.kind for event in entry.events]
    assert ("c-1", TargetLog(looks=entry.log.looks)) == (entry.through, entry.log)


def test_an_incident_of_our_account_has_no_group():
    """Our key is refused by everybody behind an upstream, and that says nothing of it."""
    journal = Journal(POLICY)
    play(journal, [a_result(ErrorClass.AUTH)])
    (incident,) = journal.open("alpha")

    assert (IncidentScope.ACCOUNT, None, None) == (
        incident.scope,
        incident.upstream,
        incident.group,
    )
    assert () == journal.open("nobody")


def test_a_shuffle_of_targets_changes_no_targets_log():
    """Targets are followed by themselves; only groups look across."""
    rng, histories = Random(7), {}
    for target in SPECS:
        histories[target] = [
            a_result(
                rng.choice([None, None, ErrorClass.TIMEOUT, ErrorClass.AUTH]),
                NOW + 60.0 * n,
                target_id=target,
                probe_id=f"{target}-{n}",
            )
            for n in range(30)
        ]
    one, other = Journal(POLICY), Journal(POLICY)
    play(one, [r for target in SPECS for r in histories[target]])
    play(other, [r for rows in zip(*histories.values(), strict=True) for r in rows])
    first, second = Disk(), Disk()
    first.write(one.take())
    second.write(other.take())

    assert first.incidents.keys() == second.incidents.keys()
    assert first.logs["gamma"].log == second.logs["gamma"].log


def test_results_that_tell_nothing_add_up_to_one_entry():
    """A month of good answers that an upgrade follows must fit into the writer's queue."""
    journal = Journal(POLICY)
    play(journal, [a_result(None, NOW + n, probe_id=f"p-{n}", cost_usd=0.04) for n in range(1000)])
    first, last = journal.take()

    assert ([EventKind.STATE_CHANGED], "p-0") == ([e.kind for e in first.events], first.through)
    assert ((), "p-999") == (last.events, last.through)
