"""
The priority order of a pool: tiers first, inside a tier by expected cost, without flapping.

A change of tier moves a target at once. Inside a tier a target overtakes another only when its
index is better by the policy's margin, and not within the dwell time after the last change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from monitor.core.reasons import Survey, reasons_for, survey
from monitor.core.snapshot import Order, Place, State, TargetView, Tier
from monitor.core.spec import Basis, Policy, PoolSpec, Profile
from monitor.core.standing import Standing, index_usd, stand
from probes.model import ErrorClass

__all__ = ["Standing", "build_order", "index_usd", "stand", "standings_of"]

# The verdicts that matter to a caller are those of the targets it will try.
_TOP: Final = 3
_VALID_SLOTS: Final = 3.0


def standings_of(
    pool: PoolSpec, views: Mapping[str, TargetView], policy: Policy
) -> dict[str, Standing]:
    """Return where each target of *pool* stands, for all of its profiles; *views* holds them all."""
    return {target: stand(views[target], pool, policy) for target in pool.targets}


def build_order(  # noqa: PLR0917 - pool, profile, now: the names say it at every call
    pool: PoolSpec,
    profile: Profile,
    standings: Mapping[str, Standing],
    before: Order | None,
    now: float,
    policy: Policy,
    *,
    explains: bool = True,
) -> Order:
    """
    Return the order of *pool* under *profile*: always every target, however bad.

    *standings* are those of every target of the pool, as of about *now*; *before* is the order of
    the same pool and profile until now, None for the first one. Without *explains* its places have
    no reasons, for whoever only follows it: their text takes longer than the order itself.
    """
    assert pool.targets
    index = {
        target: standing.index_usd(profile, policy.billed_share)
        for target, standing in standings.items()
    }
    is_configured = profile.basis is Basis.CONFIGURED
    held_until = None if is_configured else _held_until(before, standings, now, policy)
    if is_configured:
        ids = sorted(pool.targets, key=lambda target: standings[target].tier)
    elif before is not None and held_until is not None:
        ids = [place.target for place in before.places]
    else:
        ids = _arrange(standings, index, before, policy.margin)
    ranked = [standings[target] for target in ids]
    around = survey(pool, profile, ranked, index, margin=policy.margin, held_until=held_until)
    places = tuple(
        _place(rank, around, now, explains=explains) for rank in range(1, len(ranked) + 1)
    )
    is_same = before is not None and _decision(before.places) == _decision(places)
    slowest_s = max(standing.view.spec.interval_s for standing in ranked[:_TOP])
    return Order(
        pool=pool,
        profile=profile,
        version=(before.version if before else 0) + (not is_same),
        changed_at=before.changed_at if before and is_same else now,
        valid_until=now + _VALID_SLOTS * slowest_s,
        all_degraded=all(standing.tier > Tier.DOUBTFUL for standing in ranked),
        places=places,
    )


def _held_until(
    before: Order | None, standings: Mapping[str, Standing], now: float, policy: Policy
) -> float | None:
    """Return until when the last order stands: its dwell time, while no tier has changed."""
    if before is None or not 0 <= now - before.changed_at < policy.dwell_s:
        return None  # A time before the change means the wall clock was set back.
    tiers = {target: standing.tier for target, standing in standings.items()}
    is_same = tiers == {place.target: place.tier for place in before.places}
    return before.changed_at + policy.dwell_s if is_same else None


def _arrange(
    standings: Mapping[str, Standing],
    index: Mapping[str, float],
    before: Order | None,
    margin: float,
) -> list[str]:
    """
    Return the ids, best first: the places they had, moved only by tier or by a clear gain.

    Inserted one by one rather than sorted, because "better by a margin" is not transitive. Each
    goes above the first one it beats, so nobody beats anybody above: a fixed point, and the top
    of a tier is never a margin worse than its best.
    """

    def beats(one: str, other: str) -> bool:
        if standings[one].tier != standings[other].tier:
            return standings[one].tier < standings[other].tier
        return index[one] < (1 - margin) * index[other]

    def rank(target: str) -> tuple[Tier, float, float, str]:
        price = standings[target].view.spec.price_usd
        return standings[target].tier, index[target], price, target

    known = [p.target for p in before.places if p.target in standings] if before else []
    order: list[str] = []
    for target in [*known, *sorted(standings.keys() - set(known), key=rank)]:
        at = next((i for i, other in enumerate(order) if beats(target, other)), len(order))
        order.insert(at, target)
    return order


def _decision(places: Sequence[Place]) -> list[tuple[str, Tier, float | None, bool]]:
    return [(place.target, place.tier, place.retry_at, place.usable) for place in places]


def _scope(view: TargetView) -> str | None:
    """Return whom the limit concerns: everybody, or only the key this monitor uses."""
    if view.health.state is State.UNUSABLE:
        is_gone = view.health.error is ErrorClass.MODEL_GONE
        return "provider" if is_gone else "monitor_account"
    has_failed = view.health.state in {State.SUSPECT, State.DEGRADED, State.DOWN}
    return "provider" if has_failed else None


def _place(rank: int, around: Survey, now: float, *, explains: bool) -> Place:
    standing = around.ranked[rank - 1]
    view, evidence, objective = standing.view, standing.evidence, standing.objective
    p95 = evidence.quantiles[0.95] if evidence else None
    return Place(
        rank=rank,
        target=view.spec.id,
        tier=standing.tier,
        state=view.health.state,
        # Whether our account may call it at all: a target that is down may still be tried.
        usable=standing.tier not in {Tier.WAITING, Tier.UNUSABLE},
        scope=_scope(view),
        success_probability=standing.success(around.profile),
        availability=objective.provider.value,
        availability_n=objective.provider.n,
        latency_p95_s=p95.value if p95 else None,
        latency_n=evidence.latency_n if evidence else 0,
        latency_estimated=p95 is not None and p95.value is not None and p95.upper is None,
        price_usd=view.spec.price_usd,
        index_usd=around.index[view.spec.id],
        retry_at=view.health.retry_at,
        last_sample_at=standing.last_sample_at,
        reasons=reasons_for(rank, around, now) if explains else (),
    )
