"""From stored rows back to an engine: what a daemon does at its start, and a command without one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monitor.config import Config
from monitor.core.finding import Finding
from monitor.core.quota import LEARNED_S
from monitor.core.sketch import LATENCY_BUCKETS_S
from monitor.core.snapshot import Order
from monitor.engine import Engine, Past
from monitor.limits import FREE_CALLS_REPLAYED
from monitor.store.history import History
from monitor.store.reader import Reader
from probes.image import REPEATS_PER_TARGET_MAX, RecentPictures


def recall(pictures: RecentPictures, reader: Reader, targets: Iterable[str]) -> None:
    """
    Remember the stored pictures of *targets*, so that one of before a restart is known again.

    Raises:
        StoreError: The file cannot be read.
    """
    for target_id, hashes in reader.recent_hashes(targets, REPEATS_PER_TARGET_MAX).items():
        for sha256 in hashes:
            # The prompt was not kept; any later one differs by its nonce.
            pictures.remember(target_id, sha256, "")


def restore(engine: Engine, reader: Reader, config: Config, now: float) -> None:
    """
    Fold what the store holds through *engine*, exactly as it came. Nothing is written.

    Raises:
        StoreError: The file cannot be read.
    """
    longest = engine.remembers_s
    orders: dict[tuple[str, str], Order] = {}
    for pool in config.pools:
        for profile in pool.profiles:
            order = reader.last_order(pool, profile)
            if order is not None:
                orders[pool.id, profile.name] = order
    since, logs = now - max(longest, LEARNED_S), History(reader).logs()
    if reader.has_probes(target for target in config.specs if target not in logs):
        # An older version wrote the file: every row is followed, once.
        results: Iterator[Finding] = reader.replay(since, free_calls=FREE_CALLS_REPLAYED)
    else:
        in_full = [row for log in logs.values() for row in log.missing.values()]
        results = reader.evidence(
            config.specs, since, free_calls=FREE_CALLS_REPLAYED, in_full=in_full
        )
    engine.restore(
        results,
        Past(
            totals=reader.totals(LATENCY_BUCKETS_S),
            orders=orders,
            kept=logs,
            at=now,
        ),
        reader.gaps(now - longest),
    )
