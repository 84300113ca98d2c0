"""Looking into store files: do roll-ups agree with rows."""

from __future__ import annotations

from pathlib import Path

from monitor.store.opening import open_for_writing
from monitor.store.rollups import disagreements, disagreements_ever
from probes.model import ProbeKind

FOREVER = 1e11


def disagreeing(path: Path, since: float = 0.0) -> list[str]:
    """Where roll-ups and rows of the file at *path* differ, from the UTC midnight *since* on."""
    engine = open_for_writing(path, ())
    with engine.begin() as connection:
        found = [
            text
            for kind in (*ProbeKind, None)
            for text in disagreements(connection, kind, since, FOREVER)
        ]
        found += disagreements_ever(connection)
    engine.dispose()
    return found
