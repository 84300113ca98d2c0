"""What a schedule costs, how soon it sees an outage, what it can prove, and what it warns of."""

from __future__ import annotations

from random import Random

import pytest

from monitor.core.availability import wilson
from monitor.core.cost import month_of
from monitor.core.plan import P95_SHARE, Cap, clean_canaries, plan, time_to_detect
from monitor.core.schedule import next_fire
from monitor.core.spec import Objective, Policy, ProviderSpec, QuotaSpec
from tests.support.builders import NOW, a_spec

POLICY = Policy()


def acme(usd_per_day, *targets):
    """A cap of the provider that the builders use."""
    return Cap(name="provider acme", targets=frozenset(targets), usd=usd_per_day)


def planned(*specs, caps=(), policy=POLICY, **quota):
    """The plan of *specs* under *caps*, and under the *quota* of their provider."""
    acme = ProviderSpec(id="acme", quota=QuotaSpec(**quota))
    return plan(specs, policy, caps, {"acme": acme, "idle": ProviderSpec(id="idle")})


def test_a_clean_day_of_144_canaries_proves_974():
    """One canary in ten minutes, none failed: 97.4 % is what that day can say, floored."""
    (target,) = planned(a_spec(interval_s=600)).targets

    assert 144 == target.canaries_per_day
    assert ["day", "week", "month"] == list(target.proves)
    assert 0.974 == pytest.approx(target.proves["day"], abs=0.0005)
    assert wilson(7 * 144, 7 * 144).lower == pytest.approx(target.proves["week"], abs=1e-5)
    assert wilson(30 * 144, 30 * 144).lower == pytest.approx(target.proves["month"], abs=1e-5)
    assert wilson(144, 144).lower >= target.proves["day"]


def test_a_span_without_a_canary_proves_nothing():
    """One canary a week says nothing of a day: None, not 0 and not 100 %."""
    (target,) = planned(a_spec(interval_s=604_800)).targets

    assert target.proves["day"] is None
    assert wilson(1, 1).lower == pytest.approx(target.proves["week"], abs=1e-5)


def test_dollars_are_canaries_times_the_price():
    """A canary for four cents every ten minutes is $5.76 a day."""
    (target,) = planned(a_spec(price_usd=0.04, interval_s=600)).targets

    assert (5.76, 5.76) == pytest.approx((target.usd_per_day, target.left_usd_per_day))


@pytest.mark.parametrize(
    ("cap", "left"), [(5.76, 144), (100.0, 144), (0.12, 3), (0.119, 2), (0.04, 1), (0.039, 0)]
)
def test_a_cap_leaves_the_whole_canaries_it_pays_for(cap, left):
    """As the ledger counts: the last one that would pass the cap is not sent."""
    (target,) = planned(a_spec(price_usd=0.04, interval_s=600), caps=[acme(cap, "alpha")]).targets

    assert left == target.left_per_day


def test_a_cap_that_is_just_reached_does_not_bite():
    """24 canaries of 5 cents are $1.20 and not a rounding error more."""
    result = planned(a_spec(price_usd=0.05, interval_s=3600), caps=[acme(1.2, "alpha")])

    assert (24, ()) == (result.targets[0].left_per_day, result.warnings)


def test_a_shared_cap_is_shared_by_what_each_wants_and_free_canaries_go_on():
    """Half of the money is half of each one's canaries; what costs nothing is never capped."""
    specs = [
        a_spec("often", price_usd=0.04, interval_s=600),
        a_spec("seldom", price_usd=0.04, interval_s=3600),
        a_spec("free", price_usd=0.0),
        a_spec("other", price_usd=0.04),
    ]
    result = planned(*specs, caps=[acme(3.36, "often", "seldom", "free")])

    assert [72, 12, 144, 144] == [target.left_per_day for target in result.targets]
    assert (
        (
            "provider acme: canaries for $6.72 are planned, the cap is $3.36 a day. It pays for 50 % of "
            "their slots: targets in doubt and the first of each pool come first, the others are seen "
            "later."
        ),
    ) == result.warnings


def test_the_tightest_of_several_caps_holds():
    """A target under two caps has what the smaller one leaves."""
    caps = [acme(1.0, "alpha"), acme(0.4, "alpha"), acme(2.0, "alpha")]
    (target,) = planned(a_spec(price_usd=0.04, interval_s=600), caps=caps).targets

    assert 10 == target.left_per_day


def test_few_canaries_under_a_shared_cap_are_a_fraction_a_day():
    """A cap for one canary a day, wanted by two targets, leaves each half of one."""
    specs = [a_spec("a", price_usd=0.04), a_spec("b", price_usd=0.04)]
    result = planned(*specs, caps=[acme(0.04, "a", "b")])

    assert [0.5, 0.5] == pytest.approx([target.left_per_day for target in result.targets])


def test_a_canary_above_its_cap_is_never_sent_and_takes_nothing_from_the_others():
    """The target is warned of, the others keep the whole cap, and its claim is never proven."""
    specs = [
        a_spec("dear", price_usd=0.24, claim=Objective(availability=0.9)),
        a_spec("cheap", price_usd=0.001, interval_s=864),
    ]
    result = planned(*specs, caps=[acme(0.1, "dear", "cheap")])

    assert [0, 100] == [target.left_per_day for target in result.targets]
    assert {"day": None, "week": None, "month": None} == result.targets[0].proves
    assert result.targets[0].proofs[0].days is None
    assert (
        (
            "target dear: one canary costs $0.24, the cap of provider acme is $0.10 a day; it is "
            "never probed."
        ),
        (
            "target dear: its claim of 90 % cannot be proven within 30 days: it takes 35 good "
            'canaries in a row, $8.40. interval = "74057s" would do it in 30, for $8.40 a month, '
            "above the cap of provider acme ($0.10 a day)."
        ),
    ) == result.warnings


def test_a_quota_is_shared_by_the_targets_of_its_provider():
    """Up to its share of it in all goes unremarked; one canary more is said, with what to change."""
    within = planned(*[a_spec(t, interval_s=5760.0) for t in "ab"], per_day=1500)
    above = planned(*[a_spec(t, interval_s=3600.0) for t in "ab"], per_day=1500)

    assert [0.01, 0.01] == pytest.approx([target.quota_share for target in within.targets])
    assert ([15, 15], ()) == ([target.left_per_day for target in within.targets], within.warnings)
    assert [15, 15] == [target.left_per_day for target in above.targets]
    assert (
        (
            "provider acme: 48 canaries a day are planned, its quota of 1500 requests a day leaves "
            "them 30; make intervals 1.6 times as long or set quota.share = 0.032."
        ),
    ) == above.warnings
    elsewhere = planned(a_spec(provider="nowhere"), per_day=10)
    assert (None, 144) == (
        elsewhere.targets[0].quota_share, elsewhere.targets[0].left_per_day,
    )  # fmt: skip


def test_a_cap_comes_before_the_quota():
    """What the money does not pay for takes no share of the requests; free canaries do."""
    specs = [
        a_spec("dear", price_usd=0.1, interval_s=864),
        a_spec("free", price_usd=0.0, interval_s=864),
    ]
    result = planned(*specs, caps=[acme(2.0, "dear")], per_day=1000, share=0.06)

    assert [10, 50] == [target.left_per_day for target in result.targets]


def test_a_quota_too_small_for_its_share_leaves_nothing():
    """2 % of 20 requests are no canary: a larger share is the only advice."""
    result = planned(a_spec(interval_s=43_200, claim=Objective(availability=0.5)), per_day=20)

    assert 0 == result.targets[0].left_per_day
    assert {"day": None, "week": None, "month": None} == result.targets[0].proves
    assert (
        "provider acme: 2 canaries a day are planned, its quota of 20 requests a day leaves them "
        "0; set quota.share = 0.1."
    ) == result.warnings[0]


def test_a_limit_a_minute_bounds_the_day_too():
    """Ten a minute leave one, which is 1440 a day; no share of a day would help there."""
    result = planned(a_spec(interval_s=30), per_minute=10)

    assert 1440 == result.targets[0].left_per_day
    assert (
        (
            "provider acme: 2 canaries a minute are planned, its quota of 10 requests a minute "
            "leaves them 1; make intervals 2 times as long."
        ),
    ) == result.warnings


@pytest.mark.parametrize(
    ("claim", "n"), [(0.0, 1), (0.5, 4), (0.974, 144), (0.995, 765), (0.999, 3838)]
)
def test_a_claim_takes_so_many_clean_canaries(claim, n):
    """The number is enough by the interval that is published, and one less is not."""
    assert n == clean_canaries(claim)
    assert claim <= wilson(n, n).lower
    assert n == 1 or wilson(n - 1, n - 1).lower < claim


def test_no_number_of_canaries_proves_100_percent():
    """A claim of 1 is said to be beyond proof."""
    result = planned(a_spec(claim=Objective(availability=1.0)))
    (proof,) = result.targets[0].proofs

    assert (None, None, None, False) == (
        proof.canaries, proof.days, proof.usd, proof.is_within_month,
    )  # fmt: skip
    assert (
        "target alpha: its claim of 100 % cannot be proven by any number of canaries.",
    ) == result.warnings


def test_a_p95_takes_73_good_samples_within_it():
    """A claimed p95 is judged as a share of 95 %, by the interval that is published."""
    assert 73 == clean_canaries(P95_SHARE)


def test_a_claim_within_reach_is_priced_and_not_warned_of():
    """765 canaries for 99.5 %, 73 for the p95, at 144 a day and four cents."""
    claim = Objective(availability=0.995, latency_p95_s=12.0)
    result = planned(a_spec(price_usd=0.04, interval_s=600, claim=claim))
    ratio, p95 = result.targets[0].proofs

    assert () == result.warnings
    assert (765, True) == (ratio.canaries, ratio.is_within_month)
    assert (765 / 144, 30.60) == pytest.approx((ratio.days, ratio.usd))
    assert (73 / 144, 2.92) == pytest.approx((p95.days, p95.usd))
    assert ["99.5 %", "p95 12 s"] == [proof.words for proof in (ratio, p95)]


def test_a_claim_out_of_reach_is_warned_of_with_what_would_do():
    """The interval named brings the canaries together within 30 days, and its price is told."""
    claim = Objective(availability=0.999)
    result = planned(a_spec(price_usd=0.04, interval_s=3600, claim=claim))
    (proof,) = result.targets[0].proofs

    assert 30 * 86_400 / proof.month_interval_s >= proof.canaries
    assert 30 * 86_400 / (proof.month_interval_s + 1) < proof.canaries
    assert (
        (
            "target alpha: its claim of 99.9 % cannot be proven within 30 days: it takes 3838 good "
            'canaries in a row, $153.52 and 160 days at this rate. interval = "675s" would do it in '
            "30, for $153.60 a month."
        ),
    ) == result.warnings


def test_a_claim_that_no_interval_proves_in_a_month_is_said_to_be_one():
    """Seven nines take more canaries than a month has seconds."""
    result = planned(a_spec(price_usd=0.0, claim=Objective(availability=0.9999999)))
    (text,) = result.warnings

    assert result.targets[0].proofs[0].month_usd is None
    assert text.endswith("; no interval is short enough.")


def test_a_cap_that_delays_the_proof_counts():
    """Days are those within the cap."""
    spec = a_spec(price_usd=0.04, interval_s=600, claim=Objective(availability=0.995))
    result = planned(spec, caps=[acme(0.0401, "alpha")])

    assert 765 == result.targets[0].proofs[0].days
    assert "$30.60 and 765 days at this rate" in result.warnings[1]
    assert "above the cap of provider acme ($0.0401 a day)" in result.warnings[1]


def delays(down_after, starts, seed):
    """Seconds from random moments to the fire that makes the target down, on the real grid."""
    rng, interval_s = Random(seed), 600.0

    def jitter_of(slot):
        return Random(f"{seed}/{slot}").random()

    for _ in range(starts):
        begin = fire = NOW + rng.random() * 10_000 * interval_s
        for _ in range(down_after):
            fire = next_fire("alpha", interval_s, fire, jitter_of)
        yield fire - begin


@pytest.mark.parametrize("down_after", [1, 2, 3])
def test_detection_times_are_those_of_the_real_grid(down_after):
    """Mean and 90 % point in closed form against 20 000 outages on the schedule itself."""
    n = 20_000
    seen = sorted(delays(down_after, n, seed=7))
    expected = time_to_detect(600.0, down_after)

    # A delay's standard deviation is 0.3 slots, so the mean's is 0.0022: four of them.
    assert expected.mean_s == pytest.approx(sum(seen) / n, abs=0.009 * 600)
    assert expected.p90_s == pytest.approx(seen[n * 9 // 10], abs=0.012 * 600)


def test_five_minutes_and_two_failures_take_seven_and_a_half_on_average():
    """The mean is half a slot less than the failures needed; nine in ten are seen in 9:34."""
    detection = time_to_detect(300.0, 2)

    assert (450.0, 573.3) == pytest.approx((detection.mean_s, detection.p90_s), abs=0.1)


def test_without_jitter_an_outage_is_seen_after_a_uniform_wait():
    """Half a slot on average, nine tenths of one in nine of ten."""
    detection = time_to_detect(1000.0, 1, jitter_share=0.0)

    assert (500.0, 900.0) == pytest.approx((detection.mean_s, detection.p90_s))


def test_the_plan_takes_the_failures_that_mean_down_and_their_confirmations_from_the_policy():
    """A first failed slot is confirmed after 30 s, and once more after a minute."""
    spec = a_spec(interval_s=600, deadline_s=40)
    one, two, three = (
        planned(spec, policy=Policy(down_after=n)).targets[0].detection for n in (1, 2, 3)
    )
    first = time_to_detect(600, 1)

    assert (first.mean_s, first.p90_s, 40) == (one.mean_s, one.p90_s, one.hang_s)
    assert (30, 30) == pytest.approx((two.mean_s - one.mean_s, two.p90_s - one.p90_s))
    assert (90, 90) == pytest.approx((three.mean_s - one.mean_s, three.p90_s - one.p90_s))
    assert (80, 120) == (two.hang_s, three.hang_s)


def test_where_the_next_slot_comes_first_it_confirms():
    """Confirmations that take longer than a slot are not waited for."""
    slots = planned(a_spec(interval_s=20, deadline_s=5)).targets[0].detection
    mixed = planned(a_spec(interval_s=50), policy=Policy(down_after=3)).targets[0].detection

    assert time_to_detect(20, 2).mean_s == slots.mean_s
    assert 5 == slots.hang_s
    assert time_to_detect(50, 2).mean_s + 30 == mixed.mean_s


def test_a_monthly_cap_is_spread_over_thirty_days():
    """As the daemon spreads it: a thirtieth a day, and the warning speaks of the month."""
    month = Cap(name="all probes", targets=frozenset({"alpha"}), usd=86.4, days=30)
    result = planned(a_spec(price_usd=0.04, interval_s=600), caps=[month])

    assert 72 == result.targets[0].left_per_day
    assert result.warnings[0].startswith(
        "all probes: canaries for $172.80 are planned, the cap is $86.40 a month. It pays for 50 %"
    )


@pytest.mark.parametrize(
    ("quota", "within", "over"), [(None, 50_000, 0), (1500, 45_000, 5_000), (2000, 50_000, 0)]
)
def test_a_quota_bounds_what_a_month_can_hold(quota, within, over):
    """1500 a day are 45 000 a month; the rest must be made elsewhere and costs nothing here."""
    volume = month_of(50_000, 0.01, quota)

    assert (within, over) == (volume.within_quota, volume.over_quota)
    assert within * 0.01 == pytest.approx(volume.usd)
