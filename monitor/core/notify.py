"""
What a route is told, and when: a fold over events and time. Knows no network and no store.

A begin waits until it has lasted long enough, so that a blip is told by nobody; then it joins what
waits for the next message. Messages are held back a moment, so that what happens together is told
together, and through quiet hours. What was told once is reminded of while it lasts, and told to be
over. Whoever keeps memory and messages in one transaction tells everything exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Final
from zoneinfo import ZoneInfo

from monitor.core.events import Event
from monitor.core.notices import Notice, Part, Severity, Topic, ended, read, reminder
from monitor.core.words import rfc3339

# Notices in one message; more make several.
NOTICES_MAX: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """
    Hours of every day in which messages are held back until their end.

    Attributes:
        start, end: Minutes on the local clock after 00:00; through midnight where the end is not
            later. Both the same: the whole day.
        breaks: Whether what is critical is told all the same.
    """

    start: int
    end: int
    zone: ZoneInfo
    breaks: bool = False

    def holds(self, at: float) -> bool:
        """Return whether the wall time *at* is in them."""
        local = datetime.fromtimestamp(at, self.zone)
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    Who is told what. Times are seconds.

    Attributes:
        targets, pools, providers: What it concerns; None for everything. What is about none of
            them, our own network for example, concerns every route.
        min_duration_s: What lasts is told once it has lasted so long.
        group_wait_s: How long the first thing waits for others.
        reminder_s: How often to tell that something lasts; None for never.
        at_once: Notices in one message.
    """

    id: str
    topics: frozenset[Topic]
    targets: frozenset[str] | None = None
    pools: frozenset[str] | None = None
    providers: frozenset[str] | None = None
    min_duration_s: float = 0.0
    group_wait_s: float = 0.0
    reminder_s: float | None = None
    quiet: Quiet | None = None
    at_once: int = NOTICES_MAX

    def concerns(self, notice: Notice) -> bool:
        """Return whether *notice* is to be told here."""
        if notice.topic not in self.topics or notice.data.get("route") == self.id:
            return False
        if notice.target is not None:
            return self.targets is None or notice.target in self.targets
        if notice.pool is not None:
            return self.pools is None or notice.pool in self.pools
        if notice.provider is not None:
            return self.providers is None or notice.provider in self.providers
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """
    What began and is not over.

    Attributes:
        tell_at: When it has lasted long enough to be told.
        remind_at: When to tell that it lasts; None before it is told, or for never.
    """

    notice: Notice
    tell_at: float
    is_told: bool = False
    remind_at: float | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice for the next message, and since when it waits."""

    notice: Notice
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All that a route remembers, oldest first."""

    lasting: tuple[Lasting, ...] = ()
    waiting: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    What is sent at once.

    Attributes:
        key: The same for every attempt to send it, and of no other message.
        made_at: Wall time.
    """

    key: str
    route: str
    made_at: float
    notices: tuple[Notice, ...]

    @property
    def severity(self) -> Severity:
        """That of its gravest notice."""
        ranks = list(Severity)
        return min((notice.severity for notice in self.notices), key=ranks.index)

    @property
    def title(self) -> str:
        """The gravest notice, and how many others there are."""
        ranks = list(Severity)
        first = min(self.notices, key=lambda notice: ranks.index(notice.severity))
        others = len(self.notices) - 1
        return f"{first.text} (and {others} more)" if others else first.text

    @property
    def text(self) -> str:
        """One line for each notice."""
        return "\n".join(notice.text for notice in self.notices)


def fold(memory: Memory, number: int, event: Event, route: Route, now: float) -> Memory:
    """Return *memory* with the event of id *number*, which was read at *now*."""
    for notice in read(number, event):
        if route.concerns(notice):
            memory = _with(memory, notice, route, now)
    return memory


def due(memory: Memory, route: Route, now: float) -> tuple[Memory, tuple[Message, ...]]:
    """Return the messages that are due at *now*, and what is remembered after them."""
    memory = _aged(memory, route, now)
    is_quiet = route.quiet is not None and route.quiet.holds(now)
    breaks = route.quiet is not None and route.quiet.breaks
    ready = [w for w in memory.waiting if not is_quiet or (breaks and w.notice.is_urgent)]
    # A clock that was set back lets nobody wait longer.
    if not ready or 0 <= now - min(w.since for w in ready) < route.group_wait_s:
        return memory, ()
    left = tuple(w for w in memory.waiting if w not in ready)
    notices = tuple(w.notice for w in ready)
    groups = [notices[i : i + route.at_once] for i in range(0, len(notices), route.at_once)]
    messages = tuple(message_of(route, group, now) for group in groups)
    return replace(memory, waiting=left), messages


def _with(memory: Memory, notice: Notice, route: Route, now: float) -> Memory:
    if notice.part is Part.FACT:
        return _waits(memory, [notice], now)
    known = next((one for one in memory.lasting if one.notice.key == notice.key), None)
    if notice.part is Part.BEGUN:
        if known is not None:  # Each profile of a pool says so.
            return memory
        tell_at = max(notice.at, notice.started_at + route.min_duration_s)
        if notice.started_at < notice.at and notice.data.get("relapses"):
            tell_at = notice.at + route.min_duration_s  # It was over in between.
        one = Lasting(notice=notice, tell_at=tell_at)
        return replace(memory, lasting=(*memory.lasting, one))
    if known is None:
        return memory
    memory = replace(memory, lasting=tuple(one for one in memory.lasting if one is not known))
    if not known.is_told and notice.at < known.tell_at:
        return memory
    over = ended(known.notice, notice)
    # Nobody needs to hear any more that it lasted.
    rest = tuple(
        w for w in memory.waiting if w.notice.key != notice.key or w.notice.part is not Part.LASTS
    )
    memory = replace(memory, waiting=rest)
    return _waits(memory, [over] if known.is_told else [known.notice, over], now)


def _aged(memory: Memory, route: Route, now: float) -> Memory:
    """Return *memory* with what has lasted long enough, and what it is time to remind of."""
    lasting, notices = [], []
    reminding = {w.notice.key for w in memory.waiting if w.notice.part is Part.LASTS}
    for one in memory.lasting:
        aged = one
        if not one.is_told and one.tell_at <= now:
            notices.append(one.notice)
            aged = replace(one, is_told=True, remind_at=_next(route, now))
        elif one.remind_at is not None and one.remind_at <= now:
            if one.notice.key not in reminding:
                notices.append(reminder(one.notice, now))
            aged = replace(one, remind_at=_next(route, now))
        lasting.append(aged)
    return _waits(replace(memory, lasting=tuple(lasting)), notices, now)


def _next(route: Route, now: float) -> float | None:
    return None if route.reminder_s is None else now + route.reminder_s


def _waits(memory: Memory, notices: Sequence[Notice], now: float) -> Memory:
    more = (Waiting(notice, now) for notice in notices)
    return replace(memory, waiting=(*memory.waiting, *more))


def message_of(route: Route, notices: tuple[Notice, ...], now: float) -> Message:
    """Return the message of *notices*, made at *now*; its key follows from route and notices."""
    said = [route.id, *(f"{n.event}/{n.part}/{n.topic}/{n.at!r}" for n in notices)]
    key = sha256("\n".join(said).encode()).hexdigest()[:32]
    return Message(key=key, route=route.id, made_at=now, notices=notices)


def as_json(message: Message) -> dict[str, object]:
    """Return *message* as a program reads it: the body of a webhook."""
    return {
        "id": message.key,
        "route": message.route,
        "made_at": rfc3339(message.made_at),
        "severity": message.severity.value,
        "title": message.title,
        "text": message.text,
        "notices": [
            {
                "event": n.event,
                "part": n.part.value,
                "topic": n.topic.value,
                "severity": n.severity.value,
                "key": n.key,
                "at": rfc3339(n.at),
                "started_at": rfc3339(n.started_at),
                "target": n.target,
                "pool": n.pool,
                "provider": n.provider,
                "text": n.text,
                "data": dict(n.data),
            }
            for n in message.notices
        ],
    }
