"""
Snapshot to bytes, once per publish.

Every body is a pure function of what was measured: it holds no clock that ticks between samples,
so its entity tag is a strong validator of the bytes. Freshness travels in headers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.api import slo
from monitor.api.client_figures import reported_document
from monitor.api.incidents import open_incident_document
from monitor.core.availability import Ratio, floor_ratio
from monitor.core.pause import Pause
from monitor.core.reports import ReportFigures
from monitor.core.snapshot import (
    LastProbe,
    Liveness,
    Order,
    Place,
    Quantile,
    Snapshot,
    TargetView,
    WindowFigures,
)
from monitor.core.verdict import ClaimVerdict
from monitor.core.words import rfc3339
from monitor.publisher import Body, body_of
from monitor.steps import Steps
from probes.model import ImageFacts

SCHEMA: Final = 1


def timestamp(at: float | None) -> str | None:
    """Return *at* (seconds since the epoch) as RFC 3339 in UTC with milliseconds."""
    return None if at is None else rfc3339(at)


def priority_key(pool: str, profile: str, view: str) -> str:
    """Return the key of an order's body; *view* is ``full`` or ``ids``."""
    return f"priority/{pool}/{profile}/{view}"


def target_key(target: str) -> str:
    """Return the key of one target's body."""
    return f"target/{target}"


def windows_key(target: str) -> str:
    """Return the key of the body with one target's windows."""
    return f"windows/{target}"


POOLS_KEY: Final = "pools"
TARGETS_KEY: Final = "targets"


# What the documents of a pool follow from: profile, version, time of change, whether all is degraded.
_Decisions = tuple[tuple[str, int, float, bool], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """The bytes of one target's documents, and the view and what is beside it that they show."""

    view: TargetView
    beside: tuple[ReportFigures, Pause | None]
    summary: bytes
    detail: Body
    windows: Body


class Encoder:
    """Encodes snapshots; keeps the bytes of what did not change since the one before."""

    def __init__(self) -> None:
        """Start with nothing encoded."""
        self._targets: dict[str, _Target] = {}
        self._orders: dict[tuple[str, str], tuple[Order, bool | None, Body, Body]] = {}
        self._pools: dict[str, tuple[_Decisions, bytes]] = {}

    def __call__(self, snapshot: Snapshot) -> Steps[Mapping[str, Body]]:
        """Return the bodies of every snapshot route, by key, a target or an order at a time."""
        bodies: dict[str, Body] = {}
        summaries = []
        for target_id, view in snapshot.targets.items():
            target = self._target(target_id, view, snapshot)
            summaries.append(target.summary)
            bodies[target_key(target_id)] = target.detail
            bodies[windows_key(target_id)] = target.windows
            yield
        bodies[TARGETS_KEY] = _listed("targets", summaries)
        yield
        pools: dict[str, list[Order]] = {}
        for (pool, profile), order in snapshot.orders.items():
            full, ids = self._order(order, snapshot)
            bodies[priority_key(pool, profile, "full")] = full
            bodies[priority_key(pool, profile, "ids")] = ids
            pools.setdefault(pool, []).append(order)
            yield
        bodies[POOLS_KEY] = _listed("pools", [self._pool(p, of) for p, of in pools.items()])
        return bodies

    def _target(self, target_id: str, view: TargetView, snapshot: Snapshot) -> _Target:
        known = self._targets.get(target_id)
        reports, pause = snapshot.reports, snapshot.paused.get(target_id)
        if known is None or known.view is not view or known.beside != (reports, pause):
            reported = reported_document(reports, target_id)
            summary = {**target_document(view), "paused": pause_document(pause)}
            windows = {
                name: window_document(w, view.claims.get(name, ()))
                for name, w in view.windows.items()
            }
            figures = {"windows": windows, "reported": reported}
            known = _Target(
                view=view,
                beside=(reports, pause),
                summary=_json(summary),
                detail=body({"schema": SCHEMA, **summary, **figures}),
                windows=body({"schema": SCHEMA, "target": target_id, **figures}),
            )
            self._targets[target_id] = known
        return known

    def _pool(self, pool: str, orders: Sequence[Order]) -> bytes:
        decisions = tuple(
            (order.profile.name, order.version, order.changed_at, order.all_degraded)
            for order in orders
        )
        known = self._pools.get(pool)
        if known is None or known[0] != decisions:
            known = self._pools[pool] = decisions, _json(pool_document(orders))
        return known[1]

    def _order(self, order: Order, snapshot: Snapshot) -> tuple[Body, Body]:
        key = (order.pool.id, order.profile.name)
        known = self._orders.get(key)
        # valid_until slides with the clock and travels in a header; the rest decides.
        is_suspect = snapshot.our_network.is_suspect
        if (
            known is None
            or known[0].places != order.places
            or (known[0].version, known[1]) != (order.version, is_suspect)
        ):
            ids = {
                "schema": SCHEMA,
                "pool": order.pool.id,
                "profile": order.profile.name,
                "version": order.version,
                "limits_met": True,
                "targets": [place.target for place in order.places],
            }
            full = body(order_document(order, snapshot))
            known = (order, is_suspect, full, body(ids))
            self._orders[key] = known
        return known[2], known[3]


def body(document: object) -> Body:
    """Return *document* as compact JSON with the tag of its bytes."""
    return body_of(_json(document))


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def _listed(name: str, documents: Iterable[bytes]) -> Body:
    """Return a document that lists encoded ones: a thousand of them made anew would hold the loop."""
    return body_of(b'{"schema":%d,"%b":[%b]}' % (SCHEMA, name.encode(), b",".join(documents)))


def pool_document(orders: Sequence[Order]) -> dict[str, Any]:
    """Return one pool with what each of its *orders* decided last."""
    pool = orders[0].pool
    return {
        "pool": pool.id,
        "default_profile": pool.profile,
        "slo": {
            "availability": pool.slo.availability,
            "latency_p95_s": pool.slo.latency_p95_s,
        },
        "profiles": {
            order.profile.name: {
                "usd_per_second": order.profile.usd_per_second,
                "version": order.version,
                "changed_at": timestamp(order.changed_at),
                "all_degraded": order.all_degraded,
                "targets": [place.target for place in order.places],
            }
            for order in orders
        },
    }


def order_document(order: Order, snapshot: Snapshot) -> dict[str, Any]:
    """Return one order as clients read it (DESIGN.md 5)."""
    return {
        "schema": SCHEMA,
        "pool": order.pool.id,
        "profile": order.profile.name,
        "version": order.version,
        "changed_at": timestamp(order.changed_at),
        "generated_at": timestamp(snapshot.made_at),
        "valid_until": timestamp(order.valid_until),
        "stale": False,
        "all_degraded": order.all_degraded,
        "our_network_suspect": snapshot.our_network.is_suspect,
        "limits": None,
        "limits_met": True,
        "left_out": [],
        "targets": [
            place_document(place, snapshot.targets[place.target]) for place in order.places
        ],
    }


def place_document(place: Place, view: TargetView) -> dict[str, Any]:
    """Return one place of an order."""
    return {
        "rank": place.rank,
        "tier": int(place.tier),
        "target": place.target,
        "provider": view.spec.provider,
        "model": view.spec.model,
        "base_url": view.spec.base_url,
        "format": view.spec.format,
        "state": place.state.value,
        "usable": place.usable,
        "scope": place.scope,
        "success_probability": round(place.success_probability, 4),
        "availability": _floored(place.availability),
        "availability_samples": place.availability_n,
        "latency_p95_s": _rounded(place.latency_p95_s),
        "latency_samples": place.latency_n,
        "latency_estimated": place.latency_estimated,
        "price_usd": place.price_usd,
        "index_usd": round(place.index_usd, 6),
        "retry_at": timestamp(place.retry_at),
        "last_sample_at": timestamp(place.last_sample_at),
        "samples": place.availability_n,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in place.reasons],
    }


def target_document(view: TargetView) -> dict[str, Any]:
    """Return one target without its windows."""
    spec, health = view.spec, view.health
    return {
        "target": spec.id,
        "provider": spec.provider,
        "model": spec.model,
        "format": spec.format,
        "base_url": spec.base_url,
        "price_usd": spec.price_usd,
        "interval_s": spec.interval_s,
        "deadline_s": spec.deadline_s,
        "claim": {
            "availability": spec.claim.availability,
            "latency_p95_s": spec.claim.latency_p95_s,
        },
        "state": health.state.value,
        "since": timestamp(health.since),
        "error": health.error.value if health.error else None,
        "detail": health.detail,
        "retry_at": timestamp(health.retry_at),
        "error_budget": slo.budget_document(view.budget),
        "policy_blocks_in_a_row": health.consecutive_policy_blocks,
        "liveness": liveness_document(view.liveness, spec.liveness_s),
        "incidents": [open_incident_document(incident) for incident in view.incidents],
        "last_probe": last_document(view.last) if view.last else None,
    }


def pause_document(pause: Pause | None) -> dict[str, Any] | None:
    """Return the pause that a target is in; None for none."""
    if pause is None:
        return None
    return {
        "since": timestamp(pause.since),
        "until": timestamp(pause.until),
        "reason": pause.reason,
        "by": pause.by,
    }


def liveness_document(liveness: Liveness, interval_s: float | None) -> dict[str, Any]:
    """Return what free calls say of a target."""
    return {
        "state": liveness.state.value,
        "interval_s": interval_s,
        "at": timestamp(liveness.at),
        "error": liveness.error.value if liveness.error else None,
        "detail": liveness.detail,
        "answered_at": timestamp(liveness.answered_at),
        "shutdown_on": liveness.shutdown_on,
        "balance_usd": _rounded(liveness.balance_usd, 6),
    }


def last_document(last: LastProbe) -> dict[str, Any]:
    """Return the newest generation of a target."""
    return {
        "probe": last.probe_id,
        "started_at": timestamp(last.started_at),
        "duration_s": _rounded(last.duration_s),
        "latency_s": _rounded(last.latency_s),
        "outcome": last.outcome.value,
        "error": last.error.value if last.error else None,
        "detail": last.detail,
        "http_status": last.http_status,
        "phases_s": {phase.value: _rounded(s) for phase, s in last.phases.items()},
        "cost_usd": last.cost_usd,
        "image": image_document(last.image),
        "model_version": last.model_version,
    }


def image_document(image: ImageFacts | None) -> dict[str, Any] | None:
    """Return what is kept of a picture; None without one."""
    if image is None:
        return None
    return {
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "size_bytes": image.size_bytes,
        "sha256": image.sha256,
    }


def window_document(window: WindowFigures, claims: Iterable[ClaimVerdict] = ()) -> dict[str, Any]:
    """Return the figures of one window: both views, n, coverage, intervals, percentiles, claims."""
    return {
        "span_s": window.span_s,
        "samples": window.n,
        "good": window.good,
        "bad": window.bad,
        "unusable": window.unusable,
        "coverage_ratio": _floored(window.coverage),
        "last_sample_at": timestamp(window.last_sample_at),
        "since": timestamp(window.since),
        "gaps": slo.gaps_document(window.gaps),
        "maintenance_s": _rounded(window.maintenance_s, 3),
        "claims": slo.claims_document(claims),
        "availability": {"provider": _ratio(window.provider), "user": _ratio(window.user)},
        "timeouts_ratio": _rounded(window.timeout_ratio),
        "latency_sli": (
            {"threshold_s": window.latency_threshold_s, **_ratio(window.latency_sli)}
            if window.latency_sli
            else None
        ),
        "latency_s": {
            "samples": window.latency_n,
            "mean": _rounded(window.latency_mean_s),
            **{f"p{round(q * 100)}": _quantile(v) for q, v in window.quantiles.items()},
        },
    }


def _ratio(ratio: Ratio) -> dict[str, Any]:
    return {
        "value": _floored(ratio.value),
        "lower": _floored(ratio.lower),
        "upper": _rounded(ratio.upper, 5),
        "samples": ratio.n,
    }


def _quantile(quantile: Quantile) -> dict[str, Any]:
    return {
        "value": _rounded(quantile.value),
        "lower": _rounded(quantile.lower),
        "upper": _rounded(quantile.upper),
    }


def _floored(value: float | None) -> float | None:
    return None if value is None else floor_ratio(value)


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
