"""Laws of verdicts, deciders and budgets, against the obvious way to compute them."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.core.availability import weighted, wilson
from monitor.core.plan import clean_canaries
from monitor.core.slo import (
    BUDGET_S,
    BURNS_S,
    clean_canaries_more,
    error_budget,
    judge_ratio,
    verdicts,
)
from monitor.core.spec import Objective
from monitor.core.verdict import Verdict
from monitor.core.window import History
from probes.model import Outcome
from tests.support.builders import NOW, a_spec
from tests.support.strategies import samples

claims = st.integers(0, 99_999).map(lambda n: float(Decimal(n) / 100_000))
OFFSETS = st.integers(0, 1600).map(lambda quarters: quarters / 4)


@given(counts=st.tuples(st.integers(0, 400), st.integers(0, 40)), claim=st.integers(0, 98))
def test_the_decider_is_the_first_number_that_a_search_finds(counts, claim):
    """One canary after another, until the published lower bound reaches the claim."""
    good, bad = counts
    share = claim / 100
    more = 0
    while good + bad + more == 0 or wilson(good + more, good + bad + more).lower < share:
        more += 1

    assert more == clean_canaries_more(wilson(good, good + bad), share, 1)


@given(claim=claims)
def test_without_samples_the_decider_is_what_the_plan_says(claim):
    """`imgmon plan` and the verdict name the same number, at every configured claim."""
    assert clean_canaries(claim) == clean_canaries_more(wilson(0, 0), claim, 600_000_000)


@given(
    measured=st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=60),
    claim=st.integers(0, 97).map(lambda n: n / 100),
    weight=st.integers(1, 9),
)
def test_a_decider_proves_the_claim_and_one_fewer_does_not(measured, claim, weight):
    """Whatever the samples weigh: added one by one, they decide when it says."""
    good = sum(w for is_good, w in measured if is_good)
    total = sum(w for _, w in measured)
    squares = sum(w * w for _, w in measured)
    more = clean_canaries_more(weighted(good, total, squares, len(measured)), claim, weight)

    def after(k):
        added = [weight] * k
        ratio = weighted(
            good + sum(added), total + sum(added), squares + sum(w * w for w in added),
            len(measured) + k,
        )  # fmt: skip
        return judge_ratio(ratio, claim)

    assert Verdict.ATTAINED is after(more)
    assert more == 0 or Verdict.ATTAINED is not after(more - 1)


@given(good=st.integers(0, 3000), bad=st.integers(0, 300), claim=claims)
def test_a_verdict_is_the_side_of_the_claim_on_which_the_interval_lies(good, bad, claim):
    """Never two at once, and none without a sample."""
    ratio = wilson(good, good + bad)
    verdict = judge_ratio(ratio, claim)
    if good + bad == 0:
        assert Verdict.UNDETERMINED is verdict
        return
    assert (verdict is Verdict.ATTAINED) == (claim <= ratio.lower)
    assert (verdict is Verdict.MISSED) == (ratio.upper < claim)


def window(appended, threshold_s=None, spans=None):
    """The figures at NOW + 400 of windows by name."""
    history = History(spans or {"w": 300.0}, threshold_s=threshold_s)
    for sample in appended:
        history.append(sample)
    return history.figures(NOW + 400)


@given(
    appended=st.lists(samples(OFFSETS.map(lambda s: NOW + s)), max_size=40),
    threshold_s=st.floats(0.001, 300.0),
)
def test_the_latency_sli_equals_a_count_from_scratch(appended, threshold_s):
    """Good and within the threshold, of good and bad, each weighing its slot."""
    figures = window(appended, threshold_s)["w"]
    members = [
        s for s in appended
        if NOW + 100 < s.at <= NOW + 400 and s.outcome in (Outcome.GOOD, Outcome.BAD)
    ]  # fmt: skip
    fast = [s for s in members if s.outcome is Outcome.GOOD and s.latency_s <= threshold_s]
    total = sum(s.weight for s in members)
    squares = sum(s.weight**2 for s in members)

    assert len(fast) == figures.fast
    assert figures.latency_sli == weighted(
        sum(s.weight for s in fast), total, squares, len(members)
    )
    if members:
        assert figures.latency_sli.value <= figures.provider.value


@given(
    appended=st.lists(samples(OFFSETS.map(lambda s: NOW + s)), max_size=40),
    claim=claims,
    limit_s=st.integers(1, 300),
)
def test_words_never_contradict_the_verdict(appended, claim, limit_s):
    """The percentage in the words is on the side of the claim that the verdict names."""
    figures = window(appended, float(limit_s))["w"]
    both = verdicts(figures, Objective(availability=claim, latency_p95_s=float(limit_s)), a_spec())

    assert 2 == len(both)
    for verdict, share in zip(both, (claim, 0.95), strict=True):
        assert verdict.words.startswith(f"{verdict.verdict}: ")
        assert (verdict.decider is None) == (verdict.verdict is not Verdict.UNDETERMINED)
        head = verdict.words.split(" %")[0].split()[-1]
        claimed = Decimal(str(share)) * 100
        if verdict.verdict is Verdict.ATTAINED:
            assert Decimal(head) >= claimed
        elif verdict.verdict is Verdict.MISSED or " prove" in verdict.words:
            assert Decimal(head) <= claimed


@given(
    appended=st.lists(samples(OFFSETS.map(lambda s: NOW + s)), max_size=60),
    objective=claims,
)
def test_budget_and_burn_equal_the_definitions(appended, objective):
    """Bad time over allowed time; null below three failures or twelve samples."""
    spans = {"30d": BUDGET_S, **BURNS_S}
    figures = window(appended, None, spans)
    budget = error_budget(objective, {f.span_s: f for f in figures.values()})
    members = [s for s in appended if s.outcome in (Outcome.GOOD, Outcome.BAD)]
    bad = [s for s in members if s.outcome is Outcome.BAD]
    assume(members)
    bad_share = sum(s.weight for s in bad) / sum(s.weight for s in members)
    expected = bad_share / (1 - objective)

    assert (budget.remaining is not None) == (len(members) >= 12)
    if budget.remaining is not None:
        assert abs(budget.remaining - (1 - expected)) < 1e-6 * max(1, expected)
        assert budget.remaining_lower <= budget.remaining <= 1
    for burn in budget.burns.values():
        assert (len(members), len(bad)) == (burn.n, burn.failures)
        assert (burn.rate is not None) == (len(bad) >= 3 and len(members) >= 12)
        if burn.rate is not None:
            assert abs(burn.rate - expected) < 1e-6 * max(1, expected)
            assert 0 <= burn.lower <= burn.rate
