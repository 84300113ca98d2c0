"""Until when rows are kept, and how many of them may go at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from monitor.core.spend import Period, period_start

DAY_S: Final = 86_400.0
# A slice aims for half of what it may take: the next one may be on a slower stretch of the disk.
SLICE_S_MAX: Final = 0.05
# A day more than the longest window that is read by minutes (6 h) and by hours (7 d).
REPORT_MINUTES_S: Final = 2 * DAY_S
REPORT_HOURS_S: Final = 8 * DAY_S
ROWS_MIN: Final = 1
ROWS_FIRST: Final = 50
ROWS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """
    How long rows are kept at least, in seconds. Roll-ups and totals are kept for good.

    Attributes:
        probes_s: Generations, gaps, orders and closed batch jobs.
        free_calls_s: Free calls.
        reports_s: Client reports; their sums by minute and hour as long as windows read them.
    """

    probes_s: float = 400 * DAY_S
    free_calls_s: float = 30 * DAY_S
    reports_s: float = 7 * DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoffs:
    """Wall times, all UTC midnights, before which rows may go; as in :class:`Retention`."""

    probes: float
    free_calls: float
    reports: float
    report_minutes: float
    report_hours: float
    ledger: float


def cutoffs(retention: Retention, now: float) -> Cutoffs:
    """
    Return what may go at *now*.

    Whole UTC days, so that the roll-up of a day is that of all its rows or of rows that are gone. Of
    the ledger the running month and the two before it stay: caps look at the running one, and a clock
    set back at the one before.
    """
    month = period_start(Period.MONTH, now)
    for _ in range(2):
        month = period_start(Period.MONTH, month - 1)
    return Cutoffs(
        probes=(now - retention.probes_s) // DAY_S * DAY_S,
        free_calls=(now - retention.free_calls_s) // DAY_S * DAY_S,
        reports=(now - retention.reports_s) // DAY_S * DAY_S,
        report_minutes=(now - REPORT_MINUTES_S) // DAY_S * DAY_S,
        report_hours=(now - REPORT_HOURS_S) // DAY_S * DAY_S,
        ledger=month,
    )


def resized(rows: int, took_s: float) -> int:
    """Return how many rows to take next, after *rows* of them held up the writer for *took_s*."""
    wanted = rows * SLICE_S_MAX / 2 / took_s if took_s > 0 else rows * 2
    # Never more than twice as many: one quick slice proves little.
    return max(ROWS_MIN, min(int(wanted), rows * 2, ROWS_MAX))
