"""
What clients' reports say of a target now: whether they accuse it, and whose trouble is his own.

Each client has one vote, however much it sends. It *fails* in a minute in which something failed by
the provider's fault, if that was at least half of what it tried within five minutes, or three requests
or more and half of that minute's. A target is accused when half of the clients that called it fail, at
least two of them, or the only one there is; a client that fails while others succeed has a trouble of
its own. What concerns a client's own key, quota or request counts neither way.

Reports demote, canaries prove (law 11): an accusation makes a healthy target suspect and brings a
canary forward, and nothing but a good canary, or an hour, ends it. A good canary answers what
was asked before it began. It is the anchor: states of outages and incidents
are made of canaries alone, so that no client can invent one, nor a restart lose one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

from monitor.core.snapshot import Health, State
from monitor.core.spec import Policy
from monitor.core.tallies import HOUR_S, MINUTE_S, Count, Key
from monitor.core.words import utc
from probes.model import ErrorClass, Outcome

_LOOK: Final = 5  # Minutes.
HORIZON_S: Final = float(HOUR_S)
_MINUTE_FAILURES_MIN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """
    Clients' failures that no good canary has answered.

    Attributes:
        since: Start of its first minute, wall time.
        at: Start of the newest failed request.
        clients: Those that fail.
        error: The most frequent class.
        bad, n: Failures among what these clients tried in the newest look.
        answered: Minutes of accusations within the hour before, which good canaries have answered.
    """

    since: float
    at: float
    clients: tuple[str, ...]
    error: ErrorClass
    bad: int
    n: int
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Hearsay:
    """What reports say now. *alone* are clients that fail while others succeed."""

    accusation: Accusation | None = None
    alone: tuple[str, ...] = ()


NOTHING: Final = Hearsay()


@dataclass(slots=True)
class _Votes:
    good: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    bad_at: float = float("-inf")  # Start of the newest failed request.

    def add(self, other: _Votes) -> None:
        self.good += other.good
        self.bad.update(other.bad)
        self.bad_at = max(self.bad_at, other.bad_at)

    def is_bad(self, at_least: int) -> bool:
        bad = self.bad.total()
        return bad >= at_least and 2 * bad >= bad + self.good


class Hearing:
    """
    The votes on one target, by minute.

    What it says depends on the reports told so far and on canaries, in whatever order they came: a
    restart that reads the sums of minutes hears the same. Only of the minute in which the newest good
    canary began they do not say what failed after it: then all of it did, and another canary tells.
    """

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._minutes: dict[int, dict[str, _Votes]] = {}
        self._failed: set[int] = set()  # The minutes in which something failed.
        # What a look at a minute found, by the first one it saw; until something is told of these.
        self._looks: dict[int, dict[int, Hearsay]] = {}

    @property
    def minutes(self) -> int:
        """How many minutes are held."""
        return len(self._minutes)

    def tell(self, key: Key, said: Count) -> None:
        """Count what was *said* of the minute, client and error class that *key* names."""
        outcome = ErrorClass(key.error).outcome if key.error else Outcome.GOOD
        if outcome not in (Outcome.GOOD, Outcome.BAD):
            return
        votes = self._minutes.setdefault(key.at, {}).setdefault(key.client, _Votes())
        if outcome is Outcome.GOOD:
            votes.good += said.n
        else:
            self._failed.add(key.at)
            votes.bad[key.error] += said.n
            votes.bad_at = max(votes.bad_at, said.newest_at)
        for minute in range(key.at, key.at + _LOOK * MINUTE_S, MINUTE_S):
            self._looks.pop(minute, None)

    def forget(self, now: float) -> None:
        """Drop minutes of which nothing can be heard at *now*, nor an hour before it."""
        while self._minutes and (oldest := min(self._minutes)) < now - 2 * HORIZON_S:
            del self._minutes[oldest]
            self._failed.discard(oldest)
            self._looks.pop(oldest, None)

    def listen(self, now: float, good_at: float | None) -> Hearsay:
        """Return what is said at *now*; *good_at* is the start of the newest good canary."""
        self.forget(now)  # Or each look would take longer, and the memory grow for ever.
        newest = int(now // MINUTE_S) * MINUTE_S
        if not any(newest - HORIZON_S < at <= newest for at in self._failed):
            return NOTHING  # Of most targets at most times.
        told = sorted(
            (at for at in self._minutes if newest - HORIZON_S < at <= newest), reverse=True
        )
        proven_at = float("-inf") if good_at is None else good_at
        accusation: Accusation | None = None
        lasts, answered = True, 0
        for at in told:
            one = self._look(at, proven_at).accusation
            if one is not None and one.at <= proven_at:
                answered += 1
            elif one is None:
                lasts = lasts and accusation is None
            elif accusation is None:
                accusation = one
            elif lasts:
                accusation = replace(accusation, since=one.since)
        if accusation is not None:
            accusation = replace(accusation, answered=answered)
        return Hearsay(accusation, self._look(told[0], proven_at).alone)

    def _look(self, at: int, proven_at: float) -> Hearsay:
        """Return what the minute *at* says, with those before it that no good canary has answered."""
        first = at - (_LOOK - 1) * MINUTE_S
        if first <= proven_at:
            answered_to = int(proven_at // MINUTE_S) * MINUTE_S + MINUTE_S
            if at >= answered_to:
                first = max(first, answered_to)
            elif at == answered_to - MINUTE_S:
                first = at
        looks = self._looks.setdefault(at, {})
        if first not in looks:
            looks[first] = self._found(at, first)
        return looks[first]

    def _found(self, at: int, first: int) -> Hearsay:
        newest = self._minutes[at]
        if not any(votes.bad for votes in newest.values()):
            return NOTHING
        seen: dict[str, _Votes] = {}
        for minute in range(first, at + MINUTE_S, MINUTE_S):
            for client, votes in self._minutes.get(minute, {}).items():
                seen.setdefault(client, _Votes()).add(votes)
        failing = {
            client: votes
            for client, votes in seen.items()
            if votes.is_bad(1) or newest.get(client, _Votes()).is_bad(_MINUTE_FAILURES_MIN)
        }
        if not any(newest[client].bad for client in failing if client in newest):
            return NOTHING
        clients = tuple(sorted(failing))
        if len(clients) < len(seen) and len(clients) < max(2, len(seen) / 2):
            return Hearsay(alone=clients)
        whole = _Votes()
        for votes in failing.values():
            whole.add(votes)
        bad = whole.bad.total()
        error = min(whole.bad, key=lambda name: (-whole.bad[name], name))
        return Hearsay(
            Accusation(
                since=float(at), at=max(newest[c].bad_at for c in clients if c in newest), clients=clients, error=ErrorClass(error),
                bad=bad, n=bad + whole.good,
            )
        )  # fmt: skip


def demoted(health: Health, accusation: Accusation | None, now: float) -> Health:
    """Return *health* as it is published: a healthy target that clients accuse is suspect."""
    if accusation is None or health.state is not State.HEALTHY:
        return health
    who = accusation.clients
    clients = f"client {who[0]}" if len(who) == 1 else f"{len(who)} clients"
    detail = (
        f"{accusation.bad} of {accusation.n} requests of {clients} failed since "
        f"{utc(accusation.since, now)}: {accusation.error}; no canary has said otherwise yet"
    )
    return replace(
        health,
        state=State.SUSPECT,
        since=accusation.since,
        error=accusation.error,
        detail=detail,
    )


def answer_due(accusation: Accusation, last_end: float | None, policy: Policy) -> float:
    """
    Return when a canary is to answer *accusation*, in wall time.

    At once; but with every minute of accusations that good canaries have answered within the hour the
    next one waits twice as long: clients that go on failing must not spend the money of the probes.
    """
    if accusation.answered == 0 or last_end is None:
        return accusation.at
    delay_s = policy.confirm_s * 2.0 ** (accusation.answered - 1)
    return max(accusation.at, last_end + min(delay_s, policy.backoff_max_s))
