"""
The shared vocabulary: targets, canaries, sends and replies, error classes, probe results.

Standard library only; knows no HTTP client, schedule, objective, database or metric. The table of
blame is in :mod:`probes.blame`, limits on requests are in :mod:`probes.quota`; their names are given
on from here, the one place to import from.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from math import isfinite
from typing import Any, Protocol, runtime_checkable

from probes.blame import ERROR_TABLE, Effect, ErrorClass, ErrorRow, Outcome
from probes.quota import Limit, LimitPeriod

__all__ = [
    "ERROR_TABLE",
    "Alive",
    "Canary",
    "Colour",
    "Effect",
    "ErrorClass",
    "ErrorRow",
    "Exchange",
    "Format",
    "FreeCall",
    "ImageFacts",
    "Limit",
    "LimitPeriod",
    "LivenessFormat",
    "Outcome",
    "Phase",
    "Picture",
    "ProbeKind",
    "ProbeReason",
    "ProbeResult",
    "Refused",
    "Reply",
    "Send",
    "Target",
    "Verdict",
]


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
        balance_key: Token that reads the account's balance at a relay where *api_key* cannot;
            never shown by ``repr`` either.
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
    balance_key: str = field(repr=False, default="")

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
            ``queue`` for polls, ``download`` for result links, ``body`` for files of results that
            ask for the key.
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
class Alive:
    """
    What a free call returns when the provider answers it.

    Attributes:
        detail: One short sentence for people.
        shutdown_on: ISO day from which the model will be gone, where the answer tells one.
        balance_usd: Money left on the account, where the answer tells it.
        limits: On requests, where the answer tells them.
    """

    detail: str = ""
    shutdown_on: str | None = None
    balance_usd: float | None = None
    limits: tuple[Limit, ...] = ()
    request_id: str | None = None

    def __post_init__(self) -> None:
        # What a plug-in tells is published: it may not be what no date or number is.
        day = self.shutdown_on
        assert day is None or date.fromisoformat(day).isoformat() == day
        assert self.balance_usd is None or isfinite(self.balance_usd)


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
        limits: On requests, where the answer tells them.
    """

    data: bytes = field(repr=False)
    cost_usd: float | None = None
    model_version: str | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    server_s: float | None = None
    limits: tuple[Limit, ...] = ()


Exchange = Generator[Send, Reply, Picture]
FreeCall = Generator[Send, Reply, Alive]


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


@runtime_checkable
class LivenessFormat(Format, Protocol):
    """A wire format with an authenticated call that costs nothing."""

    def liveness(self, target: Target) -> FreeCall:
        """Yield each request, be sent its reply, return what it told or raise Refused."""
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
        limits: On requests, where the reply tells them.
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
    limits: tuple[Limit, ...] = ()


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
        shutdown_on, balance_usd: As in :class:`Alive`; None for other kinds.
        limits: On requests, where an answer told them.
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
    shutdown_on: str | None = None
    balance_usd: float | None = None
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        assert (self.latency_s is None) == (self.error is not None)
        assert self.duration_s >= 0

    @property
    def outcome(self) -> Outcome:
        """Who is at fault, from the one table."""
        return Outcome.GOOD if self.error is None else self.error.outcome
