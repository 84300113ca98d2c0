"""Laws of the store: what goes in comes out, in order, whoever asks."""

from __future__ import annotations

import sqlite3
import tempfile
from bisect import bisect_left
from collections import Counter
from contextlib import closing
from dataclasses import replace
from math import floor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.sketch import LATENCY_BUCKETS_S, Sketch
from monitor.core.snapshot import GapReason, Order, Place, Reason, Snapshot, State, Tier
from monitor.core.spec import Policy, PoolSpec, Profile, ProviderSpec
from monitor.engine import Engine, Past
from monitor.store.reader import Reader
from monitor.store.tables import OrderChangeRow, ProbeRow, order_of, order_values, probe_result
from monitor.store.tables import probe_values as values_of
from monitor.store.writer import Writer
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
from tests.support.builders import a_spec
from tests.support.stores import disagreeing

BOUNDS = (0.5, 1.0, 5.0)
POOL = PoolSpec(id="image", targets=("a", "b"))
PROFILE = Profile(name="fast", usd_per_second=0.01)
seconds = st.floats(0, 1e6)
times = st.floats(0, 4e9)
texts = st.text(max_size=30)
optional = st.none() | texts
images = st.builds(
    ImageFacts,
    format=texts,
    width=st.integers(0, 10_000),
    height=st.integers(0, 10_000),
    size_bytes=st.integers(0, 10**9),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    dominant_rgb=st.tuples(*[st.integers(0, 255)] * 3),
)


limits = st.builds(
    Limit,
    period=st.sampled_from(LimitPeriod),
    requests=st.none() | st.integers(0, 10**9),
    remaining=st.none() | st.integers(0, 10**9),
    resets_at=st.none() | times,
    per_model=st.booleans(),
)


@st.composite
def results(draw):
    """A probe with any value in every field."""
    error = draw(st.none() | st.sampled_from(ErrorClass))
    return ProbeResult(
        probe_id=draw(texts),
        target_id=draw(st.sampled_from(["a", "b"])),
        started_at=draw(times),
        duration_s=draw(seconds),
        latency_s=draw(st.sampled_from([0.25, 0.5, 0.75, 1.0, 8.0]) | seconds) if error is None else None,
        error=error,
        kind=draw(st.sampled_from(ProbeKind)),
        reason=draw(st.sampled_from(ProbeReason)),
        slot_s=draw(seconds),
        detail=draw(texts),
        code=draw(optional),
        finish_reason=draw(optional),
        retry_at=draw(st.none() | times),
        http_status=draw(st.none() | st.integers(100, 599)),
        failed_phase=draw(st.none() | st.sampled_from(Phase)),
        body_head=draw(optional),
        phases=draw(st.dictionaries(st.sampled_from(Phase), seconds, max_size=4)),
        cost_usd=draw(st.floats(0, 10)),
        received_bytes=draw(st.integers(0, 10**9)),
        image=draw(st.none() | images),
        model_version=draw(optional),
        request_id=draw(optional),
        server_s=draw(st.none() | seconds),
        http_version=draw(optional),
        reused=draw(st.booleans()),
        shutdown_on=draw(optional),
        balance_usd=draw(st.none() | st.floats(0, 1e6)),
        limits=draw(st.lists(limits, max_size=2).map(tuple)),
    )  # fmt: skip


places = st.builds(
    Place,
    rank=st.integers(1, 9),
    target=texts,
    tier=st.sampled_from(Tier),
    state=st.sampled_from(State),
    usable=st.booleans(),
    scope=st.none() | st.sampled_from(["provider", "monitor_account"]),
    success_probability=st.floats(0, 1),
    availability=st.none() | st.floats(0, 1),
    availability_n=st.integers(0, 1000),
    latency_p95_s=st.none() | seconds,
    latency_n=st.integers(0, 1000),
    latency_estimated=st.booleans(),
    price_usd=st.floats(0, 1),
    index_usd=st.floats(0, allow_infinity=True),
    retry_at=st.none() | times,
    last_sample_at=st.none() | times,
    reasons=st.lists(st.builds(Reason, code=texts, text=texts), max_size=2).map(tuple),
)
orders = st.builds(
    Order,
    pool=st.just(POOL),
    profile=st.just(PROFILE),
    version=st.integers(1, 10**9),
    changed_at=times,
    valid_until=times,
    all_degraded=st.booleans(),
    places=st.lists(places, max_size=3).map(tuple),
)


@given(result=results())
def test_a_row_gives_back_the_probe_it_was_made_of(result):
    """Law: every field survives, whatever is in it."""
    assert result == probe_result(ProbeRow(**values_of(result, "p", "here")))


def test_a_row_holds_every_field():
    """A field that is added to the probe must be stored too: all differ from their defaults."""
    image = ImageFacts(
        format="PNG", width=1, height=2, size_bytes=3, sha256="f" * 64, dominant_rgb=(1, 2, 3)
    )
    full = ProbeResult(
        probe_id="p", target_id="t", started_at=1.0, duration_s=2.0, error=ErrorClass.TIMEOUT,
        kind=ProbeKind.MANUAL, reason=ProbeReason.CONFIRM, slot_s=3.0, detail="d", code="c",
        finish_reason="f", retry_at=4.0, http_status=500, failed_phase=Phase.BODY, body_head="b",
        phases={Phase.DNS: 0.5}, cost_usd=0.1, received_bytes=9, image=image, model_version="m",
        request_id="r", server_s=0.2, http_version="HTTP/2", reused=True,
        shutdown_on="2026-12-01", balance_usd=1.5,
        limits=(Limit(period=LimitPeriod.DAY, requests=20, remaining=0, resets_at=5.0),),
    )  # fmt: skip
    bare = ProbeResult(probe_id="", target_id="", started_at=0.0, duration_s=0.0, latency_s=1.0)
    same = [f for f in ProbeResult.__slots__ if getattr(full, f) == getattr(bare, f)]

    assert [] == same
    assert full == probe_result(ProbeRow(**values_of(full, "p", "here")))


def test_text_that_no_file_can_hold_is_mended():
    """JSON from the wire may hold half a surrogate pair."""
    result = ProbeResult(
        probe_id="p", target_id="t", started_at=0.0, duration_s=0.0, latency_s=1.0, detail="a\ud800b"
    )  # fmt: skip

    assert "a?b" == values_of(result, "p", "here")["detail"]


@given(order=orders)
def test_a_row_gives_back_the_order_it_was_made_of(order):
    """Law: places, reasons and an endless index survive."""
    assert order == order_of(OrderChangeRow(**order_values(order)), POOL, PROFILE)


@pytest.mark.parametrize("places", ["[]", '[{"rank": 1}]', "no json"])
def test_an_order_of_another_version_keeps_its_number(places):
    """It is built anew, and clients see the version go on."""
    row = OrderChangeRow(
        pool="image", profile="fast", version=7, changed_at=1.0, valid_until=2.0,
        all_degraded=False, places=places,
    )  # fmt: skip

    order = order_of(row, POOL, PROFILE)

    assert (7, ()) == (order.version, order.places)


@settings(max_examples=25)
@given(
    stored=st.lists(results(), max_size=20),
    gaps=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(GapReason), times), max_size=9),
    since=times,
)
def test_what_is_read_is_what_was_written(stored, gaps, since):
    """Law: replay, gaps, pages, totals and sums agree with the list that was submitted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "imgmon.db"
        writer, reader = Writer(path), Reader(path)
        writer.start()
        for result in stored:
            assert writer.submit_probe(result, f"of-{result.target_id}", "here")
        for target, reason, at in gaps:
            assert writer.submit_gap(target, reason, at, 60.0)
        writer.close()

        assert [r for r in stored if r.started_at >= since] == list(reader.replay(since))
        assert without_old_calls(stored, 2) == list(reader.replay(0, free_calls=2))
        assert [(t, r, at) for t, r, at in gaps if at >= since] == [
            (gap.target_id, gap.reason, gap.at) for gap in reader.gaps(since)
        ]
        of_a = [r for r in stored if r.target_id == "a"]
        assert of_a == paged(reader, "a", 3)[::-1]
        for kind in ProbeKind:
            assert [r for r in of_a if r.kind is kind] == paged(reader, "a", 3, kind)[::-1]
        pictures = [r for r in of_a if r.image and r.kind is not ProbeKind.LIVENESS]
        hashes = [r.image.sha256 for r in pictures]
        assert tuple(hashes[-4:]) == reader.recent_hashes("abc", 4).get("a", ())
        check_sums(reader, stored, gaps)
        reader.close()
        assert [] == disagreeing(path)
        check_days(path, stored)


def without_old_calls(stored, count):
    """All probes but the free calls that are older than the newest *count* of their target."""
    calls = {
        t: [r for r in stored if r.target_id == t and r.kind is ProbeKind.LIVENESS] for t in "ab"
    }
    old = {
        id(r) for of_target in calls.values() for r in of_target[: max(0, len(of_target) - count)]
    }
    return [r for r in stored if id(r) not in old]


def paged(reader, target, size, kind=None):
    """All stored probes of *target* and *kind*, newest first, page by page."""
    found, cursor = [], None
    while True:
        page, cursor = reader.results(target, cursor, size, kind)
        assert len(page) <= size
        found += page
        if cursor is None:
            return found


def check_days(path, stored):
    """Hold every roll-up against the list; sketches merge to that of all latencies."""
    expected, latencies = {}, {}
    for r in stored:
        is_sample = r.reason is ProbeReason.SCHEDULED and r.kind in {
            ProbeKind.CANARY,
            ProbeKind.BATCH,
        }
        day, error = int(r.started_at // 86_400) * 86_400, r.error.value if r.error else ""
        key = (r.target_id, r.kind.value, day, is_sample, error)
        n, slots, latency, cost = expected.get(key, (0, 0, 0, 0))
        expected[key] = (
            n + 1,
            slots + max(1, micros(r.slot_s)),
            latency + micros(r.latency_s or 0.0),
            cost + micros(r.cost_usd),
        )
        if r.latency_s is not None:
            latencies.setdefault(key, []).append(r.latency_s)
    with closing(sqlite3.connect(path)) as raw:
        rows = raw.execute(
            "SELECT target_id, kind, at, is_sample, error, n, slots_us, latency_us, cost_micros, "
            "sketch FROM rollups WHERE span_s = 86400"
        ).fetchall()
    assert expected == {tuple(row[:5]): tuple(row[5:9]) for row in rows}
    assert {key: Sketch(values) for key, values in latencies.items()} == {
        tuple(row[:5]): Sketch.from_bytes(row[9]) for row in rows if row[9] is not None
    }


def micros(amount):
    """Whole millionths, halves up: what the store adds and the engine too."""
    return floor(amount * 1_000_000 + 0.5)


def check_sums(reader, stored, gaps):
    """Hold every cumulative count against the same count over the list."""
    totals = reader.totals(BOUNDS)
    assert Counter(
        (r.target_id, r.kind.value, r.outcome.value, r.error.value if r.error else "")
        for r in stored
    ) == {(k.target, k.kind, k.outcome, k.error): n for k, n in totals.probes.items()}
    assert Counter((t, r) for t, r, _ in gaps) == totals.gaps
    spent, latency, buckets = Counter(), Counter(), {}
    for result in stored:
        spent[result.target_id] += micros(result.cost_usd)
        if result.latency_s is not None and result.kind is not ProbeKind.LIVENESS:
            latency[result.target_id] += micros(result.latency_s)
            counts = buckets.setdefault(result.target_id, [0] * (len(BOUNDS) + 1))
            counts[bisect_left(BOUNDS, result.latency_s)] += 1
    assert {target: total / 1e6 for target, total in spent.items()} == totals.spend_usd
    assert {target: total / 1e6 for target, total in latency.items()} == totals.latency_sum_s
    assert {target: tuple(counts) for target, counts in buckets.items()} == totals.latency_counts


SPECS = {target: a_spec(target) for target in "ab"}


@settings(max_examples=40)
@given(stored=st.lists(results(), max_size=30), since=st.sampled_from([0.0, 2e9]))
def test_a_restart_reads_all_that_the_folds_look_at(stored, since):
    """Law: what a restart reads makes the same engine as whole rows do, down to its last detail."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "imgmon.db"
        writer, reader = Writer(path), Reader(path)
        writer.start()
        for result in stored:
            writer.submit_probe(result, "acme", "here")
        writer.close()
        past = Past(totals=reader.totals(LATENCY_BUCKETS_S), orders={})
        whole, seen = (Engine(SPECS, (), Policy(), {"acme": ProviderSpec(id="acme")}) for _ in "12")
        whole.restore(reader.replay(since, free_calls=3), past)
        seen.restore(reader.evidence("ab", since, free_calls=3), past)
        reader.close()

    for target in SPECS:
        one, other = whole._tracked[target], seen._tracked[target]
        assert (one.state, one.pace, one.calls, one.last) == (
            other.state, other.pace, other.calls, other.last,
        )  # fmt: skip
        assert one.history._samples == other.history._samples
    assert whole._told == seen._told
    # Incidents follow from whole rows; a restart reads those that the store's log lacks.
    assert shown(whole.tick(4e9)) == shown(seen.tick(4e9))


def shown(snapshot: Snapshot) -> Snapshot:
    """All of *snapshot* but its incidents."""
    views = {target: replace(view, incidents=()) for target, view in snapshot.targets.items()}
    return replace(snapshot, targets=views)
