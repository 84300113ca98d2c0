"""
The books on probe money: what is set aside before a request leaves, and what was billed after.

A reservation is committed before the probe is sent and stays booked at its worst case until the
probe's own row comes with the billed amount, in the same transaction. What a process that died had
under way is never settled. The file is in WAL mode with ``synchronous=NORMAL``: a commit survives
the death of the process at any point; a machine that loses power may lose the newest ones.

Sums go over all that was booked at or after the start of the running day or month, with no upper
end: a wall clock set back counts what was booked under the later time too, so it frees no cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlmodel import col

from monitor.core.spend import Cap, CapUse, Claim, Decision, Scope, decide, micros, period_start
from monitor.store.tables import CapMarkRow, ReservationRow

_COLUMN_OF = {Scope.PROVIDER: ReservationRow.provider, Scope.TARGET: ReservationRow.target_id}


def reserve(connection: Connection, claim: Claim) -> Decision:
    """
    Book *claim* at its worst case if it fits into every cap, and return what was decided.

    Marks are only those that nobody was told of in their period. *connection* must be inside a
    ``BEGIN IMMEDIATE`` transaction: sums and booking are one step for every process on the file.
    """
    uses = [CapUse(cap, _booked(connection, cap, claim)) for cap in claim.caps]
    decision = decide(claim, uses)
    if decision.refused_by is None:
        connection.execute(
            insert(ReservationRow).values(
                probe_id=claim.probe_id,
                target_id=claim.target_id,
                provider=claim.provider,
                at=claim.at,
                micros=claim.micros,
                is_settled=False,
            )
        )
    news = tuple(
        (mark, use) for mark, use in decision.marks if _is_news(connection, claim, mark, use.cap)
    )
    return Decision(refused_by=decision.refused_by, marks=news)


def _booked(connection: Connection, cap: Cap, claim: Claim) -> int:
    query = select(func.coalesce(func.sum(ReservationRow.micros), 0)).where(
        col(ReservationRow.at) >= period_start(cap.period, claim.at)
    )
    if cap.scope is not Scope.GLOBAL:
        query = query.where(col(_COLUMN_OF[cap.scope]) == cap.id)
    booked: int = connection.execute(query).scalar_one()
    return booked


def _is_news(connection: Connection, claim: Claim, mark: str, cap: Cap) -> bool:
    """Note *mark*; False when it was noted for this cap in this period already."""
    row = insert(CapMarkRow).values(
        cap=str(cap),
        micros=cap.micros,
        since=period_start(cap.period, claim.at),
        mark=mark,
    )
    return connection.execute(row.prefix_with("OR IGNORE")).rowcount == 1


def settle(connection: Connection, probes: Sequence[dict[str, Any]]) -> None:
    """
    Replace the reservations of *probes* (columns of their rows) by what was billed.

    That may be more. The day stays that of the reservation; a bill for what nothing was reserved
    for counts for the day the probe started on.
    """
    bills = [{"of": p["probe_id"], "billed": micros(p["cost_usd"])} for p in probes]
    row = update(ReservationRow).where(col(ReservationRow.probe_id) == bindparam("of"))
    connection.execute(row.values(micros=bindparam("billed"), is_settled=True), bills)
    unforeseen = [
        {
            "probe_id": probe["probe_id"],
            "target_id": probe["target_id"],
            "provider": probe["provider"],
            "at": probe["started_at"],
            "micros": bill["billed"],
            "is_settled": True,
        }
        for probe, bill in zip(probes, bills, strict=True)
        if bill["billed"]
    ]
    if unforeseen:
        # Those with a reservation are there already.
        connection.execute(insert(ReservationRow).prefix_with("OR IGNORE"), unforeseen)
