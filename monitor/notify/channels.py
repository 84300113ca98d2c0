"""
The ways a message travels: a signed webhook, PagerDuty's Events API v2, and whatever apprise knows.

A channel sends once and says what became of it; it never raises for what the other side does. It
shows no URL: those hold tokens. Redirects are not followed: a body that was signed for one host is
not carried to another.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import threading
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from io import StringIO
from typing import Any, Final, Protocol

import httpx

from monitor.clock import Clock
from monitor.config.notify import Channel as Kind
from monitor.config.notify import Outlet
from monitor.core.notices import Notice, Part, Severity
from monitor.core.notify import Message, as_json
from monitor.limits import NOTIFY_ANSWER_BYTES, NOTIFY_SEND_S, RETRY_AFTER_S_MAX
from monitor.secrets import Redactor
from monitor.version import __version__

SIGNATURE: Final = "X-Imgmon-Signature"
# What says that this message, not the way to the other side, is at fault.
_REFUSED: Final = frozenset({400, 413, 415, 422})
_WORDS_MAX: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    What became of one attempt.

    Attributes:
        is_sent: The other side has it.
        is_refused: It will not take this message, however often it is sent.
        retry_after_s: How long it asked to be left alone; None where it did not.
        words: What came back, without a secret.
    """

    is_sent: bool
    words: str
    is_refused: bool = False
    retry_after_s: float | None = None


class Channel(Protocol):
    """Sends messages of one route."""

    async def send(self, message: Message) -> Attempt:
        """Send *message* once, within ``NOTIFY_SEND_S``."""
        ...


def channel_of(outlet: Outlet, http: httpx.AsyncClient, clock: Clock, redact: Redactor) -> Channel:
    """
    Return the channel of *outlet*, which must have a place.

    *redact* knows the secrets of all routes: apprise has one log for all of them.
    """
    assert outlet.place
    if outlet.channel is Kind.WEBHOOK:
        return Webhook(outlet.place, outlet.secret, _Post(http, clock, redact))
    if outlet.channel is Kind.PAGERDUTY:
        return PagerDuty(outlet.place, outlet.pagerduty_url, _Post(http, clock, redact))
    return AppriseUrl(outlet.place, redact)


def client() -> httpx.AsyncClient:
    """Return a client for all channels; a fresh connection is cheaper than a stale one."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(
        timeout=NOTIFY_SEND_S,
        limits=limits,
        headers={"User-Agent": f"imgmon/{__version__}"},
        follow_redirects=False,
    )


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``X-Imgmon-Signature``: HMAC-SHA256 over ``timestamp.body``, in hex."""
    signed = f"{timestamp}.".encode() + body
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


class Webhook:
    """Posts a message as JSON, signed where there is a secret."""

    def __init__(self, url: str, secret: str, post: _Post) -> None:
        """Post to *url*."""
        self._url = url
        self._secret = secret
        self._post = post

    async def send(self, message: Message) -> Attempt:
        """Post *message*; every attempt has the same body and ``Idempotency-Key``."""
        body = json.dumps(as_json(message)).encode()
        headers = {"Idempotency-Key": message.key}
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, int(self._post.clock.wall()), body)
        return await self._post(self._url, body, headers)


class PagerDuty:
    """Triggers and resolves alerts; what lasts is one alert, known by its ``dedup_key``."""

    def __init__(self, routing_key: str, url: str, post: _Post) -> None:
        """Send to the integration of *routing_key*."""
        self._routing_key = routing_key
        self._url = url
        self._post = post

    async def send(self, message: Message) -> Attempt:
        """Send the one notice of *message*."""
        (notice,) = message.notices
        body = json.dumps({"routing_key": self._routing_key, **_alert(notice, message)})
        return await self._post(self._url, body.encode(), {})


def _alert(notice: Notice, message: Message) -> dict[str, Any]:
    """Return the event of Events API v2 that tells *notice*."""
    if notice.part is Part.OVER:
        return {"event_action": "resolve", "dedup_key": notice.key}
    return {
        "event_action": "trigger",
        # A fact is an alert of its own.
        "dedup_key": message.key if notice.part is Part.FACT else notice.key,
        "payload": {
            "summary": notice.text[:1024],  # The longest that it takes.
            "source": notice.target or notice.pool or notice.provider or "imgmon",
            "severity": notice.severity.value,
            "component": notice.provider,
            "group": notice.pool,
            "class": notice.topic.value,
            "custom_details": dict(notice.data),
        },
    }


class AppriseUrl:
    """Hands messages to apprise, which blocks: in a thread that holds up nothing of ours."""

    def __init__(self, url: str, redact: Redactor) -> None:
        """Send to the service that *url* names."""
        self._url = url
        self._redact = redact

    async def send(self, message: Message) -> Attempt:
        """Send *message* as text."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Attempt] = loop.create_future()

        def settle(attempt: Attempt) -> None:
            if not done.done():
                done.set_result(attempt)

        def work() -> None:
            attempt = self._notify(message)
            # The loop may be gone: a thread cannot be ended, so nobody waits for this one.
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, attempt)

        threading.Thread(target=work, name="apprise", daemon=True).start()
        try:
            async with asyncio.timeout(NOTIFY_SEND_S):
                return await done
        except TimeoutError:
            return Attempt(is_sent=False, words=f"apprise did not end in {NOTIFY_SEND_S:g} s")

    def _notify(self, message: Message) -> Attempt:
        import apprise  # noqa: PLC0415 - 130 ms, and an extra.

        kinds = {
            Severity.CRITICAL: apprise.NotifyType.FAILURE,
            Severity.ERROR: apprise.NotifyType.FAILURE,
            Severity.WARNING: apprise.NotifyType.WARNING,
            Severity.INFO: apprise.NotifyType.INFO,
        }
        said = StringIO()
        handler = logging.StreamHandler(said)
        apprise.logger.setLevel(logging.WARNING)
        apprise.logger.propagate = False  # It logs URLs.
        apprise.logger.addHandler(handler)
        try:
            service = apprise.Apprise()
            service.add(self._url)
            is_sent = service.notify(
                title=f"imgmon: {message.title}"[:250],
                body=message.text,
                notify_type=kinds[message.severity],
            )
        except Exception as error:  # noqa: BLE001 - a plug-in of apprise may raise anything.
            return Attempt(is_sent=False, words=self._redact(f"{type(error).__name__}: {error}"))
        finally:
            apprise.logger.removeHandler(handler)
        if is_sent:
            return Attempt(is_sent=True, words="apprise sent it")
        lines = said.getvalue().strip().splitlines()
        words = lines[-1] if lines else "apprise did not send it and says nothing"
        return Attempt(is_sent=False, words=self._redact(words)[:_WORDS_MAX])


@dataclass(frozen=True, slots=True)
class _Post:
    """Posts JSON under one deadline, and reads no more of an answer than its words."""

    http: httpx.AsyncClient
    clock: Clock
    redact: Redactor

    async def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> Attempt:
        headers = {"Content-Type": "application/json", **headers}
        try:
            async with (
                asyncio.timeout(NOTIFY_SEND_S),
                self.http.stream("POST", url, content=body, headers=headers) as response,
            ):
                return self._attempt(response, await _head(response))
        except TimeoutError:
            return Attempt(is_sent=False, words=f"no answer within {NOTIFY_SEND_S:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            words = f"{type(error).__name__}: {error}"
            return Attempt(is_sent=False, words=self.redact(words)[:_WORDS_MAX])

    def _attempt(self, response: httpx.Response, head: str) -> Attempt:
        status = response.status_code
        words = f"HTTP {status} {response.reason_phrase}"
        if 200 <= status < 300:
            return Attempt(is_sent=True, words=words)
        if response.has_redirect_location:
            words += ": redirects are not followed; give the final URL"
        elif head:
            words += f": {' '.join(head.split())}"
        return Attempt(
            is_sent=False,
            words=self.redact(words)[:_WORDS_MAX],
            is_refused=status in _REFUSED,
            retry_after_s=self._retry_after_s(response),
        )

    def _retry_after_s(self, response: httpx.Response) -> float | None:
        """Return the seconds of ``Retry-After`` (RFC 9110, 10.2.3), at most a day."""
        value = response.headers.get("Retry-After", "").strip()
        if value.isdecimal() and value.isascii():
            seconds = float(value[:12])
        else:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - self.clock.wall()
            except ValueError:
                return None
        return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)


async def _head(response: httpx.Response) -> str:
    """Return the beginning of the body, also of one that never ends."""
    head = b""
    async for chunk in response.aiter_raw():
        head += chunk
        if len(head) >= NOTIFY_ANSWER_BYTES:
            break
    return head[:NOTIFY_ANSWER_BYTES].decode(errors="replace")
