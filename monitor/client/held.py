"""
What the request path reads: one immutable reference, swapped whole by the refresher.

Readers take no lock and touch no file or socket; the refresher is the only writer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from monitor.client.clock import Clock
from monitor.client.order import Decision, Order, Place, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """
    A decision of the daemon with the moment it was last confirmed.

    Attributes:
        body: The bytes it was read from, for the file.
        etag: Of *body*; None where the daemon gave none.
        confirmed_at: When a daemon last said so, by our monotonic clock; before its start for one
            that an earlier process was told.
        server_ahead_s: The daemon's wall clock minus our *monotonic* one. Both run at one pace, so
            that our own wall clock may be wrong, or step, and retry times still hold.
    """

    decision: Decision
    body: bytes
    etag: str | None
    confirmed_at: float
    server_ahead_s: float
    is_from_disk: bool = False


class Held:
    """The last good order, the static one until there is any."""

    def __init__(
        self, pool: str, static: tuple[Place, ...], clock: Clock, overdue_s: float
    ) -> None:
        """
        Hold *static* alone.

        Args:
            pool: Whose order it is.
            static: The application's own order.
            clock: Ours.
            overdue_s: An order not confirmed for so long is no longer called live, whatever the
                refresher thinks: it may hang.
        """
        self.told: Told | None = None
        self.is_answered = False
        self._pool = pool
        self._static = static
        self._clock = clock
        self._overdue_s = overdue_s

    def confirm(self, told: Told) -> None:
        """Take *told* as what the daemon says now."""
        self.told = told
        self.is_answered = True

    def renew(self, *, at: float, server_ahead_s: float, valid_until: float | None) -> None:
        """Note that the daemon said again, at *at*, what is held already."""
        assert self.told is not None
        decision = self.told.decision
        if valid_until is not None:
            decision = replace(decision, valid_until=valid_until)
        self.confirm(
            replace(
                self.told,
                decision=decision,
                confirmed_at=at,
                server_ahead_s=server_ahead_s,
                is_from_disk=False,
            )
        )

    def order(self) -> Order:
        """Return what is held, with its age; a few microseconds, no lock, never raises."""
        told, now = self.told, self._clock.monotonic()
        if told is None:
            return Order(
                pool=self._pool,
                profile=None,
                version=None,
                source=Source.STATIC,
                age_s=None,
                is_stale=False,
                all_degraded=False,
                our_network_suspect=None,
                at=self._clock.wall(),
                places=self._static,
            )
        decision, age_s = told.decision, max(0.0, now - told.confirmed_at)
        if told.is_from_disk:
            source = Source.DISK
        else:
            is_live = self.is_answered and age_s <= self._overdue_s
            source = Source.LIVE if is_live else Source.MEMORY
        at = now + told.server_ahead_s
        return Order(
            pool=self._pool,
            profile=decision.profile,
            version=decision.version,
            source=source,
            age_s=age_s,
            is_stale=decision.is_stale
            or (decision.valid_until is not None and at > decision.valid_until),
            all_degraded=decision.all_degraded,
            our_network_suspect=decision.our_network_suspect,
            at=at,
            places=decision.places,
        )

    @property
    def static(self) -> tuple[Place, ...]:
        """The application's own order."""
        return self._static
