"""
Nine days of a small market, played through the engine in virtual time, and what Prometheus scrapes of it.

Every line comes from the exporter's own registry; only the clock, the providers' answers and the
daemon's figures of itself are made up. The last day is scraped every five minutes, the days before it
every hour.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from math import pi, sin
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from monitor.clock import ManualClock
from monitor.config import parse
from monitor.config.difference import digest
from monitor.core.events import EventKind
from monitor.core.gaps import Gap
from monitor.core.network import OurNetwork
from monitor.core.reports import ReportCount, ReportFigures, Sums, client_figures, outcome_of
from monitor.core.schedule import Pass, next_fire
from monitor.core.snapshot import GapReason, LogCounts
from monitor.core.spend import Booked, Caps, Period, micros, period_start, spending
from monitor.engine import Engine
from monitor.metrics import SelfFigures, exposition
from monitor.outbox_metrics import OutboxFigures
from monitor.publisher import Publisher
from monitor.reload_metrics import ReloadFigures
from probes.model import (
    ErrorClass,
    ImageFacts,
    Limit,
    LimitPeriod,
    Phase,
    ProbeKind,
    ProbeReason,
    ProbeResult,
)

END = datetime(2026, 11, 24, 18, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
BEGIN = END - 9 * DAY
SCRAPE_S = 5 * MINUTE
CONFIG = """
[network]
reference_hosts = ["https://reference.example/"]

[store]
path = "{store}"

[[providers]]
id = "google"
preset = "google-gemini"
api_key = {{ env = "KEY" }}
spend_cap = {{ usd_per_day = 12.00, usd_per_month = 200.00 }}

[[providers]]
id = "google-free"
preset = "google-gemini-free"
api_key = {{ env = "KEY" }}
quota = {{ per_day = 500 }}

[[providers]]
id = "laozhang"
preset = "laozhang"
api_key = {{ env = "KEY" }}
spend_cap = {{ usd_per_day = 14.00 }}

[[providers]]
id = "openai"
preset = "openai"
api_key = {{ env = "KEY" }}
spend_cap = {{ usd_per_day = 4.00 }}

[[providers]]
id = "bfl"
preset = "bfl"
api_key = {{ env = "KEY" }}
spend_cap = {{ usd_per_day = 12.00 }}

[[targets]]
id = "google-flash"
provider = "google"
model = "gemini-2.5-flash-image"
price_usd = 0.039
interval = "10m"
pools = ["image"]
claim = {{ availability = 0.999, latency_p95 = "12s" }}

[[targets]]
id = "google-free"
provider = "google-free"
model = "gemini-2.5-flash-image"
price_usd = 0.0
interval = "20m"
pools = ["image"]

[[targets]]
id = "laozhang-flash"
provider = "laozhang"
model = "gemini-2.5-flash-image"
price_usd = 0.05
interval = "10m"
pools = ["image"]
claim = {{ availability = 0.995, latency_p95 = "20s" }}

[[targets]]
id = "openai-flare"
provider = "openai"
model = "gpt-image-2.5-flare"
size = "1024x1024"
quality = "medium"
price_usd = 0.0132
interval = "10m"
pools = ["image"]
claim = {{ availability = 0.99, latency_p95 = "25s" }}

[[targets]]
id = "flux-max"
provider = "bfl"
model = "flux-2-max"
price_usd = 0.07
interval = "10m"
pools = ["image"]
claim = {{ availability = 0.99, latency_p95 = "8s" }}

[[targets]]
id = "google-pro"
provider = "google"
model = "gemini-3-pro-image"
size = "1024x1024"
price_usd = 0.134
interval = "30m"
pools = ["pro"]
claim = {{ availability = 0.98, latency_p95 = "40s" }}

[[targets]]
id = "laozhang-pro"
provider = "laozhang"
model = "gemini-3-pro-image"
price_usd = 0.09
interval = "30m"
pools = ["pro"]
spend_cap = {{ usd_per_day = 6.00 }}

[[pools]]
id = "image"
slo = {{ availability = 0.99, latency_p95 = "20s" }}

[[pools]]
id = "pro"
slo = {{ availability = 0.98, latency_p95 = "45s" }}

[[maintenance]]
targets = ["google-pro"]
from = 2026-11-24T03:00:00Z
until = 2026-11-24T05:00:00Z
"""  # fmt: skip
# Median seconds of a picture, and where its time goes.
SECONDS = {
    "google-flash": 7.0, "google-free": 9.0, "laozhang-flash": 6.0, "openai-flare": 12.0,
    "flux-max": 4.5, "google-pro": 22.0, "laozhang-pro": 26.0,
}  # fmt: skip
# What goes wrong now and then, and how often.
TROUBLE = {
    "laozhang-flash": (0.02, (ErrorClass.SERVER_ERROR, ErrorClass.NO_IMAGE, ErrorClass.BAD_IMAGE)),
    "openai-flare": (0.008, (ErrorClass.POLICY_BLOCKED, ErrorClass.RATE_LIMITED)),
    "flux-max": (0.006, (ErrorClass.PROTOCOL, ErrorClass.CONNECTION)),
}
# What goes wrong for a time: from and until, in hours before the end, and the share of probes.
OUTAGES = (
    ("google-flash", 5.0, 3.6, 1.0, ErrorClass.OVERLOADED),
    ("google-flash", 76.0, 75.0, 1.0, ErrorClass.OVERLOADED),
    ("flux-max", 0.6, 0.0, 1.0, ErrorClass.SERVER_ERROR),
    ("flux-max", 11.0, 9.0, 0.5, ErrorClass.TIMEOUT),
    ("laozhang-pro", 2.0, 0.0, 1.0, ErrorClass.BILLING),
    ("google-free", 4.0, 0.0, 1.0, ErrorClass.QUOTA_EXHAUSTED),
    *((target, 20.0, 19.7, 1.0, ErrorClass.MONITOR_FAULT) for target in SECONDS),
)


def error_of(target: str, at: float, rng: Random) -> ErrorClass | None:
    """What goes wrong with a probe of *at*: outages at fixed times, the rest by chance."""
    ago = (END - at) / HOUR
    for sick, begin, end, share, error in OUTAGES:
        if target == sick and begin > ago >= end and rng.random() < share:
            return error
    if target == "google-free" and _pacific(at).hour >= 20:
        return ErrorClass.QUOTA_EXHAUSTED
    share, classes = TROUBLE.get(target, (0.0, ()))
    return rng.choice(classes) if rng.random() < share else None


def _pacific(at: float) -> datetime:
    return datetime.fromtimestamp(at, ZoneInfo("America/Los_Angeles"))


class Market:
    """The engine of the market, its clock, and the scrapes of its exporter."""

    def __init__(self) -> None:
        """Begin without any evidence."""
        self.config = parse(CONFIG.format(store=Path("market.db")), {"KEY": "k" * 20}, "the market")
        config = self.config
        self.engine = Engine(
            config.specs, config.pools, config.policy, config.providers, refresh_s=60.0
        )
        self.engine.our_network = OurNetwork(is_watched=True)
        self._caps = Caps(
            overall=config.spend_cap, providers=config.providers, targets=config.specs
        )
        self._publisher = Publisher(lambda _snapshot: {})
        self._exposition = exposition(
            self._publisher, self._own, lambda: self._slots, ManualClock()
        )
        self._rng = Random(11)
        self._number = count(1)
        self._asked: list[tuple[float, str, str, int]] = []
        self._events: Counter[str] = Counter()
        self._incidents: Counter[tuple[str, str]] = Counter()
        # What two clients told of each target: who, error class and seconds.
        self._told: dict[str, deque[tuple[int, ErrorClass | None, float]]] = {
            target: deque(maxlen=144) for target in config.specs
        }
        self._reports: Counter[ReportCount] = Counter()
        self._rows = 0
        self._now = BEGIN
        self._slots = {t: BEGIN + self._rng.uniform(0, MINUTE) for t in config.specs}
        self._extras: dict[str, float] = {}
        self._free_at = dict(self._slots)

    def scrapes(self) -> Iterator[tuple[float, str]]:
        """Yield each scrape's time and text, the oldest first."""
        at = BEGIN + 30 * MINUTE
        while at <= END:
            self._play(until=at)
            self._now = at
            self._book(at)
            self._publisher.publish(self.engine.tick(at))
            yield at, self._exposition.page().decode()
            at += SCRAPE_S if at >= END - 25 * HOUR else HOUR

    def _play(self, until: float) -> None:
        """Send and judge every probe that is due until then, in order of time."""
        while True:
            at, target = min(
                (min(self._slots[t], self._extras.get(t, self._slots[t])), t) for t in self._slots
            )
            if at > until:
                break
            self._send(target, at)
        for target in self._free_at:
            while self._free_at[target] <= until:
                self._call(target, self._free_at[target])
                self._free_at[target] += 5 * MINUTE
        for entry in self.engine.take_entries():
            self._rows += 1 + len(entry.events)
            for event in entry.events:
                self._events[event.kind] += 1
                if event.kind is EventKind.INCIDENT_OPENED:
                    self._incidents[event.target or "", str(event.data["error"])] += 1
        self._events["order_changed"] += len(self.engine.take_changed_orders())

    def _send(self, target: str, at: float) -> None:
        spec, reason, slot_s = self.config.specs[target], ProbeReason.CONFIRM, 0.0
        is_extra = self._extras.pop(target, None) is not None and at < self._slots[target]
        if not is_extra:
            reason = ProbeReason.SCHEDULED
            self._slots[target] = next_fire(
                target, spec.interval_s, at, lambda slot: Random(f"{target}/{slot}").random()
            )
            planned = self._planned(target, at)
            if isinstance(planned, GapReason):
                self.engine.gap(Gap(target, at, planned, spec.interval_s))
            slot_s = planned if isinstance(planned, float) else 0.0
        if is_extra or slot_s:
            self.engine.accept(self._result(target, at, reason, slot_s))
        due = self.engine.extra_due(target, self._slots[target])
        if due is not None:
            self._extras[target] = max(due, at + 1.0)

    def _planned(self, target: str, at: float) -> float | GapReason | None:
        """What a slot stands for, or why nothing is sent in it."""
        ago = END - at
        if target == "google-pro" and 15 * HOUR > ago > 13 * HOUR:
            return GapReason.MAINTENANCE
        if target == "laozhang-flash" and 19 * HOUR > ago > 18.5 * HOUR:
            return GapReason.SPEND_CAP
        if 22 * HOUR > ago > 21.8 * HOUR:
            return GapReason.MISSED
        planned = self.engine.plan_slot(target, at, self._rng.random())
        return planned.gap if isinstance(planned, Pass) else planned

    def _result(self, target: str, at: float, reason: ProbeReason, slot_s: float) -> ProbeResult:
        spec, error = self.config.specs[target], error_of(target, at, self._rng)
        took_s = SECONDS[target] * self._rng.lognormvariate(0.0, 0.3)
        # Slower in the afternoon, and one bad stretch.
        took_s *= 1 + 0.35 * sin((at % DAY) / DAY * 2 * pi - pi / 2) ** 2
        if target == "google-flash" and 14 * HOUR > END - at > 11 * HOUR:
            took_s *= 2.5
        duration_s = (
            spec.deadline_s if error is ErrorClass.TIMEOUT else took_s if not error else 1.2
        )
        cost_usd = 0.0 if error not in (None, ErrorClass.TIMEOUT) else spec.price_usd
        self._asked.append((at, spec.provider, target, micros(cost_usd)))
        self._rows += 1
        self._hear(target, at, took_s)
        result = ProbeResult(
            probe_id=f"{next(self._number):08}",
            target_id=target,
            started_at=at,
            duration_s=duration_s,
            latency_s=None if error else took_s,
            error=error,
            reason=reason,
            slot_s=slot_s,
            cost_usd=cost_usd,
            retry_at=at + 900 if error is ErrorClass.RATE_LIMITED else None,
            phases=_phases(target, duration_s),
            limits=(Limit(period=LimitPeriod.MINUTE, requests=50, remaining=49, resets_at=at + 60),)
            if target == "openai-flare"
            else (),
        )  # fmt: skip
        if error is ErrorClass.QUOTA_EXHAUSTED:
            midnight = _pacific(at + DAY).replace(hour=0, minute=0, second=0).timestamp()
            limit = Limit(period=LimitPeriod.DAY, requests=500, remaining=0, resets_at=midnight)
            return replace(result, retry_at=midnight, limits=(limit,))
        if error is None:
            version = "2026-11" if END - at < 9 * HOUR and target == "openai-flare" else "2026-08"
            side = 1024 if END - at > 6 * HOUR or target != "flux-max" else 1000
            picture = ImageFacts(
                format="png",
                width=side,
                height=side,
                size_bytes=900_000,
                sha256="0" * 64,
                dominant_rgb=(250, 10, 10),
            )
            return replace(result, model_version=version, image=picture)
        return result

    def _hear(self, target: str, at: float, took_s: float) -> None:
        """Take what two clients would report of a picture of their own at that time."""
        for client in (1, 2):
            error = error_of(target, at, Random(f"{client}/{target}/{at}"))
            self._told[target].append((client, error, took_s * (1 + 0.1 * client)))
            count = ReportCount(target, outcome_of(error).value, error.value if error else "")
            self._reports[count] += 1

    def _reported(self) -> ReportFigures:
        """Return the figures of what clients told, of the windows of a day."""
        windows = {}
        for target, told in self._told.items():
            clients: defaultdict[int, Sums] = defaultdict(Sums)
            for client, error, took_s in told:
                sums = clients[client]
                sums.errors[error] = sums.errors.get(error, 0) + 1
                if error is None:
                    sums.latency.add(took_s)
            if clients:
                windows[target] = {"24h": client_figures(list(clients.values()))}
        return ReportFigures(windows=windows, totals=dict(self._reports))

    def _call(self, target: str, at: float) -> None:
        """A free call: answered, with the balance and the end of a model where they are told."""
        if self.config.specs[target].liveness_s is None:
            return
        self.engine.accept(
            ProbeResult(
                probe_id=f"free-{next(self._number):08}",
                target_id=target,
                started_at=at,
                duration_s=0.2,
                latency_s=0.2,
                kind=ProbeKind.LIVENESS,
                balance_usd=max(0.4, 60.0 - (at - BEGIN) / DAY * 6.6)
                if target.startswith("laozhang")
                else None,
                shutdown_on="2027-02-15" if target in ("google-flash", "flux-max") else None,
            )
        )

    def _book(self, at: float) -> None:
        """Tell the engine what the ledger would say."""
        starts = {period: period_start(period, at) for period in Period}
        sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for asked_at, provider, target, price in self._asked:
            sums[provider, target][0] += price * (asked_at >= starts[Period.DAY])
            sums[provider, target][1] += price * (asked_at >= starts[Period.MONTH])
        self.engine.spending = spending(
            (
                Booked(provider=p, target_id=t, day_micros=day, month_micros=month)
                for (p, t), (day, month) in sums.items()
            ),
            self._caps,
        )
        self.engine.asked = {
            (provider, period): sum(p == provider and a >= start for a, p, _, _ in self._asked)
            for (provider, period), start in self.engine.quota_periods(at).items()
        }
        self.engine.reports = self._reported()
        self.engine.log_counts = LogCounts(dict(self._events), dict(self._incidents))

    def _reloaded(self) -> ReloadFigures:
        """One reload, ten hours before the end."""
        at = END - 10 * HOUR
        is_new = self._now >= at
        known = digest(self.config) if is_new else "0" * 12
        return ReloadFigures(True, at if is_new else BEGIN, self.config.vantage, known)

    def _own(self) -> SelfFigures:
        """What a daemon of this age would measure of itself."""
        rng = Random(self._now)
        return SelfFigures(
            loop_lag_max_s=rng.uniform(0.001, 0.02),
            schedule_lateness_max_s=rng.uniform(0.001, 0.05),
            probes_running=rng.choice((0, 0, 1, 2)),
            batch_jobs=0,
            batch_calls_failed=0,
            batch_jobs_not_deleted=0,
            writer_queue_rows=rng.choice((0, 0, 0, 1, 3)),
            outbox=OutboxFigures(0, 0.0, {("ops", "sent"): self._events["incident_opened"]}),
            reload=self._reloaded(),
            reports_duplicate=int(self._now > END - 7 * HOUR),
            reports_rejected=0,
            reports_refused=0,
            store_rows_total=self._rows,
            store_errors_total=int(self._now > END - 8 * HOUR) * 2,
            store_dropped_total=0,
            store_pruned_total=0,
            store_bytes=2_000_000 + 900 * self._rows,
            store_last_commit_at=self._now - rng.uniform(0, 60),
            store_oldest_row_at=BEGIN,
            answers={("/metrics", 200): int(self._now - BEGIN) // 15},
        )


def _phases(target: str, took_s: float) -> dict[Phase, float]:
    shares = {Phase.DNS: 0.004, Phase.CONNECT: 0.006, Phase.TLS: 0.01, Phase.SEND: 0.005}
    last = {Phase.QUEUE: 0.7, Phase.DOWNLOAD: 0.08} if target == "flux-max" else {Phase.BODY: 0.1}
    shares |= last | {Phase.DECODE: 0.01}
    rest = 1 - sum(shares.values())
    return {phase: share * took_s for phase, share in (shares | {Phase.FIRST_BYTE: rest}).items()}


def write_openmetrics(path: Path) -> None:
    """Write all scrapes of the market as Prometheus takes them in after the fact."""
    series: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for at, text in Market().scrapes():
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                labels = "{" if "{" not in name else name[name.index("{") : -1] + ","
                series[name.split("{")[0]][f'{labels}job="imgmon",instance="imgmon:8720"}}'].append(
                    f"{value} {at:.0f}"
                )
    with path.open("w") as file:
        for name, those in series.items():
            for labels, points in those.items():
                file.writelines(f"{name}{labels} {point}\n" for point in points)
        file.write("# EOF\n")
