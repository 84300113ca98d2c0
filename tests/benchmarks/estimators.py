"""
Ways to tell from canaries whether a target should be demoted, and what to expect of it next.

Pure and O(1) an event: each hears one canary after the other, at wall times that do not fall. The
product's own is :mod:`monitor.core.health`; these are what it was compared with (ESTIMATORS.md).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import exp, log, sqrt
from typing import Final, Protocol

from monitor.core.availability import wilson
from monitor.core.health import RELAPSE_S, RELAPSES_MAX
from monitor.core.percentile import nearest_rank

# What is believed of a target without evidence: this share of good canaries, worth so many.
PRIOR: Final = 0.97
PRIOR_WEIGHT: Final = 4.0


class Estimator(Protocol):
    """
    A rule that hears canaries.

    Attributes:
        is_demoted: Whether clients should try others first, by what was heard.
    """

    name: str
    is_demoted: bool

    def hear(self, at: float, *, is_good: bool) -> None:
        """Hear a canary of wall time *at*."""
        ...

    def p(self, at: float) -> float:
        """Return the probability, 0..1, that a canary at *at* is good."""
        ...


class Strikes:
    """
    *down* failures in a row demote, *up* successes in a row restore; p of the last 20.

    An outage within an hour of the end of the last wants a success more than that, *more* at most.
    """

    def __init__(self, down: int, up: int, more: int = 0) -> None:
        """Begin without evidence."""
        self.name = f"{down} in a row, {up} up" + (f", up to {more} more" if more else "")
        self.is_demoted = False
        self._down, self._up, self._more = down, up, more
        self._run = 0  # Above 0 successes, below 0 failures.
        self._failed_at, self._over_at = 0.0, float("-inf")
        self._relapses = 0
        self._newest: deque[bool] = deque(maxlen=20)

    def hear(self, at: float, *, is_good: bool) -> None:
        """Count it."""
        self._newest.append(is_good)
        self._run = max(1, self._run + 1) if is_good else min(-1, self._run - 1)
        if self._run == -1:
            self._failed_at = at
        if not self.is_demoted and -self._run >= self._down:
            self.is_demoted = True
            is_relapse = self._failed_at - self._over_at <= RELAPSE_S
            self._relapses = self._relapses + 1 if is_relapse else 0
        elif self.is_demoted and self._run >= self._up + min(self._relapses, self._more):
            self.is_demoted, self._over_at = False, at

    def p(self, at: float) -> float:  # noqa: ARG002 - counts have no clock
        """Return the share of good ones, shrunk to the prior."""
        good = self._newest.count(True)
        return (good + PRIOR_WEIGHT * PRIOR) / (len(self._newest) + PRIOR_WEIGHT)


class KOfN(Strikes):
    """*k* failures among the last *n* demote; as many successes in a row restore."""

    def __init__(self, k: int, n: int) -> None:
        """Begin without evidence."""
        super().__init__(k, k)
        self.name = f"{k} of {n}, {k} up"
        self._k = k
        self._last: deque[bool] = deque(maxlen=n)

    def hear(self, at: float, *, is_good: bool) -> None:
        """Count it."""
        super().hear(at, is_good=is_good)
        if self._run >= self._up:
            self._last.clear()  # What was before a proven recovery is over.
        self._last.append(is_good)
        self.is_demoted = self.is_demoted or self._last.count(False) >= self._k


class Ewma:
    """A moving average of outcomes: demoted under one half, restored over six tenths."""

    name = "EWMA, weight 0.4"

    def __init__(self, weight: float = 0.4) -> None:
        """Begin with the prior."""
        self.is_demoted = False
        self._weight, self._mean = weight, PRIOR

    def hear(self, at: float, *, is_good: bool) -> None:  # noqa: ARG002 - no clock
        """Move the mean."""
        self._mean += self._weight * (is_good - self._mean)
        self.is_demoted = self._mean < (0.6 if self.is_demoted else 0.5)

    def p(self, at: float) -> float:  # noqa: ARG002 - no clock
        """Return the mean."""
        return self._mean


class Wilson:
    """The lower bound of the good share of the last 20: demoted under 0.7, of ten at least."""

    name = "Wilson bound of 20"

    def __init__(self) -> None:
        """Begin without evidence."""
        self.is_demoted = False
        self._newest: deque[bool] = deque(maxlen=20)

    def hear(self, at: float, *, is_good: bool) -> None:  # noqa: ARG002 - counts have no clock
        """Count it."""
        self._newest.append(is_good)
        lower = wilson(self._newest.count(True), len(self._newest)).lower
        self.is_demoted = len(self._newest) >= 10 and lower is not None and lower < 0.7

    def p(self, at: float) -> float:  # noqa: ARG002 - counts have no clock
        """Return the share of good ones; the prior before the first."""
        n = len(self._newest)
        return self._newest.count(True) / n if n else PRIOR


class Cusum:
    """
    A Bernoulli CUSUM demotes, three successes in a row restore; p of a decayed Beta (RANKING d2, d3).

    S rises by ln(f1/f0) with a failure and falls by ln((1-f0)/(1-f1)) with a success; its evidence
    halves every two hours, and an outage that is over keeps three tenths of it.
    """

    _F0: Final = 0.03
    _F1: Final = 0.40
    _HALF_S: Final = 7_200.0
    _KEPT: Final = 0.3

    def __init__(self, threshold: float = 7.5, up: int = 3) -> None:
        """Begin without evidence."""
        self.name = f"CUSUM {threshold:g}, {up} up, Beta"
        self.is_demoted = False
        self._threshold, self._up = threshold, up
        self._sum, self._good_run = 0.0, 0
        self._good, self._bad, self._at = 0.0, 0.0, 0.0

    def hear(self, at: float, *, is_good: bool) -> None:
        """Add it to both."""
        kept = self._kept(at)
        self._good, self._bad = self._good * kept + is_good, self._bad * kept + (not is_good)
        self._at = at
        f0, f1 = self._F0, self._F1
        step = log((1 - f1) / (1 - f0)) if is_good else log(f1 / f0)
        self._sum = max(0.0, self._sum + step)
        self._good_run = self._good_run + 1 if is_good else 0
        if not self.is_demoted and self._sum >= self._threshold:
            self.is_demoted = True
        elif self.is_demoted and self._good_run >= self._up:
            self.is_demoted, self._sum = False, 0.0
            self._good, self._bad = self._good * self._KEPT, self._bad * self._KEPT

    def p(self, at: float) -> float:
        """Return the mean of the decayed Beta with the prior."""
        kept = self._kept(at)
        good, bad = self._good * kept, self._bad * kept
        return (good + PRIOR_WEIGHT * PRIOR) / (good + bad + PRIOR_WEIGHT)

    def _kept(self, at: float) -> float:
        return 2.0 ** (-max(0.0, at - self._at) / self._HALF_S)


class Markov:
    """
    A filter over up, degraded and down in continuous time.

    Each state is left at one rate for one drawn from what is usual (of two states every chain is
    of that form), so that with silence the belief returns to what is usual: ignorance grows. Demoted
    when degraded or down is as likely as *sure*, restored when it is unlikelier than one in ten.
    """

    # Down a hundredth of the time; most outages are over within the hour (traces).
    _USUAL: Final = (0.985, 0.005, 0.010)
    _MEAN_S: Final = 3_600.0
    _FAILS: Final = (0.003, 0.4, 0.99)

    def __init__(self, sure: float) -> None:
        """Begin with what is usual."""
        self.name = f"hidden Markov, {sure:.0%}"
        self.is_demoted = False
        self._sure = sure
        self._belief: tuple[float, ...] = self._USUAL
        self._at = 0.0

    def hear(self, at: float, *, is_good: bool) -> None:
        """Weigh the belief by how likely each state makes it (Bayes)."""
        told = [
            b * (1 - f if is_good else f) for b, f in zip(self._now(at), self._FAILS, strict=True)
        ]
        total = sum(told)
        self._belief, self._at = tuple(b / total for b in told), at
        self.is_demoted = 1 - self._belief[0] > (0.1 if self.is_demoted else self._sure)

    def p(self, at: float) -> float:
        """Return the probability of a good one over all states."""
        return sum(b * (1 - f) for b, f in zip(self._now(at), self._FAILS, strict=True))

    def _now(self, at: float) -> tuple[float, ...]:
        stays = exp(-max(0.0, at - self._at) / self._MEAN_S)
        return tuple(u + stays * (b - u) for b, u in zip(self._belief, self._USUAL, strict=True))


def estimators() -> list[Estimator]:
    """Every rule, the product's first."""
    return [
        Strikes(2, 2, RELAPSES_MAX),
        Strikes(2, 2),
        Strikes(1, 1),
        Strikes(3, 3),
        KOfN(2, 4),
        Ewma(),
        Wilson(),
        Cusum(),
        Cusum(5.0, 2),
        Markov(0.5),
        Markov(0.99),
    ]


class Latencies(Protocol):
    """A rule that hears latencies of good canaries and expects quantiles."""

    name: str

    def hear(self, latency_s: float) -> None:
        """Hear a latency in seconds, above 0."""
        ...

    def quantiles(self) -> tuple[float, float]:
        """Return the median and the p95 to expect, in seconds; after the first latency."""
        ...


class Windowed:
    """Nearest-rank quantiles of the newest latencies."""

    def __init__(self, of: int) -> None:
        """Keep the newest *of*."""
        self.name = f"percentile of {of}"
        self._of = of
        self._newest: deque[float] = deque()
        self._sorted: list[float] = []

    def hear(self, latency_s: float) -> None:
        """Let it in, and the oldest out."""
        self._newest.append(latency_s)
        insort(self._sorted, latency_s)
        if len(self._newest) > self._of:
            del self._sorted[bisect_left(self._sorted, self._newest.popleft())]

    def quantiles(self) -> tuple[float, float]:
        """Return the two of what is kept."""
        median, p95 = nearest_rank(self._sorted, 0.5), nearest_rank(self._sorted, 0.95)
        assert median is not None
        assert p95 is not None
        return median, p95

    def keep(self, newest: int) -> None:
        """Forget all but the *newest* ones."""
        while len(self._newest) > newest:
            del self._sorted[bisect_left(self._sorted, self._newest.popleft())]


class LogEwma:
    """Moving mean and deviation of logarithms, the deviation shrunk to 0.35 as of 8 (RANKING d2)."""

    _Z95: Final = 1.6448536269514722
    _PRIOR: Final = 0.35
    _PRIOR_N: Final = 8.0

    def __init__(self, weight: float = 0.2) -> None:
        """Begin without any."""
        self.name = f"EWMA of logs, weight {weight:g}"
        self._weight = weight
        self._mean: float | None = None
        self._squares, self._n = 0.0, 0.0

    def hear(self, latency_s: float) -> None:
        """Move both."""
        x = log(latency_s)
        off = 0.0 if self._mean is None else x - self._mean
        self._mean = x if self._mean is None else self._mean + self._weight * off
        kept = 1 - self._weight / 4  # A deviation needs more samples than a mean.
        self._squares, self._n = kept * self._squares + off * off, kept * self._n + 1

    def quantiles(self) -> tuple[float, float]:
        """Return those of the log-normal distribution."""
        assert self._mean is not None
        prior = self._PRIOR_N * self._PRIOR**2
        sigma = sqrt((prior + self._squares) / (self._PRIOR_N + max(0.0, self._n - 1)))
        return exp(self._mean), exp(self._mean + self._Z95 * sigma)


class Shift(Windowed):
    """A window that forgets what was before a shift, found by a CUSUM of logs to both sides."""

    _SLACK: Final = 0.5
    _ALARM: Final = 4.0
    _LEAST: Final = 8

    def __init__(self, of: int = 96) -> None:
        """Keep the newest *of* since the last shift."""
        super().__init__(of)
        self.name = f"percentile of {of} since a shift"
        self._up = self._down = 0.0
        self._since_up = self._since_down = 0
        self._usual = LogEwma(0.05)

    def hear(self, latency_s: float) -> None:
        """Let it in; forget what was before it shifted."""
        super().hear(latency_s)
        if len(self._newest) > self._LEAST:
            median, p95 = self._usual.quantiles()
            z = log(latency_s / median) / (log(p95 / median) / LogEwma._Z95)
            self._up = max(0.0, self._up + z - self._SLACK)
            self._down = max(0.0, self._down - z - self._SLACK)
            self._since_up = self._since_up + 1 if self._up else 0
            self._since_down = self._since_down + 1 if self._down else 0
            if self._up > self._ALARM or self._down > self._ALARM:
                self._shifted(self._since_up if self._up > self._ALARM else self._since_down)
        self._usual.hear(latency_s)

    def _shifted(self, newest: int) -> None:
        self.keep(max(newest, 1))
        self._usual = LogEwma(0.05)
        for latency_s in self._newest:
            self._usual.hear(latency_s)
        self._up = self._down = 0.0
        self._since_up = self._since_down = 0


def latency_estimators() -> list[Latencies]:
    """Every rule, the product's first: a day of canaries each quarter of an hour."""
    return [Windowed(96), Windowed(24), Windowed(672), LogEwma(0.2), LogEwma(0.02), Shift()]
