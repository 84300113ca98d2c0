"""
Figures one can sign: whether a claim is attained, and what it leaves to fail.

A claim is judged by the interval of what was measured, never by the measured share alone: one
hundred per cent of ten canaries attains nothing (law 6). All of it speaks of the window it was
measured in and forecasts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import Final

from monitor.core.availability import Ratio, weighted
from monitor.core.plan import DAY_S, P95_SHARE, clean_canaries
from monitor.core.snapshot import TargetView, WindowFigures
from monitor.core.spec import Objective, PoolSpec, TargetSpec
from monitor.core.verdict import Burn, ClaimKind, ClaimVerdict, Decider, ErrorBudget, Verdict
from monitor.core.words import exact, exact_percent

# An error budget is over the window of its name; burn rates warn long before it is used up.
BUDGET_S: Final = 30.0 * DAY_S
BURNS_S: Final[Mapping[str, float]] = {"6h": 21_600.0, "1d": 1.0 * DAY_S, "3d": 3.0 * DAY_S}
# At canary rates one failure more or less must not multiply a burn rate, and a handful of samples
# is an outage or none, which the state tells: six hours of a canary every half hour is the least.
BURN_FAILURES_MIN: Final = 3
SAMPLES_MIN: Final = 12
# Digits after the point of a percentage, at most: a bound closer to the claim is said to be under.
_DIGITS_MAX: Final = 9


def latency_threshold(spec: TargetSpec, pools: Iterable[PoolSpec]) -> float | None:
    """
    Return the latency in seconds over which a good sample of a target is slow.

    That of its claim, else the strictest that a pool of it aims for; None where neither exists.
    """
    if spec.claim.latency_p95_s is not None:
        return spec.claim.latency_p95_s
    aims = (pool.slo.latency_p95_s for pool in pools if spec.id in pool.targets)
    return min((aim for aim in aims if aim is not None), default=None)


def budget_windows(spec: TargetSpec, shown: Iterable[float]) -> dict[str, float]:
    """
    Return the windows that a target's error budget needs beside those of the lengths *shown*.

    By a name that no configured window can have; none without a budget. Results of batch jobs come
    up to a day after the time they are dated by, so rates of theirs are over a day and more.
    """
    if not _has_budget(spec.claim.availability):
        return {}
    least_s = DAY_S if spec.is_batch else 0.0
    there = set(shown)
    return {
        f"slo {name}": span_s
        for name, span_s in {"30d": BUDGET_S, **BURNS_S}.items()
        if span_s not in there and span_s >= least_s
    }


def _has_budget(objective: float | None) -> bool:
    """Return whether an objective leaves something to fail: one of 1 leaves nothing to spend."""
    return objective is not None and objective < 1


def judge_ratio(ratio: Ratio, claim: float) -> Verdict:
    """Return whether a measured share attains *claim* (0..1): its whole interval has to agree."""
    if ratio.lower is None or ratio.upper is None:
        return Verdict.UNDETERMINED
    if ratio.lower >= claim:
        return Verdict.ATTAINED
    return Verdict.MISSED if ratio.upper < claim else Verdict.UNDETERMINED


@lru_cache(maxsize=16_384)
def clean_canaries_more(ratio: Ratio, claim: float, weight: int) -> int | None:
    """
    Return how many further good samples raise the lower bound of *ratio* to *claim*.

    Without samples so far that is :func:`monitor.core.plan.clean_canaries`. None for a claim of 1:
    no number proves it.

    Args:
        ratio: What was measured.
        claim: A share, 0..1.
        weight: Of each further sample, in the unit of those in *ratio*; above 0.
    """
    assert weight > 0
    enough = clean_canaries(claim)
    if enough is None:
        return None
    good = round((ratio.value or 0.0) * ratio.weight)

    def is_proven(more: int) -> bool:
        added, square = more * weight, more * weight * weight
        total, squares = ratio.weight + added, ratio.squares + square
        proven = weighted(good + added, total, squares, ratio.n + more)
        return judge_ratio(proven, claim) is Verdict.ATTAINED

    if is_proven(0):
        return 0
    too_few = 0
    while not is_proven(enough):
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if is_proven(middle) else (middle, enough)
    return enough


def verdicts(
    figures: WindowFigures, claim: Objective, spec: TargetSpec, *, span_s: float | None = None
) -> tuple[ClaimVerdict, ...]:
    """
    Return what the samples of a window say of each part of *claim*, availability first.

    Availability is the provider's own record. A claimed p95 says that 95 % of all requests take no
    longer: it is judged by the latency SLI, in which failures are slow, so that a provider without
    a p95 (none of its samples is good) misses it all the same.

    Args:
        figures: Of the window; its threshold is that of *claim* where that has one.
        claim: What is claimed; nothing gives no verdict.
        spec: The target, whose interval and price say what more evidence takes.
        span_s: Length of the whole period in seconds, where it has not ended; else the window's.
    """
    if span_s is not None:
        figures = replace(figures, span_s=span_s)
    return tuple(_verdicts(figures, claim, spec))


def window_verdicts(
    windows: Mapping[str, WindowFigures], spec: TargetSpec, before: TargetView | None
) -> dict[str, tuple[ClaimVerdict, ...]]:
    """
    Return the verdicts on the target's own claim by window.

    Those of *before*, what was published of it last, where no sample came or went.
    """
    return {
        name: (
            before.claims[name]
            if before and before.windows[name].provider is figures.provider
            else verdicts(figures, spec.claim, spec)
        )
        for name, figures in windows.items()
    }


def _verdicts(figures: WindowFigures, claim: Objective, spec: TargetSpec) -> Iterator[ClaimVerdict]:
    if (share := claim.availability) is not None:
        n, bad = figures.provider.n, figures.bad
        evidence = _canaries(n) if bad else _canaries(n, "clean ")
        evidence += f", {bad} of them bad," if bad else ""
        yield _verdict(
            kind=ClaimKind.AVAILABILITY,
            claim=share,
            share=share,
            ratio=figures.provider,
            evidence=evidence,
            within="",
            figures=figures,
            spec=spec,
        )
    if (limit_s := claim.latency_p95_s) is not None:
        sli = figures.latency_sli
        assert sli is not None, "the figures have no latency SLI"
        assert figures.latency_threshold_s == limit_s, "the figures are of another threshold"
        slow = sli.n - figures.fast
        evidence = _canaries(sli.n)
        evidence += f", {slow} of them slow or failed," if slow else ""
        yield _verdict(
            kind=ClaimKind.LATENCY_P95,
            claim=limit_s,
            share=P95_SHARE,
            ratio=sli,
            evidence=evidence,
            within=f" within {exact(limit_s)} s",
            figures=figures,
            spec=spec,
        )


def _verdict(
    *,
    kind: ClaimKind,
    claim: float,
    share: float,
    ratio: Ratio,
    evidence: str,
    within: str,
    figures: WindowFigures,
    spec: TargetSpec,
) -> ClaimVerdict:
    verdict, decider = judge_ratio(ratio, share), None
    claimed = f"{exact_percent(share)} % is claimed"
    prove, allow = ("proves", "allows") if ratio.n == 1 else ("prove", "allow")
    if verdict is Verdict.ATTAINED:
        assert ratio.lower is not None
        said = f"{evidence} {prove} {_at_least(ratio.lower, share)} %{within}; {claimed}"
    elif verdict is Verdict.MISSED:
        assert ratio.upper is not None
        said = f"{evidence} {allow} {_at_most(ratio.upper, share)}{within}; {claimed}"
    else:
        decider = _decider(ratio, share, figures, spec)
        proven = (
            "" if ratio.lower is None else f" {prove} {_at_least(ratio.lower, share)} %{within}"
        )
        said = f"{evidence}{proven}; {_would_decide(decider, ratio, share, figures)}"
    return ClaimVerdict(
        kind=kind, claim=claim, verdict=verdict, decider=decider, words=f"{verdict}: {said}"
    )


def _decider(
    ratio: Ratio, share: float, figures: WindowFigures, spec: TargetSpec
) -> Decider | None:
    slot = round(spec.interval_s * 1_000_000)
    more = clean_canaries_more(ratio, share, slot)
    if more is None:
        return None
    return Decider(
        canaries=more,
        days=more * spec.interval_s / DAY_S,
        usd=more * spec.price_usd,
        fits=ratio.weight + more * slot <= figures.span_s * 1_000_000,
    )


def _would_decide(
    decider: Decider | None, ratio: Ratio, share: float, figures: WindowFigures
) -> str:
    if decider is None:
        return f"no number of canaries proves {exact_percent(share)} %"
    days = Decimal(str(decider.days)).quantize(Decimal("0.1"), ROUND_CEILING)
    more = f"{decider.canaries:,} more" if ratio.n else f"{decider.canaries:,} clean ones"
    takes = f"{more} ({days:,} days, ${decider.usd:,.2f}) would decide"
    return takes if decider.fits else f"{takes}, more than {figures.name} holds"


def _canaries(n: int, kind: str = "") -> str:
    if n == 0:
        return "no canaries"
    return f"1 {kind}canary" if n == 1 else f"{n:,} {kind}canaries"


def _at_least(lower: float, claim: float) -> str:
    """Return a lower bound in percent, cut, with the digits of *claim* or one."""
    digits = max(1, -int(Decimal(exact_percent(claim)).as_tuple().exponent))
    return str((Decimal(str(lower)) * 100).quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR))


def _at_most(upper: float, claim: float) -> str:
    """Return an upper bound in percent, raised, with as many digits as show it under *claim*."""
    for digits in range(1, _DIGITS_MAX + 1):
        step = Decimal(1).scaleb(-digits)
        shown = (Decimal(str(upper)) * 100).quantize(step, ROUND_CEILING)
        if shown < Decimal(exact_percent(claim)):
            return f"at most {shown} %"
    return f"less than {exact_percent(claim)} %"


def error_budget(
    objective: float | None, by_span: Mapping[float, WindowFigures]
) -> ErrorBudget | None:
    """
    Return what *objective* (0..1) leaves to fail, and how fast that goes.

    The budget is the share 1 - objective; failures are those of the provider's record, each of the
    time it stands for. burn rate = bad share / (1 - objective) (Google, "The Site Reliability
    Workbook", 2018, chapter 5), over windows long enough for canaries. None without an objective,
    and for one of 1, which leaves nothing to spend.

    Args:
        objective: Wanted share of good requests.
        by_span: Figures by the length of their window in seconds, with one of ``BUDGET_S``; burn
            rates are those of ``BURNS_S`` that are among them.
    """
    if objective is None or not _has_budget(objective):
        return None
    budget = 1 - objective
    whole = by_span[BUDGET_S].provider
    remaining = remaining_lower = None
    if whole.n >= SAMPLES_MIN and whole.value is not None and whole.lower is not None:
        remaining = 1 - (1 - whole.value) / budget
        remaining_lower = 1 - (1 - whole.lower) / budget
    return ErrorBudget(
        objective=objective,
        n=whole.n,
        remaining=remaining,
        remaining_lower=remaining_lower,
        burns={
            name: _burn(by_span[span_s], budget)
            for name, span_s in BURNS_S.items()
            if span_s in by_span
        },
    )


def _burn(figures: WindowFigures, budget: float) -> Burn:
    ratio, rate, lower = figures.provider, None, None
    is_supported = figures.bad >= BURN_FAILURES_MIN and ratio.n >= SAMPLES_MIN
    if is_supported and ratio.value is not None and ratio.upper is not None:
        rate, lower = (1 - ratio.value) / budget, (1 - ratio.upper) / budget
    return Burn(n=ratio.n, failures=figures.bad, rate=rate, lower=lower)
