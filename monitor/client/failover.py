"""
Calls providers in the order, until one gives a picture.

What is worth another target, what is waited for and what is reported is decided here; how a provider
is called is the application's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from monitor.client.clock import Clock
from monitor.client.errors import FINAL, PICTURE, ErrorClass, Failure, judge
from monitor.client.order import Order, Place

T = TypeVar("T")
Classify = Callable[[Exception], Failure | ErrorClass | None]
_REMEMBERED_MAX: Final = 4_000  # Twice the targets of the largest order.


class Orders(Protocol):
    """What a failover needs of a client: either kind is one."""

    @property
    def clock(self) -> Clock:
        """The clock that measures attempts."""
        ...

    @property
    def static_order(self) -> tuple[Place, ...]:
        """The application's own order."""
        ...

    def order(self) -> Order:
        """Return the newest order known; never blocks, never raises."""
        ...

    def report(
        self, target: str, error: ErrorClass | None, latency_s: float, attempt: int = 1
    ) -> None:
        """Queue what became of an attempt; never blocks, never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    What your function is given.

    Attributes:
        number: Its place in the fall-through, from 1.
        timeout_s: How long it may take. Pass it on to the provider's client: a function that is not
            a coroutine cannot be interrupted from outside.
    """

    place: Place
    number: int
    timeout_s: float

    @property
    def target(self) -> str:
        """The id of the target."""
        return self.place.target

    @property
    def model(self) -> str:
        """The provider's name of the model; empty where only a static order is known."""
        return self.place.model

    @property
    def base_url(self) -> str:
        """Where the daemon calls it; empty where only a static order is known."""
        return self.place.base_url


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of one attempt; *error* is None for the picture that ended the call."""

    target: str
    error: ErrorClass | None
    latency_s: float
    exception: Exception | None = None


class AllFailed(Exception):  # noqa: N818 - what happened, as the README tells it
    """
    No target gave a picture; ``__cause__`` is what the last one raised.

    Attributes:
        attempts: What became of each, in order.
        skipped: Targets not called because their retry time lies ahead, with the seconds until it.
        is_out_of_time: The total deadline ended it.
    """

    def __init__(
        self, attempts: tuple[Tried, ...], skipped: dict[str, float], *, is_out_of_time: bool
    ) -> None:
        """Say what became of each."""
        self.attempts = attempts
        self.skipped = skipped
        self.is_out_of_time = is_out_of_time
        parts = [f"{one.target}: {one.error} after {one.latency_s:.1f} s" for one in attempts]
        parts += [f"{target}: not called for another {s:.0f} s" for target, s in skipped.items()]
        parts += ["no target was left"] if not parts else []
        parts += ["the total deadline passed"] if is_out_of_time else []
        super().__init__("no picture: " + "; ".join(parts))

    @property
    def retry_in_s(self) -> float | None:
        """Seconds until the first skipped target may be called; None when none was skipped."""
        return min(self.skipped.values(), default=None)


class Recent:
    """
    What this process learned since the daemon's last look: short, bounded, thread-safe.

    A target that just failed goes behind the others until it works again or *cooldown_s* is over:
    within a minute the daemon knows more. One that named a retry time is left out until then.
    """

    def __init__(self, cooldown_s: float) -> None:
        """Know nothing yet."""
        self._cooldown_s = cooldown_s
        self._lock = threading.Lock()
        self._behind: dict[str, float] = {}
        self._waiting: dict[str, float] = {}

    def note(self, target: str, failure: Failure | None, now: float) -> None:
        """Remember the outcome of an attempt on *target*; None is a picture."""
        with self._lock:
            self._behind.pop(target, None)
            self._waiting.pop(target, None)
            if failure is None or failure.error in PICTURE:
                return
            if len(self._behind) >= _REMEMBERED_MAX:
                self._behind.clear()
                self._waiting.clear()
            self._behind[target] = now + self._cooldown_s
            if failure.retry_after_s:
                self._waiting[target] = now + failure.retry_after_s

    def wait_s(self, target: str, now: float) -> float:
        """Return how long *target* asked to be left alone from *now* on."""
        return max(0.0, self._waiting.get(target, now) - now)

    def is_behind(self, target: str, now: float) -> bool:
        """Return whether *target* failed lately."""
        return self._behind.get(target, now) > now


class Failover:
    """Tries targets in order. One object for all threads and tasks of a process."""

    def __init__(
        self,
        client: Orders,
        *,
        deadline_s: float = 180.0,
        attempt_deadline_s: float = 90.0,
        max_attempts: int | None = None,
        targets: Collection[str] | None = None,
        own_keys: bool = False,
        cooldown_s: float = 30.0,
        classify: Classify | None = None,
    ) -> None:
        """
        Take the order from *client* and report attempts to it.

        Args:
            client: Either kind.
            deadline_s: Of a whole call.
            attempt_deadline_s: Of one attempt; the rest of the call's where that is less.
            max_attempts: None for as many as there are targets.
            targets: Ids that your function can serve; others of the order are passed over. None
                for all.
            own_keys: Your keys are not the monitor's: what limits its account alone is no reason
                for you to wait.
            cooldown_s: How long a target that just failed here goes behind the others; 0 for never.
            classify: Asked first about each exception; None from it leaves the judgement to us.

        Raises:
            ValueError: A limit is not above 0.
        """
        for name, value in (("deadline_s", deadline_s), ("attempt_deadline_s", attempt_deadline_s)):
            if not value > 0:
                raise ValueError(f"{name} is {value}; it takes seconds above 0")
        if max_attempts is not None and max_attempts < 1:
            raise ValueError(f"max_attempts is {max_attempts}; one at least is made")
        self._policy = _Policy(
            client=client,
            deadline_s=deadline_s,
            attempt_s=attempt_deadline_s,
            max_attempts=max_attempts,
            serves=None if targets is None else frozenset(targets),
            own_keys=own_keys,
            classify=classify,
            recent=Recent(cooldown_s),
        )

    def call(self, fn: Callable[[Attempt], T]) -> T:
        """
        Return what *fn* returns for the first target that works.

        *fn* is not interrupted: give ``attempt.timeout_s`` to the client that it calls.

        Raises:
            AllFailed: No target gave a result.
            Exception: What *fn* raised, where another target is no help: a policy block, a bad
                request, or anything that says nothing of a provider (then nothing is reported).
        """
        call = _Call(self._policy)
        for attempt in call.attempts():
            try:
                result = fn(attempt)
            except Exception as error:
                if call.failed(attempt, error):
                    raise
            else:
                call.succeeded(attempt)
                return result
        raise call.all_failed() from call.last

    async def acall(self, fn: Callable[[Attempt], Awaitable[T]]) -> T:
        """
        Return what the coroutine function *fn* returns for the first target that works.

        An attempt is cancelled at its deadline and counts as a timeout. Raises as :meth:`call`.
        """
        call = _Call(self._policy)
        for attempt in call.attempts():
            try:
                async with asyncio.timeout(attempt.timeout_s):
                    result = await fn(attempt)
            except Exception as error:
                if call.failed(attempt, error):
                    raise
            else:
                call.succeeded(attempt)
                return result
        raise call.all_failed() from call.last


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    """What holds for every call of one failover."""

    client: Orders
    deadline_s: float
    attempt_s: float
    max_attempts: int | None
    serves: frozenset[str] | None
    own_keys: bool
    classify: Classify | None
    recent: Recent

    def places(self, order: Order) -> list[Place]:
        """Return what is served, best first, what just failed behind; from the static order if none is."""
        now = self.client.clock.monotonic()
        for places in (order.places, self.client.static_order):
            served = [one for one in places if self.serves is None or one.target in self.serves]
            if served:
                return sorted(served, key=lambda one: self.recent.is_behind(one.target, now))
        return []

    def wait_s(self, order: Order, place: Place) -> float:
        """Return how long *place* is not to be called."""
        is_theirs = self.own_keys and place.scope == "monitor_account"
        told_s = 0.0 if is_theirs else order.wait_s(place)
        return max(told_s, self.recent.wait_s(place.target, self.client.clock.monotonic()))

    def judge(self, error: Exception) -> Failure | None:
        """Return what *error* says of a provider, by the application's word first."""
        own = self.classify(error) if self.classify is not None else None
        if own is not None:
            return own if isinstance(own, Failure) else Failure(ErrorClass(own))
        return judge(error, self.client.clock.wall())


class _Call:
    """One call: what was tried, what time is left."""

    def __init__(self, policy: _Policy) -> None:
        self._policy = policy
        self._clock = policy.client.clock
        self._started = self._clock.monotonic()
        self._attempt_started = self._started
        self._tried: list[Tried] = []
        self._skipped: dict[str, float] = {}
        self._is_out_of_time = False

    @property
    def last(self) -> Exception | None:
        """What the last attempt raised."""
        return self._tried[-1].exception if self._tried else None

    def attempts(self) -> Iterator[Attempt]:
        """Yield the next attempt while there is a target, an attempt and time left."""
        policy = self._policy
        order = policy.client.order()
        for place in policy.places(order):
            if policy.max_attempts is not None and len(self._tried) >= policy.max_attempts:
                return
            if wait_s := policy.wait_s(order, place):
                self._skipped[place.target] = wait_s
                continue
            now = self._attempt_started = self._clock.monotonic()
            left_s = policy.deadline_s - (now - self._started)
            if left_s <= 0:
                self._is_out_of_time = True
                return
            timeout_s = min(left_s, policy.attempt_s)
            yield Attempt(place=place, number=len(self._tried) + 1, timeout_s=timeout_s)

    def succeeded(self, attempt: Attempt) -> None:
        """Note and report a picture."""
        self._note(attempt, None, None)

    def failed(self, attempt: Attempt, error: Exception) -> bool:
        """Note and report what was raised; return whether it is to be raised on at once."""
        failure = self._policy.judge(error)
        if failure is None:
            return True
        self._note(attempt, failure, error)
        return failure.error in FINAL

    def all_failed(self) -> AllFailed:
        """Return the error that tells of every attempt."""
        return AllFailed(tuple(self._tried), self._skipped, is_out_of_time=self._is_out_of_time)

    def _note(self, attempt: Attempt, failure: Failure | None, error: Exception | None) -> None:
        now = self._clock.monotonic()
        latency_s = now - self._attempt_started
        kind = None if failure is None else failure.error
        self._tried.append(
            Tried(target=attempt.target, error=kind, latency_s=latency_s, exception=error)
        )
        if kind not in FINAL:
            self._policy.recent.note(attempt.target, failure, now)
        self._policy.client.report(attempt.target, kind, latency_s, attempt.number)
