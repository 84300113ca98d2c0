"""
Fault plans as data: what can go wrong, when, to whom, and how a plan is read from a table.

All times are plan seconds, uncompressed, from the plan's beginning. :mod:`player` plays a plan.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import Any, Final

_Z95: Final = NormalDist().inv_cdf(0.95)


class PlanError(ValueError):
    """A fault plan that cannot be used; the message starts with the path of the bad value."""


class FaultKind(StrEnum):
    """Everything that can go wrong: error classes in the vendor's own words, then wire troubles."""

    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    NO_IMAGE = "no_image"
    POLICY_BLOCKED = "policy_blocked"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    NOT_ENTITLED = "not_entitled"
    BILLING = "billing"
    AUTH = "auth"
    MODEL_GONE = "model_gone"
    BAD_REQUEST = "bad_request"
    EXPIRED = "expired"  # Result links are dead, batch jobs end expired; no effect elsewhere.
    JOB_FAILED = "job_failed"  # Batch jobs end failed; no effect elsewhere.
    ITEM_ERROR = "item_error"  # Batch jobs end well with a failed item; no effect elsewhere.
    SLOW = "slow"
    HANG = "hang"
    SLOW_DRIP = "slow_drip"
    CUT_BODY = "cut_body"
    GARBAGE = "garbage"
    WRONG_COLOUR = "wrong_colour"
    WRONG_SIZE = "wrong_size"
    BLACK = "black"
    REPEAT = "repeat"
    RESET = "reset"
    HTML = "html"
    TEXT_ONLY = "text_only"
    REDIRECT = "redirect"
    BAD_BASE64 = "bad_base64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    One trouble.

    Attributes:
        share: Part of the requests it strikes, 0..1; drawn per request.
        factor: How many times slower, for ``slow``.
        status: HTTP status of the page, for ``html``.
        drip_s: Plan seconds between two pieces of the body, for ``slow_drip``.
        model: Strikes only this model; None for all.
    """

    kind: FaultKind
    share: float = 1.0
    factor: float = 4.0
    status: int = 200
    drip_s: float = 1.0
    model: str | None = None

    @classmethod
    def from_dict(cls, raw: object, path: str = "fault") -> Fault:
        """Read a fault such as ``{"kind": "slow", "factor": 3}``; raises PlanError."""
        table = _table(cls, raw, path)
        return cls(
            kind=_kind(table.get("kind"), f"{path}.kind"),
            share=_number(table, "share", path, default=1.0, most=1.0),
            factor=_number(table, "factor", path, default=4.0),
            status=int(_number(table, "status", path, default=200, least=200, most=599)),
            drip_s=_number(table, "drip_s", path, default=1.0),
            model=_text(table, "model", path),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A fault that is active from *from_s* (included) to *to_s* (excluded), in plan seconds."""

    from_s: float
    to_s: float
    fault: Fault

    @classmethod
    def from_dict(cls, raw: object, path: str = "episode") -> Episode:
        """Read an episode; raises PlanError."""
        table = _table(cls, raw, path)
        start = _number(table, "from_s", path, default=None)
        end = _number(table, "to_s", path, default=None)
        if end <= start:
            raise PlanError(f"{path}.to_s: must be after from_s = {start:g}, got {end:g}")
        fault = Fault.from_dict(table.get("fault"), f"{path}.fault")
        return cls(from_s=start, to_s=end, fault=fault)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A lognormal time to a picture given by two quantiles, clamped; plan seconds."""

    p50_s: float
    p95_s: float
    min_s: float = 0.0
    max_s: float | None = None

    @classmethod
    def from_dict(cls, raw: object, path: str = "latency") -> Latency:
        """Read a latency distribution; raises PlanError."""
        table = _table(cls, raw, path)
        p50 = _number(table, "p50_s", path, default=None, least=1e-6)
        p95 = _number(table, "p95_s", path, default=None, least=p50)
        low = _number(table, "min_s", path, default=0.0)
        high = None
        if table.get("max_s") is not None:
            high = _number(table, "max_s", path, default=None, least=low)
        return cls(p50_s=p50, p95_s=p95, min_s=low, max_s=high)

    def draw(self, rng: Random) -> float:
        """Return one latency in plan seconds; always takes one draw from *rng*."""
        sigma = math.log(self.p95_s / self.p50_s) / _Z95
        seconds = self.p50_s * math.exp(sigma * rng.gauss(0.0, 1.0))
        seconds = max(self.min_s, seconds)
        return seconds if self.max_s is None else min(self.max_s, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlan:
    """
    How one account behaves.

    Attributes:
        per_minute: Generations allowed in any 60 plan seconds; None for no limit.
        per_day: Generations allowed between two quota resets; None for no limit.
        quota_resets_s: Plan times at which the quota starts anew, besides every 86 400.
        quota_spent_s: Plan times at which others in the same project use up what is left.
        episodes: Troubles by time; those that overlap are tried in this order.
        prices_usd: Price per picture by model; ``*`` is the price of all other models.
        bills_empty: Answers without a picture are billed too, as resellers do.
        chat_place: Where the chat route hides the picture: a name of
            :class:`probes.simulator.formats.openai_chat.Place`.
        batch_s: Plan seconds from the creation of a batch job to its end.
    """

    latency: Latency = field(default_factory=lambda: Latency(p50_s=4.0, p95_s=8.0))
    per_minute: int | None = None
    per_day: int | None = None
    quota_resets_s: tuple[float, ...] = ()
    quota_spent_s: tuple[float, ...] = ()
    episodes: tuple[Episode, ...] = ()
    prices_usd: Mapping[str, float] = field(default_factory=dict)
    bills_empty: bool = False
    chat_place: str = "markdown"
    batch_s: float = 120.0

    def price_usd(self, model: str) -> float:
        """Price of one picture of *model*; 0 when the plan names none."""
        return self.prices_usd.get(model, self.prices_usd.get("*", 0.0))

    @classmethod
    def from_dict(cls, raw: object, path: str = "account") -> AccountPlan:
        """Read an account's plan; raises PlanError."""
        table = _table(cls, raw, path)
        latency = cls().latency
        if "latency" in table:
            latency = Latency.from_dict(table["latency"], f"{path}.latency")
        prices = table.get("prices_usd", {})
        if not isinstance(prices, Mapping):
            raise PlanError(f"{path}.prices_usd: must be a table of model = price")
        empty = table.get("bills_empty", False)
        if not isinstance(empty, bool):
            raise PlanError(f"{path}.bills_empty: must be true or false, got {empty!r}")
        return cls(
            latency=latency,
            per_minute=_count(table, "per_minute", path),
            per_day=_count(table, "per_day", path),
            quota_resets_s=_numbers(table, "quota_resets_s", path),
            quota_spent_s=_numbers(table, "quota_spent_s", path),
            episodes=tuple(
                Episode.from_dict(episode, f"{path}.episodes[{at}]")
                for at, episode in enumerate(_list(table, "episodes", path))
            ),
            prices_usd={
                str(model): _number(prices, model, f"{path}.prices_usd", default=None)
                for model in prices
            },
            bills_empty=empty,
            chat_place=_text(table, "chat_place", path) or "markdown",
            batch_s=_number(table, "batch_s", path, default=120.0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """
    Everything the simulator does by itself.

    Attributes:
        seed: Of every draw.
        scale: Time compression: 10 divides latencies, limits' windows and plan times by ten.
        accounts: By name, which is the path prefix; others behave as ``AccountPlan()``.
    """

    seed: int = 1
    scale: float = 1.0
    accounts: Mapping[str, AccountPlan] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.scale > 0

    def account(self, name: str) -> AccountPlan:
        """Return the plan of *name*, or the plain one."""
        return self.accounts.get(name, _PLAIN)

    @classmethod
    def from_dict(cls, raw: object) -> FaultPlan:
        """Read a plan from nested tables; raises PlanError with the path of the first bad value."""
        table = _table(cls, raw, "plan")
        accounts = table.get("accounts", {})
        if not isinstance(accounts, Mapping):
            raise PlanError("plan.accounts: must be a table of account name = account plan")
        return cls(
            seed=int(_number(table, "seed", "plan", default=1, most=2**53)),
            scale=_number(table, "scale", "plan", default=1.0, least=1e-3),
            accounts={
                str(name): AccountPlan.from_dict(account, f"accounts.{name}")
                for name, account in accounts.items()
            },
        )

    @classmethod
    def load(cls, path: Path) -> FaultPlan:
        """Read a plan from the TOML file at *path*; raises PlanError, or OSError unread."""
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PlanError(f"{path.name}: {error}") from error
        return cls.from_dict(raw)


_PLAIN: Final = AccountPlan()


# Reading plans. Each helper names the path of what it rejects.


def _table(cls: type[Any], raw: object, path: str) -> Mapping[str, Any]:
    """Return *raw* as a mapping that has only, and at least, the fields of *cls*."""
    if not isinstance(raw, Mapping):
        raise PlanError(f"{path}: must be a table, got {raw!r}")
    known = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(cls)}
    for key in raw:
        if key not in known:
            raise PlanError(f"{path}.{key}: unknown key; known are {', '.join(known)}")
    for key, needed in known.items():
        if needed and key not in raw:
            raise PlanError(f"{path}.{key}: is missing")
    return raw


def _number(
    table: Mapping[str, Any],
    key: str,
    path: str,
    *,
    default: float | None,
    least: float = 0.0,
    most: float = math.inf,
) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PlanError(f"{path}.{key}: must be a finite number, got {value!r}")
    if not least <= value <= most:
        raise PlanError(f"{path}.{key}: must be from {least:g} to {most:g}, got {value:g}")
    return float(value)


def _count(table: Mapping[str, Any], key: str, path: str) -> int | None:
    if table.get(key) is None:
        return None
    return int(_number(table, key, path, default=None, most=1e6))


def _list(table: Mapping[str, Any], key: str, path: str) -> Sequence[Any]:
    value = table.get(key, ())
    if not isinstance(value, list | tuple):
        raise PlanError(f"{path}.{key}: must be a list, got {value!r}")
    return value


def _numbers(table: Mapping[str, Any], key: str, path: str) -> tuple[float, ...]:
    values = {str(at): value for at, value in enumerate(_list(table, key, path))}
    return tuple(_number(values, at, f"{path}.{key}", default=None) for at in values)


def _text(table: Mapping[str, Any], key: str, path: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise PlanError(f"{path}.{key}: must be a string, got {value!r}")
    return value


def _kind(value: object, path: str) -> FaultKind:
    try:
        return FaultKind(str(value))
    except ValueError:
        known = ", ".join(FaultKind)
        raise PlanError(f"{path}: unknown fault {value!r}; known are {known}") from None
