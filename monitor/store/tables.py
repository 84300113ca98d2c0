"""
What is stored, as SQLModel tables, and the way from values to rows and back.

Table rows check nothing, so only typed values come here; times are seconds since the Unix epoch.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from monitor.core.snapshot import GapReason, Order, Place
from monitor.core.spec import PoolSpec, Profile
from probes.model import ErrorClass, ImageFacts, Limit, Phase, ProbeKind, ProbeReason, ProbeResult

_LIMITS: Final = TypeAdapter(tuple[Limit, ...])
_PLACES: Final = TypeAdapter(tuple[Place, ...], config=ConfigDict(ser_json_inf_nan="constants"))


class ProbeRow(SQLModel, table=True):
    """One probe, flat. *id* grows in the order in which probes finished."""

    __tablename__ = "probes"
    # By time for replay and pruning; by kind, and within it by id, for pages and the newest rows.
    __table_args__ = (
        Index("probes_by_target", "target_id", "started_at"),
        Index("probes_by_time", "kind", "started_at"),
        Index("probes_by_kind", "target_id", "kind"),
    )

    id: int | None = Field(default=None, primary_key=True)
    probe_id: str
    vantage: str
    target_id: str
    provider: str
    started_at: float
    duration_s: float
    latency_s: float | None
    outcome: str  # Follows from error; kept for queries.
    error: str | None
    kind: str
    reason: str
    slot_s: float
    detail: str
    code: str | None
    finish_reason: str | None
    retry_at: float | None
    http_status: int | None
    failed_phase: str | None
    body_head: str | None
    phases: str  # JSON object: phase to seconds.
    cost_usd: float
    received_bytes: int
    image_format: str | None
    image_width: int | None
    image_height: int | None
    image_bytes: int | None
    image_sha256: str | None
    image_rgb: str | None  # Such as "255,0,0".
    model_version: str | None
    request_id: str | None
    server_s: float | None
    http_version: str | None
    reused: bool
    shutdown_on: str | None = None
    balance_usd: float | None = None
    limits: str | None = None  # JSON list of what the answer told of request limits.


class GapRow(SQLModel, table=True):
    """One schedule slot in which no probe ran."""

    __tablename__ = "gaps"
    __table_args__ = (Index("gaps_by_target", "target_id", "at"), Index("gaps_by_time", "at"))

    id: int | None = Field(default=None, primary_key=True)
    target_id: str
    at: float
    reason: str
    slot_s: float


class RollupRow(SQLModel, table=True):
    """
    What the probes of one key came to in one span; :mod:`monitor.store.rollups` makes these rows.

    Attributes:
        span_s, at: Length and start of the span in seconds: a UTC day, a minute of reports; 0 and 0
            for all time.
        is_sample: Whether they filled slots of the schedule; only these enter availability.
        error: Class; empty for good ones.
        slots_us, slots_square: Microseconds they stand for, and the sum of squares in s².
        sketch: Of their latencies; None where none was good.
    """

    __tablename__ = "rollups"
    __table_args__ = {"sqlite_with_rowid": False}

    target_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    span_s: int = Field(primary_key=True)
    at: int = Field(primary_key=True)
    is_sample: bool = Field(primary_key=True)
    error: str = Field(primary_key=True)
    n: int
    slots_us: int
    slots_square: float
    latency_us: int
    cost_micros: int
    sketch: bytes | None


class GapRollupRow(SQLModel, table=True):
    """The slots of one target and UTC day (from *at* on) in which no probe ran, by reason."""

    __tablename__ = "gap_rollups"
    __table_args__ = {"sqlite_with_rowid": False}

    target_id: str = Field(primary_key=True)
    reason: str = Field(primary_key=True)
    at: int = Field(primary_key=True)
    n: int
    slots_us: int


class OrderChangeRow(SQLModel, table=True):
    """One decided order, so that versions and hysteresis survive a restart."""

    __tablename__ = "order_changes"
    __table_args__ = (
        Index("order_changes_by_pool", "pool", "profile", "id"),
        Index("order_changes_by_time", "changed_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    pool: str
    profile: str
    version: int
    changed_at: float
    valid_until: float
    all_degraded: bool
    places: str  # JSON list of places.


class ReservationRow(SQLModel, table=True):
    """One generation: its worst-case price until *is_settled*, then what was billed."""

    __tablename__ = "reservations"
    # Each covers the sums and counts of one scope, so that they read no row of the table.
    __table_args__ = (
        Index("reservations_by_time", "at", "provider", "target_id", "micros"),
        Index("reservations_by_provider", "provider", "at", "micros"),
        Index("reservations_by_target", "target_id", "at", "micros"),
    )

    id: int | None = Field(default=None, primary_key=True)
    probe_id: str = Field(unique=True)
    target_id: str
    provider: str
    at: float  # Of the reservation: its day and month.
    micros: int
    is_settled: bool


class CapMarkRow(SQLModel, table=True):
    """That a cap (its name and amount) came to a mark in the period that began at *since*."""

    __tablename__ = "cap_marks"

    cap: str = Field(primary_key=True)
    micros: int = Field(primary_key=True)
    since: float = Field(primary_key=True)
    mark: str = Field(primary_key=True)


class BatchJobRow(SQLModel, table=True):
    """One batch job: what :class:`monitor.core.batch.Job` says of it. There is one a slot."""

    __tablename__ = "batch_jobs"
    __table_args__ = (
        Index("batch_jobs_by_slot", "target_id", "slot", unique=True),
        Index("batch_jobs_by_stage", "stage"),
    )

    probe_id: str = Field(primary_key=True)
    target_id: str
    provider: str
    vantage: str
    slot: int
    slot_s: float
    prompt: str
    colour: str | None
    created_at: float
    deadline_at: float
    poll_s: float
    price_usd: float
    next_at: float
    called_at: float
    name: str | None
    stage: str
    state: str | None
    phases: str  # JSON object: phase to seconds.
    left_queue_at: float | None
    polls: int
    doubt: str | None  # JSON of a probe's result.
    cancel_requested_at: float | None
    delete_tries: int


class MonthRow(SQLModel, table=True):
    """The figures of one target over one calendar month that is over; never changed."""

    __tablename__ = "months"

    target_id: str = Field(primary_key=True)
    month: str = Field(primary_key=True)  # Such as "2026-11".
    frozen_at: float
    figures: str  # JSON of monitor.core.months.MonthFigures.


class MetaRow(SQLModel, table=True):
    """A fact about the file itself."""

    __tablename__ = "meta"

    key: str = Field(primary_key=True)
    value: str


def _storable(text: str) -> str:
    """Return *text* without lone surrogates: JSON may hold them, UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def probe_values(result: ProbeResult, provider: str, vantage: str) -> dict[str, Any]:
    """Return the columns of a probe's row."""
    image = result.image
    values = {
        "probe_id": result.probe_id,
        "vantage": vantage,
        "target_id": result.target_id,
        "provider": provider,
        "started_at": result.started_at,
        "duration_s": result.duration_s,
        "latency_s": result.latency_s,
        "outcome": result.outcome.value,
        "error": result.error.value if result.error else None,
        "kind": result.kind.value,
        "reason": result.reason.value,
        "slot_s": result.slot_s,
        "detail": result.detail,
        "code": result.code,
        "finish_reason": result.finish_reason,
        "retry_at": result.retry_at,
        "http_status": result.http_status,
        "failed_phase": result.failed_phase.value if result.failed_phase else None,
        "body_head": result.body_head,
        "phases": json.dumps({phase.value: s for phase, s in result.phases.items()}),
        "cost_usd": result.cost_usd,
        "received_bytes": result.received_bytes,
        "image_format": image.format if image else None,
        "image_width": image.width if image else None,
        "image_height": image.height if image else None,
        "image_bytes": image.size_bytes if image else None,
        "image_sha256": image.sha256 if image else None,
        "image_rgb": ",".join(map(str, image.dominant_rgb)) if image else None,
        "model_version": result.model_version,
        "request_id": result.request_id,
        "server_s": result.server_s,
        "http_version": result.http_version,
        "reused": result.reused,
        "shutdown_on": result.shutdown_on,
        "balance_usd": result.balance_usd,
        "limits": _LIMITS.dump_json(result.limits).decode() if result.limits else None,
    }
    return {key: _storable(v) if isinstance(v, str) else v for key, v in values.items()}


def probe_result(row: ProbeRow) -> ProbeResult:
    """Return the probe that *row* was made of."""
    return ProbeResult(
        probe_id=row.probe_id,
        target_id=row.target_id,
        started_at=row.started_at,
        duration_s=row.duration_s,
        latency_s=row.latency_s,
        error=ErrorClass(row.error) if row.error else None,
        kind=ProbeKind(row.kind),
        reason=ProbeReason(row.reason),
        slot_s=row.slot_s,
        detail=row.detail,
        code=row.code,
        finish_reason=row.finish_reason,
        retry_at=row.retry_at,
        http_status=row.http_status,
        failed_phase=Phase(row.failed_phase) if row.failed_phase else None,
        body_head=row.body_head,
        phases={Phase(name): seconds for name, seconds in json.loads(row.phases).items()},
        cost_usd=row.cost_usd,
        received_bytes=row.received_bytes,
        image=_image(row),
        model_version=row.model_version,
        request_id=row.request_id,
        server_s=row.server_s,
        http_version=row.http_version,
        reused=row.reused,
        shutdown_on=row.shutdown_on,
        balance_usd=row.balance_usd,
        limits=limits_of(row.limits),
    )


def limits_of(stored: str | None) -> tuple[Limit, ...]:
    """Return the request limits that a column holds."""
    return _LIMITS.validate_json(stored) if stored else ()


def _image(row: ProbeRow) -> ImageFacts | None:
    if row.image_sha256 is None:
        return None
    assert row.image_format is not None
    assert row.image_width is not None
    assert row.image_height is not None
    assert row.image_bytes is not None
    assert row.image_rgb is not None
    red, green, blue = map(int, row.image_rgb.split(","))
    return ImageFacts(
        format=row.image_format,
        width=row.image_width,
        height=row.image_height,
        size_bytes=row.image_bytes,
        sha256=row.image_sha256,
        dominant_rgb=(red, green, blue),
    )


def gap_values(target_id: str, reason: GapReason, at: float, slot_s: float) -> dict[str, Any]:
    """Return the columns of a gap's row."""
    return {"target_id": target_id, "at": at, "reason": reason.value, "slot_s": slot_s}


def order_values(order: Order) -> dict[str, Any]:
    """Return the columns of an order's row."""
    return {
        "pool": order.pool.id,
        "profile": order.profile.name,
        "version": order.version,
        "changed_at": order.changed_at,
        "valid_until": order.valid_until,
        "all_degraded": order.all_degraded,
        "places": _PLACES.dump_json(order.places).decode(),
    }


def order_of(row: OrderChangeRow, pool: PoolSpec, profile: Profile) -> Order:
    """Return the order that *row* was made of, for the pool as it is configured now."""
    try:
        places = _PLACES.validate_json(row.places)
    except ValidationError:
        # Written by a version with other places: the order is built anew, its number goes on.
        places = ()
    return Order(
        pool=pool,
        profile=profile,
        version=row.version,
        changed_at=row.changed_at,
        valid_until=row.valid_until,
        all_degraded=row.all_degraded,
        places=places,
    )
