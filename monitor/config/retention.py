"""How long rows are kept, and why not shorter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from monitor.config.schema import StoreTable
from monitor.config.values import duration_text
from monitor.core.quota import LEARNED_S
from monitor.core.retention import DAY_S, Retention
from monitor.errors import Problem

# A restart reads the longest window; a day more, for probes that ran over midnight or a clock set back.
_MARGIN_S: Final = DAY_S
# The running calendar month and the one before, of which figures are given.
_MONTHS_S: Final = 62 * DAY_S


def retention(
    store: StoreTable, windows: Mapping[str, float], problems: list[Problem]
) -> Retention:
    """Return what is kept; what would be too short is added to *problems*."""
    name, longest_s = max(windows.items(), key=lambda window: window[1])
    probes_min_s = max(longest_s, _MONTHS_S) + _MARGIN_S
    calls_min_s = LEARNED_S + _MARGIN_S
    if store.keep_probes is not None and store.keep_probes < probes_min_s:
        why = (
            f"the window {name} looks back {duration_text(longest_s)}"
            if longest_s > _MONTHS_S
            else "figures of this calendar month and the last look back up to 62d"
        )
        problems.append(
            Problem(
                "store.keep_probes",
                f"must be at least {duration_text(probes_min_s)}: {why}, and a day is for clocks",
                'raise it, or leave it out for "400d" or more',
            )
        )
    if store.keep_free_calls < calls_min_s:
        problems.append(
            Problem(
                "store.keep_free_calls",
                f"must be at least {duration_text(calls_min_s)}: request limits that free calls told "
                f"of hold for {duration_text(LEARNED_S)}, and a day is for clocks",
                'raise it, or leave it out for "30d"',
            )
        )
    kept = Retention().probes_s if store.keep_probes is None else store.keep_probes
    if store.keep_reports < 2 * DAY_S:
        problems.append(
            Problem(
                "store.keep_reports",
                "must be at least 2d: a repeated report must be known again for a day, and a day is "
                "for clocks",
                'raise it, or leave it out for "7d"',
            )
        )
    return Retention(
        probes_s=max(kept, probes_min_s),
        free_calls_s=store.keep_free_calls,
        reports_s=store.keep_reports,
    )
