"""
The composition root: builds, wires, starts and stops everything.

The only place that makes the real clock and the random source. Order of starting: lock, store,
writer, replay, pulse, schedule; stopping runs back.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextlib import ExitStack
from random import Random

import structlog
from fastapi import FastAPI

from monitor.api import routes
from monitor.api.access import access_of
from monitor.api.encode import Encoder
from monitor.api.server import build_api
from monitor.batches import Batches
from monitor.books import StoreLedger
from monitor.clock import Clock
from monitor.config import Config
from monitor.core.events import Event
from monitor.core.spend import Caps, spending
from monitor.desk import ReportDesk
from monitor.engine import Engine
from monitor.errors import StoreError
from monitor.first_probes import first_delays
from monitor.fitness import Fitness
from monitor.lag import LagMeter
from monitor.limits import DRAIN_S, LAST_FLUSH_S, TICK_S_MAX, TICKS_PER_S_MAX, WRITE_QUEUE_MAX
from monitor.metrics import SelfFigures, exposition
from monitor.months import Months
from monitor.network import NetworkWatch
from monitor.notify.notifier import Notifier
from monitor.past import recall, restore
from monitor.pauses import Pauses
from monitor.probe_log import happened
from monitor.probeables import load_probeables
from monitor.publisher import Publisher
from monitor.reloading import Reloads
from monitor.runner import Runner
from monitor.scheduler import Schedule
from monitor.secrets import Redactor
from monitor.slots import Slots
from monitor.steps import Steps, at_once, unhurried
from monitor.store.history import History
from monitor.store.lock import StoreLock
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from monitor.tokens import TokenBook
from monitor.upkeep import Upkeep
from probes.driver import Driver
from probes.image import RecentPictures
from probes.model import ProbeReason

log = structlog.get_logger("imgmon.app")

# The writer may lag behind a slow disk; past this many waiting rows the daemon is not well.
_QUEUE_ROWS_UNWELL = 2_000
SCHEDULE_SEED = "schedule_seed"


class Daemon:
    """Everything that runs, built but not started."""

    def __init__(
        self, config: Config, *, clock: Clock, rng: Random, driver: Driver | None = None
    ) -> None:
        """Wire the parts of *config*; nothing is opened before :meth:`start`."""
        self.config = config
        self.clock = clock
        self.reloads = Reloads(config, clock)  # Whoever can exchange daemons sets its own.
        self.lag, self.lateness = LagMeter(clock), LagMeter(clock)
        self.publisher = Publisher(Encoder())
        self.engine = Engine(config.specs, config.pools, config.policy, config.providers)
        self.caps = Caps(overall=config.spend_cap, providers=config.providers, targets=config.specs)
        self.writer = Writer(config.store_path, clock=clock)
        self.reader = Reader(config.store_path)
        self.history = History(self.reader)
        self.recent = RecentPictures()
        self.driver = driver or Driver(clock=clock, recent=self.recent)
        self.probeables, self.format_problems = load_probeables(config)
        self._wake = asyncio.Event()
        self.network = NetworkWatch(
            config.reference_hosts,
            ask=self.driver.reaches,
            clock=clock,
            on_change=self._network_changed,
        )
        self.engine.our_network = self.network.state
        self.tokens = TokenBook(config.tokens_path, clock)
        ledger = StoreLedger(self.writer, config.vantage, self.caps)
        self.pauses = Pauses(self.writer)
        self.runner = Runner(
            self.probeables,
            driver=self.driver,
            engine=self.engine,
            store=ledger,
            clock=clock,
            rng=rng,
            fitness=Fitness(self.lag, clock, self.network),
            redactor=Redactor(config.secrets),
            on_result=self._learned,
            paused=self.pauses.at,
        )
        self.batches = Batches(
            self.probeables,
            runner=self.runner,
            driver=self.driver,
            store=ledger,
            reader=self.reader,
            clock=clock,
            rng=rng,
            redactor=Redactor(config.secrets),
            on_result=self._learned,
        )
        self._answers_at_once = [t for t in self.probeables if t not in self.batches]
        self.months = Months(
            config.specs, config.pools, reader=self.reader, writer=self.writer, clock=clock
        )
        watched = {target_id: p.spec for target_id, p in self.probeables.items()}
        self.slots = Slots(watched, writer=self.writer, pauses=self.pauses, gap=self.runner.gap)
        self.schedule = self._new_schedule()
        self.desk = self._new_desk()
        self.upkeep = Upkeep(
            config.store_path, self.writer, self.reader, retention=config.retention, clock=clock
        )
        self.notifier = Notifier(config.routes, self.reader, self.writer, clock=clock, rng=rng)
        self._rng = rng
        self.answers: Counter[tuple[str, int]] = Counter()
        self.exposition = exposition(
            self.publisher, self._own_figures, self.schedule.next_probes, clock
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._resources = ExitStack()

    def _new_schedule(self) -> Schedule:
        return Schedule(
            {target_id: p.spec.interval_s for target_id, p in self.probeables.items()},
            liveness=self.runner.liveness_intervals,
            fire=self._fire,
            extra=self.runner.extra,
            extra_due=self.engine.extra_due,
            free_call=self.runner.free_call,
            missed=self.slots.missed,
            seen=self.slots.seen,
            clock=self.clock,
            lag=self.lateness,
        )

    def _new_desk(self) -> ReportDesk:
        return ReportDesk(
            self.config.specs,
            self.engine,
            self.writer,
            self.reader,
            clock=self.clock,
            per_client_per_minute=self.config.reports_per_minute,
            on_step=self._learned,
        )

    async def open(self) -> None:
        """Open the store and replay it; nothing is sent."""
        self._resources.enter_context(StoreLock(self.config.store_path))
        self._resources.callback(self.reader.close)
        # Slots of before a restart fire when they would have: the file keeps what decides them.
        seed = {SCHEDULE_SEED: str(self._rng.getrandbits(32))}
        await asyncio.to_thread(self.writer.start, seed)
        self._resources.callback(self.writer.close)
        await self.pauses.load()
        await asyncio.to_thread(self._replay)

    async def start(self, before: Daemon | None = None) -> None:
        """Open the store, replay it, publish, then let probes fire; go on after *before*, stopped."""
        for text in (*self.config.warnings, *self.format_problems):
            log.warning("config.warning", detail=text)
        self.tokens.load()
        await self.open()
        await self._read_books()
        self.network.resume(await asyncio.to_thread(self.history.network_event))
        self.engine.our_network = self.network.state
        if before is not None:  # What one process publishes has numbers that grow.
            self.engine.version = before.engine.version
        self.tick()
        self._tasks = [
            asyncio.create_task(self.lag.beat(), name="lag"),
            asyncio.create_task(self._pulse(), name="pulse"),
            asyncio.create_task(self._first_probes(), name="first probes"),
            asyncio.create_task(self.batches.run(), name="batches"),
            asyncio.create_task(self.months.run(), name="months"),
            asyncio.create_task(self.desk.run(), name="reports"),
            asyncio.create_task(self.desk.commit(), name="report commits"),
            asyncio.create_task(self.desk.sum_up(), name="report sums"),
            asyncio.create_task(self.upkeep.run(), name="upkeep"),
            asyncio.create_task(self.notifier.run(), name="notifications"),
        ]
        seed = int(self.reader.fact(SCHEDULE_SEED))
        self.schedule.start(seed, await self.slots.load())
        log.info(
            "daemon.started",
            targets=len(self.config.specs),
            probed=len(self.probeables),
            pools=len(self.config.pools),
            store=str(self.config.store_path),
        )

    async def _fire(self, target_id: str, draw: float) -> None:
        """Fill one schedule slot: with a canary, or with a job of a batch queue."""
        of = self.batches if target_id in self.batches else self.runner
        await of.scheduled(target_id, draw)

    def _learned(self, target_id: str) -> None:
        """Publish what the engine learned of a target, and ask when to probe it next."""
        self._wake.set()
        self.schedule.revise(target_id)

    def _network_changed(self, event: Event) -> None:
        """Store and publish what became of our own network."""
        self.engine.our_network = self.network.state
        self.writer.submit_event(event)
        self._wake.set()

    async def drain(self, grace_s: float = DRAIN_S) -> None:
        """Fire no more and let what is under way end, for *grace_s* at most; orders stay fresh."""
        self.schedule.stop()
        await asyncio.gather(self.runner.drain(grace_s), self.batches.drain(grace_s))

    async def stop(self) -> None:
        """Fire no more, drain, commit what is queued, close."""
        self.upkeep.stop()
        await asyncio.gather(self.drain(), self.notifier.stop())
        await self.network.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.desk.stop()
        if self.publisher.current is not None:
            # The last snapshot shows what was billed; a disk that refuses is waited for below.
            await asyncio.to_thread(self.writer.flush, LAST_FLUSH_S)
            await self._read_books()
            self.tick()
        await self.driver.aclose()
        await asyncio.to_thread(self._resources.close)
        log.info("daemon.stopped")

    def tick(self) -> None:
        """Build and publish one snapshot; store what happened and the orders that changed."""
        at_once(self._ticking())

    def _ticking(self) -> Steps[None]:
        now = self.clock.wall()
        self.engine.paused = self.pauses.all(now)
        snapshot = yield from self.engine.ticking(now)
        yield from self.publisher.publishing(snapshot)
        for entry in self.engine.take_entries():
            self.writer.submit_entry(entry)
            for event in entry.events:
                happened(event, now)
        for order in self.engine.take_changed_orders():
            self.writer.submit_order(order)
            log.info(
                "order.changed",
                pool=order.pool.id,
                profile=order.profile.name,
                version=order.version,
                targets=[place.target for place in order.places],
                first_because=[reason.text for reason in order.places[0].reasons[:2]],
            )

    def problems(self) -> list[str]:
        """Return why the daemon is not ready; empty when it is."""
        found = []
        current, now = self.publisher.current, self.clock.wall()
        if current is None:
            found.append("no snapshot is published yet")
        elif now > current.snapshot.stale_after:
            found.append(f"the newest snapshot is {now - current.snapshot.made_at:.0f} s old")
        if self.probeables and not (self.schedule.is_running or self.schedule.is_stopped):
            found.append("the schedule is not running")
        found += [*self.format_problems, *filter(None, (self.upkeep.problem, self.tokens.problem))]
        stats = self.writer.stats
        if stats.queue > _QUEUE_ROWS_UNWELL:
            found.append(f"{stats.queue} rows wait for the store: {stats.last_error or 'slow'}")
        elif stats.is_failing:
            found.append(f"the store takes no rows: {stats.last_error}")
        return found

    def _replay(self) -> None:
        """Fold what the store holds through the engine, and what killed processes left."""
        gc.disable()  # A hundred thousand values that stay: looking for garbage takes a tenth more.
        try:
            restore(self.engine, self.reader, self.config, self.clock.wall())
            self.desk.restore()
        finally:
            gc.enable()
        for entry in self.engine.take_entries():
            if self.writer.stats.queue > WRITE_QUEUE_MAX // 2:  # The first start of an old file.
                self.writer.flush()
            self.writer.submit_entry(entry)
        for target_id, at in self.reader.last_reservations().items():
            # A probe that a killed process had under way left money booked, but no row.
            if at > (self.engine.last_start(target_id) or 0.0):
                self.engine.attempted(target_id, at)
        recall(self.recent, self.reader, self.config.specs)

    async def _read_books(self) -> None:
        """Show what the ledger holds now; while the file cannot be read, what it held before."""
        now = self.clock.wall()
        periods = self.engine.quota_periods(now)
        try:
            self.engine.log_counts = await asyncio.to_thread(self.history.counts)
            booked = await asyncio.to_thread(self.reader.booked, now)
            self.engine.asked = await asyncio.to_thread(self.reader.asked, periods, now)
            self.engine.spending = spending(booked, self.caps)
        except StoreError as error:
            log.warning("books.unreadable", error=str(error))

    async def _pulse(self) -> None:
        """Publish at our own pace: at most 4 and at least 0.2 times a second."""
        while True:
            try:
                async with asyncio.timeout(TICK_S_MAX):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._read_books()
                await unhurried(self._ticking(), self.clock)
            except Exception:  # A bug must not freeze the order in silence: it goes stale, loudly.
                log.exception("tick.failed")
            await asyncio.sleep(1 / TICKS_PER_S_MAX)

    async def _first_probes(self) -> None:
        """Probe targets nobody knows anything recent of, so that their states stand soon."""
        delays = self.first_delays()
        await asyncio.gather(*(self._first_probe(t, delay_s) for t, delay_s in delays.items()))

    def first_delays(self) -> dict[str, float]:
        """Return in how many seconds each target is probed that nothing recent is known of."""
        return first_delays(self._answers_at_once, self.engine, self.config, self.clock.wall())

    async def _first_probe(self, target_id: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self.runner.run(target_id, reason=ProbeReason.STARTUP)

    def _own_figures(self) -> SelfFigures:
        stats = self.writer.stats
        return SelfFigures(
            loop_lag_max_s=self.lag.worst_recent(),
            schedule_lateness_max_s=self.lateness.worst_recent(),
            probes_running=self.runner.running,
            batch_jobs=self.batches.counts.under_way,
            batch_calls_failed=self.batches.counts.calls_failed,
            batch_jobs_not_deleted=self.batches.counts.not_deleted,
            writer_queue_rows=stats.queue,
            store_rows_total=stats.committed,
            store_errors_total=stats.errors,
            store_dropped_total=stats.dropped,
            store_pruned_total=self.upkeep.pruned,
            store_bytes=self.reader.size_bytes(),
            store_last_commit_at=stats.last_commit_at,
            store_oldest_row_at=self.upkeep.oldest_at,
            answers=dict(self.answers),
            outbox=self.notifier.figures(),
            reload=self.reloads.figures,
            reports_duplicate=self.desk.counts.duplicates,
            reports_rejected=self.desk.counts.rejected,
            reports_refused=self.desk.counts.refused,
        )

    def api(self) -> FastAPI:
        """Return the HTTP application over this daemon."""
        return build_api(
            routes.Sources(
                access=access_of(self.config, self.tokens),
                operator=routes.Operator(
                    self.runner,
                    self.pauses,
                    self._answers_at_once.__contains__,
                    self._learned,
                    self.reloads,
                ),
                desk=self.desk,
                publisher=self.publisher,
                clock=self.clock,
                results=lambda *asked: routes.Page(*self.reader.results(*asked)),
                months=self.months.of,
                history=self.history,
                profile=lambda target: self.engine.profile(target, self.clock.wall()),
                problems=self.problems,
                metrics=self.exposition.scrape,
                answers=self.answers,
            )
        )
