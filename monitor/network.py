"""
Watches our own network: asks hosts that the owner trusts, when providers seem to be gone together.

While none of them answers, what failed for want of a network is void and states stand still. A result
is judged before it is stored, so nobody's verdict is taken back, and is held for one bounded question
at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from monitor.clock import Clock
from monitor.core.events import Event, EventKind
from monitor.core.network import OurNetwork, failing, host_of, is_lost, is_unreached
from monitor.limits import REFERENCE_ANSWER_S_MAX, REFERENCE_FRESH_S, REFERENCE_RECHECK_S
from probes.model import Outcome, ProbeResult

log = structlog.get_logger("imgmon.network")
Ask = Callable[[str, float], Awaitable[bool]]


class NetworkWatch:
    """Knows whether our own network is in doubt; without reference hosts it never asks and never is."""

    def __init__(
        self,
        reference_hosts: Sequence[str],
        *,
        ask: Ask,
        clock: Clock,
        on_change: Callable[[Event], None],
        recheck_s: float = REFERENCE_RECHECK_S,
    ) -> None:
        """
        Trust *reference_hosts* (URLs); nothing is asked before providers fail.

        Args:
            reference_hosts: One answer of any of them shows that the network is up.
            ask: Whether the host at a URL answers within so many seconds.
            clock: Tells the time.
            on_change: Called with the event of each change.
            recheck_s: Pause between two rounds of questions while none answers.
        """
        self._hosts = tuple(reference_hosts)
        self._ask = ask
        self._clock = clock
        self._on_change = on_change
        self._recheck_s = recheck_s
        self._failing: dict[str, float] = {}
        self._answered_at: float | None = None
        self._suspect_since: float | None = None
        self._question: asyncio.Task[bool] | None = None
        self._recovery: asyncio.Task[None] | None = None

    @property
    def state(self) -> OurNetwork:
        """What is thought of our network now."""
        return OurNetwork(bool(self._hosts), self._suspect_since)

    def resume(self, last: Event | None) -> None:
        """Go on after a restart: *last* is the newest event of our network, None before the first."""
        if last is None or last.kind is not EventKind.OUR_NETWORK_SUSPECTED:
            return
        if self._hosts:
            self._suspect_since = last.at
            self._recovery = asyncio.create_task(self._recover(), name="network")
        else:
            self._tell(EventKind.OUR_NETWORK_RESTORED, reason="no reference hosts are configured")

    async def excuse(self, result: ProbeResult, base_url: str) -> str | None:
        """Return why our own network explains *result* of the provider at *base_url*, or None."""
        if not self._hosts:
            return None
        host = host_of(base_url)
        if result.outcome is Outcome.GOOD or result.http_status is not None:
            self._failing.pop(host, None)
        elif self._suspect_since is None and is_unreached(result):
            self._failing = failing(self._failing, host, self._clock.monotonic())
            if len(self._failing) > 1:
                await self._decide()
        if self._suspect_since is None or not is_lost(result):
            return None
        return "no reference host answers: our own network is down"

    async def aclose(self) -> None:
        """Stop asking."""
        tasks = [task for task in (self._question, self._recovery) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _decide(self) -> None:
        """Ask the reference hosts, unless one has just answered; who comes meanwhile waits too."""
        now = self._clock.monotonic()
        if self._answered_at is not None and now - self._answered_at < REFERENCE_FRESH_S:
            return
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._is_answered(), name="reference hosts")
        question = self._question
        # A probe that is cut off at shutdown must not take the question from the others.
        if await asyncio.shield(question) or self._suspect_since is not None:
            return
        self._suspect_since = self._clock.wall()
        self._recovery = asyncio.create_task(self._recover(), name="network")
        self._tell(EventKind.OUR_NETWORK_SUSPECTED, not_reached=sorted(self._failing))

    async def _is_answered(self) -> bool:
        """Whether any reference host answers; asks all of them at once."""
        asked = [
            asyncio.ensure_future(self._ask(host, REFERENCE_ANSWER_S_MAX)) for host in self._hosts
        ]
        try:
            for answer in asyncio.as_completed(asked):
                if await answer:
                    self._answered_at = self._clock.monotonic()
                    return True
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return False

    async def _recover(self) -> None:
        """Ask until a reference host answers."""
        while not await self._is_answered():  # noqa: ASYNC110 - what is waited for is outside
            await asyncio.sleep(self._recheck_s)
        self._suspect_since, self._failing = None, {}
        self._tell(EventKind.OUR_NETWORK_RESTORED)

    def _tell(self, kind: EventKind, **data: object) -> None:
        event = Event(kind=kind, at=self._clock.wall(), data=data)
        write = log.info if kind is EventKind.OUR_NETWORK_RESTORED else log.error
        write(kind.value.replace("our_network_", "our_network."), **data)
        self._on_change(event)
