"""
A thousand deaths of a process that sends notifications: what was lost, what came twice.

    python -m tests.benchmarks.kill_notify [KILLS] [SEED]
"""

from __future__ import annotations

import platform
import sys
import tempfile
from pathlib import Path

from tests.support.tellings import hear

KILLS, SEED = 1000, 20261125


def main() -> None:
    """Print one line, and fail where anything was lost."""
    arguments = [int(text) for text in sys.argv[1:]]
    kills, seed = [*arguments, *(KILLS, SEED)[len(arguments) :]]
    with tempfile.TemporaryDirectory() as folder:
        heard = hear(Path(folder) / "a.db", kills, seed)
    print(
        f"{heard.killed} kills, {heard.events} events in {heard.messages} messages: {heard.lost} lost, "
        f"{heard.doubled} told under two keys, {heard.repeats} messages repeated under their key "
        f"({heard.unanswered} requests had been taken without an answer); "
        f"Python {platform.python_version()} on {platform.machine()}, seed {seed}"
    )
    raise SystemExit(bool(heard.lost or heard.doubled or heard.unsigned or heard.open_rows))


if __name__ == "__main__":
    main()
