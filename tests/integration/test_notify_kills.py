"""A daemon that is killed at any moment loses no notification and repeats few."""

from __future__ import annotations

from tests.support.tellings import hear

KILLS = 60
SEED = 20261125


def test_no_death_of_a_process_loses_a_notification(tmp_path):
    """Law: each event is in exactly one message, each message arrives, repeats have its key."""
    heard = hear(tmp_path / "a.db", KILLS, SEED)

    assert (KILLS, 0, 0, 0, 0) == (
        heard.killed,
        heard.lost,
        heard.doubled,
        heard.unsigned,
        heard.open_rows,
    )
    # One death can repeat one message, and so can an answer that never came.
    assert heard.repeats <= heard.killed + heard.unanswered
    # It was a test: there was much to lose.
    assert heard.events > 2 * KILLS
    assert heard.messages > KILLS / 2
