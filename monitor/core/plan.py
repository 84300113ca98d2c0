"""
What a schedule costs, how soon it sees an outage, and what its samples can prove.

All of it follows from the configuration: nothing here was measured. A month is 30 days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from monitor.core.availability import Z, floor_ratio, wilson
from monitor.core.health import confirm_delay_s
from monitor.core.quota import MINUTE_S, shortfalls
from monitor.core.schedule import JITTER_SHARE
from monitor.core.spec import Policy, ProviderSpec, TargetSpec
from monitor.core.words import exact, exact_percent
from probes.model import LimitPeriod

DAY_S: Final = 86_400
MONTH_DAYS: Final = 30
SPANS_DAYS: Final[Mapping[str, int]] = {"day": 1, "week": 7, "month": MONTH_DAYS}
# A claimed p95 is a share too: of the canaries that are good within it.
P95_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """
    A hard cap on the canaries of *targets* in a UTC day, or in a month of *days*.

    *name* says whose it is, in words.
    """

    name: str
    targets: frozenset[str]
    usd: float
    days: int = 1

    @property
    def usd_per_day(self) -> float:
        """What it leaves a day when it is spread evenly, as the daemon spreads it."""
        return self.usd / self.days

    @property
    def words(self) -> str:
        """The amount and the time it is for: ``$2.50 a day``."""
        return f"{_dollars(self.usd)} a {'day' if self.days == 1 else 'month'}"

    def wanted(self, specs: Iterable[TargetSpec]) -> float:
        """Return the US dollars a day that those of *specs* under it want which it ever lets by."""
        under = (s for s in specs if s.id in self.targets and s.price_usd <= self.usd)
        # Rounded: 24 * 0.05 is 1.2000000000000002 in binary, and a cap of 1.20 does not bite there.
        return round(sum(s.price_usd * DAY_S / s.interval_s for s in under), 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """
    When a hard outage that begins at a random moment counts as down, in seconds from its begin.

    Attributes:
        hang_s: What a provider that answers nothing adds: the deadlines of the probes that fail.
    """

    mean_s: float
    p90_s: float
    hang_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """
    What it takes to prove a claim with good samples alone.

    Attributes:
        kind: Key of the claim: ``availability`` (0..1) or ``latency_p95`` (seconds).
        canaries: How many it takes; None when no number is enough (a claim of 100 %).
        days: How long they take within the caps; None when they never come together.
        usd: What they cost; None like *canaries*.
        month_interval_s: The longest interval in whole seconds that brings them together in 30
            days; None when one a second is too few.
        month_usd: What those 30 days cost.
    """

    kind: str
    claim: float
    canaries: int | None
    days: float | None
    usd: float | None
    month_interval_s: int | None
    month_usd: float | None

    @property
    def words(self) -> str:
        """The claim for people: ``99.9 %`` or ``p95 12 s``."""
        is_share = self.kind == "availability"
        return f"{exact_percent(self.claim)} %" if is_share else f"p95 {exact(self.claim)} s"

    @property
    def is_within_month(self) -> bool:
        """Whether 30 days are enough."""
        return self.days is not None and self.days <= MONTH_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPlan:
    """
    The plan of one target.

    Attributes:
        canaries_per_day: As scheduled.
        left_per_day: What caps and quotas leave of them.
        quota_share: Share of the provider's daily quota that they use; None without one.
        proves: Availability that a clean day, week and month proves: the lower 95 % Wilson
            bound, 0..1; None for a span without a sample.
        proofs: Of each of its claims.
    """

    spec: TargetSpec
    canaries_per_day: float
    left_per_day: float
    quota_share: float | None
    detection: Detection
    proves: Mapping[str, float | None]
    proofs: tuple[Proof, ...]

    @property
    def usd_per_day(self) -> float:
        """What the canaries cost at list price."""
        return self.canaries_per_day * self.spec.price_usd

    @property
    def left_usd_per_day(self) -> float:
        """What those cost that caps and quotas leave."""
        return self.left_per_day * self.spec.price_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All targets, in configured order, and what is to be warned of, a sentence each."""

    targets: tuple[TargetPlan, ...]
    warnings: tuple[str, ...]


def plan(
    specs: Sequence[TargetSpec],
    policy: Policy,
    caps: Sequence[Cap],
    providers: Mapping[str, ProviderSpec],
) -> Plan:
    """
    Return what probing *specs* costs, finds and proves.

    Args:
        specs: Targets; those without a key are planned like the others.
        policy: Gives the number of failures that mean down.
        caps: Every cap on them.
        providers: By id, with their quotas.
    """
    left = {spec.id: _within_caps(spec, specs, caps) for spec in specs}
    for provider in providers.values():
        left |= _within_quota(provider, specs, left)
    targets = tuple(
        _target(spec, policy, left[spec.id], providers.get(spec.provider)) for spec in specs
    )
    warnings = (
        *(text for cap in caps for text in _cap_warnings(cap, specs)),
        *(
            text
            for provider in providers.values()
            for text in shortfalls(
                provider, sum(DAY_S / s.interval_s for s in specs if s.provider == provider.id)
            )
        ),
        *(
            text
            for target in targets
            for proof in target.proofs
            for text in _claim_warnings(target.spec, proof, specs, caps)
        ),
    )
    return Plan(targets=targets, warnings=warnings)


def detection(spec: TargetSpec, policy: Policy) -> Detection:
    """
    Return when an outage of *spec* is known: failed slots, and confirmations between them.

    A confirmation comes at the time it is due; the schedule sends it up to a tenth of its wait
    later. A slot may come before it, so it is known no later than this says.
    """
    delays = [confirm_delay_s(run, policy) for run in range(1, policy.down_after)]
    between = [delay_s for delay_s in delays if delay_s < spec.interval_s]
    slots = time_to_detect(spec.interval_s, policy.down_after - len(between))
    return Detection(
        mean_s=slots.mean_s + sum(between),
        p90_s=slots.p90_s + sum(between),
        # Those of the slots run side by side with the time to the next one.
        hang_s=spec.deadline_s * (1 + len(between)),
    )


def time_to_detect(interval_s: float, slots: int, jitter_share: float = JITTER_SHARE) -> Detection:
    """
    Return when that many *slots* have failed since an outage began at a random moment.

    Every probe sent after its begin fails at once and names no retry time. Slot k fires at k + j * U(k), in slots, with U uniform in [0, 1)
    and j the *jitter_share*, at most a half; the delay is that of the n-th fire after the begin.

    From a random moment, the begins of slots are uniform; so for n of two or more the delay is
    n - 1 + W + j * (V - U), with W, V and U uniform and independent: its mean is n - 1/2. For one fire it is the residual life of a gap 1 + j * (V - U), whose mean is
    E[gap^2] / 2 = (1 + j^2 / 6) / 2 (Feller, "An Introduction to Probability Theory", vol. 2,
    XI.4). Past the jitter both have the same tail, so the 90 % points differ by whole slots.
    """
    assert interval_s > 0
    assert slots >= 1
    assert 0 <= jitter_share <= 0.5
    mean = (1 + jitter_share**2 / 6) / 2 if slots == 1 else slots - 0.5
    low, high = 0.0, 1.0
    for _ in range(50):  # Halves a slot to the last bit of a float.
        middle = (low + high) / 2
        low, high = (middle, high) if _unseen(middle, jitter_share) > 0.1 else (low, middle)
    return Detection(mean_s=mean * interval_s, p90_s=(slots - 1 + high) * interval_s)


def _unseen(slots: float, jitter_share: float) -> float:
    """Return P(W + j * (V - U) > *slots*) for *slots* from the jitter share to 1."""
    if slots <= 1 - jitter_share:
        return 1 - slots
    # E[(j * Z - (slots - 1))+] of the triangular Z = V - U, for slots - 1 in [-j, 0].
    z = (slots - 1) / jitter_share
    return jitter_share * ((1 + z) ** 3 / 6 - z)


def clean_canaries(claim: float) -> int | None:
    """
    Return the smallest number of good samples whose lower 95 % Wilson bound is *claim* or more.

    The bound of n good ones among n is n / (n + z^2), hence n >= z^2 * claim / (1 - claim). None
    for a claim of 1: no number proves it.
    """
    assert 0 <= claim <= 1
    if claim == 1:
        return None
    return max(1, ceil(round(Z * Z * claim / (1 - claim), 9)))


def _target(
    spec: TargetSpec, policy: Policy, left_per_day: float, provider: ProviderSpec | None
) -> TargetPlan:
    planned, quota = DAY_S / spec.interval_s, provider.quota.per_day if provider else None
    clean = {name: floor(left_per_day * days + 1e-9) for name, days in SPANS_DAYS.items()}
    return TargetPlan(
        spec=spec,
        canaries_per_day=planned,
        left_per_day=left_per_day,
        quota_share=None if quota is None else planned / quota,
        detection=detection(spec, policy),
        proves={name: floor_ratio(wilson(n, n).lower) for name, n in clean.items()},
        proofs=tuple(_proofs(spec, left_per_day)),
    )


def _within_caps(spec: TargetSpec, specs: Iterable[TargetSpec], caps: Iterable[Cap]) -> float:
    """Return the canaries a day that *caps* leave *spec*: its share of each, the least of them."""
    left = planned = DAY_S / spec.interval_s
    for cap in caps:
        if spec.id not in cap.targets or spec.price_usd == 0:
            continue
        if spec.price_usd > cap.usd:
            return 0.0
        if (wanted := cap.wanted(specs)) > cap.usd_per_day:
            # Fires of all are spread over the day alike.
            left = min(left, _whole(planned * cap.usd_per_day / wanted))
    return left


def _within_quota(
    provider: ProviderSpec, specs: Iterable[TargetSpec], left: Mapping[str, float]
) -> dict[str, float]:
    """Return what its quota leaves each target of *provider* of the canaries in *left*."""
    limits = [
        probes * a_day
        for period, a_day in ((LimitPeriod.DAY, 1), (LimitPeriod.MINUTE, DAY_S / MINUTE_S))
        if (probes := provider.quota.probes(period)) is not None
    ]
    wanted = {spec.id: left[spec.id] for spec in specs if spec.provider == provider.id}
    total = sum(wanted.values())
    if not limits or total <= min(limits) + 1e-9:
        return wanted
    return {target: _whole(want * min(limits) / total) for target, want in wanted.items()}


def _whole(canaries: float) -> float:
    """Return canaries a day as they are sent: whole ones, where there is one."""
    canaries = round(canaries, 9)  # 0.3 / 0.1 is 2.9999999999999996 in binary.
    return floor(canaries) if canaries >= 1 else canaries


def _proofs(spec: TargetSpec, left_per_day: float) -> Iterator[Proof]:
    claim = spec.claim
    for kind, value, canaries in (
        ("availability", claim.availability, clean_canaries(claim.availability or 0.0)),
        ("latency_p95", claim.latency_p95_s, clean_canaries(P95_SHARE)),
    ):
        if value is not None:
            interval_s = MONTH_DAYS * DAY_S // canaries or None if canaries else None
            yield Proof(
                kind=kind,
                claim=value,
                canaries=canaries,
                days=canaries / left_per_day if canaries and left_per_day else None,
                usd=canaries * spec.price_usd if canaries else None,
                month_interval_s=interval_s,
                month_usd=spec.price_usd * MONTH_DAYS * DAY_S / interval_s if interval_s else None,
            )


def _cap_warnings(cap: Cap, specs: Sequence[TargetSpec]) -> Iterator[str]:
    for spec in specs:
        if spec.id in cap.targets and spec.price_usd > cap.usd:
            yield (
                f"target {spec.id}: one canary costs {_dollars(spec.price_usd)}, the cap of "
                f"{cap.name} is {cap.words}; it is never probed."
            )
    wanted = cap.wanted(specs)
    if wanted > cap.usd_per_day:
        yield (
            f"{cap.name}: canaries for ${wanted * cap.days:.2f} are planned, the cap is {cap.words}. "
            f"It pays for {floor(cap.usd_per_day / wanted * 100)} % of their slots: targets in doubt "
            "and the first of each pool come first, the others are seen later."
        )


def _claim_warnings(
    spec: TargetSpec, proof: Proof, specs: Iterable[TargetSpec], caps: Iterable[Cap]
) -> Iterator[str]:
    if proof.is_within_month:
        return
    head = f"target {spec.id}: its claim of {proof.words} cannot be proven"
    if proof.canaries is None:
        yield f"{head} by any number of canaries."
        return
    takes = f"{head} within {MONTH_DAYS} days: it takes {proof.canaries} good canaries in a row, "
    takes += f"${proof.usd:.2f}"
    takes += "" if proof.days is None else f" and {ceil(proof.days)} days at this rate"
    if proof.month_interval_s is None or proof.month_usd is None:
        yield f"{takes}; no interval is short enough."
        return
    above = _forbidding(spec, proof.month_usd / MONTH_DAYS, specs, caps)
    yield (
        f'{takes}. interval = "{proof.month_interval_s}s" would do it in {MONTH_DAYS}, for '
        f"${proof.month_usd:.2f} a month{above}."
    )


def _forbidding(
    spec: TargetSpec, usd_per_day: float, specs: Iterable[TargetSpec], caps: Iterable[Cap]
) -> str:
    """Return which caps forbid *spec* to cost *usd_per_day* beside the others, in words."""
    others = [other for other in specs if other.id != spec.id]
    above = [
        f"{cap.name} ({cap.words})"
        for cap in caps
        if spec.id in cap.targets and cap.wanted(others) + usd_per_day > cap.usd_per_day
    ]
    return f", above the cap of {' and '.join(above)}" if above else ""


def _dollars(usd: float) -> str:
    """Return an amount with cents, or with all its digits where they are more."""
    return f"${usd:.2f}" if round(usd, 2) == usd else f"${exact(usd)}"
