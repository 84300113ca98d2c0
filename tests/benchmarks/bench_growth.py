"""
How a file grows: bytes per target and day, by what they are for.

    python tests/benchmarks/bench_growth.py

A canary every 15 minutes and a free call every 5 minutes, of which every third is left out because a
picture has just come; 2 % of canaries fail and are confirmed. 30 days of 30 targets.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from bench_start import TARGETS, history, make

DAYS = 30


def sizes(free_days: float) -> dict[str, float]:
    """Bytes per target-day by table, indexes included, with free calls for so many days."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "imgmon.db"
        make(path, history(DAYS, 900.0, free_days))
        with closing(sqlite3.connect(path)) as raw:
            return {
                name: size / TARGETS / DAYS
                for name, size in raw.execute(
                    "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name) "
                    "GROUP BY tbl_name"
                )
            }


def main() -> None:
    """Make one file with free calls and one without, and print bytes per target-day."""
    alone, both = sizes(0.0), sizes(DAYS)
    print(
        f"bytes a target-day: canaries {alone['probes']:.0f}, free calls "
        f"{both['probes'] - alone['probes']:.0f}, ledger {both['reservations']:.0f}, roll-ups "
        f"{both['rollups'] + both['gap_rollups']:.0f}, gaps {both['gaps']:.0f}; "
        f"SQLite {sqlite3.sqlite_version}"
    )


if __name__ == "__main__":
    main()
