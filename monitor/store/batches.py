"""
Batch jobs on disk: booked with their money before they are created, ended with their result.

Each function is one step of a transaction (:meth:`monitor.store.writer.Writer.ask`). A row stays
when its job is closed: it says that its slot has had its job.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, update
from sqlmodel import col

from monitor.core.batch import Job, Stage
from monitor.core.spend import Claim, Decision
from monitor.store.ledger import reserve, settle
from monitor.store.rollups import rolled_up
from monitor.store.tables import BatchJobRow, ProbeRow, probe_values
from probes.batch import BatchState
from probes.model import Phase, ProbeResult

_RESULTS: Final = TypeAdapter(ProbeResult | None)
_PHASES: Final = TypeAdapter(dict[Phase, float])
# Only who asks for a job's end writes this.
_ASKED: Final = "cancel_requested_at"


def book(connection: Connection, job: Job, claim: Claim, vantage: str) -> Decision:
    """
    Book the *claim* of *job* and note the job, or neither.

    Raises:
        sqlalchemy.exc.IntegrityError: its slot has a job already.
    """
    decision = reserve(connection, claim)
    if decision.refused_by is None:
        connection.execute(insert(BatchJobRow).values(**_values(job), vantage=vantage))
    return decision


def save(connection: Connection, job: Job) -> None:
    """Keep what became of *job*; a request to cancel it, which others write, stays as it is."""
    values = {name: value for name, value in _values(job).items() if name != _ASKED}
    connection.execute(_row(job.probe_id).values(values))


def end(connection: Connection, job: Job, result: ProbeResult, vantage: str) -> bool:
    """
    Store the one result of *job*, settle its money and keep *job* as it is then.

    Change nothing and return False when it has ended already: a job has one result.
    """
    over = _open_row(job.probe_id).values(stage=job.stage.value)
    if connection.execute(over).rowcount == 0:
        return False
    values = probe_values(result, job.provider, vantage)
    with rolled_up(connection, {"probes"}):
        connection.execute(insert(ProbeRow), [values])
    settle(connection, [values])
    save(connection, job)
    return True


def request_cancel(connection: Connection, probe_id: str, at: float) -> bool:
    """Note that an operator asks for the end of a job; False when it has ended already."""
    return connection.execute(_open_row(probe_id).values({_ASKED: at})).rowcount == 1


def job_of(row: BatchJobRow) -> Job:
    """Return the job that *row* was made of."""
    values = {field.name: getattr(row, field.name) for field in fields(Job)}
    return Job(
        **values
        | {
            "stage": Stage(row.stage),
            "state": BatchState(row.state) if row.state else None,
            "phases": _PHASES.validate_json(row.phases),
            "doubt": _RESULTS.validate_json(row.doubt) if row.doubt else None,
        }
    )


def _values(job: Job) -> dict[str, Any]:
    values = {name: value for name, value in asdict(job).items() if name != "doubt"}
    return values | {
        "stage": job.stage.value,
        "state": job.state.value if job.state else None,
        "phases": _PHASES.dump_json(dict(job.phases)).decode(),
        "doubt": _RESULTS.dump_json(job.doubt).decode() if job.doubt else None,
    }


def _row(probe_id: str) -> Any:
    return update(BatchJobRow).where(col(BatchJobRow.probe_id) == probe_id)


def _open_row(probe_id: str) -> Any:
    return _row(probe_id).where(col(BatchJobRow.stage) == Stage.OPEN.value)
