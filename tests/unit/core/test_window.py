"""Rolling windows count what is in them, once, and say how much of them was measured."""

from __future__ import annotations

import pytest

from monitor import limits
from monitor.core.window import History
from probes.model import Outcome
from tests.support.builders import NOW, a_sample

HOUR, DAY = 3_600.0, 86_400.0


def a_history(*samples, **windows):
    """A history of *samples*, by default over one hour."""
    history = History(windows or {"1h": HOUR})
    for sample in samples:
        history.append(sample)
    return history


def test_an_empty_window_has_no_figures():
    """No data is no value and no coverage: never 0 %, never 100 %."""
    figures = a_history().figures(NOW)["1h"]

    assert (0, 0.0, None, None) == (
        figures.n,
        figures.coverage,
        figures.provider.value,
        figures.quantiles[0.95].value,
    )
    assert (None, None, None, None) == (
        figures.latency_mean_s,
        figures.failure_mean_s,
        figures.timeout_ratio,
        figures.last_sample_at,
    )


def test_a_window_ends_now_and_excludes_its_start():
    """A sample exactly one window old has left; one of this very moment counts."""
    figures = a_history(a_sample(NOW - HOUR), a_sample(NOW)).figures(NOW)["1h"]

    assert (1, NOW) == (figures.n, figures.last_sample_at)


def test_each_outcome_counts_in_its_own_view():
    """Unusable samples spoil usability, not the provider's record; void ones say nothing."""
    figures = a_history(*(a_sample(NOW, outcome) for outcome in Outcome)).figures(NOW)["1h"]

    assert (3, 1, 1, 1) == (figures.n, figures.good, figures.bad, figures.unusable)
    assert (1 / 2, 1 / 3) == (figures.provider.value, figures.user.value)


def test_latency_is_over_good_samples_and_failures_have_their_own_mean():
    """A fast failure cannot make a provider look fast."""
    figures = a_history(
        a_sample(NOW, latency_s=8.0),
        a_sample(NOW, latency_s=4.0),
        a_sample(NOW, Outcome.BAD, duration_s=0.1, is_timeout=False),
        a_sample(NOW, Outcome.BAD, duration_s=0.3, is_timeout=True),
    ).figures(NOW)["1h"]

    assert (2, 6.0, 0.2, 0.25) == (
        figures.latency_n,
        figures.latency_mean_s,
        figures.failure_mean_s,
        figures.timeout_ratio,
    )
    assert (4.0, 8.0) == (figures.quantiles[0.5].value, figures.quantiles[0.95].value)


def test_a_bad_day_is_pooled_with_the_clean_ones():
    """Six clean days and a day of ten failures are one ratio over all samples of the week."""
    start = NOW - 7 * DAY + 1
    clean = [a_sample(start + slot * 600) for slot in range(6 * 144)]
    bad = [a_sample(start + 6 * DAY + slot * 600, Outcome.BAD) for slot in range(10)]
    figures = a_history(*clean, *bad, **{"7d": 7 * DAY}).figures(NOW)["7d"]

    assert (864, 10, 864 / 874) == (figures.good, figures.bad, figures.provider.value)


def test_samples_of_a_thinned_schedule_weigh_the_slots_left_out():
    """One failed sample in four slots is as much of the record as four good ones of one each."""
    samples = [a_sample(NOW - 600 * n) for n in range(4)]
    thinned = a_sample(NOW - 3000, Outcome.BAD, slot_s=2400.0)
    figures = a_history(*samples, thinned).figures(NOW)["1h"]

    assert (5, 0.5) == (figures.provider.n, figures.provider.value)


def test_three_hours_of_monitoring_cover_three_hours_of_a_month():
    """A young monitor does not claim to know the rest of its window."""
    samples = [a_sample(NOW - slot * 600) for slot in range(18)]
    figures = a_history(*samples, **{"30d": 30 * DAY}).figures(NOW)["30d"]

    assert 3 * HOUR / (30 * DAY) == pytest.approx(figures.coverage)


@pytest.mark.parametrize(
    ("ats", "covered"),
    [
        ([3000, 2400, 1800, 1200, 600, 0], 3600),  # On time.
        ([1800], 1200),  # One slot to each side.
        ([3500, 100], 100 + 600 + 600 + 100),  # Clipped to the window at both ends.
        ([2400, 600], 600 + 2 * 600 + 600),  # Half-way at most: two slots missing.
        ([2000, 1900], 600 + 100 + 600),  # A burst counts its time once.
    ],
)
def test_a_sample_speaks_for_at_most_one_slot_to_each_side(ats, covered):
    """Coverage is half-way to the neighbours, capped by the slot and by the window."""
    figures = a_history(*(a_sample(NOW - age) for age in ats)).figures(NOW)["1h"]

    assert covered / HOUR == pytest.approx(figures.coverage)


def test_void_slots_lower_the_coverage():
    """An outage of our own network is time not measured."""
    ages = (3000, 2400, 1800, 1200, 600, 0)
    void = {2400, 1800, 1200}
    outcome = [Outcome.VOID if age in void else Outcome.GOOD for age in ages]
    history = a_history(*(a_sample(NOW - a, o) for a, o in zip(ages, outcome, strict=True)))

    assert 2400 / HOUR == pytest.approx(history.figures(NOW)["1h"].coverage)


def test_a_sample_of_the_future_waits_for_its_time():
    """After the wall clock was set back, later samples count once it passes them."""
    history = a_history(a_sample(NOW), a_sample(NOW + 100))

    counts = [history.figures(now)["1h"].n for now in (NOW, NOW + 100, NOW + 50, NOW - 1)]
    assert [1, 2, 1, 0] == counts


def test_a_clock_set_back_brings_back_what_had_left():
    """Samples that expired under the wrong time count again under the right one."""
    history = a_history(*(a_sample(NOW + minute * 60) for minute in range(-90, 1)))
    right = history.figures(NOW - 900)["1h"]
    history.figures(NOW)

    assert right == history.figures(NOW - 900)["1h"]
    assert NOW - 900 == right.last_sample_at


def test_a_late_sample_takes_its_place_in_time():
    """Arrival out of order leaves the same figures as arrival in order."""
    ats = [NOW - 3000, NOW - 1800, NOW - 900, NOW]
    orderly = a_history(*(a_sample(at) for at in ats)).figures(NOW)
    history = a_history()
    for at in (ats[0], ats[3], ats[1], ats[2]):
        history.append(a_sample(at))
        history.figures(NOW)

    assert orderly == history.figures(NOW)
    history.append(a_sample(NOW - 2 * HOUR + 1))
    assert orderly == history.figures(NOW)


def test_memory_is_bounded_by_dropping_the_oldest():
    """Beyond the limit the oldest sample leaves, and every figure with it."""
    over = 3
    history = History({"short": 5.0, "all": 1e6})
    for second in range(limits.SAMPLES_PER_TARGET_MAX + over):
        if second == limits.SAMPLES_PER_TARGET_MAX:
            history.figures(NOW + second)
        history.append(a_sample(NOW + second, slot_s=1.0))
    figures = history.figures(NOW + limits.SAMPLES_PER_TARGET_MAX + over - 1)

    assert limits.SAMPLES_PER_TARGET_MAX == len(history) == figures["all"].n
    assert 5 == figures["short"].n


def test_the_only_sample_of_a_window_may_be_the_one_dropped():
    """A present sample before a full history of the future leaves an empty window."""
    history = a_history(a_sample(NOW))
    first = history.figures(NOW)["1h"].n
    for second in range(limits.SAMPLES_PER_TARGET_MAX):
        history.append(a_sample(NOW + 10 + second))

    assert (1, 0) == (first, history.figures(NOW)["1h"].n)


def test_samples_older_than_twice_the_longest_window_are_let_go():
    """A daemon that runs for years keeps only what its windows may need."""
    history = a_history(a_sample(NOW - 2 * HOUR), a_sample(NOW - HOUR - 1))
    history.figures(NOW)

    assert 1 == len(history)


def test_recent_latencies_are_of_good_samples_newest_last():
    """Failures have no latency; the newest is last."""
    history = a_history(
        a_sample(NOW, latency_s=1.0),
        a_sample(NOW + 1, latency_s=2.0),
        a_sample(NOW + 2, Outcome.BAD),
        a_sample(NOW + 3, latency_s=3.0),
    )

    assert (2.0, 3.0) == history.recent_latencies(2)
    assert (1.0, 2.0, 3.0) == history.recent_latencies(9)


def test_figures_that_did_not_change_are_the_same_object_until_they_age():
    """Readers may compare by identity; only coverage moves with time alone."""
    history = a_history(a_sample(NOW - 1200, slot_s=600.0))
    first = history.figures(NOW)["1h"]

    assert first is history.figures(NOW)["1h"]
    assert history.figures(NOW + 1)["1h"] is history.figures(NOW + 1)["1h"]
