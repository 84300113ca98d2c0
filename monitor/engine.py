"""
The only owner of mutable measurement state: folds results, builds snapshots at its own pace.

No awaits and no clock: ``accept`` and ``tick`` are plain calls with the time passed in, so a
month of probes replays in seconds and restart runs through the very same fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from monitor.core.health import HealthState, fold, fold_report, judge
from monitor.core.liveness import FreeCalls, heard, is_due, show
from monitor.core.pace import Pace, attempted, follow
from monitor.core.quota import (
    Kind,
    Quota,
    QuotaFigures,
    Told,
    kind_of,
    learn,
    period_start,
    quota_figures,
    quotas_of,
)
from monitor.core.ranking import build_order
from monitor.core.ration import Wish, shares
from monitor.core.schedule import Pass, extra_due, plan_slot
from monitor.core.snapshot import (
    GapReason,
    Health,
    LastProbe,
    Order,
    Snapshot,
    State,
    TargetView,
    Totals,
)
from monitor.core.spec import Policy, PoolSpec, ProviderSpec, TargetSpec
from monitor.core.spend import Spending
from monitor.core.totals import Counters
from monitor.core.window import History, Sample
from monitor.limits import STALE_AFTER_S, TICK_S_MAX
from probes.model import ErrorClass, LimitPeriod, ProbeKind, ProbeReason, ProbeResult

# Views that no sample touched are made anew in turn, so that windows expire; this many a tick.
_IDLE_VIEWS_PER_TICK: Final = 100
_RECENT_LATENCIES: Final = 60
# Kinds of probe that a schedule slot can hold.
_SAMPLES: Final = frozenset({ProbeKind.CANARY, ProbeKind.BATCH})
# Batch jobs may take a day, so shorter windows would hold what is not decided yet.
_BATCH_WINDOW_S_MIN: Final = 86_400.0
# Clients call these places of an order first.
_FIRST_PLACES: Final = 2


@dataclass(slots=True)
class _Tracked:
    """What is kept of one target."""

    spec: TargetSpec
    history: History
    state: HealthState = field(default_factory=HealthState)
    pace: Pace = field(default_factory=Pace)
    calls: FreeCalls = field(default_factory=FreeCalls)
    last: LastProbe | None = None
    view: TargetView | None = None
    viewed_at: float = float("-inf")
    is_dirty: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """
    What the store remembers beyond the results that are replayed.

    Attributes:
        totals: Cumulative counts over all stored rows, the replayed ones included.
        orders: The last order of each (pool, profile).
    """

    totals: Totals
    orders: Mapping[tuple[str, str], Order]


class Engine:
    """Measurement state of all targets, and the orders of all pools."""

    def __init__(
        self,
        targets: Mapping[str, TargetSpec],
        pools: Sequence[PoolSpec],
        policy: Policy,
        providers: Mapping[str, ProviderSpec] | None = None,
        *,
        refresh_s: float = TICK_S_MAX,
    ) -> None:
        """
        Start without any evidence: every state is unknown.

        Args:
            targets: By id.
            pools: In configured order.
            policy: How to judge.
            providers: By id, for their quotas; None where nothing is sent.
            refresh_s: After so long a view is made anew although no sample touched it.
        """
        self._pools = tuple(pools)
        self._providers = providers or {}
        self._policy = policy
        self._refresh_s = refresh_s
        self._tracked = {
            target_id: _Tracked(spec, History(_windows(spec, policy)))
            for target_id, spec in targets.items()
        }
        # As the store's ledger was last read: the books are there, these are for showing them.
        self.spending = Spending()
        self.asked: Mapping[tuple[str, LimitPeriod], int] = {}
        self._told: dict[Kind, Told] = {}
        self._money_shares: Mapping[str, float] = {}
        self._orders: dict[tuple[str, str], Order] = {}
        self._changed: list[Order] = []
        self._version = 0
        self._counters = Counters()

    def restore(self, results: Iterable[ProbeResult], past: Past) -> None:
        """
        Replay stored *results* (oldest first) through the same fold as live ones.

        Counters and orders come from *past*: rows older than the windows count there too.
        """
        for result in results:
            self.accept(result)
        self._counters = Counters(past.totals)
        known = {(pool.id, p.name) for pool in self._pools for p in pool.profiles}
        self._orders = {key: order for key, order in past.orders.items() if key in known}

    def accept(self, result: ProbeResult) -> None:
        """Fold one finished probe; a target that is no longer configured is ignored."""
        tracked = self._tracked.get(result.target_id)
        if tracked is None:
            return
        tracked.is_dirty = True
        if result.kind is not ProbeKind.LIVENESS:
            tracked.last = _last(result)
        tracked.calls = heard(tracked.calls, result)
        tracked.state = fold(tracked.state, result, self._policy)
        answered_at = result.started_at + result.duration_s
        # What limits a free call that was refused is no limit on pictures.
        is_telling = result.kind is not ProbeKind.LIVENESS or result.error is None
        for limit in result.limits if is_telling else ():
            kind = kind_of(limit, tracked.spec)
            self._told[kind] = learn(self._told.get(kind), limit, answered_at)
        tracked.pace = follow(tracked.pace, result, tracked.state)
        # Law 2: confirmations and manual probes feed the state, never availability.
        if result.reason is ProbeReason.SCHEDULED and result.kind in _SAMPLES:
            tracked.history.append(
                Sample(
                    at=result.started_at,
                    outcome=result.outcome,
                    is_timeout=result.error is ErrorClass.TIMEOUT,
                    latency_s=result.latency_s,
                    duration_s=result.duration_s,
                    slot_s=result.slot_s,
                )
            )
        self._counters.probe(result)

    def report(self, target_id: str, at: float, error: ErrorClass | None) -> None:
        """Fold what a client's request of wall time *at* came to: *error*, None for a picture."""
        tracked = self._tracked.get(target_id)
        if tracked is not None:
            tracked.is_dirty = True
            tracked.state = fold_report(tracked.state, at, error, self._policy)

    def gap(self, target_id: str, reason: GapReason) -> None:
        """Count a slot in which no probe ran."""
        self._counters.gap(target_id, reason)

    def attempted(self, target_id: str, at: float) -> None:
        """Take note of a generation at *at* of which nothing else is known, sent or not."""
        tracked = self._tracked.get(target_id)
        if tracked is not None:
            tracked.pace = attempted(tracked.pace, at, at)

    def plan_slot(self, target_id: str, now: float, draw: float) -> float | Pass:
        """Return what the target's slot at *now* stands for, or why nothing is sent in it."""
        tracked = self._tracked[target_id]
        return plan_slot(
            tracked.state,
            tracked.pace,
            tracked.spec,
            self._policy,
            now=now,
            draw=draw,
            money_share=self._money_shares.get(target_id, 1.0),
        )

    def extra_due(self, target_id: str, next_slot_at: float) -> float | None:
        """Return when a canary outside the slots is due, in wall time; None when none is."""
        tracked = self._tracked[target_id]
        if tracked.spec.is_batch:  # A job confirms nothing soon: its slots alone are measured.
            return None
        return extra_due(tracked.state, tracked.pace, tracked.spec, self._policy, next_slot_at)

    def last_start(self, target_id: str) -> float | None:
        """Return the start of the newest generation, whatever came of it; None before the first."""
        tracked = self._tracked.get(target_id)
        return tracked.pace.last_start if tracked else None

    def health(self, target_id: str, now: float) -> Health:
        """Return the judged state of one target at *now*."""
        tracked = self._tracked[target_id]
        return judge(tracked.state, now, spec=tracked.spec, policy=self._policy)

    def last(self, target_id: str) -> LastProbe | None:
        """Return the newest generation of one target; None before the first."""
        return self._tracked[target_id].last

    def is_free_call_due(self, target_id: str, now: float) -> bool:
        """Return whether a free call of the target would tell what is not known; False without."""
        tracked = self._tracked[target_id]
        interval_s = tracked.spec.liveness_s
        return interval_s is not None and is_due(tracked.calls, now, interval_s)

    def quotas(self, target_id: str, at: float) -> tuple[Quota, ...]:
        """Return every quota that a probe of one target at *at* has to fit into."""
        target = self._tracked[target_id].spec
        provider = self._providers.get(target.provider, ProviderSpec(id=target.provider))
        targets = (tracked.spec for tracked in self._tracked.values())
        return quotas_of(target, provider, targets, self._told, at)

    def quota_periods(self, now: float) -> dict[tuple[str, LimitPeriod], float]:
        """Return the (provider, period) of every known limit, and when its period began."""
        return {
            (of.provider, of.period): period_start(
                of.period, self._providers[of.provider].quota, now
            )
            for of in self._quotas(now)
        }

    def _quotas(self, now: float) -> tuple[QuotaFigures, ...]:
        return quota_figures(self._providers.values(), self._told, self.asked, now)

    def tick(self, now: float) -> Snapshot:
        """Build the snapshot of *now*: views that changed or aged, then every order."""
        idle = sorted(
            (t for t in self._tracked.values() if now - t.viewed_at >= self._refresh_s),
            key=lambda tracked: tracked.viewed_at,
        )
        due = [t for t in self._tracked.values() if t.is_dirty or t.view is None]
        due += idle[:_IDLE_VIEWS_PER_TICK]
        for tracked in due:
            if tracked.viewed_at < now or tracked.is_dirty:
                self._view(tracked, now)
        views = {target_id: t.view for target_id, t in self._tracked.items() if t.view is not None}
        for pool in self._pools:
            for profile in pool.profiles:
                key = (pool.id, profile.name)
                before = self._orders.get(key)
                order = build_order(pool, profile, views, before, now, self._policy)
                if before is None or order.version != before.version:
                    self._changed.append(order)
                    if before is not None:  # The first order ever is no change of one.
                        self._counters.order_change(key)
                self._orders[key] = order
        self._money_shares = shares(self._wishes(views), self.spending.caps, now)
        self._version += 1
        return Snapshot(
            version=self._version,
            made_at=now,
            stale_after=now + STALE_AFTER_S,
            targets=views,
            orders=dict(self._orders),
            totals=self._counters.totals(),
            spending=self.spending,
            quotas=self._quotas(now),
        )

    def _wishes(self, views: Mapping[str, TargetView]) -> list[Wish]:
        """Return what each target would spend; first those in doubt and those called first."""
        first = {
            place.target
            for order in self._orders.values()
            if order.profile.name == order.pool.profile
            for place in order.places[:_FIRST_PLACES]
        }
        return [
            Wish(
                target_id=target_id,
                provider=view.spec.provider,
                price_usd=view.spec.price_usd,
                interval_s=view.spec.interval_s,
                comes_first=target_id in first or view.health.state is not State.HEALTHY,
            )
            for target_id, view in views.items()
            if view.health.state is not State.UNUSABLE
        ]

    def take_changed_orders(self) -> list[Order]:
        """Return the orders whose decision changed since the last call, oldest first."""
        changed, self._changed = self._changed, []
        return changed

    def _view(self, tracked: _Tracked, now: float) -> None:
        view = TargetView(
            spec=tracked.spec,
            health=judge(tracked.state, now, spec=tracked.spec, policy=self._policy),
            windows=tracked.history.figures(now),
            last=tracked.last,
            recent_latencies=tracked.history.recent_latencies(_RECENT_LATENCIES),
            liveness=show(
                tracked.calls, now, interval_s=tracked.spec.liveness_s, policy=self._policy
            ),
        )
        # An equal view keeps its identity, and with it its encoded bytes.
        if view != tracked.view:
            tracked.view = view
        tracked.viewed_at = now
        tracked.is_dirty = False


def _windows(spec: TargetSpec, policy: Policy) -> Mapping[str, float]:
    """Return the windows of a target: of a batch target those of a day or more, else the longest."""
    if not spec.is_batch:
        return policy.windows
    days = {name: s for name, s in policy.windows.items() if s >= _BATCH_WINDOW_S_MIN}
    return days or dict([max(policy.windows.items(), key=lambda window: window[1])])


def _last(result: ProbeResult) -> LastProbe:
    return LastProbe(
        probe_id=result.probe_id,
        started_at=result.started_at,
        duration_s=result.duration_s,
        latency_s=result.latency_s,
        outcome=result.outcome,
        error=result.error,
        detail=result.detail,
        http_status=result.http_status,
        phases=result.phases,
        cost_usd=result.cost_usd,
        image=result.image,
        model_version=result.model_version,
    )
