"""The schema's version (``PRAGMA user_version``) and the steps from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, insert
from sqlmodel import SQLModel

from monitor.core.tallies import HOUR_S, MINUTE_S
from monitor.errors import StoreError
from monitor.store import journal, outbox, reports, rollups, tables
from monitor.version import __version__


def _create(connection: Connection) -> None:
    _create_tables(connection, "probes", "gaps", "order_changes", "meta")
    made_by = {"key": "created_by", "value": f"imgmon {__version__}"}
    connection.execute(insert(tables.MetaRow).values(made_by))


def _add_ledger(connection: Connection) -> None:
    _create_tables(connection, "reservations", "cap_marks")
    # What was paid for before there was a ledger counts against today's and this month's caps.
    connection.exec_driver_sql(
        "INSERT INTO reservations (probe_id, target_id, provider, at, micros, is_settled) "
        "SELECT probe_id, target_id, provider, started_at, round(sum(cost_usd) * 1e6), 1 "
        "FROM probes WHERE cost_usd > 0 GROUP BY probe_id"
    )


def _add_what_free_calls_tell(connection: Connection) -> None:
    _add_columns(connection, "probes", "shutdown_on", "balance_usd", "limits")


def _book_free_probes(connection: Connection) -> None:
    # The ledger now counts requests too: what was sent in the newest day counts against quotas.
    connection.exec_driver_sql(
        "INSERT OR IGNORE INTO reservations (probe_id, target_id, provider, at, micros, is_settled) "
        "SELECT probe_id, target_id, provider, started_at, 0, 1 FROM probes WHERE cost_usd = 0 "
        "AND kind <> 'liveness' AND started_at >= (SELECT max(started_at) FROM probes) - 90000"
    )


def _add_batch_jobs(connection: Connection) -> None:
    _create_tables(connection, "batch_jobs")


def _add_journal(connection: Connection) -> None:
    # Empty: the next start finds the stored probes in nobody's log and follows them.
    _create_tables(connection, *journal.TABLES)


def _add_months(connection: Connection) -> None:
    _create_tables(connection, "months")


def _add_rollups(connection: Connection) -> None:
    _create_tables(connection, "rollups", "gap_rollups")
    rollups.fill(connection)


def _index_by_kind(connection: Connection) -> None:
    # Rows of one kind are read and pruned by time; a time alone leads through all kinds.
    connection.exec_driver_sql("DROP INDEX IF EXISTS ix_probes_started_at")
    for table in ("probes", "gaps", "order_changes"):
        for index in SQLModel.metadata.tables[table].indexes:
            index.create(connection, checkfirst=True)


def _add_reports(connection: Connection) -> None:
    _create_tables(connection, reports.TABLE)
    # Sums by the minute and the hour are pruned by time; all others are kept for good.
    connection.exec_driver_sql(
        "CREATE INDEX IF NOT EXISTS rollups_that_go ON rollups (span_s, at) "
        f"WHERE span_s IN ({MINUTE_S}, {HOUR_S})"
    )


def _add_outbox(connection: Connection) -> None:
    # Empty: routes begin with the events after their first start.
    _create_tables(connection, *outbox.TABLES)


def _mark_summed_reports(connection: Connection) -> None:
    # So far their sums were made by their own transactions.
    connection.exec_driver_sql(
        f"INSERT OR REPLACE INTO meta SELECT ?, coalesce(max(id), 0) FROM {reports.TABLE}",  # noqa: S608
        (rollups.SUMMED_TO,),
    )


def _add_columns(connection: Connection, table: str, *names: str) -> None:
    """Add columns that may be null, unless the table was made with them."""
    there = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")}
    for name in names:
        if name not in there:
            kind = SQLModel.metadata.tables[table].columns[name].type.compile(connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


def _create_tables(connection: Connection, *names: str) -> None:
    tables_made = [SQLModel.metadata.tables[name] for name in names]
    SQLModel.metadata.create_all(connection, tables_made)


# Step n leads from version n to n + 1; a step that was released is never changed.
STEPS: Final[tuple[Callable[[Connection], None], ...]] = (
    _create,
    _add_ledger,
    _add_what_free_calls_tell,
    _book_free_probes,
    _add_batch_jobs,
    _add_journal,
    _add_months,
    _add_rollups,
    _index_by_kind,
    _add_reports,
    _add_outbox,
    _mark_summed_reports,
)


def schema_version(connection: Connection, path: Path) -> int:
    """
    Return the version of the file; 0 for an empty one. Changes nothing.

    Raises:
        StoreError: a newer imgmon wrote it, or it is another program's.
    """
    version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    used = connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one()
    if version > len(STEPS):
        raise StoreError(
            f"{path} has schema version {version}, this imgmon knows {len(STEPS)}; "
            "run the newer imgmon that wrote it, or set another [store] path"
        )
    if version == 0 and used:
        raise StoreError(f"{path} is the database of another program; set another [store] path")
    return version


def migrate(engine: Engine, version: int) -> None:
    """Bring a file of *version* to the newest one, each step in a transaction of its own."""
    for number, step in enumerate(STEPS[version:], start=version + 1):
        with engine.begin() as connection:
            step(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {number}")
