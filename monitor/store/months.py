"""Calendar months in the store: what is known of one, and those whose figures are frozen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import TypeAdapter
from sqlalchemy import Connection, func, insert
from sqlmodel import Session, col, select

from monitor.core.gaps import Gap
from monitor.core.months import Evidence, MonthFigures, month_bounds, month_of
from monitor.core.snapshot import GapReason
from monitor.core.window import Sample
from monitor.store.tables import GapRow, MonthRow, ProbeRow, ReservationRow
from probes.model import ErrorClass, Outcome, ProbeKind, ProbeReason

_FIGURES: Final = TypeAdapter(MonthFigures)
_SAMPLES: Final = (ProbeKind.CANARY.value, ProbeKind.BATCH.value)


def freeze(connection: Connection, month: MonthFigures) -> bool:
    """Keep the figures of a month that is over; False, and nothing is changed, when it has some."""
    assert month.is_final
    row = {
        "target_id": month.target,
        "month": month.month,
        "frozen_at": month.made_at,
        "figures": _FIGURES.dump_json(month).decode(),
    }
    done = connection.execute(insert(MonthRow).prefix_with("OR IGNORE").values(row))
    return done.rowcount == 1


def frozen(session: Session, target_id: str) -> tuple[MonthFigures, ...]:
    """Return the frozen months of a target, oldest first."""
    query = select(MonthRow.figures).where(MonthRow.target_id == target_id)
    rows = session.exec(query.order_by(col(MonthRow.month)))
    return tuple(map(_FIGURES.validate_json, rows))


def open_months(session: Session, target_id: str) -> list[str]:
    """Return the months after the newest frozen one that have any row of a target."""
    query = select(func.max(MonthRow.month)).where(MonthRow.target_id == target_id)
    newest = session.exec(query).one()
    return list(_months_from(session, target_id, month_bounds(newest)[1] if newest else 0.0))


def _months_from(session: Session, target_id: str, since: float) -> Iterator[str]:
    """Yield the months with a row at or after *since*: a leap in an index for each."""
    while True:
        firsts: list[float | None] = [
            session.exec(select(func.min(at)).where(owner == target_id, at >= since)).one()
            for owner, at in (
                (col(ProbeRow.target_id), col(ProbeRow.started_at)),
                (col(GapRow.target_id), col(GapRow.at)),
            )
        ]
        known = [at for at in firsts if at is not None]
        if not known:
            return
        month = month_of(min(known))
        yield month
        since = month_bounds(month)[1]


def evidence(session: Session, target_id: str, month: str) -> Evidence:
    """Return the scheduled samples and the gaps of a target in a month, and what it cost."""
    since, until = month_bounds(month)
    columns = (
        col(ProbeRow.started_at),
        col(ProbeRow.error),
        col(ProbeRow.latency_s),
        col(ProbeRow.duration_s),
        col(ProbeRow.slot_s),
    )
    rows = session.exec(
        # No more than a window asks for: the rest of a row is most of it.
        select(*columns)  # type: ignore[call-overload]  # SQLModel types four columns at most.
        .where(
            ProbeRow.target_id == target_id,
            col(ProbeRow.started_at) >= since,
            col(ProbeRow.started_at) < until,
            ProbeRow.reason == ProbeReason.SCHEDULED.value,
            col(ProbeRow.kind).in_(_SAMPLES),
        )
        .order_by(col(ProbeRow.started_at))
    )
    gaps = session.exec(
        select(GapRow)
        .where(GapRow.target_id == target_id, col(GapRow.at) >= since, col(GapRow.at) < until)
        .order_by(col(GapRow.at))
    )
    at = col(ReservationRow.at)
    micros = session.exec(
        select(func.sum(ReservationRow.micros)).where(
            ReservationRow.target_id == target_id, at >= since, at < until
        )
    ).one()
    return Evidence(
        samples=tuple(_sample(*row) for row in rows),
        gaps=tuple(Gap(g.target_id, g.at, GapReason(g.reason), g.slot_s) for g in gaps),
        spend_usd=(micros or 0) / 1e6,
    )


def _sample(
    at: float, error: str | None, latency_s: float | None, duration_s: float, slot_s: float
) -> Sample:
    return Sample(
        at=at,
        outcome=ErrorClass(error).outcome if error else Outcome.GOOD,
        is_timeout=error == ErrorClass.TIMEOUT.value,
        latency_s=latency_s,
        duration_s=duration_s,
        slot_s=slot_s,
    )
