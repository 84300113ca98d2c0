"""Holds what is published: one attribute, swapped whole, read without locks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b

from monitor.core.snapshot import Snapshot
from monitor.steps import Steps, at_once


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of one answer and the strong validator of exactly these bytes."""

    data: bytes
    etag: str


def body_of(data: bytes) -> Body:
    """Return *data* with the tag of exactly these bytes."""
    return Body(data, f'"{blake2b(data, digest_size=8).hexdigest()}"')


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot with its encoded answers, by route key."""

    snapshot: Snapshot
    bodies: Mapping[str, Body]


class Publisher:
    """
    The one place readers look.

    ``current`` is None until the first snapshot. Readers bind it to a local once, so that all
    they say is of one version.
    """

    def __init__(self, encode: Callable[[Snapshot], Steps[Mapping[str, Body]]]) -> None:
        """Encode every snapshot with *encode* before it becomes visible."""
        self._encode = encode
        self.current: Published | None = None
        self._listeners: set[Callable[[], None]] = set()

    def publish(self, snapshot: Snapshot) -> None:
        """Make *snapshot* what everybody reads."""
        at_once(self.publishing(snapshot))

    def publishing(self, snapshot: Snapshot) -> Steps[None]:
        """Make *snapshot* what everybody reads; until the last step they read the one before."""
        bodies = yield from self._encode(snapshot)
        self.current = Published(snapshot, bodies)
        for listener in tuple(self._listeners):
            listener()

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Within this, call *listener* after every snapshot that becomes visible."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def is_fresh(self, now: float) -> bool:
        """Return whether there is a snapshot that is not stale at the wall time *now*."""
        return self.current is not None and now <= self.current.snapshot.stale_after
