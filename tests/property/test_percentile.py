"""Laws of percentiles."""

from __future__ import annotations

from math import comb

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.percentile import nearest_rank, quantile_bounds
from tests.support.strategies import latencies

SHARES = st.sampled_from([0.05, 0.5, 0.9, 0.95, 0.99])


@given(values=st.lists(latencies, min_size=1), q=SHARES)
def test_a_percentile_is_the_smallest_sample_that_covers_its_share(values, q):
    """At least a share q of the samples is at or under it, and of no smaller sample."""
    values.sort()
    value = nearest_rank(values, q)
    share = {v: sum(other <= v for other in values) / len(values) for v in values}

    assert min(v for v in values if share[v] >= q) == value


@given(values=st.lists(latencies, min_size=1), one=SHARES, other=SHARES)
def test_percentiles_grow_with_their_share(values, one, other):
    """A higher share never has a lower percentile."""
    values.sort()

    assert nearest_rank(values, min(one, other)) <= nearest_rank(values, max(one, other))


@given(n=st.integers(0, 400), q=SHARES)
def test_bounds_are_those_of_the_exact_binomial(n, q):
    """The ranks equal a plain sum of binomial probabilities, and enclose the quantile's rank."""
    total, tails = 0.0, []
    for k in range(n + 1):
        total += comb(n, k) * q**k * (1 - q) ** (n - k)
        tails.append(total)
    lower = max((k + 1 for k in range(n) if tails[k] <= 0.05 + 1e-9), default=None)
    upper = min((k + 1 for k in range(n) if tails[k] >= 0.95 - 1e-9), default=None)

    assert (lower, upper) == quantile_bounds(n, q)
