"""
When a target failed and for how long: a pure fold beside the state machine of ``core.health``.

An outage that is confirmed is an incident from its first failed probe on; it is over when recovery
is confirmed, and then it ended somewhere between its last failure and the first good probe after.
What concerns only our account (key, bill, quota, limits) is an incident of its own, of the scope
``monitor_account``: one refusal is enough, there is nothing to confirm. Void results and free calls
are no evidence, so our own trouble opens none.

A relapse soon after the end goes on with the same incident: of the outages in public records 31 %
relapse within an hour, and a page for each turn helps nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from monitor.core.spec import Policy
from probes.model import ErrorClass, Outcome, ProbeKind, ProbeResult

if TYPE_CHECKING:  # Health is published in snapshots, and so are incidents.
    from monitor.core.health import HealthState

# Failed probes that are kept by id: so many of the first and of the last.
EVIDENCE_ENDS: Final = 10


class IncidentScope(StrEnum):
    """Whom an incident concerns: everybody, or only the key this monitor uses."""

    PROVIDER = "provider"
    ACCOUNT = "monitor_account"


class Turn(StrEnum):
    """What a result made of an incident."""

    OPENED = "opened"
    GREW = "grew"  # One more failure.
    CLOSED = "closed"
    REOPENED = "reopened"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """
    Failed probes that belong together, in the order in which they finished.

    Attributes:
        first_at, last_at: Starts of the first and of the last, wall time.
        errors: How many of each class, the class that came first in front.
        probes: Their ids: the first and the last ``EVIDENCE_ENDS``.
    """

    count: int
    first_at: float
    last_at: float
    errors: tuple[tuple[ErrorClass, int], ...]
    probes: tuple[str, ...]

    @property
    def error(self) -> ErrorClass:
        """The most frequent class; of several the one that came first."""
        return max(self.errors, key=lambda one: one[1])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """
    A stretch of time in which a target failed. Times are wall times in seconds.

    Attributes:
        id: Follows from target, scope and start, so that what is derived twice is one incident.
        started_at: Start of the first failed probe.
        confirmed_at: When the failure that confirmed it was known.
        failures: What it is known by; after the last of them it ended at some time.
        ended_at: Start of the first good probe of the run that ended it: the latest time at which
            it can have ended. None while it lasts, or where nobody saw the end.
        closed_at: When its end was known; None while it is open.
        relapses: How often it went on after it had been closed.
        upstream: What the target shares with others, as configured when it opened.
        group: Of the incidents of one upstream that began together; None without an upstream.
    """

    id: str
    target: str
    scope: IncidentScope
    started_at: float
    confirmed_at: float
    failures: Failures
    ended_at: float | None = None
    closed_at: float | None = None
    relapses: int = 0
    upstream: str | None = None
    group: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether its end is not known yet."""
        return self.closed_at is None


@dataclass(frozen=True, slots=True)
class Change:
    """An incident as one result left it, and when that was known (wall time)."""

    turn: Turn
    incident: Incident
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """
    What is remembered of one scope.

    Attributes:
        incident: The newest, open or closed; None before the first.
        run: Failures in a row that are not confirmed.
        good_since: Start of the first good probe since the last failure of an open incident.
    """

    incident: Incident | None = None
    run: Failures | None = None
    good_since: float | None = None

    @property
    def lasting(self) -> Incident | None:
        """The incident if it lasts."""
        return self.incident if self.incident and self.incident.is_open else None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentLog:
    """The incidents of one target as far as the next result may change them."""

    provider: Track = field(default_factory=Track)
    account: Track = field(default_factory=Track)

    @property
    def lasting(self) -> tuple[Incident, ...]:
        """Its open incidents: at most one of each scope."""
        return tuple(i for i in (self.provider.lasting, self.account.lasting) if i is not None)


def follow(
    log: IncidentLog, result: ProbeResult, before: HealthState, after: HealthState, policy: Policy
) -> tuple[IncidentLog, tuple[Change, ...]]:
    """
    Return *log* with *result* in it, and what that changed.

    Args:
        log: The target's incidents so far.
        result: The next one in the order in which probes finished.
        before: The evidence without it.
        after: The evidence with it.
        policy: Its ``relapse_s`` damps flapping.
    """
    if result.kind is ProbeKind.LIVENESS or result.outcome is Outcome.VOID:
        return log, ()
    account, ours = _account(log.account, result, after, policy)
    provider, theirs = log.provider, None
    if result.outcome is Outcome.BAD:
        provider, theirs = _failed(log.provider, result, before, after, policy)
    elif result.outcome is Outcome.GOOD:
        provider, theirs = _succeeded(log.provider, result, after)
    if provider is log.provider and account is log.account:
        return log, ()
    changes = tuple(change for change in (ours, theirs) if change is not None)
    return IncidentLog(provider=provider, account=account), changes


def abandoned(log: IncidentLog, at: float) -> tuple[IncidentLog, tuple[Change, ...]]:
    """Return *log* with its incidents closed at *at*, because nobody watches for their end."""
    closed = [replace(incident, closed_at=at) for incident in log.lasting]
    by_scope = {incident.scope: Track(incident=incident) for incident in closed}
    log = IncidentLog(
        provider=by_scope.get(IncidentScope.PROVIDER, log.provider),
        account=by_scope.get(IncidentScope.ACCOUNT, log.account),
    )
    return log, tuple(Change(Turn.CLOSED, incident, at) for incident in closed)


def incident_id(target: str, scope: IncidentScope, started_at: float) -> str:
    """Return the id of the incident that began at *started_at*; ids of a target sort by time."""
    mark = "-account" if scope is IncidentScope.ACCOUNT else ""
    return f"{target}-{round(started_at * 1000):012x}{mark}"


def _failed(
    track: Track, result: ProbeResult, before: HealthState, after: HealthState, policy: Policy
) -> tuple[Track, Change | None]:
    """Return the provider's *track* after a bad *result*."""
    if track.lasting is not None:
        return _grown(track, track.lasting, result)
    run = _more(track.run if before.bad_run else None, result)
    if after.down_since is None:
        return replace(track, run=run), None
    return _opened(track, result, run, IncidentScope.PROVIDER, policy)


def _succeeded(
    track: Track, result: ProbeResult, after: HealthState
) -> tuple[Track, Change | None]:
    """Return the provider's *track* after a good *result*."""
    if track.lasting is None:
        return track if track.run is None else replace(track, run=None), None
    good_since = result.started_at if track.good_since is None else track.good_since
    if after.down_since is not None:
        return replace(track, good_since=good_since), None
    return _closed(track.lasting, result, good_since)


def _account(
    track: Track, result: ProbeResult, after: HealthState, policy: Policy
) -> tuple[Track, Change | None]:
    """Return our account's *track* after a good, bad or unusable *result*."""
    if result.outcome is Outcome.UNUSABLE:
        if track.lasting is not None:
            return _grown(track, track.lasting, result)
        return _opened(track, result, _more(None, result), IncidentScope.ACCOUNT, policy)
    if track.lasting is None or after.block is not None:
        return track, None
    # A picture, or any other answer once the time to wait is over.
    return _closed(track.lasting, result, result.started_at)


def _opened(
    track: Track, result: ProbeResult, run: Failures, scope: IncidentScope, policy: Policy
) -> tuple[Track, Change]:
    at, last = _known_at(result), track.incident
    if last is not None and _is_relapse(last, run, policy):
        again = replace(
            last,
            failures=_joined(last.failures, run),
            ended_at=None,
            closed_at=None,
            relapses=last.relapses + 1,
        )
        return Track(incident=again), Change(Turn.REOPENED, again, at)
    incident = Incident(
        id=incident_id(result.target_id, scope, run.first_at),
        target=result.target_id,
        scope=scope,
        started_at=run.first_at,
        confirmed_at=at,
        failures=run,
    )
    return Track(incident=incident), Change(Turn.OPENED, incident, at)


def _is_relapse(last: Incident, run: Failures, policy: Policy) -> bool:
    # Either way: the wall clock may have been set back, and probes may overlap.
    return last.ended_at is not None and abs(run.first_at - last.ended_at) <= policy.relapse_s


def _grown(track: Track, incident: Incident, result: ProbeResult) -> tuple[Track, Change]:
    incident = replace(incident, failures=_more(incident.failures, result))
    track = replace(track, incident=incident, good_since=None)
    return track, Change(Turn.GREW, incident, _known_at(result))


def _closed(incident: Incident, result: ProbeResult, ended_at: float) -> tuple[Track, Change]:
    at = _known_at(result)
    incident = replace(incident, ended_at=ended_at, closed_at=at)
    return Track(incident=incident), Change(Turn.CLOSED, incident, at)


def _known_at(result: ProbeResult) -> float:
    return result.started_at + result.duration_s


def _more(failures: Failures | None, result: ProbeResult) -> Failures:
    """Return *failures*, if any, with *result*."""
    assert result.error is not None
    one = Failures(
        count=1,
        first_at=result.started_at,
        last_at=result.started_at,
        errors=((result.error, 1),),
        probes=(result.probe_id,),
    )
    return one if failures is None else _joined(failures, one)


def _joined(early: Failures, late: Failures) -> Failures:
    errors = dict(early.errors)
    for error, count in late.errors:
        errors[error] = errors.get(error, 0) + count
    probes = (*early.probes, *late.probes)
    if len(probes) > 2 * EVIDENCE_ENDS:
        probes = (*probes[:EVIDENCE_ENDS], *probes[-EVIDENCE_ENDS:])
    return Failures(
        count=early.count + late.count,
        first_at=early.first_at,
        last_at=late.last_at,
        errors=tuple(errors.items()),
        probes=probes,
    )
