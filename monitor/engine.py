"""
The only owner of mutable measurement state: folds results, builds snapshots at its own pace.

No awaits and no clock: ``accept`` and ``tick`` are plain calls with the time passed in, so a
month of probes replays in seconds and restart runs through the very same fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from monitor.core.finding import Finding
from monitor.core.gaps import Gap
from monitor.core.health import HealthState, fold, judge
from monitor.core.hearsay import NOTHING, Hearing, Hearsay, demoted
from monitor.core.histories import history_of, sample_of
from monitor.core.journal import Entry, Journal, Kept
from monitor.core.liveness import FreeCalls, heard, is_due, show
from monitor.core.maintenance import maintenance_end
from monitor.core.network import OurNetwork
from monitor.core.orders import Orders
from monitor.core.pace import Pace, attempted, follow
from monitor.core.pause import Pause
from monitor.core.profile import Profile, hours_of_week
from monitor.core.quota import (
    Kind,
    Quota,
    Told,
    kind_of,
    learn,
    period_start,
    quota_figures,
    quotas_of,
)
from monitor.core.ration import shares, wishes
from monitor.core.reports import ReportFigures
from monitor.core.runs import after, in_runs
from monitor.core.schedule import Pass, extra_due, plan_slot
from monitor.core.slo import error_budget, window_verdicts
from monitor.core.snapshot import (
    Health,
    LastProbe,
    LogCounts,
    Order,
    Snapshot,
    TargetView,
    Totals,
)
from monitor.core.spec import Policy, PoolSpec, ProviderSpec, TargetSpec
from monitor.core.spend import Spending
from monitor.core.tallies import Counts
from monitor.core.totals import Counters
from monitor.core.window import History
from monitor.limits import STALE_AFTER_S, TICK_S_MAX
from monitor.steps import Steps, at_once
from probes.model import LimitPeriod, ProbeKind, ProbeResult

# Views that no sample touched are made anew in turn, so that windows expire; this many a tick.
_IDLE_VIEWS_PER_TICK: Final = 100
_RECENT_LATENCIES: Final = 60


@dataclass(slots=True)
class _Tracked:
    """What is kept of one target."""

    spec: TargetSpec
    history: History
    state: HealthState = field(default_factory=HealthState)
    pace: Pace = field(default_factory=Pace)
    calls: FreeCalls = field(default_factory=FreeCalls)
    hearing: Hearing = field(default_factory=Hearing)
    hearsay: Hearsay = NOTHING
    last: ProbeResult | None = None
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
        kept: The log of each target that has one.
        at: Wall time of the restart.
    """

    totals: Totals
    orders: Mapping[tuple[str, str], Order]
    kept: Mapping[str, Kept] = field(default_factory=dict)
    at: float = 0.0


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
        explains: bool = True,
    ) -> None:
        """
        Start without any evidence: every state is unknown.

        Args:
            targets: By id.
            pools: In configured order.
            policy: How to judge.
            providers: By id, for their quotas; None where nothing is sent.
            refresh_s: After so long a view is made anew although no sample touched it.
            explains: Whether the places of orders have their reasons.
        """
        self._providers = providers or {}
        self._policy = policy
        self._refresh_s = refresh_s
        self._tracked = {
            target_id: _Tracked(spec, history_of(spec, pools, policy))
            for target_id, spec in targets.items()
        }
        # As the store's ledger was last read: the books are there, these are for showing them.
        self.spending = Spending()
        self.asked: Mapping[tuple[str, LimitPeriod], int] = {}
        self._told: dict[Kind, Told] = {}
        self._money_shares: Mapping[str, float] = {}
        self._orders = Orders(pools, policy, explains=explains)
        self._changed: list[Order] = []
        self.version = 0
        self._counters = Counters()
        self._journal = Journal(policy)
        self.log_counts = LogCounts()
        self.reports = ReportFigures()
        self.paused: Mapping[str, Pause] = {}
        self.our_network = OurNetwork()

    @property
    def remembers_s(self) -> float:
        """How far back results and gaps change any figure, in seconds."""
        return max((t.history.longest_s for t in self._tracked.values()), default=0.0)

    def restore(self, results: Iterable[Finding], past: Past, gaps: Iterable[Gap] = ()) -> None:
        """
        Replay stored *results* (oldest first) and *gaps* through the same fold as live ones.

        Whole results must be the newest generation of each target, to be shown as its last, and all
        that the store's log lacks: what it lacks is among the entries that :meth:`take_entries`
        gives next. Counters and orders come from *past*: rows older than the windows count there too.
        """
        self._journal = Journal(self._policy, past.kept)
        for run in in_runs(results):
            tracked = self._tracked.get(run[0].target_id)
            if len(run) == 1 or tracked is None:
                self._fold(run[0])
                continue
            evidence = (tracked.state, tracked.pace, tracked.calls)
            tracked.state, tracked.pace, tracked.calls = after(run, *evidence, self._policy)
            tracked.history.extend(filter(None, map(sample_of, run)))
        for gap in gaps:
            self.gap(gap)
        self._journal.caught_up(self._tracked.keys(), past.at)
        self._counters = Counters(past.totals)
        self._orders.restore(past.orders)

    def accept(self, result: ProbeResult) -> None:
        """Fold one finished probe; a target that is no longer configured is ignored."""
        if result.target_id in self._tracked:
            self._fold(result)
            self._counters.probe(result)
            self._listen(self._tracked[result.target_id], result.started_at + result.duration_s)

    def _fold(self, result: Finding) -> None:
        tracked = self._tracked.get(result.target_id)
        if tracked is None:
            return
        tracked.is_dirty = True
        if isinstance(result, ProbeResult) and result.kind is not ProbeKind.LIVENESS:
            tracked.last = result
        tracked.calls = heard(tracked.calls, result)
        before, tracked.state = tracked.state, fold(tracked.state, result, self._policy)
        if isinstance(result, ProbeResult):
            self._journal.follow(result, before, tracked.state, tracked.spec)
        if result.limits:
            self._learn(result, tracked.spec)
        tracked.pace = follow(tracked.pace, result, tracked.state)
        # Law 2: confirmations and manual probes feed the state, never availability.
        if (sample := sample_of(result)) is not None:
            tracked.history.append(sample)

    def _learn(self, result: Finding, spec: TargetSpec) -> None:
        """Take note of the limits that an answer told of."""
        if result.kind is ProbeKind.LIVENESS and result.error is not None:
            return  # What limits a free call that was refused is no limit on pictures.
        answered_at = result.started_at + result.duration_s
        for limit in result.limits:
            kind = kind_of(limit, spec)
            self._told[kind] = learn(self._told.get(kind), limit, answered_at)

    def reported(self, told: Counts, now: float) -> set[str]:
        """Fold reports of clients by minute; return the targets that they accuse now, or no longer."""
        known = {key.target: self._tracked.get(key.target) for key in told}
        heard = {target: t for target, t in known.items() if t is not None}
        before = {target: t.hearsay.accusation for target, t in heard.items()}
        for key, said in told.items():
            if key.target in heard:
                heard[key.target].hearing.tell(key, said)
        changed = {t for t in heard if self._listen(heard[t], now).accusation != before[t]}
        for target in changed:
            heard[target].is_dirty = True
        return changed

    def _listen(self, tracked: _Tracked, now: float) -> Hearsay:
        tracked.hearsay = tracked.hearing.listen(now, tracked.pace.good_at)
        return tracked.hearsay

    def failing_alone(self) -> dict[str, tuple[str, ...]]:
        """Return the clients whose failures are their own trouble, by target."""
        return {target: t.hearsay.alone for target, t in self._tracked.items() if t.hearsay.alone}

    def gap(self, gap: Gap) -> None:
        """Count a slot in which no probe ran."""
        self._counters.gap(gap.target_id, gap.reason)
        tracked = self._tracked.get(gap.target_id)
        if tracked is not None:
            tracked.is_dirty = True
            tracked.history.gap(gap.at, gap.reason, gap.slot_s)

    def attempted(self, target_id: str, at: float) -> None:
        """Take note of a generation at *at* of which nothing else is known, sent or not."""
        if (tracked := self._tracked.get(target_id)) is not None:
            tracked.pace = attempted(tracked.pace, at, at)

    def windows_of(self, target_id: str) -> Mapping[str, float]:
        """Return name to seconds of the windows a target is shown over; none for one that is gone."""
        tracked, shown = self._tracked.get(target_id), self._policy.windows
        return {name: s for name, s in shown.items() if tracked and name in tracked.history.windows}

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
        of, told = (tracked.state, tracked.pace, tracked.spec), tracked.hearsay.accusation
        due = extra_due(*of, self._policy, next_slot_at, accusation=told)
        return due and (maintenance_end(tracked.spec.maintenance, due) or due)

    def last_start(self, target_id: str) -> float | None:
        """Return the start of the newest generation, whatever came of it; None before the first."""
        tracked = self._tracked.get(target_id)
        return tracked.pace.last_start if tracked else None

    def health(self, target_id: str, now: float) -> Health:
        """Return the judged state of one target at *now*."""
        tracked = self._tracked[target_id]
        health = judge(tracked.state, now, spec=tracked.spec, policy=self._policy)
        return demoted(health, tracked.hearsay.accusation, now)

    def last(self, target_id: str) -> LastProbe | None:
        """Return the newest generation of one target; None before the first."""
        last = self._tracked[target_id].last
        return LastProbe.of(last) if last else None

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
            for of in quota_figures(self._providers.values(), self._told, self.asked, now)
        }

    def tick(self, now: float) -> Snapshot:
        """Build the snapshot of *now*: views that changed or aged, then the orders they decide."""
        return at_once(self.ticking(now))

    def ticking(self, now: float) -> Steps[Snapshot]:
        """
        Build the snapshot of *now* a view or an order at a time.

        What is folded between two steps is in this snapshot or in the next.
        """
        idle = sorted(
            (t for t in self._tracked.values() if now - t.viewed_at >= self._refresh_s),
            key=lambda tracked: tracked.viewed_at,
        )
        due = [t for t in self._tracked.values() if t.is_dirty or t.view is None]
        due += idle[:_IDLE_VIEWS_PER_TICK]
        for tracked in due:
            if tracked.viewed_at < now or tracked.is_dirty:
                self._view(tracked, now)
                yield
        views = {target_id: t.view for target_id, t in self._tracked.items() if t.view is not None}
        for before, order in self._orders.build(views, now):
            if before is None or order.version != before.version:
                self._changed.append(order)
                if before is not None:  # The first order ever is no change of one.
                    self._counters.order_change((order.pool.id, order.profile.name))
            yield
        orders = dict(self._orders.current)
        self._money_shares = shares(wishes(views, orders.values()), self.spending.caps, now)
        yield
        self.version += 1
        return Snapshot(
            version=self.version,
            made_at=now,
            stale_after=now + STALE_AFTER_S,
            targets=views,
            orders=orders,
            totals=self._counters.totals(),
            spending=self.spending,
            quotas=quota_figures(self._providers.values(), self._told, self.asked, now),
            our_network=self.our_network,
            log_counts=self.log_counts,
            tallies=dict(self._counters.tallies),
            reports=self.reports,
            paused=self.paused,
            policy=self._policy,
        )

    def take_changed_orders(self) -> list[Order]:
        """Return the orders whose decision changed since the last call, oldest first."""
        changed, self._changed = self._changed, []
        return changed

    def take_entries(self) -> list[Entry]:
        """Return what is to be written down since the last call, oldest first."""
        return self._journal.take()

    def profile(self, target_id: str, now: float) -> Profile:
        """Return the hours of the week of one target over its longest window; in any thread."""
        tracked = self._tracked[target_id]
        provider = self._providers.get(tracked.spec.provider)
        zone = (provider.zone if provider else None) or ZoneInfo("UTC")
        span_s = max(self._policy.windows.values())
        hours = hours_of_week(tracked.history.samples, now - span_s, zone)
        return Profile(str(zone), span_s, hours)

    def _view(self, tracked: _Tracked, now: float) -> None:
        spec, figures = tracked.spec, tracked.history.figures(now)
        windows = {name: f for name, f in figures.items() if name in self._policy.windows}
        until = self.our_network.suspect_since
        health = judge(tracked.state, now, spec=spec, policy=self._policy, heard_until=until)
        health = demoted(health, self._listen(tracked, now).accusation, now)
        self._journal.observe(spec, health, now)
        view = TargetView(
            spec=spec,
            health=health,
            windows=windows,
            last=self.last(spec.id),
            recent_latencies=tracked.history.recent_latencies(_RECENT_LATENCIES),
            liveness=show(tracked.calls, now, interval_s=spec.liveness_s, policy=self._policy),
            claims=window_verdicts(windows, spec, tracked.view),
            budget=error_budget(spec.claim.availability, {f.span_s: f for f in figures.values()}),
            incidents=self._journal.open(spec.id),
        )
        # An equal view keeps its identity, and with it its encoded bytes.
        if view != tracked.view:
            tracked.view = view
        tracked.viewed_at = now
        # A probe that began after this snapshot's time is shown by the next one.
        tracked.is_dirty = 0 < (tracked.pace.last_start or now) - now < self._refresh_s
