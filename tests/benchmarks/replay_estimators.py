"""
Which rule tells best from canaries whether a target is down, and how long it takes: by replay.

    python -m tests.benchmarks.replay_estimators [--write]

Outages of public monitors (IMGMON_TRACES), one-off failures added, watched by the product's
schedule: every rule hears the very same canaries. Latencies are those of drawn worlds.
"""

from __future__ import annotations

import csv
import gzip
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import log
from pathlib import Path
from random import Random
from statistics import fmean

from monitor.core.percentile import nearest_rank
from monitor.core.spec import Policy
from monitor.replay.synthetic import synthetic
from monitor.replay.world import World
from probes.model import ErrorClass
from tests.benchmarks.estimators import Estimator, estimators, latency_estimators
from tests.benchmarks.replay_schedule import (
    MONTH_S,
    ONE_OFF,
    TRACES,
    Outage,
    a_spec,
    episodes,
    is_calm,
    traces,
)
from tests.support.watching import watch

NOTES = Path(__file__).parent / "ESTIMATORS.md"
INTERVAL_S = 900.0
# Windows are full before an outage, and their memory of it is played out after it.
BEFORE, AFTER = 24, 24
CALM_MONTHS = 40
EPISODES_MAX = 40  # Of one service: a flapper says the same again.
EVENT_S = 3_600.0  # Outages of one monitor that begin closer together are one event.
RESAMPLES = 400
DAY, HOUR = 96, 4  # In canaries.
WORLDS = 4
DAY_S = 86_400.0
LEAST = 20  # Latencies that have a p95.
CHOSEN = """\
Two in a row stays. A success more after each relapse is what the daemon asks for since targets flap: by
these minutes it neither pays nor costs much, 0.1 less not demoted and 1.4 longer demoted an outage. CUSUM
at 5 decides as two in a row does. One in a row or a lower threshold demotes
calm targets; three in a row and CUSUM at 7.5 demote too long, partly because the schedule confirms two
results and leaves the third to the next slot; bounds of a window remember an outage for hours; the
filter holds flapping targets down for longer, which spares some relapses and costs nearly twice the time
demoted for nothing. Its p and that of the moving average forecast better around outages, the shrunk
share of the first lines better in calm. Windowed percentiles stay: nothing beats them on recorded
answers throughout, and their bounds need no distribution. Drawn latencies are log-normal, as the
averages of logarithms assume.
"""
Heard = tuple[float, bool]  # When a canary ended, and whether it gave a picture.


@dataclass(slots=True)
class Tally:
    """What one rule came to: seconds, squared errors, counts."""

    outages: int = 0
    missed_s: float = 0.0  # Down, and not demoted.
    late_s: float = 0.0  # Up, and demoted.
    squares: float = 0.0
    canaries: int = 0
    up_squares: float = 0.0  # While the product's rule does not demote.
    up_canaries: int = 0

    def add(self, other: Tally) -> None:
        """Add *other* to this."""
        self.outages += other.outages
        self.missed_s += other.missed_s
        self.late_s += other.late_s
        self.squares += other.squares
        self.canaries += other.canaries
        self.up_squares += other.up_squares
        self.up_canaries += other.up_canaries


@dataclass(slots=True)
class Event:
    """Outages of one monitor at about one time, a tally for each rule."""

    monitor: str
    end: float
    tallies: list[Tally] = field(default_factory=list)


def canaries(down: Sequence[Outage], rng: Random) -> list[Heard]:
    """What the product's schedule sees of some outages, from the calm before to that after."""

    def answer(at: float) -> tuple[ErrorClass | None, float]:
        is_down = any(begin <= at < end for begin, end in down)
        return (ErrorClass.OVERLOADED if is_down or rng.random() < ONE_OFF else None), 5.0

    found: list[Heard] = []
    begin = down[0][0] - BEFORE * INTERVAL_S
    seed = rng.randrange(1 << 30)
    for result, state in watch(a_spec(INTERVAL_S), Policy(), answer, begin, seed=seed):
        found.append((result.started_at + result.duration_s, result.error is None))
        is_after = result.started_at > down[-1][1] + AFTER * INTERVAL_S
        if is_after and is_calm(result, state):
            break
    return found


def judged(rule: Estimator, heard: Sequence[Heard], down: Sequence[Outage]) -> Tally:
    """How well *rule* told *down* from *heard*; its word holds until the next canary."""
    found, ours = Tally(outages=len(down)), estimators()[0]
    for (at, is_good), (until, _) in pairwise([*heard, (heard[-1][0], True)]):
        square = (rule.p(at) - is_good) ** 2
        found.squares += square
        found.canaries += 1
        if not ours.is_demoted:
            found.up_squares += square
            found.up_canaries += 1
        ours.hear(at, is_good=is_good)
        rule.hear(at, is_good=is_good)
        down_s = sum(max(0.0, min(e, until) - max(b, at)) for b, e in down)
        if rule.is_demoted:
            found.late_s += until - at - down_s
        else:
            found.missed_s += down_s
    return found


def played() -> list[Event]:
    """Every event of the traces, judged by every rule."""
    found: list[Event] = []
    for monitor, services in traces()[0].items():
        jobs: list[tuple[str, list[Outage]]] = []
        for service, outages in services.items():
            of = list(episodes(outages, 2 * BEFORE * INTERVAL_S))
            Random(service).shuffle(of)
            jobs += ((service, together) for together in of[:EPISODES_MAX])
        last: Event | None = None
        for service, together in sorted(jobs, key=lambda job: job[1][0]):
            rng = Random(f"{monitor}/{service}/{together[0]}")
            shift = rng.uniform(0, INTERVAL_S)  # Any phase of the grid.
            down = [(begin + shift, end + shift) for begin, end in together]
            heard = canaries(down, rng)
            tallies = [judged(rule, heard, down) for rule in estimators()]
            if last is None or together[0][0] - last.end > EVENT_S:
                last = Event(monitor, together[0][0], [Tally() for _ in tallies])
                found.append(last)
            last.end = together[0][0]
            for mine, other in zip(last.tallies, tallies, strict=True):
                mine.add(other)
    return found


def calm() -> list[tuple[float, float]]:
    """False demotions a month and the Brier score of each rule where requests fail only alone."""
    rng, heard = Random(1), list[Heard]()

    def answer(_: float) -> tuple[ErrorClass | None, float]:
        return (ErrorClass.OVERLOADED if rng.random() < ONE_OFF else None), 5.0

    for result, _ in watch(a_spec(INTERVAL_S), Policy(), answer, 0.0, seed=1):
        if result.started_at > CALM_MONTHS * MONTH_S:
            break
        heard.append((result.started_at + result.duration_s, result.error is None))
    found = []
    for rule in estimators():
        alarms, squares, was_demoted = 0, 0.0, False
        for at, is_good in heard:
            squares += (rule.p(at) - is_good) ** 2
            rule.hear(at, is_good=is_good)
            alarms += rule.is_demoted and not was_demoted
            was_demoted = rule.is_demoted
        found.append((alarms / CALM_MONTHS, squares / len(heard)))
    return found


def total(events: Sequence[Event], rule: int) -> Tally:
    """One tally of a rule over *events*."""
    found = Tally()
    for event in events:
        found.add(event.tallies[rule])
    return found


def minutes(found: Tally) -> tuple[float, float]:
    """Minutes an outage that were not demoted, and that were demoted too long."""
    return found.missed_s / found.outages / 60, found.late_s / found.outages / 60


def against(events: Sequence[Event], rule: int) -> list[tuple[float, float]]:
    """The 95 % bootstrap intervals, by event, of both minutes less those of the first rule."""
    rng, missed, late = Random(1), [], []
    rows = [(e.tallies[rule], e.tallies[0]) for e in events]
    flat = [(m.outages, m.missed_s - o.missed_s, m.late_s - o.late_s) for m, o in rows]
    for _ in range(RESAMPLES):
        drawn = rng.choices(flat, k=len(flat))
        n = 60 * sum(row[0] for row in drawn)
        missed.append(sum(row[1] for row in drawn) / n)
        late.append(sum(row[2] for row in drawn) / n)
    low, high = round(0.025 * RESAMPLES), round(0.975 * RESAMPLES) - 1
    return [(s[low], s[high]) for s in (sorted(missed), sorted(late))]


def states() -> Iterator[str]:
    """The part of the notes on states."""
    events, quiet = played(), calm()
    names = [rule.name for rule in estimators()]
    sums = [total(events, rule) for rule in range(len(names))]
    yield (
        f"{sums[0].outages} outages in {len(events)} events (up to {EPISODES_MAX} episodes of a service, "
        f"the first day of each outage), {sums[0].canaries} canaries\nevery 15 min with the "
        f"product's confirmations, {ONE_OFF:.1%} failing alone; false demotions of {CALM_MONTHS} calm "
        "target-months. In\nbrackets the 95 % interval, bootstrapped by event, of the difference to "
        "the first line. Brier: of p for the next canary, also of those sent while the first line does not\n"
        "demote, when p decides.\n"
    )
    yield (
        "| rule | not demoted, min an outage | demoted too long, min an outage | false demotions a "
        "target-month | Brier, outages | Brier, not demoted | Brier, calm |"
    )
    yield "| --- |" + " ---: |" * 6
    for rule, name in enumerate(names):
        (missed, late), (alarms, brier) = minutes(sums[rule]), quiet[rule]
        spans = [f" ({low:+.2f} to {high:+.2f})" for low, high in against(events, rule)]
        if rule == 0:
            spans = ["", ""]
        yield (
            f"| {name} | {missed:.2f}{spans[0]} | {late:.2f}{spans[1]} | {alarms:.2f} | "
            f"{sums[rule].squares / sums[rule].canaries:.4f} | "
            f"{sums[rule].up_squares / sums[rule].up_canaries:.4f} | {brier:.5f} |"
        )
    yield "\nNot demoted / demoted too long, minutes an outage, by monitor:\n"
    yield f"| monitor | outages | {' | '.join(names)} |"
    yield "| --- |" + " ---: |" * (len(names) + 1)
    of: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        of[event.monitor].append(event)
    for monitor, mine in of.items():
        cells = [minutes(total(mine, rule)) for rule in range(len(names))]
        shown = " | ".join(f"{missed:.1f} / {late:.1f}" for missed, late in cells)
        yield f"| {monitor} | {total(mine, 0).outages} | {shown} |"


def errors(world: World) -> list[list[list[float]]]:
    """
    The errors of the forecasts in *world*, by rule and figure.

    The figures: median and p95 of the next day, then of the next hour. An error is the relative
    difference, as the size of the logarithm of expected over true.
    """
    rules = [latency_estimators() for _ in world.services]
    found: list[list[list[float]]] = [[[] for _ in range(4)] for _ in rules[0]]
    for index, mine in enumerate(rules):
        times, truths = taken(world, index, INTERVAL_S, 0), taken(world, index, 90.0, 1 << 30)
        begins = [at for at, _ in truths]
        for number, (at, latency_s) in enumerate(times):
            for rule in mine:
                rule.hear(latency_s)
            if number < 7 * DAY or number % HOUR or at > world.end - DAY * INTERVAL_S:
                continue
            first = bisect_right(begins, at)
            spans = (DAY,) if number % DAY == 0 else ()
            for span in (*spans, HOUR):
                last = bisect_right(begins, at + span * INTERVAL_S)
                then = sorted(s for _, s in truths[first:last])
                if len(then) < LEAST:
                    continue
                for rule, into in zip(mine, found, strict=True):
                    for which, (q, expected) in enumerate(
                        zip((0.5, 0.95), rule.quantiles(), strict=True)
                    ):
                        place = which if span == DAY else 2 + which
                        into[place].append(off(expected, then, q))
    return found


def taken(world: World, index: int, every_s: float, first: int) -> list[tuple[float, float]]:
    """Times and latencies of good requests to a service at even distances, numbered from *first*."""
    count = int((world.end - world.begin) / every_s)
    times = [world.begin + every_s * (n + 0.5) for n in range(count)]
    answers = [world.answer(index, at, first + n, 120.0) for n, at in enumerate(times)]
    return [(at, a.took_s) for at, a in zip(times, answers, strict=True) if a.is_good]


def latencies() -> Iterator[str]:
    """The part of the notes on latencies."""
    names = [rule.name for rule in latency_estimators()]
    found: list[list[list[float]]] = [[[] for _ in range(4)] for _ in names]
    for seed in range(WORLDS):
        new = errors(synthetic(services=3, days=30.0, seed=seed))
        for into, of in zip(found, new, strict=True):
            for kept, values in zip(into, of, strict=True):
                kept.extend(values)
    yield (
        f"{WORLDS} drawn worlds of 3 services and 30 days, a canary every 15 min; the truth is "
        f"{len(found[0][0])} next days and\n{len(found[0][2])} next hours, each asked every 90 s. Mean "
        "size of ln(expected / true), about the relative error.\n"
    )
    yield "| rule | median, next day | p95, next day | median, next hour | p95, next hour |"
    yield "| --- |" + " ---: |" * 4
    for name, rows in zip(names, found, strict=True):
        yield f"| {name} | {' | '.join(f'{fmean(values):.1%}' for values in rows)} |"


def recorded() -> Iterator[str]:
    """The part of the notes on latencies that were recorded, by monitor."""
    names = [rule.name for rule in latency_estimators()]
    yield "Answers of real services whose every check is known (plain requests, no pictures), next day:\n"
    yield f"| monitor | services | days | figure | {' | '.join(names)} |"
    yield "| --- | ---: | ---: | --- |" + " ---: |" * len(names)
    for monitor, services in dense().items():
        found: list[list[list[float]]] = [[[], []] for _ in names]
        for times in services.values():
            into_next_day(times, found)
        for which, figure in enumerate(("median", "p95")):
            shown = " | ".join(f"{fmean(of[which]):.1%}" for of in found)
            days = len(found[0][which])
            yield f"| {monitor} | {len(services)} | {days} | {figure} | {shown} |"


def dense() -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Times and latencies in seconds by monitor and service, of 200 checks at least."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for monitor in ("levonk", "hamster"):
        rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
        with gzip.open(TRACES / "data" / f"probes_{monitor}.csv.gz", "rt") as text:
            for row in csv.DictReader(text):
                is_known = monitor == "levonk" or row["dense"] == "1"
                if is_known and row["up"] == "1" and float(row["latency_ms"] or 0) > 0:
                    rows[row["service"]].append((float(row["ts"]), float(row["latency_ms"]) / 1e3))
        long = {s: sorted(of) for s, of in rows.items() if len(of) >= 200}
        if long:
            found[monitor] = long
    return found


def into_next_day(times: Sequence[tuple[float, float]], found: Sequence[list[list[float]]]) -> None:
    """Add the errors of every rule's forecasts of each next day to *found*."""
    rules, begins = latency_estimators(), [at for at, _ in times]
    day_at = begins[0] + 3 * DAY_S
    for number, (at, latency_s) in enumerate(times):
        if at >= day_at:
            day_at = at + DAY_S
            then = sorted(s for _, s in times[number : bisect_right(begins, at + DAY_S)])
            for rule, into in zip(rules, found if len(then) >= LEAST else (), strict=False):
                for of, q, expected in zip(into, (0.5, 0.95), rule.quantiles(), strict=True):
                    of.append(off(expected, then, q))
        for rule in rules:
            rule.hear(latency_s)


def off(expected: float, then: Sequence[float], q: float) -> float:
    """The size of the logarithm of *expected* over the quantile of what came, ascending."""
    true = nearest_rank(then, q)
    assert true is not None
    return abs(log(expected / true))


def main() -> None:
    """Play all; print the tables, and write them beside this file if asked to."""
    if not (TRACES / "data").is_dir():
        print(f"no traces at {TRACES.name}: set IMGMON_TRACES")
        return
    lines = [
        "# Estimators compared\n",
        "`python -m tests.benchmarks.replay_estimators --write`\n",
        CHOSEN,
    ]
    for heading, part in (
        ("States", states()),
        ("Latencies", latencies()),
        ("Recorded latencies", recorded()),
    ):
        lines.append(f"## {heading}\n")
        for line in part:
            lines.append(line)
            print(line, flush=True)
        lines.append("")
    if "--write" in sys.argv:
        NOTES.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
