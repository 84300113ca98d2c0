"""
The mutable half of the simulator: what was asked, drawn and billed, and how faults are applied.

Owns the steps every generation takes; a :class:`Dialect` puts the answers into a vendor's words.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol
from uuid import NAMESPACE_URL, uuid5

from starlette.responses import RedirectResponse, Response

from probes.simulator import wire
from probes.simulator.faults import Fault, FaultKind, FaultPlan
from probes.simulator.picture import BLACK, PictureOrder, asked_colour, other_colour, paint
from probes.simulator.player import Decision, Player

REQUESTS_MAX: Final = 10_000
LINKS_MAX: Final = 10_000
LINK_LIFE_S: Final = 600.0  # Plan seconds: what BFL and the gateways promise.

_K = FaultKind
# Answers in the vendor's own words; the other kinds are done to the answer or to the picture.
REFUSALS: Final = frozenset({
    _K.OVERLOADED, _K.SERVER_ERROR, _K.NO_IMAGE, _K.POLICY_BLOCKED, _K.RATE_LIMITED,
    _K.QUOTA_EXHAUSTED, _K.NOT_ENTITLED, _K.BILLING, _K.AUTH, _K.MODEL_GONE, _K.BAD_REQUEST,
    _K.TEXT_ONLY,
})  # fmt: skip
# A 200 without a picture: some resellers bill it.
EMPTY: Final = frozenset({_K.NO_IMAGE, _K.POLICY_BLOCKED, _K.TEXT_ONLY})
_INTERRUPTIONS: Final[Mapping[FaultKind, Callable[[Fault, Decision], Response]]] = {
    _K.RESET: lambda _fault, _decision: wire.Reset(),
    _K.REDIRECT: lambda _fault, _decision: RedirectResponse("/redirected", 302),
    _K.GARBAGE: lambda _fault, decision: wire.garbage(decision.ordinal),
    _K.HTML: lambda fault, _decision: wire.html_page(fault.status),
}


class Clock(Protocol):
    """Two readings that are never mixed; ``monitor.clock`` has both implementations."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch (UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """
    One request as it came in.

    Attributes:
        headers: Names in lower case.
        params: Parts of the path that the route names.
        json: Body; None when it is empty or no JSON.
        origin: Scheme, host and port the caller used.
    """

    account: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    params: Mapping[str, str]
    json: Any
    origin: str

    @property
    def base(self) -> str:
        """Root of the account as the caller sees it."""
        return f"{self.origin}/{self.account}"

    @property
    def body(self) -> Mapping[str, Any]:
        """The JSON object sent; empty when something else was."""
        return self.json if isinstance(self.json, dict) else {}

    @property
    def bearer(self) -> str | None:
        """The key in the ``Authorization`` header."""
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        return key.strip() or None if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a generation request asks for, whatever the vendor; *size* in pixels."""

    incoming: Incoming
    model: str
    prompt: str
    size: tuple[int, int]
    format: str = "png"
    decision: Decision = field(default_factory=Decision)
    refusal: str = ""  # Why the request is bad, in words, when it is.

    @property
    def account(self) -> str:
        """Account asked."""
        return self.incoming.account

    @property
    def request_id(self) -> str:
        """Looks random, is not: the same plan and requests give the same ids."""
        name = f"{self.account}/{self.model}/{self.decision.ordinal}"
        return str(uuid5(NAMESPACE_URL, name))


class Dialect(Protocol):
    """How one vendor spells keys and refusals."""

    def key(self, incoming: Incoming) -> str | None:
        """Return the key sent; None when there is none."""
        ...

    def refuse(self, ask: Ask, kind: FaultKind) -> Response:
        """Return the vendor's answer for a trouble; *kind* is one of REFUSALS."""
        ...

    def no_key(self, ask: Ask) -> Response:
        """Return the vendor's answer to a request without a key."""
        ...


class Drawing(Dialect, Protocol):
    """A dialect whose generation call answers with the picture itself."""

    def deliver(self, ask: Ask, order: PictureOrder, image: bytes) -> Response:
        """Return the vendor's answer with *image*."""
        ...


@dataclass(slots=True)
class Meter:
    """What an account was asked and has billed."""

    requests: int = 0
    generations: int = 0
    billed: int = 0
    billed_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A result link: what it shows, until when (monotonic seconds), and whether it is broken."""

    order: PictureOrder
    dies_at: float
    corrupt: bool = False


class World:
    """Everything that lives as long as a simulator does. One event loop, no locks."""

    def __init__(self, plan: FaultPlan, clock: Clock) -> None:
        """Begin *plan* now."""
        self.player = Player(plan)
        self.clock = clock
        self.started_at = clock.monotonic()
        self.closing = asyncio.Event()
        self.requests: deque[Incoming] = deque(maxlen=REQUESTS_MAX)
        self.meters: dict[str, Meter] = {}
        self.links: OrderedDict[str, Link] = OrderedDict()
        self.last_orders: dict[str, PictureOrder] = {}

    @property
    def plan(self) -> FaultPlan:
        """The plan being played."""
        return self.player.plan

    @property
    def elapsed_s(self) -> float:
        """Real seconds since the plan began."""
        return self.clock.monotonic() - self.started_at

    def meter(self, account: str) -> Meter:
        """Return the meter of *account*."""
        return self.meters.setdefault(account, Meter())

    def record(self, incoming: Incoming) -> None:
        """Note a request."""
        self.requests.append(incoming)
        self.meter(incoming.account).requests += 1

    def bill(self, account: str, model: str) -> None:
        """Charge one picture."""
        meter = self.meter(account)
        meter.billed += 1
        meter.billed_usd += self.plan.account(account).price_usd(model)

    def admit(self, ask: Ask, dialect: Dialect) -> Response | None:
        """Return the refusal of a request with a bad key or a model that is gone, else None."""
        key = dialect.key(ask.incoming)
        if not key:
            return dialect.no_key(ask)
        if key.startswith("invalid"):
            return dialect.refuse(ask, FaultKind.AUTH)
        if ask.model.rpartition("/")[2].startswith("gone"):
            return dialect.refuse(ask, FaultKind.MODEL_GONE)
        if ask.refusal:
            return dialect.refuse(ask, FaultKind.BAD_REQUEST)
        return None

    async def generate(self, ask: Ask, dialect: Drawing) -> Response:
        """Do what the plan says with a paid request; the answer comes after its latency."""
        refused = self.admit(ask, dialect)
        if refused is not None:
            return refused
        ask = self.decided(ask)
        kind = ask.decision.kind
        broken = await self.interrupted(ask.decision)
        if broken is not None:
            return broken
        if kind in REFUSALS:
            assert kind is not None
            if kind in EMPTY and self.plan.account(ask.account).bills_empty:
                self.bill(ask.account, ask.model)
            return dialect.refuse(ask, kind)
        order = self.order(ask)
        # In a thread: painting must not delay the other requests' latencies.
        image = await asyncio.to_thread(paint, order)
        self.bill(ask.account, ask.model)
        return self.mangled(dialect.deliver(ask, order, image), ask.decision)

    async def free(self, ask: Ask, dialect: Dialect, answer: Response) -> Response:
        """Do what the plan says with a request that draws nothing; *answer* when all is well."""
        refused = self.admit(ask, dialect)
        if refused is not None:
            return refused
        decision = self.player.decide(ask.account, ask.model, self.elapsed_s, paid=False)
        broken = await self.interrupted(decision)
        if broken is not None:
            return broken
        if decision.kind is FaultKind.AUTH:
            return dialect.refuse(replace(ask, decision=decision), FaultKind.AUTH)
        return self.mangled(answer, decision)

    def decided(self, ask: Ask) -> Ask:
        """Return *ask* with the plan's decision on a paid request, and count it."""
        self.meter(ask.account).generations += 1
        decision = self.player.decide(ask.account, ask.model, self.elapsed_s)
        return replace(ask, decision=decision)

    async def interrupted(self, decision: Decision) -> Response | None:
        """Let the latency pass; return the answer of faults that need no vendor."""
        fault = decision.fault
        if fault is not None and fault.kind is FaultKind.HANG:
            return wire.Hang(self.closing)
        if await wire.happened(self.closing, decision.latency_s):
            return wire.Reset()
        if fault is None or fault.kind not in _INTERRUPTIONS:
            return None
        return _INTERRUPTIONS[fault.kind](fault, decision)

    def mangled(self, answer: Response, decision: Decision) -> Response:
        """Return *answer*, cut or dripping when the plan says so."""
        if decision.kind is FaultKind.CUT_BODY:
            broken = wire.CutBody(answer.body, answer.status_code)
            broken.raw_headers = answer.raw_headers
            return broken
        if decision.kind is FaultKind.SLOW_DRIP:
            return wire.SlowDrip(answer, decision.drip_s, self.closing)
        return answer

    def order(self, ask: Ask) -> PictureOrder:
        """Return what to paint for *ask*, wrong when the plan says so."""
        kind, size, colour = ask.decision.kind, ask.size, None
        if kind is FaultKind.WRONG_COLOUR:
            colour = other_colour(asked_colour(ask.prompt))
        elif kind is FaultKind.BLACK:
            colour = BLACK
        elif kind is FaultKind.WRONG_SIZE:
            size = (max(1, size[0] // 2), max(1, size[1] // 3))
        seed = f"{self.plan.seed}/{ask.account}/{ask.decision.ordinal}/{ask.prompt}"
        order = PictureOrder(
            prompt=ask.prompt, size=size, format=ask.format, seed=seed, colour=colour
        )
        if kind is FaultKind.REPEAT:
            return self.last_orders.setdefault(ask.account, order)
        self.last_orders[ask.account] = order
        return order

    def link(self, ask: Ask, order: PictureOrder, made_at: float | None = None) -> str:
        """Return a link that lives as long as vendors promise after *made_at* (monotonic; now)."""
        now = self.clock.monotonic()
        life = 0.0 if ask.decision.kind is FaultKind.EXPIRED else LINK_LIFE_S / self.plan.scale
        dies_at = (now if made_at is None else made_at) + life
        name = f"{ask.account}-{ask.request_id}.{order.format}"
        corrupt = ask.decision.kind is FaultKind.BAD_BASE64
        self.links[name] = Link(order=order, dies_at=dies_at, corrupt=corrupt)
        while len(self.links) > LINKS_MAX:
            self.links.popitem(last=False)
        expires = int(self.clock.wall() + dies_at - now)
        return f"{ask.incoming.origin}/delivery/{name}?se={expires}&sig=simulated"
