"""Gaps enter windows, leave them, and come back when the clock is set back."""

from __future__ import annotations

from monitor.core.gaps import GapHistory
from monitor.core.snapshot import GapCount, GapReason
from tests.support.builders import NOW

CAP, MISSED = GapReason.SPEND_CAP, GapReason.MISSED


def a_history(*ats):
    """Gaps of a ten-second slot at so many seconds, over a window of 100."""
    history = GapHistory({"w": 100.0}, 200.0)
    for at in ats:
        history.append(NOW + at, CAP, 10.0)
    return history


def slots(history, at):
    """How many slots the window holds at so many seconds."""
    return sum(count.slots for count in history.counts(NOW + at)["w"].values())


def test_a_gap_has_its_slot_and_its_share_of_the_window():
    """By reason; a reason that has left is not shown as 0."""
    history = a_history(0, 50)
    history.append(NOW + 60, MISSED, 20.0)

    assert {CAP: GapCount(slots=2, share=0.2), MISSED: GapCount(slots=1, share=0.2)} == (
        history.counts(NOW + 99)["w"]
    )
    assert {MISSED: GapCount(slots=1, share=0.2)} == history.counts(NOW + 155)["w"]
    assert {} == history.counts(NOW + 161)["w"]
    assert history.first_at("w") is None


def test_a_share_is_at_most_the_whole_window():
    """A slot may be longer than the window it lies in."""
    history = GapHistory({"w": 100.0}, 200.0)
    history.append(NOW, CAP, 600.0)

    assert {CAP: GapCount(slots=1, share=1.0)} == history.counts(NOW)["w"]


def test_a_clock_set_back_brings_gaps_back():
    """Those that had left the window are in it again, those ahead wait."""
    history = a_history(0, 40, 80, 120)

    assert 2 == slots(history, 150)
    assert 3 == slots(history, 99)
    assert 2 == slots(history, 150)
    assert 1 == slots(history, 10)
    assert NOW == history.first_at("w")


def test_a_gap_that_is_told_late_takes_its_place():
    """Before the window, in it, or after what was read last."""
    history = a_history(50, 80)
    assert 1 == slots(history, 160)
    history.append(NOW + 10, CAP, 10.0)
    history.append(NOW + 90, CAP, 10.0)
    history.append(NOW + 170, CAP, 10.0)

    assert 2 == slots(history, 160)
    assert 3 == slots(history, 170)
    assert NOW + 80 == history.first_at("w")


def test_what_no_window_can_hold_again_is_forgotten():
    """After the time to keep them, a clock set back finds them gone."""
    history = a_history(0, 150)

    assert 1 == slots(history, 201)
    assert 0 == slots(history, 50)
