"""
Whose fault a probe's failure is: the closed list of error classes and the one table of blame.

Every wire format, the classifier, the judging and the documents read this table; none repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Outcome(StrEnum):
    """Whose verdict a probe is: the provider's, our account's, or nobody's."""

    GOOD = "good"
    BAD = "bad"
    UNUSABLE = "unusable"
    VOID = "void"


class Effect(StrEnum):
    """What an error class does to a target's place in the order."""

    DEMOTE = "demote"
    NONE = "none"
    WAIT = "wait"  # Out until the retry time or the quota reset.
    OUT = "out"  # Out until a probe proves otherwise.
    FROZEN = "frozen"  # The order keeps what it knew.


class ErrorClass(StrEnum):
    """Why a probe was not good: one closed list for every wire format."""

    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    PROTOCOL = "protocol"
    NO_IMAGE = "no_image"
    BAD_IMAGE = "bad_image"
    EXPIRED = "expired"
    POLICY_BLOCKED = "policy_blocked"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    NOT_ENTITLED = "not_entitled"
    BILLING = "billing"
    AUTH = "auth"
    MODEL_GONE = "model_gone"
    BAD_REQUEST = "bad_request"
    OUR_NETWORK = "our_network"
    MONITOR_FAULT = "monitor_fault"

    @property
    def row(self) -> ErrorRow:
        """The row of the blame table for this class."""
        return ERROR_TABLE[self]

    @property
    def outcome(self) -> Outcome:
        """Who is at fault."""
        return ERROR_TABLE[self].outcome

    @property
    def effect(self) -> Effect:
        """What it does to the order."""
        return ERROR_TABLE[self].effect


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One row of the blame table: outcome, effect on the order, signal and reaction in words."""

    outcome: Outcome
    effect: Effect
    signal: str
    reaction: str

    @property
    def provider_view(self) -> str:
        """How availability as the provider's own record counts it: ``fail`` or ``excluded``."""
        return "fail" if self.outcome is Outcome.BAD else "excluded"

    @property
    def user_view(self) -> str:
        """How usability to us counts it: ``fail`` or ``excluded``."""
        return "excluded" if self.outcome is Outcome.VOID else "fail"


_E, _O = ErrorClass, Outcome
_DEMOTE, _OUT, _WAIT = Effect.DEMOTE, Effect.OUT, Effect.WAIT

ERROR_TABLE: Final[Mapping[ErrorClass, ErrorRow]] = MappingProxyType({
    _E.OVERLOADED: ErrorRow(
        _O.BAD, _DEMOTE,
        "503, 529, 524, shared-capacity 429, slow_down, upstream saturated",
        "honour the retry time",
    ),
    _E.SERVER_ERROR: ErrorRow(
        _O.BAD, _DEMOTE, "other 5xx, HTML error pages, a relay's upstream trouble", "confirm",
    ),
    _E.TIMEOUT: ErrorRow(
        _O.BAD, _DEMOTE,
        "total deadline passed (phase: connect, first_byte, body, queue, download)",
        "confirm; booked as possibly billed",
    ),
    _E.CONNECTION: ErrorRow(
        _O.BAD, _DEMOTE,
        "DNS, refused, TLS, reset (phase recorded), while other hosts were reachable",
        "confirm",
    ),
    _E.PROTOCOL: ErrorRow(
        _O.BAD, _DEMOTE,
        "200 that is not the format: HTML, cut JSON, redirect, wrong type",
        "keep a redacted head of the body",
    ),
    _E.NO_IMAGE: ErrorRow(
        _O.BAD, _DEMOTE, "200 without an image (text only, NO_IMAGE, empty data)",
        "keep the raw finish reason",
    ),
    _E.BAD_IMAGE: ErrorRow(
        _O.BAD, _DEMOTE,
        "undecodable, wrong dimensions, blank, wrong colour, bytes of an earlier answer",
        "keep hash and numbers, never the picture",
    ),
    _E.EXPIRED: ErrorRow(
        _O.BAD, _DEMOTE,
        "batch job not done in its window; result link dead within its promised life",
        "confirm",
    ),
    _E.POLICY_BLOCKED: ErrorRow(
        _O.VOID, Effect.NONE, "a block on the harmless canary",
        "count apart; warn after 3 in a row; next prompt of the pool",
    ),
    _E.RATE_LIMITED: ErrorRow(_O.UNUSABLE, _WAIT, "429 per minute", "back off"),
    _E.QUOTA_EXHAUSTED: ErrorRow(
        _O.UNUSABLE, _WAIT, "daily quota", "no paid probe until the reset",
    ),
    _E.NOT_ENTITLED: ErrorRow(
        _O.UNUSABLE, _OUT, "limit 0, unverified organisation, region", "alert the owner",
    ),
    _E.BILLING: ErrorRow(
        _O.UNUSABLE, _OUT, "402, insufficient_quota, balance and spend limits",
        "alert the owner; stop paying",
    ),
    _E.AUTH: ErrorRow(
        _O.UNUSABLE, _OUT, "bad, expired, leaked or missing key; 400 API_KEY_INVALID",
        "alert the owner; stop paying",
    ),
    _E.MODEL_GONE: ErrorRow(
        _O.UNUSABLE, _OUT, "404 or model_not_found, past the shutdown date", "alert the owner",
    ),
    _E.BAD_REQUEST: ErrorRow(
        _O.UNUSABLE, _OUT, "other 400 and 422: our request is wrong", "alert the owner",
    ),
    _E.OUR_NETWORK: ErrorRow(
        _O.VOID, Effect.FROZEN,
        "several unrelated hosts fail together and the reference hosts fail too", "alert",
    ),
    _E.MONITOR_FAULT: ErrorRow(
        _O.VOID, Effect.FROZEN,
        "event loop stalled during the probe, clock jumped, store failed, shutdown",
        "self-metric",
    ),
})  # fmt: skip
assert set(ERROR_TABLE) == set(ErrorClass)
