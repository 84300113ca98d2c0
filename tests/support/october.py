"""A month of October 2026 in a store: six targets, each with a story that a report has to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from monitor.config import parse
from monitor.core.reports import Report
from monitor.core.snapshot import GapReason
from monitor.engine import Engine
from monitor.store.reports import Body, store, text_of
from monitor.store.summing import sum_up
from monitor.store.writer import Writer
from probes.model import ErrorClass, ProbeReason, ProbeResult

OCTOBER = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
DAY_S = 86_400
SLOT_S = 600
HOSTILE = '<script>alert(1)</script>|`=HYPERLINK("http://evil.example")'

CONFIG = """
vantage = "frankfurt"

[store]
path = "{store}"

[[providers]]
id = "acme"
format = "openai-images"
base_url = "http://localhost/v1"
"""
TARGET = """
[[targets]]
id = "{name}"
provider = "acme"
model = "painter-{name}"
price_usd = 0.04
interval = "10m"
pools = ["{pool}"]
claim = {{ availability = 0.999, latency_p95 = "8s" }}
"""
ANNOUNCED = """
[[pools]]
id = "good"

[[pools]]
id = "rest"

[[maintenance]]
targets = ["thin"]
from = 2026-10-26T00:00:00Z
until = 2026-10-26T02:00:00Z
"""
# Slots of ``thin``: no money, announced maintenance, a key refused.
WEEK, NIGHT, REFUSED = (
    range(7 * 144, 14 * 144), range(25 * 144, 25 * 144 + 12), range(20 * 144, 21 * 144),
)  # fmt: skip
STORIES = ("steady", "outages", "dead", "young", "thin", "unseen")


def configuration_text(store: Path) -> str:
    """The configuration of the month: ``steady`` and ``outages`` in one pool, the rest in another."""
    parts = [CONFIG.format(store=store)]
    parts += [
        TARGET.format(name=name, pool="good" if name in STORIES[:2] else "rest") for name in STORIES
    ]
    return "".join([*parts, ANNOUNCED])


def write_month(path: Path) -> None:
    """
    Fill a new store at *path*.

    ``steady`` fails once in each of two slots; ``outages`` has two bad hours and one of ten, each
    failure confirmed; ``dead`` never draws; ``young`` begins on the 20th; ``thin`` misses a week to its
    cap and two hours to maintenance, with a key refused for a day; ``unseen`` has no row. Clients
    reported of ``outages`` alone (:func:`_bodies`).
    """
    rng = Random(7)
    results = [
        *_steady(rng),
        *_outages(rng),
        *_month("dead", rng, lambda _slot: ErrorClass.TIMEOUT),
        *_month("young", rng, lambda slot: None if slot >= 19 * 144 else "skip"),
        *_thin(rng),
    ]
    config = parse(configuration_text(path), {}, "the month")
    engine = Engine(config.specs, config.pools, config.policy)
    writer = Writer(path, queue_max=200_000)
    writer.start()
    for result in sorted(results, key=lambda result: result.started_at):
        writer.submit_probe(result, "acme", "frankfurt")
        engine.accept(result)
    for entry in engine.take_entries():
        writer.submit_entry(entry)
    for slots, reason in ((WEEK, GapReason.SPEND_CAP), (NIGHT, GapReason.MAINTENANCE)):
        for slot in slots:
            writer.submit_gap("thin", reason, OCTOBER + slot * SLOT_S, SLOT_S)
    writer.ask(partial(store, bodies=list(_bodies()))).result()
    sum_up(writer)
    writer.flush(60.0)
    writer.close()


def _bodies() -> Iterator[Body]:
    """
    What three clients reported of ``outages``, on its bad day and the day after.

    ``shop`` tells of 200 requests a day, ``blog`` and ``app`` of 40 each; on the bad day half of them
    fail for all, and one of ``app`` was told to wait.
    """
    for day in (24, 25):
        for client, count in (("shop", 200), ("blog", 40), ("app", 40)):
            start = OCTOBER + day * DAY_S
            told = [
                Report(
                    f"{day}-{n}",
                    "outages",
                    start + n * DAY_S / count,
                    ErrorClass.OVERLOADED if day == 24 and n % 2 else None,
                    120.0 if day == 24 and n % 2 else 4.0,
                    1,
                )
                for n in range(count)
            ]
            if client == "app":
                told.append(Report(f"{day}-w", "outages", start, ErrorClass.RATE_LIMITED, None, 1))
            at = start + DAY_S
            yield Body(
                client=client, count=len(told), text=text_of(told), received_at=at, skew_s=0.0
            )


def a_probe(
    target: str, at: float, error: ErrorClass | None, rng: Random, **changes
) -> ProbeResult:
    """A scheduled canary, good in two to six seconds, or failed as providers fail."""
    latency_s = None if error else round(rng.uniform(2.0, 6.0), 3)
    values = {
        "probe_id": f"{target}-{int(at)}-{changes.get('reason', 'slot')}",
        "target_id": target,
        "started_at": at,
        "duration_s": latency_s or 120.0,
        "latency_s": latency_s,
        "error": error,
        "slot_s": float(SLOT_S),
        "cost_usd": 0.04 if error is None else 0.0,
    }
    if error is not None:
        values |= {
            "detail": HOSTILE,
            "http_status": None if error is ErrorClass.TIMEOUT else 503,
            "request_id": f"=req-{int(at)}",
        }
    return ProbeResult(**values | changes)


def _month(
    target: str, rng: Random, error_of: Callable[[int], ErrorClass | str | None]
) -> Iterator[ProbeResult]:
    for slot in range(31 * 144):
        error = error_of(slot)
        if error != "skip":
            yield a_probe(target, OCTOBER + slot * SLOT_S + rng.uniform(0, 60), error, rng)


def _steady(rng: Random) -> Iterator[ProbeResult]:
    bad = {700: ErrorClass.OVERLOADED, 3_000: ErrorClass.SERVER_ERROR}
    return _month("steady", rng, bad.get)


def _outages(rng: Random) -> Iterator[ProbeResult]:
    bad = [*range(1_000, 1_006), *range(2_890, 2_896), *range(3_500, 3_560)]
    yield from _month("outages", rng, lambda s: ErrorClass.OVERLOADED if s in bad else None)
    for slot in bad:
        at = OCTOBER + slot * SLOT_S + 190
        yield a_probe(
            "outages", at, ErrorClass.OVERLOADED, rng, reason=ProbeReason.CONFIRM, slot_s=0.0
        )


def _thin(rng: Random) -> Iterator[ProbeResult]:
    def error_of(slot: int) -> ErrorClass | str | None:
        if slot in WEEK or slot in NIGHT:
            return "skip"
        return ErrorClass.AUTH if slot in REFUSED else None

    return _month("thin", rng, error_of)
