"""
What a restart folds: the rows that still count, as far as the fold looks at them.

A month of probes is read as tuples of a few columns. Only the newest generation of each target, which
is shown, comes with all of them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from monitor.core.finding import Finding, Seen
from monitor.store.tables import ProbeRow, limits_of, probe_result
from probes.model import ErrorClass, Outcome, ProbeKind, ProbeReason

# Kinds that are no free calls; each is a range of the indexes by kind.
_GENERATIONS: Final = tuple(kind.value for kind in ProbeKind if kind is not ProbeKind.LIVENESS)
_ERRORS: Final = {None: None} | {error.value: error for error in ErrorClass}
_OUTCOMES: Final = {None: Outcome.GOOD} | {error.value: error.outcome for error in ErrorClass}
_KINDS: Final = {kind.value: kind for kind in ProbeKind}
_REASONS: Final = {reason.value: reason for reason in ProbeReason}
# The newest rows of each (target, kind) that are *wanted*, found from the end of the index by kind.
_NEWEST: Final = """
SELECT {columns} FROM json_each(?) AS target, json_each(?) AS kind
JOIN probes ON probes.id IN (
  SELECT id FROM probes INDEXED BY probes_by_kind
  WHERE target_id = target.value AND kind = kind.value AND {wanted} ORDER BY id DESC LIMIT ?)
"""


def evidence(
    session: Session,
    targets: Iterable[str],
    since: float,
    free_calls: int,
    in_full: Collection[int],
) -> Iterator[Finding]:
    """
    Return the probes of *targets* started at or after *since*, in the order in which they finished.

    Args:
        session: Of the file.
        targets: Ids; rows of others are left out.
        since: Wall time, seconds since the epoch.
        free_calls: So many of each target, the newest.
        in_full: Numbers of further rows that come with all columns.
    """
    ids = json.dumps(list(targets))
    connection = session.connection()
    is_new = "started_at >= ?"
    newest = _NEWEST.format(columns="max(probes.id)", wanted=is_new) + "GROUP BY target.value"
    shown = connection.exec_driver_sql(newest, (ids, json.dumps(_GENERATIONS), since, 1))
    numbers = json.dumps([*shown.scalars(), *in_full])
    asked = func.json_each(numbers).table_valued("value")
    rows = session.exec(select(ProbeRow).where(col(ProbeRow.id).in_(sql_select(asked.c.value))))
    whole = {row.id: probe_result(row) for row in rows}
    calls = _NEWEST.format(columns="probes.id", wanted=is_new)
    columns = (
        "id, target_id, started_at, duration_s, latency_s, error, kind, reason, slot_s, "
        "detail, retry_at, shutdown_on, balance_usd, limits"
    )
    query = (
        f"SELECT {columns} FROM probes WHERE kind IN (SELECT value FROM json_each(?)) "  # noqa: S608
        "AND started_at >= ? AND target_id IN (SELECT value FROM json_each(?)) "
        f"UNION ALL SELECT {columns} FROM probes WHERE id IN ({calls}) ORDER BY id"
    )
    of_calls = (ids, json.dumps([ProbeKind.LIVENESS.value]), since, free_calls)
    # The driver's own rows: a hundred thousand of SQLAlchemy's take half as long again.
    driver = connection.connection.cursor()
    found = driver.execute(query, (json.dumps(_GENERATIONS), since, ids, *of_calls))
    for (
        row_id, target, started_at, duration_s, latency_s, error, kind, reason, slot_s,
        detail, retry_at, shutdown_on, balance_usd, limits,
    ) in found:  # fmt: skip
        # By place: a hundred thousand of them by name take a sixth of a start.
        yield whole.get(row_id) or Seen(
            target, started_at, duration_s, latency_s, _ERRORS[error], _OUTCOMES[error],
            _KINDS[kind], _REASONS[reason], slot_s, detail, retry_at, shutdown_on, balance_usd,
            limits_of(limits) if limits else (),
        )  # fmt: skip


def recent_hashes(
    session: Session, targets: Iterable[str], count: int
) -> dict[str, tuple[str, ...]]:
    """Return the SHA-256 of the newest *count* pictures of each of *targets*, oldest first."""
    query = _NEWEST.format(columns="target_id, image_sha256", wanted="image_sha256 IS NOT NULL")
    arguments = (json.dumps(list(targets)), json.dumps(_GENERATIONS), count)
    found: dict[str, list[str]] = {}
    for target, sha256 in session.connection().exec_driver_sql(
        f"{query} ORDER BY probes.id", arguments
    ):
        found.setdefault(target, []).append(sha256)
    return {target: tuple(hashes[-count:]) for target, hashes in found.items()}
