"""
What our order saves on real outages: clients of similar services, by rule and rate of requests.

    python -m tests.benchmarks.replay_order [--write]

Pools of three to five services of one public monitor (IMGMON_TRACES) that were watched together
for a month or more; prices rise by half a cent to a cent in an order drawn by seed. Services that
were down most of their time are left out. At one request a minute only the time within six hours
of an outage is played, or the calm would take days to compute.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import Pool
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from monitor.core.spec import PROFILES, Policy
from monitor.replay.monitored import Monitored, Settings
from monitor.replay.play import Score, Watched, play, watched
from monitor.replay.routers import Cooldown, Latency, Oracle, Router, Static, Strikes, SuccessRate
from monitor.replay.traces import Record, read_outages, world_of
from monitor.replay.world import World, outages

ROOT = Path(__file__).resolve().parents[2]
TRACES = Path(os.environ.get("IMGMON_TRACES", ROOT.parent / "shared" / "traces"))
NOTES = Path(__file__).parent / "ORDER.md"
DAY_S: Final = 86_400.0
LEAST_S: Final = 30 * DAY_S
CHRONIC: Final = 0.5
NEAR_S: Final = 6 * 3_600.0
# Of an outage that goes on for weeks its first day is played; the rest is the same hour again.
LONGEST_S: Final = DAY_S
PROFILE = PROFILES[1]
POLICY = Policy(windows={"1h": 3_600.0, "6h": 21_600.0, "24h": DAY_S})
OURS = Settings(name="imgmon, 15 min", policy=POLICY, profile=PROFILE)
HEARS = replace(OURS, name="imgmon, 15 min, reports", hears_reports=True)
RELIABLE = replace(HEARS, name="profile reliable, reports", profile=PROFILES[3])
RATES: Final = {
    "one request a minute": (60.0, NEAR_S),
    "one in 15 minutes": (900.0, None),
    "one an hour": (3_600.0, None),
}
RESAMPLES: Final = 1_000
# What the order has to reach: its excess as a share of the static list's, by rate; the rest is alike.
SHARES: Final = {"one request a minute": 0.15, "one in 15 minutes": 0.20, "one an hour": 0.20}
PREMIUM_MAX: Final = 0.01
FALSE_DOWNS_MAX: Final = 1.0  # A target-month.
CHANGES_MAX: Final = 6.0  # Of the order of a pool, a day.
# Rows of the tables.
STATIC, ROUTERS, FIXED, PLAIN, HEARING, UNWARNED, ORACLE = 0, (1, 2, 3), 4, 6, 7, 9, 10
READING: Final = """\
Where a router wastes less than the order, it is one that leaves a service at its first slow or failed
answer and does not come back to the cheaper one: its premium is the price of that. "Oracle, unwarned" knows
the truth of everything but that an outage has begun, which the first failed request tells it: who always
comes back to the cheaper service, and hears of outages from requests alone, cannot waste less. Orders are
counted as clients see them. A lone failure while an outage is not proven over counts as down: most false
downs are such. The premium is mostly time in which a healed service is still down to us: one that stays down
is asked once an hour.
"""
# Outages closer than this are one event: what befalls one host befalls all that live on it.
EVENT_S: Final = 3_600.0


@dataclass(slots=True)
class Tally:
    """The requests of one rule over some pools, and what was wasted in each event of them."""

    score: Score
    seen: Watched
    probes: int = 0
    events: list[int] = field(default_factory=list)


Results = Sequence[tuple[str, list[Tally]]]  # The monitor of each pool, and a tally a rule.


class Unwarned(Oracle):
    """Whoever knows the truth, but of a trouble only from the first request that failed in it."""

    name = "oracle, unwarned"

    def __init__(self, world: World, usd_per_second: float, billed_share: float) -> None:
        """Know of no trouble yet."""
        super().__init__(world, usd_per_second, billed_share)
        self._services = world.services
        self._known: set[tuple[int, float]] = set()

    def order(self, now: float) -> Sequence[int]:
        """Return the services as the oracle does, those first asked as usual whose trouble is not known."""
        return sorted(self.by_price, key=lambda index: self._cost(index, self._seen_at(index, now)))

    def _seen_at(self, index: int, now: float) -> float:
        """Return *now*, or a time at which all was well with a service of unknown trouble."""
        spell = self._services[index].spell(now)
        return now if spell is None or (index, spell.begin) in self._known else float("-inf")

    def told(self, index: int, at: float, *, is_good: bool, took_s: float) -> None:  # noqa: ARG002
        """Know the trouble in which a request failed."""
        spell = self._services[index].spell(at)
        if spell is not None and not is_good:
            self._known.add((index, spell.begin))


def pools() -> list[tuple[str, World]]:
    """Every pool with the name of its monitor, by file and time of first watching."""
    found: list[tuple[str, World]] = []
    for path in sorted((TRACES / "data").glob("intervals_*.csv.gz")):
        records = [
            r for r in read_outages(path) if r.down_share <= CHRONIC and r.end - r.begin >= LEAST_S
        ]
        records.sort(key=lambda record: (record.begin, record.end))
        at = 0
        while at + 3 <= len(records):
            group = next((g for n in (5, 4, 3) if together(g := records[at : at + n], n)), None)
            if group is None:
                at += 1
                continue
            rng = Random(len(found))
            prices = [0.03]
            for _ in group[1:]:
                prices.append(round(prices[-1] + rng.uniform(0.005, 0.01), 4))
            rng.shuffle(prices)
            name = path.name.removeprefix("intervals_").removesuffix(".csv.gz")
            found.append((name, world_of(group, prices, seed=len(found))))
            at += len(group)
    return found


def together(group: Sequence[Record], n: int) -> bool:
    """Whether these are *n* services that were watched together for long enough."""
    shared_s = min(r.end for r in group) - max(r.begin for r in group)
    return len(group) == n and shared_s >= LEAST_S


def spans(world: World, near_s: float | None) -> list[tuple[float, float]]:
    """The times to play: all, or what is near an outage."""
    if near_s is None:
        return [(world.begin, world.end)]
    return merged(
        [
            (
                max(world.begin, o.begin - near_s),
                min(world.end, o.end + near_s, o.begin + LONGEST_S + near_s),
            )
            for _, o in outages(world.services)
        ]
    )


def events(world: World) -> list[tuple[float, float]]:
    """The outages of the pool, those close to one another together."""
    return merged([(o.begin - EVENT_S, o.end + EVENT_S) for _, o in outages(world.services)])


def merged(parts: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Intervals without overlaps."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(parts):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif begin < end:
            found.append((begin, end))
    return found


def requests(world: World, every_s: float, near_s: float | None) -> Iterator[float]:
    """Times of requests, at random."""
    rng = Random(world.seed)
    for begin, end in spans(world, near_s):
        at = begin + rng.expovariate(1 / every_s)
        while at < end:
            yield at
            at += rng.expovariate(1 / every_s)


def routers(world: World) -> list[Router]:
    """Every rule, the oracle last."""
    return [
        Static(world),
        Cooldown(world),
        Latency(world, OURS.deadline_s),
        SuccessRate(world),
        Strikes(world, 300.0, 2),
        Strikes(world, 900.0, 2),
        Monitored(world, OURS),
        Monitored(world, HEARS),
        Monitored(world, RELIABLE),
        Unwarned(world, PROFILE.usd_per_second, POLICY.billed_share),
        Oracle(world, PROFILE.usd_per_second, POLICY.billed_share),
    ]


def played(job: tuple[int, float, float | None]) -> tuple[str, list[Tally]]:
    """The tallies of one pool at one rate, a rule each."""
    number, every_s, near_s = job
    name, world = pools()[number]
    asked, happened = list(requests(world, every_s, near_s)), events(world)
    found = []
    for router in routers(world):
        score = play(world, router, asked, deadline_s=30.0, billed_share=POLICY.billed_share)
        seen = watched(world, router) if isinstance(router, Monitored) else Watched()
        tally = Tally(score, seen, getattr(router, "probes", 0))
        tally.events = [sum(b <= at < e for at in score.wasted_at) for b, e in happened]
        score.times = score.times[:1] * len(score.times)  # Their number is all that is asked for.
        found.append(tally)
    return name, found


def total(parts: Sequence[Tally]) -> Tally:
    """One tally of all."""
    found = Tally(Score(parts[0].score.name), Watched())
    for part in parts:
        found.score.add(part.score)
        found.seen.add(part.seen)
        found.probes += part.probes
        found.events += part.events
    return found


def excess(mine: Tally, oracle: Tally) -> float:
    """First attempts wasted beyond the oracle's, of 1000."""
    return 1_000 * (mine.score.wasted_ratio - oracle.score.wasted_ratio)


def interval(mine: Tally, static: Tally, oracle: Tally) -> tuple[float, float]:
    """The 95 % bootstrap interval, by event, of the excess as a share of the static order's."""
    rng, rows = Random(1), list(zip(mine.events, static.events, oracle.events, strict=True))
    shares = []
    for _ in range(RESAMPLES):
        drawn = rng.choices(rows, k=len(rows))
        ours, its, floor = (sum(row[i] for row in drawn) for i in range(3))
        shares.append((ours - floor) / (its - floor) if its > floor else 0.0)
    shares.sort()
    return shares[round(0.025 * RESAMPLES)], shares[round(0.975 * RESAMPLES) - 1]


def table(tallies: Sequence[Tally], days: float) -> Iterator[str]:
    """The rows of one rate."""
    oracle, static = tallies[-1], tallies[0]
    yield (
        "| rule | wasted of 1000 | beyond oracle | of static's | 95 % by event | premium | "
        "probes a day and pool | orders a day and pool | false downs a target-month |"
    )
    yield "| --- |" + " ---: |" * 8
    floor = oracle.score.mean_price_usd
    for tally in tallies:
        score, seen = tally.score, tally.seen
        low, high = interval(tally, static, oracle)
        share = excess(tally, oracle) / excess(static, oracle)
        price = score.mean_price_usd
        assert floor
        assert price
        false = f"{30 * seen.false_downs / seen.target_days:.2f}" if seen.target_days else ""
        yield (
            f"| {score.name} | {1000 * score.wasted_ratio:.2f} | {excess(tally, oracle):.2f} | "
            f"{share:.1%} | {low:.1%} to {high:.1%} | {price / floor - 1:+.2%} | "
            f"{tally.probes / days:.0f} | {score.changes / days:.1f} | {false} |"
        )


def verdicts(
    rate: str, tallies: Sequence[Tally], busiest: float, *, is_all_time: bool
) -> Iterator[str]:
    """
    The targets at one rate and whether they are met.

    *busiest* is the most orders a day of a pool beyond those of who knows each outage.
    """
    static, fixed, plain, hearing, unwarned, oracle = (
        tallies[i] for i in (STATIC, FIXED, PLAIN, HEARING, UNWARNED, ORACLE)
    )
    floor = oracle.score.mean_price_usd
    router = min((tallies[i] for i in ROUTERS), key=lambda tally: tally.score.wasted)
    ours = [hearing] if rate == next(iter(RATES)) else [hearing, plain]
    for mine in ours:
        share = excess(mine, oracle) / excess(static, oracle)
        price, others = mine.score.mean_price_usd, router.score.mean_price_usd
        assert floor
        assert price
        assert others
        false = 30 * mine.seen.false_downs / mine.seen.target_days
        rows = [
            (
                f"beyond oracle at most {SHARES[rate]:.0%} of static's",
                f"{share:.1%}, 95 % by event up to {interval(mine, static, oracle)[1]:.1%}",
                share <= SHARES[rate],
            ),
            (
                "wastes no more than the best router",
                (
                    f"{excess(mine, oracle):.2f} of 1000 beyond oracle; {router.score.name} "
                    f"{excess(router, oracle):.2f} at {others / floor - 1:+.1%}; unwarned "
                    f"{excess(unwarned, oracle):.2f}"
                ),
                mine.score.wasted <= router.score.wasted,
            ),
            (
                f"premium at most {PREMIUM_MAX:.0%}",
                f"{price / floor - 1:+.2%}",
                price / floor - 1 <= PREMIUM_MAX,
            ),
            (
                "at most a third of the probes of 5 min, 2 strikes",
                f"{mine.probes / fixed.probes:.1%}",
                3 * mine.probes <= fixed.probes,
            ),
            (
                f"false downs at most {FALSE_DOWNS_MAX:g} a target-month",
                f"{false:.2f}",
                false <= FALSE_DOWNS_MAX,
            ),
        ]
        for target, measured, is_met in rows:
            yield f"| {rate} | {mine.score.name} | {target} | {measured} | {said(is_met)} |"
    worse = excess(plain, oracle) - excess(fixed, oracle)
    yield (
        f"| {rate} | {plain.score.name} | wastes no more than 5 min, 2 strikes | {worse:+.2f} of 1000 | "
        f"{said(worse <= 0)} |"
    )
    if is_all_time:
        yield (
            f"| {rate} | {plain.score.name} | at most {CHANGES_MAX:g} orders a day that no outage asks for | "
            f"{busiest:.1f} more than the oracle's, of the busiest pool | {said(busiest <= CHANGES_MAX)} |"
        )


def said(is_met: bool) -> str:
    """The verdict on a target."""
    return "yes" if is_met else "**no**"


def by_monitor(found: Sequence[tuple[str, list[Tally]]]) -> Iterator[str]:
    """First attempts wasted of 1000 by monitor, a column a rule."""
    rules = [tally.score.name for tally in found[0][1]]
    yield f"| monitor | events | requests | {' | '.join(rules)} |"
    yield "| --- |" + " ---: |" * (len(rules) + 2)
    for name in dict.fromkeys(name for name, _ in found):
        parts = [tallies for of, tallies in found if of == name]
        sums = [total([part[i] for part in parts]) for i in range(len(rules))]
        shown = " | ".join(f"{1000 * one.score.wasted_ratio:.2f}" for one in sums)
        yield f"| {name} | {len(sums[0].events)} | {sums[0].score.requests} | {shown} |"


def page(results: Mapping[str, Results]) -> str:
    """The notes on *results* by rate."""
    worlds = [world for _, world in pools()]
    days = sum(world.days for world in worlds)
    count = sum(len(outages(world.services)) for world in worlds)
    targets = ["| requests | rule | target | measured | met |", "| --- | --- | --- | --- | --- |"]
    tables: list[str] = []
    for name, found in results.items():
        _, near_s = RATES[name]
        tallies = [total([part[i] for _, part in found]) for i in range(len(found[0][1]))]
        busiest = max(
            (part[PLAIN].score.changes - part[ORACLE].score.changes) / world.days
            for (_, part), world in zip(found, worlds, strict=True)
        )
        targets += verdicts(name, tallies, busiest, is_all_time=near_s is None)
        where = "" if near_s is None else ", within six hours of an outage"
        tables += [f"## {name.capitalize()}{where}\n", *table(tallies, days), ""]
        tables += ["Wasted of 1000, by monitor:\n", *by_monitor(found), ""]
        without, heard = (median(tallies[i].seen.delays) / 60 for i in (PLAIN, HEARING))
        tables += [
            (
                f"Median time until an outage was called down: {without:.1f} min without "
                f"reports, {heard:.1f} with them.\n"
            )
        ]
    head = (
        f"`python -m tests.benchmarks.replay_order --write`: {len(worlds)} pools of three to five "
        f"services, {days:.0f} pool-days, {count} outages;\nprofile {PROFILE.name}, prices rising by "
        "half a cent to a cent, 0.3 % of all requests failing alone. The oracle\nknows every state, "
        'not the luck of an attempt; "beyond oracle" is what a rule wastes more.\n'
    )
    parts = ["# Orders on real outages\n", head, "## Targets\n", *targets, "", READING, *tables]
    return "\n".join(parts)


def main() -> None:
    """Play every pool at every rate; print the page, and write it beside this file if asked."""
    if not (TRACES / "data").is_dir():
        print(f"no traces at {TRACES.name}: set IMGMON_TRACES")
        return
    results: dict[str, Results] = {}
    with Pool() as workers:
        for name, (every_s, near_s) in RATES.items():
            jobs = [(number, every_s, near_s) for number in range(len(pools()))]
            results[name] = workers.map(played, jobs, chunksize=1)
            print(name, flush=True)
    text = page(results)
    print(text)
    if "--write" in sys.argv:
        NOTES.write_text(text)


if __name__ == "__main__":
    main()
