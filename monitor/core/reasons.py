"""
Why a target has its place: codes for programs, true sentences with their numbers for people.

What troubles it comes first, then what it is best at, then the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from monitor.core.snapshot import Reason, State, Tier
from monitor.core.spec import Basis, PoolSpec, Profile
from monitor.core.standing import Standing
from monitor.core.words import exact, exact_percent, percent, seconds, usd, utc

# Reasons whose numbers stand in columns of their own, wherever orders are shown as tables.
_IN_COLUMNS: Final = frozenset({"within_slo", "latency", "availability", "last_sample"})


class Said(Protocol):
    """A reason, of the core or of a document."""

    @property
    def code(self) -> str:
        """What is said, for programs."""
        ...

    @property
    def text(self) -> str:
        """A true sentence."""
        ...


def telling(reasons: Sequence[Said]) -> list[str]:
    """Return the two sentences of a place (one at least) that a table with its figures leaves out."""
    found = [reason.text for reason in reasons if reason.code not in _IN_COLUMNS]
    return found[:2] or [reasons[0].text]


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """
    What the reasons of all places of one order compare with.

    Attributes:
        ranked: Standings in order, best first.
        index: Index in US dollars by target id.
        margin: Relative gain needed to overtake, 0..1.
        held_until: Until when the dwell time keeps the order; None when it does not.
        up: How many are in the first tier.
        cheapest, fastest: The one target of the first tier that is, None where several are.
        best_index: Least index of each tier.
        configured: Place of each target in the configuration, from 1.
    """

    pool: PoolSpec
    profile: Profile
    ranked: Sequence[Standing]
    index: Mapping[str, float]
    margin: float
    held_until: float | None
    up: int
    cheapest: str | None
    fastest: str | None
    best_index: Mapping[Tier, float]
    configured: Mapping[str, int]


def survey(
    pool: PoolSpec,
    profile: Profile,
    ranked: Sequence[Standing],
    index: Mapping[str, float],
    *,
    margin: float,
    held_until: float | None,
) -> Survey:
    """Return what is compared with, found once for all places."""
    up = [standing for standing in ranked if standing.tier is Tier.UP]
    # A claim must not win a race that nobody ran.
    are_measured = all(standing.is_latency_measured for standing in up)
    best_index: dict[Tier, float] = {}
    for standing in ranked:
        mine = index[standing.view.spec.id]
        best_index[standing.tier] = min(mine, best_index.get(standing.tier, mine))
    return Survey(
        pool=pool,
        profile=profile,
        ranked=ranked,
        index=index,
        margin=margin,
        held_until=held_until,
        up=len(up),
        cheapest=_sole_least({s.view.spec.id: s.view.spec.price_usd for s in up}),
        fastest=_sole_least({s.view.spec.id: s.latency_s for s in up}) if are_measured else None,
        best_index=best_index,
        configured={target: number for number, target in enumerate(pool.targets, 1)},
    )


def _sole_least(values: Mapping[str, float]) -> str | None:
    """Return the key of the least of at least two values; None where two share it."""
    if len(values) < 2:
        return None
    first, second = sorted(values, key=values.__getitem__)[:2]
    return first if values[first] < values[second] else None


def reasons_for(rank: int, around: Survey, now: float) -> tuple[Reason, ...]:
    """
    Return the reasons of place *rank* (from 1), the most telling first; never none.

    Times are told as times, not as ages: a text that ticks would make an answer new every second
    (*now* only decides whether a date is needed).
    """
    standing = around.ranked[rank - 1]
    following = around.ranked[rank] if rank < len(around.ranked) else None
    return (
        *_troubles(standing, around.pool, now),
        *_strengths(standing, around),
        *_latency(standing, around.pool),
        *_availability(standing),
        *_basis(standing, around),
        *_against(standing, following, around, now),
        _newest(standing, now),
    )


def _troubles(standing: Standing, pool: PoolSpec, now: float) -> Iterator[Reason]:
    health = standing.view.health
    if health.state is State.UNUSABLE:
        assert health.error is not None
        if health.retry_at is None:
            text = f"our account is refused: {health.error.value}"
        else:
            text = f"waits until {utc(health.retry_at, now)}: {health.error.row.signal}"
        yield Reason(code=health.error.value, text=text)
    elif health.state is not State.HEALTHY:
        yield Reason(code=health.state.value, text=health.detail)
    if (slow := standing.slowness) is not None:
        over = f"{seconds(slow.value_s, up=True)} > {exact(slow.limit_s)} s"
        if slow.window is None:
            yield Reason(code="slow", text=f"median of the last {slow.n} good {over}")
        else:
            yield Reason(code="slow", text=f"p95 {over}, n={slow.n} in {slow.window}")
    if standing.misses_availability:
        assert pool.slo.availability is not None
        text = f"{_share(standing)}: all of it < {exact_percent(pool.slo.availability)} %"
        yield Reason(code="below_slo", text=text)


def _strengths(standing: Standing, around: Survey) -> Iterator[Reason]:
    target, slo = standing.view.spec.id, around.pool.slo
    has_slo = slo.availability is not None or slo.latency_p95_s is not None
    of = f"of {around.up} {'within the SLO' if has_slo else 'that are up'}"
    if target == around.cheapest:
        yield Reason(code="cheapest", text=f"cheapest {of}")
    if target == around.fastest:
        text = f"fastest {of}, mean {seconds(standing.latency_s)}"
        yield Reason(code="fastest", text=text)


def _latency(standing: Standing, pool: PoolSpec) -> Iterator[Reason]:
    window = standing.evidence
    p95 = window.quantiles[0.95] if window else None
    if window is None or p95 is None or p95.value is None:
        return
    counted = f"n={window.latency_n} in {window.name}"
    if p95.upper is None:
        counted += ", estimated"
    limit_s = pool.slo.latency_p95_s
    if limit_s is not None and p95.value <= limit_s and standing.slowness is None:
        text = f"p95 {seconds(p95.value)} <= {exact(limit_s)} s, {counted}"
        yield Reason(code="within_slo", text=text)
    else:
        yield Reason(code="latency", text=f"p95 {seconds(p95.value)}, {counted}")


def _share(standing: Standing) -> str:
    window = standing.objective
    ratio = window.provider
    assert ratio.value is not None
    assert ratio.lower is not None
    assert ratio.upper is not None
    return (
        f"availability {percent(ratio.value)} % "
        f"({percent(ratio.lower)}-{percent(ratio.upper)} %), n={ratio.n} in {window.name}"
    )


def _availability(standing: Standing) -> Iterator[Reason]:
    if standing.objective.provider.n and not standing.misses_availability:
        yield Reason(code="availability", text=_share(standing))


def _basis(standing: Standing, around: Survey) -> Iterator[Reason]:
    """Say what places it under a profile that does not go by the expected cost alone."""
    if around.profile.basis is Basis.CONFIGURED:
        number, of = around.configured[standing.view.spec.id], len(around.configured)
        yield Reason(code="configured", text=f"number {number} of {of} as configured")
    elif around.profile.basis is Basis.LOWER_BOUND:
        p, window = standing.success(around.profile), standing.objective
        is_bound = p == window.provider.lower
        why = "its lower bound" if is_bound else "no higher bound is proven"
        text = f"success counted as {percent(p)} %, {why} in {window.name}"
        yield Reason(code="lower_bound", text=text)


def _against(
    standing: Standing, following: Standing | None, around: Survey, now: float
) -> Iterator[Reason]:
    """Compare with the next of the same tier; say why a worse index keeps its place."""
    if following is None or following.tier is not standing.tier:
        return
    if around.profile.basis is Basis.CONFIGURED:
        return
    mine = around.index[standing.view.spec.id]
    other = around.index[following.view.spec.id]
    text = f"index {usd(mine)} against {usd(other)} of the next"
    if mine <= around.best_index[standing.tier]:
        yield Reason(code="best_index", text=text)
    elif mine <= other:
        yield Reason(code="index", text=text)
    elif around.held_until is not None:
        yield Reason(code="kept", text=f"{text}, kept until {utc(around.held_until, now)}")
    else:
        gain = f"a gain of no more than {exact_percent(around.margin)} %"
        yield Reason(code="kept", text=f"{text}, {gain}")


def _newest(standing: Standing, now: float) -> Reason:
    if standing.last_sample_at is not None:
        text = f"last sample at {utc(standing.last_sample_at, now)}"
        return Reason(code="last_sample", text=text)
    last = standing.view.last
    if last is None:
        return Reason(code="no_sample", text="no probe yet")
    started = utc(last.started_at, now)
    return Reason(code="no_sample", text=f"no scheduled sample yet; last probe at {started}")
