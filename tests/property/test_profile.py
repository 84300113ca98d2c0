"""Hours of the week: every sample in its hour, by the clock of its zone."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.profile import hours_of_week
from probes.model import Outcome
from tests.support.builders import NOW, a_sample
from tests.support.strategies import samples

UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
WEEK = 7 * 86_400.0


def hour(found, weekday, number):
    """The figures of one hour."""
    return next(h for h in found if (h.weekday, h.hour) == (weekday, number))


@given(given_samples=st.lists(samples(st.floats(NOW - 8 * WEEK, NOW)), max_size=60))
def test_every_sample_is_in_one_hour_and_figures_stay_in_their_intervals(given_samples):
    """Law: 168 hours, from Monday 0:00 on; what none fell into has no figure."""
    kept = [s for s in given_samples if s.at >= NOW - 4 * WEEK]
    found = hours_of_week(given_samples, NOW - 4 * WEEK, BERLIN)

    assert [(day, number) for day in range(7) for number in range(24)] == [
        (h.weekday, h.hour) for h in found
    ]
    said = [s for s in kept if s.outcome is not Outcome.VOID]
    assert len(said) == sum(h.n for h in found)
    assert sum(s.outcome is Outcome.GOOD for s in kept) == sum(h.latency_n for h in found)
    for h in found:
        ratio = h.availability
        assert (ratio.value is None) == (ratio.n == 0)
        assert ratio.value is None or 0 <= ratio.lower <= ratio.value <= ratio.upper <= 1
        assert h.p95 is None or h.latency_n >= 59
        assert h.p50 is None or h.latency_n >= 5


def test_a_bad_evening_shows_in_its_own_hour():
    """By hand: four Tuesdays, ten minutes apart; from 20:00 to 21:00 two of six fail."""
    start = datetime(2026, 11, 3, 18, tzinfo=BERLIN).timestamp()
    evening = [
        a_sample(
            start + week * WEEK + 600 * slot,
            Outcome.BAD if 12 <= slot < 14 else Outcome.GOOD,
            latency_s=None if 12 <= slot < 14 else 1.0 + slot / 100,
        )
        for week in range(4)
        for slot in range(24)
    ]
    found = hours_of_week(evening, start, BERLIN)
    bad, fine, empty = hour(found, 1, 20), hour(found, 1, 19), hour(found, 2, 20)

    assert (24, 16, f"{16 / 24:.4f}") == (bad.n, bad.latency_n, f"{bad.availability.value:.4f}")
    assert (1.0, 1.08, None) == (fine.availability.value, fine.p50, fine.p95)
    assert (0, None, None) == (empty.n, empty.availability.value, empty.p50)
    assert 24 == hour(hours_of_week(evening, start, UTC), 1, 19).n


def test_enough_samples_support_a_p95():
    """59 of them: the first number with an upper bound."""
    found = hours_of_week([a_sample(NOW + n, latency_s=1.0 + n) for n in range(59)], 0.0, UTC)

    assert [57.0] == [h.p95 for h in found if h.p95 is not None]


def test_a_night_of_autumn_has_its_hour_twice():
    """2:30 in Berlin on 2026-10-25 comes at 0:30 and at 1:30 UTC."""
    night = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    found = hours_of_week([a_sample(night), a_sample(night + 3600)], 0.0, BERLIN)

    assert 2 == hour(found, 6, 2).n
