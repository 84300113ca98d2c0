"""What a receiver heard of processes that were killed, counted."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

from monitor.notify.channels import SIGNATURE, signature
from tests.support.tellers import SECRET
from tests.support.webhooks import Answer, Posted, Receiver

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Heard:
    """
    Counts of one run.

    Attributes:
        events: Stored, all of which are to be told.
        lost: Of these, those that no message told.
        doubled: Told in messages of different keys, which no receiver could recognise.
        messages: Different ones.
        repeats: Requests beyond the first of a message.
        unanswered: Requests that were taken and then not answered.
        unsigned: Requests whose signature is wrong.
        open_rows: Messages that the outbox does not have for done.
    """

    killed: int
    events: int
    lost: int
    doubled: int
    messages: int
    repeats: int
    unanswered: int
    unsigned: int
    open_rows: int


def hear(store: Path, kills: int, seed: int) -> Heard:
    """Kill tellers *kills* times, and count what a receiver that fails at times was told."""
    rng, unanswered = Random(seed), Counter[str]()

    def answer(_: Posted) -> Answer | None:
        draw = rng.random()
        if draw < 0.04:
            unanswered["all"] += 1
            return None
        return (503, {}, b"not now") if draw < 0.1 else (200, {}, b"")

    with Receiver(answer) as receiver:
        command = [sys.executable, "-m", "tests.support.tellers", str(store), receiver.url]
        done = subprocess.run(
            [*command, str(kills), str(seed)], cwd=ROOT, capture_output=True, text=True, check=True
        )
    posts = receiver.posted
    told = Counter(
        notice["event"] for body in {p.body for p in posts} for notice in Posted("", {}, body).json["notices"]
    )  # fmt: skip
    with closing(sqlite3.connect(store)) as raw:
        stored = {number for (number,) in raw.execute("SELECT id FROM events")}
        (open_rows,) = raw.execute(
            "SELECT count(*) FROM deliveries WHERE fate <> 'done'"
        ).fetchone()
    keys = Counter(post.headers["Idempotency-Key"] for post in posts)
    return Heard(
        killed=int(done.stdout),
        events=len(stored),
        lost=len(stored - told.keys()),
        doubled=sum(n > 1 for n in told.values()),
        messages=len(keys),
        repeats=len(posts) - len(keys),
        unanswered=unanswered["all"],
        unsigned=sum(not _is_signed(post) for post in posts),
        open_rows=open_rows,
    )


def _is_signed(post: Posted) -> bool:
    header = post.headers[SIGNATURE]
    timestamp = int(header.split(",")[0].removeprefix("t="))
    return header == signature(SECRET, timestamp, post.body)
