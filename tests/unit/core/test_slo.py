"""Verdicts on claims, error budgets and burn rates, by hand."""

from __future__ import annotations

import pytest

from monitor.core.availability import Ratio, wilson
from monitor.core.period import figures_between
from monitor.core.slo import (
    BUDGET_S,
    clean_canaries_more,
    error_budget,
    judge_ratio,
    latency_threshold,
    verdicts,
)
from monitor.core.spec import Objective
from monitor.core.verdict import ClaimKind, Decider, Verdict
from monitor.core.window import History
from probes.model import Outcome
from tests.support.builders import NOW, a_pool, a_sample, a_spec

MONTH = 30 * 86_400.0


def figures(
    good=0, bad=0, *, slow=0, timeouts=0, span_s=MONTH, threshold_s=None, name="30d", slot_s=600.0
):
    """A window of the last canaries: *bad* ones, *timeouts*, *slow* ones (20 s), then good (5 s)."""
    fates = ["bad"] * bad + ["timeout"] * timeouts + ["slow"] * slow + ["good"] * good
    history = History({name: span_s}, threshold_s=threshold_s)
    for age, fate in enumerate(reversed(fates)):
        failed = fate in ("bad", "timeout")
        latency_s = None if failed else 20.0 if fate == "slow" else 5.0
        history.append(
            a_sample(
                NOW - age * slot_s,
                Outcome.BAD if failed else Outcome.GOOD,
                latency_s=latency_s,
                is_timeout=fate == "timeout",
                slot_s=slot_s,
            )
        )
    return history.figures(NOW)[name]


def of_availability(claim, **counts):
    """The one verdict on a claim of availability."""
    (verdict,) = verdicts(figures(**counts), Objective(availability=claim), a_spec())
    return verdict


def of_latency(limit_s=12.0, **counts):
    """The one verdict on a claimed p95."""
    window = figures(threshold_s=limit_s, **counts)
    (verdict,) = verdicts(window, Objective(latency_p95_s=limit_s), a_spec())
    return verdict


def test_a_clean_day_proves_974_and_not_999():
    """144 canaries without a failure are no proof of three nines, and it is said what would be."""
    attained, open_ = of_availability(0.974, good=144), of_availability(0.999, good=144)

    assert (Verdict.ATTAINED, None) == (attained.verdict, attained.decider)
    assert "attained: 144 clean canaries prove 97.4 %; 97.4 % is claimed" == attained.words
    assert Verdict.UNDETERMINED is open_.verdict
    # 3838 by the two-sided interval that is published; 2995 would be a one-sided bound's.
    assert 3838 - 144 == open_.decider.canaries
    assert pytest.approx((3694 / 144, 147.76)) == (open_.decider.days, open_.decider.usd)
    assert (
        "undetermined: 144 clean canaries prove 97.4 %; 3,694 more (25.7 days, $147.76) would decide"
    ) == open_.words


def test_2995_clean_canaries_are_not_yet_999():
    """A two-sided interval asks for more than a one-sided bound, and plan and verdict agree."""
    assert Verdict.UNDETERMINED is of_availability(0.999, good=2995).verdict
    assert Verdict.UNDETERMINED is of_availability(0.999, good=3837).verdict
    assert Verdict.ATTAINED is of_availability(0.999, good=3838).verdict


def test_no_data_is_undetermined():
    """Nothing measured attains nothing and misses nothing; the whole proof is still to be paid."""
    verdict = of_availability(0.999)

    assert Verdict.UNDETERMINED is verdict.verdict
    assert Decider(canaries=3838, days=3838 / 144, usd=153.52, fits=True) == verdict.decider
    assert (
        "undetermined: no canaries; 3,838 clean ones (26.7 days, $153.52) would decide"
    ) == verdict.words


def test_a_claim_is_missed_when_the_whole_interval_is_below_it():
    """Two failures of 144 leave 99 % open, eight do not."""
    assert Verdict.UNDETERMINED is of_availability(0.99, good=142, bad=2).verdict
    missed = of_availability(0.99, good=136, bad=8)

    assert (Verdict.MISSED, None) == (missed.verdict, missed.decider)
    assert (
        "missed: 144 canaries, 8 of them bad, allow at most 97.2 %; 99 % is claimed"
    ) == missed.words


def test_a_bound_next_to_the_claim_is_shown_with_the_digits_that_tell_them_apart():
    """Rounding never makes a missed claim look attained, nor an attained one missed."""
    window = figures(good=136, bad=8)
    upper = window.provider.upper
    near = verdicts(window, Objective(availability=upper + 1e-7), a_spec())[0]
    nearest = verdicts(window, Objective(availability=upper + 1e-15), a_spec())[0]
    above = verdicts(window, Objective(availability=window.provider.lower), a_spec())[0]

    assert "allow at most 97.15834 %;" in near.words
    assert "allow less than 97.1" in nearest.words
    assert {Verdict.MISSED} == {near.verdict, nearest.verdict}
    assert "prove 89.4208929927107 %" in above.words
    assert Verdict.ATTAINED is above.verdict


def test_100_percent_is_beyond_any_proof():
    """A claim of 1 is undetermined until a failure decides it."""
    clean = of_availability(1.0, good=5000)

    assert (Verdict.UNDETERMINED, None) == (clean.verdict, clean.decider)
    assert clean.words.endswith("prove 99.9 %; no number of canaries proves 100 %")
    assert Verdict.MISSED is of_availability(1.0, good=10, bad=1).verdict


def test_what_a_window_cannot_hold_is_said():
    """A day of canaries every ten minutes never proves 99.9 %, however long one waits."""
    verdict = of_availability(0.999, good=144, span_s=86_400.0, name="24h")

    assert not verdict.decider.fits
    assert verdict.words.endswith("would decide, more than 24h holds")


def test_a_period_that_runs_is_judged_by_its_whole_length():
    """On the second day of a month there is room for the proof in the rest of it."""
    samples = [a_sample(NOW - age * 600.0) for age in range(144)]
    so_far = figures_between(samples, NOW - 86_400.0, NOW + 1.0, "2026-11")
    claim = Objective(availability=0.999)
    (short,) = verdicts(so_far, claim, a_spec())
    (whole,) = verdicts(so_far, claim, a_spec(), span_s=MONTH)

    assert (False, True) == (short.decider.fits, whole.decider.fits)


def test_one_canary_is_spoken_of_as_one():
    """Grammar."""
    assert of_availability(0.9, good=1).words.startswith("undetermined: 1 clean canary proves 20")
    assert of_availability(0.9, bad=1).words.startswith(
        "missed: 1 canary, 1 of them bad, allows at"
    )


def test_a_claimed_p95_is_judged_by_the_share_within_it():
    """73 of 73 within 12 s prove 95 %; one fewer does not; slow ones and failures count against."""
    assert Verdict.UNDETERMINED is of_latency(good=72).verdict
    attained = of_latency(good=73)
    missed = of_latency(good=60, slow=8, bad=2, timeouts=3)

    assert ("attained: 73 canaries prove 95.0 % within 12 s; 95 % is claimed") == attained.words
    assert (
        "missed: 73 canaries, 13 of them slow or failed, allow at most 89.3 % within 12 s; "
        "95 % is claimed"
    ) == missed.words
    assert (ClaimKind.LATENCY_P95, 12.0) == (missed.kind, missed.claim)


def test_a_latency_equal_to_the_threshold_is_fast():
    """A claim of 20 s is met by 20 s."""
    assert 100 == figures(slow=100, threshold_s=20.0).fast
    assert 0 == figures(slow=100, threshold_s=19.999).fast


def test_a_dead_provider_has_no_p95_and_misses_its_latency():
    """There is no latency to show, and every request was slow."""
    window = figures(bad=20, timeouts=20, threshold_s=12.0)
    (verdict,) = verdicts(window, Objective(latency_p95_s=12.0), a_spec())

    assert window.quantiles[0.95].value is None
    assert 0.0 == window.latency_sli.value
    assert Verdict.MISSED is verdict.verdict


def test_unusable_and_void_samples_say_nothing_of_a_claim():
    """Our own empty account is neither up nor down, fast nor slow."""
    history = History({"30d": MONTH}, threshold_s=12.0)
    history.append(a_sample(NOW - 1200.0, Outcome.UNUSABLE))
    history.append(a_sample(NOW - 600.0, Outcome.VOID))
    window = history.figures(NOW)["30d"]
    both = verdicts(window, Objective(availability=0.9, latency_p95_s=12.0), a_spec())

    assert (0, 0) == (window.provider.n, window.latency_sli.n)
    assert {Verdict.UNDETERMINED} == {verdict.verdict for verdict in both}
    assert all(verdict.words.startswith("undetermined: no canaries; ") for verdict in both)


def test_without_a_claim_there_is_no_verdict():
    """Nobody promised anything."""
    assert () == verdicts(figures(good=10), Objective(), a_spec())


def test_the_threshold_is_the_claim_or_the_strictest_aim_of_its_pools():
    """A claim comes first; pools without the target, or without an aim, do not count."""
    claimed = a_spec(claim=Objective(latency_p95_s=12.0))
    pools = [
        a_pool(slo=Objective(latency_p95_s=15.0)),
        a_pool(slo=Objective(latency_p95_s=9.0)),
        a_pool(slo=Objective(availability=0.9)),
        a_pool("beta", slo=Objective(latency_p95_s=1.0)),
    ]

    assert 12.0 == latency_threshold(claimed, pools)
    assert 9.0 == latency_threshold(a_spec(), pools)
    assert latency_threshold(a_spec(), pools[2:]) is None
    assert figures(good=3).latency_sli is None


def test_slots_left_out_weigh_in_what_is_still_to_be_proven():
    """A failure that stands for six slots takes more clean canaries to outweigh than for one."""
    one, six = History({"30d": MONTH}), History({"30d": MONTH})
    one.append(a_sample(NOW, Outcome.BAD))
    six.append(a_sample(NOW, Outcome.BAD, slot_s=3600.0))
    light, heavy = (h.figures(NOW)["30d"].provider for h in (one, six))

    assert clean_canaries_more(light, 0.95, 600_000_000) < clean_canaries_more(
        heavy, 0.95, 600_000_000
    )


def test_nothing_more_is_needed_for_what_is_proven():
    """An attained claim needs no further canary."""
    assert 0 == clean_canaries_more(wilson(3838, 3838), 0.999, 1)
    assert clean_canaries_more(wilson(10, 10), 1.0, 1) is None
    assert Verdict.UNDETERMINED is judge_ratio(Ratio(n=0, value=None, lower=None, upper=None), 0.0)


def budget(objective=0.99, *, month=None, **windows):
    """The budget of a month of figures and of shorter windows by name."""
    spans = {"six_h": 21_600.0, "day": 86_400.0, "three_d": 3 * 86_400.0}
    by_span = {
        spans[name]: figures(**counts, span_s=spans[name]) for name, counts in windows.items()
    }
    return error_budget(objective, {BUDGET_S: figures(**(month or {})), **by_span})


def test_a_budget_is_what_the_objective_leaves_to_fail():
    """At 99 %, 5 failures of 1000 use half of it; 20 leave minus one."""
    half, over = budget(month={"good": 995, "bad": 5}), budget(month={"good": 980, "bad": 20})

    assert 0.5 == pytest.approx(half.remaining)
    assert -1.0 == pytest.approx(over.remaining)
    assert 1 - (1 - wilson(995, 1000).lower) / 0.01 == pytest.approx(half.remaining_lower)
    assert (0.99, 1000) == (half.objective, half.n)


def test_a_budget_without_an_objective_or_without_room_is_none():
    """Nothing promised, or 100 %: there is nothing to spend and nothing to divide by."""
    assert budget(None) is None
    assert budget(1.0) is None


def test_a_budget_of_too_few_samples_is_null():
    """Never 0, never 1: eleven canaries say nothing of a month, twelve clean ones leave it whole."""
    few, enough = budget(month={"good": 11}), budget(month={"good": 12})

    assert (None, None, 11) == (few.remaining, few.remaining_lower, few.n)
    assert 1.0 == enough.remaining
    assert enough.remaining_lower < 0


def test_a_burn_rate_needs_three_failures_and_twelve_samples():
    """Two failures a day, or three of eleven canaries, are no rate; three of 36 burn 8.3 times."""
    burns = budget(
        six_h={"good": 8, "bad": 3}, day={"good": 142, "bad": 2}, three_d={"good": 33, "bad": 3}
    ).burns

    assert ["6h", "1d", "3d"] == list(burns)
    assert (None, None, 11, 3) == (
        burns["6h"].rate, burns["6h"].lower, burns["6h"].n, burns["6h"].failures,
    )  # fmt: skip
    assert burns["1d"].rate is None
    assert 3 / 36 / 0.01 == pytest.approx(burns["3d"].rate)
    assert (1 - wilson(33, 36).upper) / 0.01 == pytest.approx(burns["3d"].lower)


def test_burn_rates_are_of_the_windows_there_are():
    """A batch queue is judged over days, so it has no rate over six hours."""
    assert ["1d"] == list(budget(day={"good": 20}).burns)
