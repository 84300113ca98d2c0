"""
The shared vocabulary: targets, canaries, sends and replies, error classes, probe results.

Owns the one table that says what each error class means for the provider and for us. Standard
library only; knows no HTTP client, schedule, objective, database or metric.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Protocol


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


class ProbeKind(StrEnum):
    """What was sent: a paid generation, a free call, a batch job, or a generation by hand."""

    CANARY = "canary"
    LIVENESS = "liveness"
    BATCH = "batch"
    MANUAL = "manual"


class ProbeReason(StrEnum):
    """Why it was sent. Only ``scheduled`` samples enter availability."""

    SCHEDULED = "scheduled"
    STARTUP = "startup"  # Nothing recent was known of the target when the daemon started.
    CONFIRM = "confirm"
    MANUAL = "manual"


class Phase(StrEnum):
    """A stretch of a probe's time; also where a timeout or a connection failure struck."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    FIRST_BYTE = "first_byte"  # Waiting for the response headers.
    BODY = "body"
    QUEUE = "queue"  # From the submit's answer to the poll that shows a terminal state.
    DOWNLOAD = "download"
    DECODE = "decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """
    What a canary is sent to: one provider, one model, one set of operation parameters.

    Attributes:
        id: Stable slug (letters, digits, ``.``, ``_``, ``-``).
        format: Name of the wire format, a key of :mod:`probes.registry`.
        base_url: Scheme, host and path prefix, without a trailing slash.
        api_key: The credential itself; never shown by ``repr``.
        size: (width, height) asked for, in pixels; None where the route has no size control.
        options: Settings of the wire format (its class lists them), for example
            ``{"api_version": "v1", "auth": "bearer"}``.
        price_usd: Worst-case price of one canary.
        relay: The host passes requests on to other vendors, so an unexplained 401 or 403 is its
            upstream's trouble, not our key.
        poll_hosts: Host suffixes (``.bfl.ai``) besides *base_url*'s own host that may be sent the
            key when a reply names a URL to poll.
        allow_private_downloads: Result links may point at private or loopback addresses.
        deadline_s: Total time one probe may take.
    """

    id: str
    provider: str
    format: str
    base_url: str
    model: str
    api_key: str = field(repr=False, default="")
    size: tuple[int, int] | None = None
    quality: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    price_usd: float = 0.0
    relay: bool = False
    poll_hosts: tuple[str, ...] = ()
    allow_private_downloads: bool = False
    deadline_s: float = 120.0

    def __post_init__(self) -> None:
        assert not self.base_url.endswith("/"), "a base URL ends without a slash"
        assert self.deadline_s > 0


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour that every image model knows by name; *rgb* holds 8-bit sRGB channels."""

    name: str
    rgb: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """
    One small harmless request with a checkable answer: a plain shape in a known colour.

    Attributes:
        colour: What the picture's dominant colour must be; None leaves it unchecked.
        seed: Sent to providers that take one.
        poll_s: Pause between polls of queue formats, in seconds.
    """

    prompt: str
    colour: Colour | None
    seed: int = 1
    poll_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """
    One request a wire format wants sent, exactly once.

    Attributes:
        json: Body, encoded as JSON; None sends no body.
        after_s: Pause before sending, in seconds.
        phase: Where the waiting time is booked: ``first_byte`` for the generation call,
            ``queue`` for polls, ``download`` for result links.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = None
    after_s: float = 0.0
    phase: Phase = Phase.FIRST_BYTE

    @property
    def is_download(self) -> bool:
        """Whether this fetches a result link: sent without credentials, by a guarded client."""
        return self.phase is Phase.DOWNLOAD

    def __post_init__(self) -> None:
        assert not (self.is_download and self.headers), "a download carries no credentials"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """
    One response, fully read and decoded from its content encoding.

    Attributes:
        headers: Names in lower case.
        received_at: Wall clock when the headers came, seconds since the Unix epoch (UTC). Retry
            times count from here.
        request: The send it answers.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    received_at: float = 0.0
    request: Send | None = None

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None when it is not JSON (a JSON ``null`` is None too)."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """
    What a finished exchange returns: the image bytes and what the answer said of them.

    Attributes:
        data: Encoded image, as sent.
        cost_usd: Billed amount where the answer tells it, else None.
        model_version: Model that the answer says drew it.
        finish_reason: Raw, as the provider spells it.
        request_id: The provider's id for support requests.
        server_s: Seconds the provider says it worked.
    """

    data: bytes = field(repr=False)
    cost_usd: float | None = None
    model_version: str | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    server_s: float | None = None


Exchange = Generator[Send, Reply, Picture]


class Format(Protocol):
    """
    A wire format: how requests and replies look. No I/O, sleep, clock, randomness or retry.

    Attributes:
        name: Name in the configuration, in kebab case.
        options: Keys of ``Target.options`` it understands, each with one line of help.
    """

    name: str
    options: Mapping[str, str]

    def exchange(self, target: Target, canary: Canary) -> Exchange:
        """Yield each request, be sent its reply, return the picture or raise Refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    Why a reply is no picture.

    Attributes:
        detail: One short sentence for people. May hold provider text: redact before showing.
        code: The provider's own code, status word or quota id.
        finish_reason: Raw, as the provider spells it.
        retry_at: Earliest useful next call, seconds since the Unix epoch; None when unknown.
        http_status: Of the reply that decided.
        phase: Where a timeout or connection failure struck.
        body_head: First bytes of a reply that is not the format, for the log; redact first.
        cost_usd: Billed amount where the reply tells it, although there is no picture.
    """

    error: ErrorClass
    detail: str = ""
    code: str | None = None
    finish_reason: str | None = None
    retry_at: float | None = None
    http_status: int | None = None
    phase: Phase | None = None
    body_head: str | None = None
    request_id: str | None = None
    cost_usd: float | None = None


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """Ends an exchange without a picture; never leaves the driver."""

    def __init__(self, verdict: Verdict) -> None:
        """Carry *verdict* out of the generator."""
        super().__init__(verdict.error.value)
        self.verdict = verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is kept of a picture: never the picture itself. Sizes in pixels and bytes."""

    format: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    dominant_rgb: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """
    One probe of one target, from start to verdict.

    Attributes:
        probe_id: Unique, sorts by time.
        started_at: Wall clock at the start, seconds since the Unix epoch (UTC).
        duration_s: Monotonic time from start to verdict, whatever the outcome.
        latency_s: First byte sent to last byte of a verified image (queue formats: submit to
            result). None unless good, so that a failure can never enter a percentile.
        error: None when good.
        slot_s: Length of the schedule slot it fills, in seconds; 0 outside the schedule.
        phases: Seconds spent in each phase that happened.
        cost_usd: Billed amount if told, else the list price if it may have been billed, else 0.
        reused: Whether it ran on a connection that was already open.
    """

    probe_id: str
    target_id: str
    started_at: float
    duration_s: float
    latency_s: float | None = None
    error: ErrorClass | None = None
    kind: ProbeKind = ProbeKind.CANARY
    reason: ProbeReason = ProbeReason.SCHEDULED
    slot_s: float = 0.0
    detail: str = ""
    code: str | None = None
    finish_reason: str | None = None
    retry_at: float | None = None
    http_status: int | None = None
    failed_phase: Phase | None = None
    body_head: str | None = None
    phases: Mapping[Phase, float] = field(default_factory=dict)
    cost_usd: float = 0.0
    received_bytes: int = 0
    image: ImageFacts | None = None
    model_version: str | None = None
    request_id: str | None = None
    server_s: float | None = None
    http_version: str | None = None
    reused: bool = False

    def __post_init__(self) -> None:
        assert (self.latency_s is None) == (self.error is not None)
        assert self.duration_s >= 0

    @property
    def outcome(self) -> Outcome:
        """Who is at fault, from the one table."""
        return Outcome.GOOD if self.error is None else self.error.outcome
