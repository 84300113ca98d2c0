"""No sequence of events lets probes use more of a quota than their share, and none is refused early."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.quota import DAY_S_MAX, Quota, kind_of, learn, period_start, quotas_of
from monitor.core.spec import ProviderSpec, QuotaSpec
from monitor.core.spend import Claim
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import Limit, LimitPeriod, ProbeResult
from probes.retry import midnight_before
from tests.support.builders import NOW, a_spec

WAIT_S = 30.0  # Never reached when things work.
TARGETS = {
    "a": a_spec("a", price_usd=0.04),
    "b": a_spec("b", price_usd=0.0),
    "c": a_spec("c", price_usd=0.0, model="painter-2"),
    "elsewhere": a_spec("elsewhere", price_usd=0.0, provider="lab"),
}
# Evenings before clocks change in Los Angeles and Beirut, forward and back, and a plain day.
BEGINS = st.sampled_from(
    [NOW, *(datetime(*d, tzinfo=UTC).timestamp() for d in (
        (2026, 3, 8, 4), (2026, 11, 1, 3), (2026, 11, 2, 3), (2026, 3, 28, 20), (2026, 10, 24, 18),
    ))]
)  # fmt: skip
ZONES = st.sampled_from(
    ["America/Los_Angeles", "UTC", "Asia/Beirut", "America/Havana", "Australia/Lord_Howe"]
).map(ZoneInfo)
QUOTAS = st.builds(
    QuotaSpec,
    per_minute=st.none() | st.sampled_from([5, 25]),
    per_day=st.none() | st.sampled_from([100, 250, 400]),
    share=st.sampled_from([0.01, 0.02, 0.05]),
    resets=ZONES,
)
ASK = st.tuples(st.just("ask"), st.integers(0, 1), st.sampled_from([*TARGETS]))
FORWARD = st.sampled_from([0.0, 1.0, 29.0, 31.0, 60.0, 600.0, 3_600.0, 10_800.0, 90_000.0, 3e7])
BACK = st.sampled_from([-1.0, -45.0, -3_600.0, -50_000.0, -90_001.0, -3e7])
STEPS = st.lists(
    st.one_of(
        ASK,
        ASK,
        ASK,
        st.tuples(st.just("clock"), FORWARD),
        st.tuples(st.just("clock"), BACK),
        st.tuples(st.just("crash"), st.integers(0, 1)),
        st.tuples(
            st.just("tell"),
            st.builds(
                Limit,
                period=st.sampled_from(LimitPeriod),
                requests=st.sampled_from([50, 150, 1000]),
                per_model=st.booleans(),
            ),
        ),
    ),
    max_size=60,
)


class Provider:
    """Two writers on one file, and a list of what was granted that says what the file must hold."""

    def __init__(self, path: Path, quota: QuotaSpec, begin: float) -> None:
        """Open both."""
        self.path, self.now = path, begin
        self.specs = {p: ProviderSpec(id=p, quota=quota) for p in ("acme", "lab")}
        self.writers = [self.opened(), self.opened()]
        self.granted: list[tuple[str, float]] = []
        self.learned = {}

    def opened(self) -> Writer:
        """A started writer on the file."""
        writer = Writer(self.path)
        writer.start()
        return writer

    def counts(self, quota: Quota, target: str) -> bool:
        """Whether probes of *target* count against *quota*."""
        is_there = TARGETS[target].provider == quota.provider
        return target in quota.targets if quota.targets else is_there

    def ask(self, who: int, target: str) -> None:
        """The decision is the model's: granted unless one of the quotas is used up."""
        spec = TARGETS[target]
        quotas = quotas_of(
            spec, self.specs[spec.provider], TARGETS.values(), self.learned, self.now
        )
        is_full = [
            quota.probes
            <= sum(
                quota.since <= at <= self.now + DAY_S_MAX and self.counts(quota, of)
                for of, at in self.granted
            )
            for quota in quotas
        ]
        number = len(self.granted)
        claim = Claim(
            probe_id=f"p-{number}-{self.now}", target_id=target, provider=spec.provider,
            micros=40_000 if spec.price_usd else 0, at=self.now, quotas=quotas,
        )  # fmt: skip
        decision = self.writers[who].reserve(claim).result(WAIT_S)

        assert any(is_full) == (decision.refused_by is not None)
        if decision.refused_by is None:
            self.granted.append((target, self.now))
            if number % 3:
                result = ProbeResult(
                    probe_id=claim.probe_id, target_id=target, started_at=self.now,
                    duration_s=1.0, latency_s=1.0,
                )  # fmt: skip
                self.writers[who].submit_probe(result, spec.provider, "here")
                assert self.writers[who].flush(WAIT_S)

    def crash(self, who: int) -> None:
        """What was under way is never settled; the next process opens the file."""
        self.writers[who].close()
        self.writers[who] = self.opened()

    def clock(self, seconds: float) -> None:
        """Set the wall clock forward or back, or let time pass."""
        self.now += seconds

    def tell(self, limit: Limit) -> None:
        """The provider tells one of its limits in a reply to the first target."""
        kind = kind_of(limit, TARGETS["a"])
        self.learned[kind] = learn(self.learned.get(kind), limit, self.now)

    def check(self, reader: Reader) -> None:
        """The file holds what was granted, counted from the begin of each period."""
        since = {
            (provider, period): period_start(period, spec.quota, self.now)
            for provider, spec in self.specs.items()
            for period in LimitPeriod
        }
        expected = {
            (provider, period): sum(
                start <= at <= self.now + DAY_S_MAX and TARGETS[of].provider == provider
                for of, at in self.granted
            )
            for (provider, period), start in since.items()
        }
        assert expected == reader.asked(since, self.now)


@settings(max_examples=60, deadline=None)
@given(quota=QUOTAS, begin=BEGINS, steps=STEPS)
def test_probes_never_use_more_of_a_quota_than_their_share(quota, begin, steps):
    """Law: in any day of the zone and in any minute, over restarts, clock steps and DST nights."""
    with tempfile.TemporaryDirectory() as folder:
        provider = Provider(Path(folder) / "imgmon.db", quota, begin)
        try:
            with closing(Reader(provider.path)) as reader:
                for name, *arguments in steps:
                    getattr(provider, name)(*arguments)
                    provider.check(reader)
        finally:
            for writer in provider.writers:
                writer.close()

    for whose, spec in provider.specs.items():
        times = [at for of, at in provider.granted if TARGETS[of].provider == whose]
        if (probes := spec.quota.probes(LimitPeriod.DAY)) is not None:
            days = Counter(midnight_before(at, quota.resets) for at in times)
            assert max(days.values(), default=0) <= probes
            assert probes <= quota.share * quota.per_day
        if (probes := spec.quota.probes(LimitPeriod.MINUTE)) is not None:
            for at in times:
                assert sum(at <= other < at + 60 for other in times) <= probes


@settings(max_examples=200)
@given(
    zone=ZONES,
    begin=BEGINS,
    gaps=st.lists(st.floats(0.0, 7_200.0), min_size=1, max_size=300),
)
def test_a_day_of_any_length_has_its_share_and_no_more(zone, begin, gaps):
    """Law: whatever the arrival times, 23, 24 and 25 hours alike, each day grants up to its share."""
    provider = ProviderSpec(id="acme", quota=QuotaSpec(per_day=500, resets=zone))
    granted, arrived, now = [], Counter(), begin
    for gap in gaps:
        now += gap
        (day,) = quotas_of(TARGETS["a"], provider, [], {}, now)
        arrived[midnight_before(now, zone)] += 1
        if sum(at >= day.since for at in granted) < day.probes:
            granted.append(now)
    days = Counter(midnight_before(at, zone) for at in granted)

    assert {day: min(n, 10) for day, n in arrived.items()} == days
