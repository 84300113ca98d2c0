"""
What each schedule sees of real outages, and what it costs: fixed intervals against ours.

    python -m tests.benchmarks.replay_schedule [--write]

Replays the down intervals of public uptime monitors (IMGMON_TRACES) through the product's own
schedule and verdicts. One-off failures, which such monitors retry away, are added at the rate that
monitors with every job visible show. Only time around outages is played, several times over with
other phases; calm time is counted, and its false alarms are played apart.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

from monitor.core.health import HealthState
from monitor.core.snapshot import State
from monitor.core.spec import Policy, TargetSpec
from probes.model import ErrorClass, ProbeResult
from tests.support.watching import watch

ROOT = Path(__file__).resolve().parents[2]
TRACES = Path(os.environ.get("IMGMON_TRACES", ROOT.parent / "shared" / "traces"))
NOTES = Path(__file__).parent / "SCHEDULE.md"
MONTH_S = 30 * 86_400.0
# Of 4000 requests that nothing else explains, 12 fail alone (PEERS and traces: 0.3 %).
ONE_OFF = 0.003
PRICE_USD = 0.039
# More than half of the time down: dead, moved or blocked, no outage.
CHRONIC_SHARE = 0.5
# A service that fails for days says nothing more about schedules after the first of them.
LONGEST_S = 86_400.0
REPEATS = 5
CALM_MONTHS = 40
Outage = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A name, the time between slots, and when a target is down and up."""

    name: str
    interval_s: float
    policy: Policy


def fixed(minutes: int, strikes: int) -> Schedule:
    """Slots alone: no confirmation between them, none left out."""
    policy = Policy(
        down_after=strikes, up_after=strikes, confirm_s=1e9, backoff_max_s=60.0 * minutes
    )
    plural = "" if strikes == 1 else "s"
    return Schedule(f"fixed {minutes} min, {strikes} strike{plural}", 60.0 * minutes, policy)


SCHEDULES = (
    fixed(5, 2),
    fixed(15, 1),
    fixed(15, 2),
    *(Schedule(f"adaptive {m} min", 60.0 * m, Policy()) for m in (5, 15, 30, 60)),
)


@dataclass(slots=True)
class Tally:
    """What came of some outages: seconds, one entry per outage and repeat, and counts."""

    outages: int = 0
    seen: int = 0
    delays: list[float] = field(default_factory=list)  # Of those that were called down.
    missed_s: float = 0.0  # Down, and not called so.
    unsuspected_s: float = 0.0  # Down, and called healthy.
    late_s: float = 0.0  # Up again, and still called down.
    extra_probes: float = 0.0  # Beyond one a slot.

    def add(self, other: Tally) -> None:
        """Add *other* to this."""
        self.outages += other.outages
        self.seen += other.seen
        self.delays += other.delays
        self.missed_s += other.missed_s
        self.unsuspected_s += other.unsuspected_s
        self.late_s += other.late_s
        self.extra_probes += other.extra_probes


def traces() -> tuple[dict[str, dict[str, list[Outage]]], dict[str, float]]:
    """Outages by monitor and service, in seconds, and the seconds each monitor was watched."""
    found: dict[str, dict[str, list[Outage]]] = {}
    watched: dict[str, float] = {}
    for path in sorted((TRACES / "data").glob("intervals_*.csv.gz")):
        down: dict[str, list[Outage]] = defaultdict(list)
        seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        with gzip.open(path, "rt") as text:
            for row in csv.DictReader(text):
                begin, end = float(row["start"]), float(row["end"])
                seconds[row["service"]][row["state"]] += end - begin
                if row["state"] == "down" and row["end_known"] == "1" and end > begin:
                    down[row["service"]].append((begin, min(end, begin + LONGEST_S)))
        alive = {s for s, t in seconds.items() if t["down"] <= CHRONIC_SHARE * sum(t.values())}
        name = path.name.removeprefix("intervals_").removesuffix(".csv.gz")
        found[name] = {s: sorted(outages) for s, outages in down.items() if s in alive}
        watched[name] = sum(sum(seconds[s].values()) for s in alive)
    return found, watched


def episodes(outages: Sequence[Outage], apart_s: float) -> Iterator[list[Outage]]:
    """Outages so close that a schedule has not come to rest between them, together."""
    together: list[Outage] = []
    for outage in outages:
        if together and outage[0] - together[-1][1] > apart_s:
            yield together
            together = []
        together.append(outage)
    if together:
        yield together


def play(schedule: Schedule, together: Sequence[Outage], rng: Random) -> Tally:
    """Watch one episode from its calm before to its calm after."""
    interval_s = schedule.interval_s
    shift = rng.uniform(0, interval_s)  # Any phase of the grid.
    down = [(begin + shift, end + shift) for begin, end in together]

    def answer(at: float) -> tuple[ErrorClass | None, float]:
        is_down = any(begin <= at < end for begin, end in down)
        return (ErrorClass.OVERLOADED if is_down or rng.random() < ONE_OFF else None), 5.0

    begin = down[0][0] - 2 * interval_s
    results: list[tuple[float, State]] = []
    for result, state in watch(
        a_spec(interval_s), schedule.policy, answer, begin, seed=rng.random()
    ):
        results.append((result.started_at + result.duration_s, state.state))
        if result.started_at > down[-1][1] + 2 * interval_s and is_calm(result, state):
            break
    return tally(results, down, interval_s)


def a_spec(interval_s: float) -> TargetSpec:
    """A target whose deadline fits into its slot."""
    return TargetSpec(
        id="t", provider="p", model="m", base_url="https://x.example", format="gemini",
        price_usd=PRICE_USD, interval_s=interval_s, deadline_s=60.0,
    )  # fmt: skip


def is_calm(result: ProbeResult, state: HealthState) -> bool:
    """Whether everything is as it was before the outage."""
    return result.error is None and state.down_since is None


def tally(results: Sequence[tuple[float, State]], down: Sequence[Outage], slot_s: float) -> Tally:
    """Compare the states with the truth; each state holds until the next."""
    found = Tally(outages=len(down))
    ends = [at for at, _ in results[1:]] + [results[-1][0]]
    spans = [(at, end, state) for (at, state), end in zip(results, ends, strict=True)]
    for begin, end in down:
        inside = [(max(a, begin), min(e, end), s) for a, e, s in spans if a < end and e > begin]
        called = [a for a, _, s in inside if s is State.DOWN]
        found.seen += any(s is not State.HEALTHY for _, _, s in inside)
        found.missed_s += sum(e - a for a, e, s in inside if s is not State.DOWN)
        found.unsuspected_s += sum(e - a for a, e, s in inside if s is State.HEALTHY)
        if called:
            found.delays.append(called[0] - begin)
    called_s = sum(e - a for a, e, s in spans if s is State.DOWN)
    found.late_s = called_s - (sum(e - b for b, e in down) - found.missed_s)
    found.extra_probes = len(results) - (results[-1][0] - results[0][0]) / slot_s - 1
    return found


def false_downs(schedule: Schedule, rng: Random) -> tuple[float, float]:
    """False alarms and probes a month of a target that only ever fails by the way."""

    def answer(_: float) -> tuple[ErrorClass | None, float]:
        return (ErrorClass.OVERLOADED if rng.random() < ONE_OFF else None), 5.0

    alarms, probes, was_down = 0, 0, False
    for result, state in watch(a_spec(schedule.interval_s), schedule.policy, answer, 0.0, seed=1):
        if result.started_at > CALM_MONTHS * MONTH_S:
            break
        probes += 1
        alarms += state.state is State.DOWN and not was_down
        was_down = state.state is State.DOWN
    return alarms / CALM_MONTHS, probes / CALM_MONTHS


def line(name: str, found: Tally, alarms: float, probes: float) -> str:
    """One row of the table."""
    n = found.outages
    return (
        f"| {name} | {found.seen / n:.0%} | {len(found.delays) / n:.0%} | "
        f"{median(found.delays) / 60:.1f} | {found.unsuspected_s / n / 60:.1f} | "
        f"{found.missed_s / n / 60:.1f} | {found.late_s / n / 60:.1f} | {alarms:.2f} | "
        f"{probes:.0f} | {probes * PRICE_USD:.0f} |"
    )


HEAD = (
    "| schedule | seen | called down | median delay, min | thought healthy, min | not called down, "
    "min | called down too long, min | false alarms a month | probes a month | $ a month |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def main() -> None:
    """Play every schedule; print the table, and write it beside this file if asked to."""
    if not (TRACES / "data").is_dir():
        print(f"no traces at {TRACES.name}: set IMGMON_TRACES")
        return
    found, watched = traces()
    months = sum(watched.values()) / MONTH_S
    outages = sum(len(o) for services in found.values() for o in services.values())
    rows, by_monitor = [], []
    for schedule in SCHEDULES:
        total = Tally()
        for monitor, services in found.items():
            part = Tally()
            for service, down in services.items():
                for repeat in range(REPEATS):
                    rng = Random(f"{monitor}/{service}/{repeat}")
                    for together in episodes(down, 12 * schedule.interval_s):
                        part.add(play(schedule, together, rng))
            total.add(part)
            if part.outages:
                by_monitor.append((monitor, schedule.name, part))
        alarms, probes = false_downs(schedule, Random(1))
        probes += total.extra_probes / REPEATS / months
        rows.append(line(schedule.name, total, alarms, probes))
        print(rows[-1], flush=True)
    text = notes(outages, months, rows, by_monitor)
    if "--write" in sys.argv:
        NOTES.write_text(text)


def notes(
    outages: int, months: float, rows: Sequence[str], by_monitor: Sequence[tuple[str, str, Tally]]
) -> str:
    """The page that keeps the results."""
    parts = [
        "# Schedules on real outages",
        "",
        (
            f"`python -m tests.benchmarks.replay_schedule --write`: {outages} outages with both edges "
            f"known, of services\nthat were up most of {months:.0f} months together, each played "
            f"{REPEATS} times with another phase of the grid,\nthe first day of each; "
            f"{ONE_OFF:.1%} of all requests fail alone. Delays and minutes are per outage. Dollars at\n"
            f"${PRICE_USD} a probe, failed ones included, which are seldom billed. Relapses are held back in all "
            "of them, as the daemon does."
        ),
        "",
        HEAD,
        *rows,
        "",
        "Minutes not called down per outage, by monitor:",
        "",
    ]
    names = list(dict.fromkeys(name for _, name, _ in by_monitor))
    parts += [
        f"| monitor | outages | {' | '.join(names)} |",
        "| --- |" + " ---: |" * (len(names) + 1),
    ]
    table: dict[str, dict[str, Tally]] = defaultdict(dict)
    for monitor, name, part in by_monitor:
        table[monitor][name] = part
    for monitor, parts_of in table.items():
        minutes = [parts_of[name].missed_s / parts_of[name].outages / 60 for name in names]
        count = parts_of[names[0]].outages // REPEATS
        parts.append(f"| {monitor} | {count} | {' | '.join(f'{m:.1f}' for m in minutes)} |")
    return "\n".join([*parts, ""])


if __name__ == "__main__":
    main()
