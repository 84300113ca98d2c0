"""
The books on probes: what is set aside before a request leaves, and what was billed after.

One line for each generation, also for those that cost nothing: money is the sum of the lines, quotas
are about their number. A reservation is committed before the probe is sent and stays booked at its
worst case until the probe's own row comes with the billed amount, in the same transaction. What a
process that died had under way is never settled. The file is in WAL mode with
``synchronous=NORMAL``: a commit survives the death of the process at any point; a machine that
loses power may lose the newest ones.

Sums go over all that was booked at or after the start of the running day or month, with no upper
end: a wall clock set back counts what was booked under the later time too, so it frees no cap.
Counts end a long day ahead: a clock that leapt a year and came back would otherwise leave a provider
unwatched for that year, and here no money is at stake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlmodel import col

from monitor.core.quota import DAY_S_MAX, Quota, QuotaUse
from monitor.core.spend import Cap, CapUse, Claim, Decision, Scope, decide, micros, period_start
from monitor.store.journal import add_cap_event
from monitor.store.tables import CapMarkRow, ReservationRow
from probes.model import ProbeKind

_COLUMN_OF = {Scope.PROVIDER: ReservationRow.provider, Scope.TARGET: ReservationRow.target_id}


def reserve(connection: Connection, claim: Claim) -> Decision:
    """
    Book *claim* at its worst case if it fits every cap and quota, and return what was decided.

    Marks are only those that nobody was told of in their period. *connection* must be inside a
    ``BEGIN IMMEDIATE`` transaction: sums and booking are one step for every process on the file.
    """
    uses = [CapUse(cap, _booked(connection, cap, claim)) for cap in claim.caps]
    quotas = [QuotaUse(quota, _asked(connection, quota, claim)) for quota in claim.quotas]
    decision = decide(claim, uses, quotas)
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
        (mark, use) for mark, use in decision.marks if _is_news(connection, claim, mark, use)
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


def _asked(connection: Connection, quota: Quota, claim: Claim) -> int:
    """Return the probes that count against *quota* since its running period began."""
    at = col(ReservationRow.at)
    query = select(func.count()).where(at >= quota.since, at <= claim.at + DAY_S_MAX)
    if quota.targets:
        query = query.where(col(ReservationRow.target_id).in_(quota.targets))
    else:
        query = query.where(col(ReservationRow.provider) == quota.provider)
    asked: int = connection.execute(query).scalar_one()
    return asked


def _is_news(connection: Connection, claim: Claim, mark: str, use: CapUse) -> bool:
    """Note *mark* and its event; False when it was noted for this cap in this period already."""
    cap = use.cap
    row = insert(CapMarkRow).values(
        cap=str(cap),
        micros=cap.micros,
        since=period_start(cap.period, claim.at),
        mark=mark,
    )
    if connection.execute(row.prefix_with("OR IGNORE")).rowcount == 0:
        return False
    add_cap_event(connection, mark, use, claim.at)
    return True


def settle(connection: Connection, probes: Sequence[dict[str, Any]]) -> None:
    """
    Replace the reservations of *probes* (columns of their rows) by what was billed.

    That may be more. The day stays that of the reservation; a generation or a bill that nothing was
    reserved for counts for the moment the probe started at.
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
        if bill["billed"] or probe["kind"] != ProbeKind.LIVENESS
    ]
    if unforeseen:
        # Those with a reservation are there already.
        connection.execute(insert(ReservationRow).prefix_with("OR IGNORE"), unforeseen)
