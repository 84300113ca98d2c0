"""The ledger equals a brute-force model of it, whatever happens, and no cap is ever passed."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.spec import ProviderSpec, SpendCap
from monitor.core.spend import Cap, Caps, Claim, Mark, Period, Scope, period_start
from monitor.store.reader import Reader
from monitor.store.writer import Writer
from probes.model import ProbeResult
from tests.support.builders import NOW, a_spec

WAIT_S = 30.0  # Never reached when things work.
CAPS = Caps(
    overall=SpendCap(usd_per_day=1.5, usd_per_month=2.5),
    providers={
        "acme": ProviderSpec(id="acme", spend_cap=SpendCap(usd_per_day=1.0)),
        "lab": ProviderSpec(id="lab", spend_cap=SpendCap(usd_per_month=2.0)),
    },
    targets={
        "a": a_spec("a", spend_cap=SpendCap(usd_per_day=0.5, usd_per_month=0.9)),
        "b": a_spec("b"),
        "c": a_spec("c", provider="lab"),
    },
)
CENTS = st.integers(1, 60)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 1), st.sampled_from("abc"), CENTS),
        st.tuples(st.just("reserve"), st.integers(0, 1), st.sampled_from("abc"), CENTS),
        st.tuples(st.just("settle"), st.integers(0, 1), st.integers(0, 3), st.integers(0, 70)),
        st.tuples(st.just("crash"), st.integers(0, 1)),
        st.tuples(st.just("clock"), st.sampled_from([1.0, 40_000.0, 90_000.0, 2_600_000.0])),
        st.tuples(st.just("clock"), st.sampled_from([-1.0, -50_000.0, -90_000.0, -3_000_000.0])),
    ),
    max_size=30,
)


@dataclass
class Booking:
    """One line of the model's books."""

    target: str
    at: float
    micros: int
    surprise: int = 0

    def is_under(self, cap: Cap) -> bool:
        """Whether the cap covers this target."""
        provider = CAPS.targets[self.target].provider
        return cap.id == {Scope.TARGET: self.target, Scope.PROVIDER: provider}.get(cap.scope, "")


class Market:
    """Two writers on one file, and a list that says what the file must hold."""

    def __init__(self, path: Path) -> None:
        """Open both."""
        self.path, self.now = path, NOW
        self.writers = [self.opened(), self.opened()]
        self.books: list[Booking] = []
        self.under_way: list[list[tuple[str, Booking]]] = [[], []]
        self.told: Counter[tuple[Mark, Cap, float]] = Counter()

    def opened(self) -> Writer:
        """A started writer on the file."""
        writer = Writer(self.path)
        writer.start()
        return writer

    def booked(self, cap: Cap, start: float) -> int:
        """The model's sum: everything since *start*, however late."""
        return sum(b.micros for b in self.books if b.at >= start and b.is_under(cap))

    def reserve(self, who: int, target: str, cents: int) -> None:
        """The decision is the model's, and so is the cap that refuses."""
        booking = Booking(target, self.now, cents * 10_000)
        caps = CAPS.of(target)
        full = [
            cap
            for cap in caps
            if self.booked(cap, period_start(cap.period, self.now)) + booking.micros > cap.micros
        ]
        probe_id = f"p-{len(self.books)}-{self.now}"
        claim = Claim(
            probe_id=probe_id, target_id=target, provider=CAPS.targets[target].provider,
            micros=booking.micros, at=self.now, caps=caps,
        )  # fmt: skip
        decision = self.writers[who].reserve(claim).result(WAIT_S)

        assert full[:1] == ([decision.refused_by.cap] if decision.refused_by else [])
        if not full:
            self.books.append(booking)
            self.under_way[who].append((probe_id, booking))
        for mark, use in decision.marks:
            start = period_start(use.cap.period, self.now)
            assert self.booked(use.cap, start) == use.booked_micros
            self.told[mark, use.cap, start] += 1

    def settle(self, who: int, which: int, cents: int) -> None:
        """Bill *cents*, less or more than was reserved, whatever the clock says by now."""
        if not self.under_way[who]:
            return
        probe_id, booking = self.under_way[who].pop(which % len(self.under_way[who]))
        booking.surprise = max(0, cents * 10_000 - booking.micros)
        booking.micros = cents * 10_000
        spec = CAPS.targets[booking.target]
        result = ProbeResult(
            probe_id=probe_id, target_id=spec.id, started_at=self.now, duration_s=1.0,
            latency_s=1.0, cost_usd=cents / 100,
        )  # fmt: skip
        self.writers[who].submit_probe(result, spec.provider, "here")
        assert self.writers[who].flush(WAIT_S)

    def crash(self, who: int) -> None:
        """What was under way is never settled; the next process opens the file."""
        self.under_way[who].clear()
        self.writers[who].close()
        self.writers[who] = self.opened()

    def clock(self, seconds: float) -> None:
        """Set the wall clock forward or back."""
        self.now += seconds

    def check(self, reader: Reader) -> None:
        """No day or month of any cap holds more than it and the surprises; the file says so."""
        for cap in CAPS.all():
            sums: Counter[float] = Counter()
            for booking in self.books:
                if booking.is_under(cap):
                    start = period_start(cap.period, booking.at)
                    sums[start] += booking.micros - booking.surprise
            assert all(total <= cap.micros for total in sums.values())
        found = {
            row.target_id: (row.day_micros, row.month_micros) for row in reader.booked(self.now)
        }
        day, month = (period_start(period, self.now) for period in (Period.DAY, Period.MONTH))
        expected = {
            target: tuple(
                sum(b.micros for b in self.books if b.target == target and b.at >= start)
                for start in (day, month)
            )
            for target in {b.target for b in self.books if b.at >= month}
        }
        assert expected == found


@settings(max_examples=60)
@given(steps=STEPS)
def test_no_sequence_of_events_passes_a_cap(steps):
    """Law: reservations, bills, crashes, clock steps and two writers leave what the model has."""
    with tempfile.TemporaryDirectory() as folder:
        market = Market(Path(folder) / "imgmon.db")
        with (
            closing(Reader(market.path)) as reader,
            closing(market.writers[0]), closing(market.writers[1]),
        ):  # fmt: skip
            try:
                for name, *arguments in steps:
                    getattr(market, name)(*arguments)
                    market.check(reader)
            finally:
                for writer in market.writers:
                    writer.close()

    assert all(times == 1 for times in market.told.values())


@settings(max_examples=20)
@given(costs=st.lists(CENTS, max_size=12), hours=st.lists(st.integers(-30, 0), max_size=12))
def test_a_clock_set_back_frees_nothing(costs, hours):
    """Law: however the clock runs back, all that is granted together fits into one day's cap."""
    overall = Caps(overall=SpendCap(usd_per_day=1.0), providers={}, targets={"t": a_spec("t")})
    granted, now = 0, NOW
    with tempfile.TemporaryDirectory() as folder, closing(Writer(Path(folder) / "a.db")) as writer:
        writer.start()
        for number, (cents, step) in enumerate(zip(costs, hours, strict=False)):
            now += step * 3600.0
            claim = Claim(
                probe_id=f"p-{number}", target_id="t", provider="acme", micros=cents * 10_000,
                at=now, caps=overall.of("t"),
            )  # fmt: skip
            decision = writer.reserve(claim).result(WAIT_S)
            granted += cents if decision.refused_by is None else 0

    assert granted <= 100
