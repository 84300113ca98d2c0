"""From stored rows back to an engine: what a daemon does at its start, and a command without one."""

from __future__ import annotations

from monitor.config import Config
from monitor.core.quota import LEARNED_S
from monitor.core.snapshot import Order
from monitor.core.totals import LATENCY_BUCKETS_S
from monitor.engine import Engine, Past
from monitor.limits import FREE_CALLS_REPLAYED
from monitor.store.history import History
from monitor.store.reader import Reader


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
    engine.restore(
        reader.replay(now - max(longest, LEARNED_S), free_calls=FREE_CALLS_REPLAYED),
        Past(
            totals=reader.totals(LATENCY_BUCKETS_S),
            orders=orders,
            kept=History(reader).logs(),
            at=now,
        ),
        reader.gaps(now - longest),
    )
