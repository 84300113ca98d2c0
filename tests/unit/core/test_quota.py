"""Quotas: whose probes count, since when, what replies taught, and what is published of it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from monitor.core.quota import (
    DAY_S_MAX,
    LEARNED_S,
    Quota,
    QuotaUse,
    Source,
    kind_of,
    learn,
    period_start,
    quota_figures,
    quotas_of,
    shortfalls,
)
from monitor.core.spec import ProviderSpec, QuotaSpec
from probes.model import Limit, LimitPeriod
from tests.support.builders import NOW, a_spec

DAY, MINUTE = LimitPeriod.DAY, LimitPeriod.MINUTE
PACIFIC = ZoneInfo("America/Los_Angeles")
FREE = QuotaSpec(per_minute=10, per_day=1500, resets=PACIFIC)
ACME = ProviderSpec(id="acme", quota=FREE)
OPEN = ProviderSpec(id="acme")
MIDNIGHT = datetime(2026, 11, 18, 8, tzinfo=UTC).timestamp()  # The last one before NOW there.


def utc(*parts: int) -> float:
    """Seconds since the epoch of a time in UTC."""
    return datetime(*parts, tzinfo=UTC).timestamp()


def taught(*limits: Limit, target=None, at=NOW):
    """What is known after replies to *target* told *limits*."""
    learned = {}
    for limit in limits:
        kind = kind_of(limit, target or a_spec())
        learned[kind] = learn(learned.get(kind), limit, at)
    return learned


def shown(quotas):
    """Quotas as (source, period, requests, probes, whose, until)."""
    return [
        (q.source.value, q.period.value, q.requests, q.probes, q.targets, q.until) for q in quotas
    ]


@pytest.mark.parametrize(
    ("quota", "period", "probes"),
    [
        (FREE, DAY, 30), (FREE, MINUTE, 1), (QuotaSpec(), DAY, None), (QuotaSpec(), MINUTE, None),
        (QuotaSpec(per_day=20), DAY, 0), (QuotaSpec(per_day=50), DAY, 1),
        (QuotaSpec(per_day=100, share=0.29), DAY, 29), (QuotaSpec(per_day=3, share=1.0), DAY, 3),
        (QuotaSpec(per_minute=5), MINUTE, 1), (QuotaSpec(per_minute=100), MINUTE, 10),
        (QuotaSpec(per_minute=109), MINUTE, 10),
    ],
)  # fmt: skip
def test_probes_may_use_their_share(quota, period, probes):
    """Of a day the configured one, cut to whole probes; of a minute a tenth, but one at least."""
    assert probes == quota.probes(period)


@pytest.mark.parametrize(
    ("at", "start"),
    [
        (utc(2026, 11, 18, 11), utc(2026, 11, 18, 8)),
        (utc(2026, 11, 18, 8), utc(2026, 11, 18, 8)),
        (utc(2026, 11, 18, 7, 59, 59), utc(2026, 11, 17, 8)),
        (utc(2026, 3, 8, 7, 59, 59), utc(2026, 3, 7, 8)),  # The night clocks go forward: 23 hours.
        (utc(2026, 3, 8, 8), utc(2026, 3, 8, 8)),
        (utc(2026, 3, 9, 6, 59, 59), utc(2026, 3, 8, 8)),
        (utc(2026, 3, 9, 7), utc(2026, 3, 9, 7)),
        (utc(2026, 11, 1, 7), utc(2026, 11, 1, 7)),  # The night they go back: 25 hours.
        (utc(2026, 11, 2, 7, 59, 59), utc(2026, 11, 1, 7)),
        (utc(2026, 11, 2, 8), utc(2026, 11, 2, 8)),
    ],
)
def test_a_quotas_day_begins_at_midnight_in_its_zone(at, start):
    """On both sides of both nights on which clocks change."""
    assert start == period_start(DAY, FREE, at)


def test_a_quotas_minute_is_the_last_one():
    """It slides, so no minute of the provider's can hold more."""
    assert NOW - 60 == period_start(MINUTE, FREE, NOW)


def test_a_configured_limit_counts_every_probe_of_the_provider():
    """From the begin of its day, and of the last minute; without a limit there is no quota."""
    minute, day = quotas_of(a_spec(), ACME, [], {}, NOW)

    assert [
        ("configured", "minute", 10, 1, (), None), ("configured", "day", 1500, 30, (), None),
    ] == shown([minute, day])  # fmt: skip
    assert (NOW - 60, MIDNIGHT) == (minute.since, day.since)
    assert () == quotas_of(a_spec(), OPEN, [], {}, NOW)


def test_a_learned_limit_of_a_model_counts_the_probes_of_all_that_use_it():
    """Of one provider; a limit of the account counts all, and configured ones hold beside it."""
    targets = [
        a_spec("small"), a_spec("large"), a_spec("other", model="painter-2"),
        a_spec("elsewhere", provider="lab"),
    ]  # fmt: skip
    learned = taught(
        Limit(period=DAY, requests=250, per_model=True), Limit(period=DAY, requests=700)
    )
    small, other = (
        shown(quotas_of(target, ACME, targets, learned, NOW)[2:])
        for target in (targets[0], targets[2])
    )

    assert [
        ("learned", "day", 700, 14, (), None), ("learned", "day", 250, 5, ("small", "large"), None),
    ] == small  # fmt: skip
    assert [("learned", "day", 700, 14, (), None)] == other
    assert () == quotas_of(targets[3], ProviderSpec(id="lab"), targets, learned, NOW)


def test_a_learned_limit_ages_out_when_nobody_tells_it_again():
    """After seven days; one that is told again lives on, and so does its number."""
    day = Limit(period=DAY, requests=250)
    learned = taught(day)
    kind = kind_of(day, a_spec())
    again = {kind: learn(learned[kind], day, NOW + 100)}
    unnamed = {kind: learn(learned[kind], Limit(period=DAY, remaining=9), NOW + 100)}

    def alive(known, at):
        return bool(quotas_of(a_spec(), OPEN, [], known, at))

    assert [True, False] == [alive(learned, NOW + LEARNED_S + s) for s in (-1, 0)]
    assert [True, False] == [alive(again, NOW + LEARNED_S + s) for s in (0, 100)]
    assert [True, False] == [alive(unnamed, NOW + LEARNED_S + s) for s in (-1, 0)]


def test_the_newest_number_counts():
    """A raised limit is believed as soon as it is told."""
    kind = ("acme", "", DAY)
    learned = {
        kind: learn(
            taught(Limit(period=DAY, requests=250))[kind], Limit(period=DAY, requests=1000), NOW + 5
        )
    }

    assert [20] == [q.probes for q in quotas_of(a_spec(), OPEN, [], learned, NOW + 6)]


def test_nothing_left_holds_probes_until_the_reset():
    """Not longer than a day, and not once it is over; something left holds nothing."""
    until = NOW + 5000
    told = Limit(period=DAY, requests=250, remaining=0, resets_at=until)
    far = Limit(period=DAY, remaining=0, resets_at=NOW + 10 * DAY_S_MAX)

    def held(limit, at):
        quotas = quotas_of(a_spec(), OPEN, [], taught(limit), at)
        return [(q.probes, q.until) for q in quotas if q.until is not None]

    assert [[(0, until)], []] == [held(told, until + s) for s in (-1, 0)]
    assert [[(0, NOW + DAY_S_MAX)], []] == [held(far, NOW + DAY_S_MAX + s) for s in (-1, 0)]
    assert [] == held(Limit(period=DAY, remaining=1, resets_at=until), NOW)
    assert [] == held(Limit(period=DAY, remaining=0), NOW)


def test_what_was_told_by_a_clock_far_ahead_is_forgotten():
    """It was set back since: a year of silence would be the price of a minute's mistake."""
    limit = Limit(period=DAY, requests=250, remaining=0, resets_at=NOW + 9000)
    ahead = [quotas_of(a_spec(), OPEN, [], taught(limit, at=NOW), NOW - DAY_S_MAX - s)
             for s in (0, 1)]  # fmt: skip

    assert [2, 0] == [len(quotas) for quotas in ahead]
    assert [] == figures(OPEN, taught(limit, at=NOW), NOW - DAY_S_MAX - 1)


def test_a_limit_of_nothing_is_no_matter_of_shares():
    """A key that is not entitled is asked about by its error class, not forgotten for a week."""
    nothing = Limit(period=DAY, requests=0, remaining=0, per_model=True)

    assert () == quotas_of(a_spec(), OPEN, [a_spec()], taught(nothing), NOW)


def a_quota(**changes) -> Quota:
    """The day of a free tier."""
    fields = {
        "provider": "acme", "period": DAY, "source": Source.CONFIGURED, "requests": 1500,
        "probes": 30, "since": MIDNIGHT, "share": 0.02,
    }  # fmt: skip
    return Quota(**fields | changes)


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        (a_quota(), ("quota of acme per day: 30 probes are booked, they may use 30 (2 %) of 1500 "
                    "requests (configured)")),
        (a_quota(period=MINUTE, requests=10, probes=1, source=Source.LEARNED, targets=("a", "b")),
         ("quota of a and b per minute: 30 probes are booked, they may use 1 of 10 requests "
         "(learned)")),
        (a_quota(requests=None, probes=0, until=MIDNIGHT + 3600),
         "quota of acme per day: told that none is left before 09:00:00Z"),
    ],
)  # fmt: skip
def test_a_refusal_says_whose_quota_and_how_it_is_used(quota, words):
    """For the log line of the gap."""
    use = QuotaUse(quota, 30)

    assert (words, True) == (use.words, use.is_full)
    assert not QuotaUse(a_quota(), 29).is_full


def figures(provider, learned, now=NOW, used=None):
    """What is published, as (period, limits, used, remaining)."""
    return [
        (f.period.value, {s.value: n for s, n in f.limits.items()}, f.used, f.remaining)
        for f in quota_figures([provider], learned, used or {}, now)
    ]


def test_what_is_published_is_the_lowest_that_is_known():
    """By source; used probes where the books were read; what nobody told is absent."""
    learned = taught(
        Limit(period=DAY, requests=250, remaining=9, resets_at=NOW + 100, per_model=True),
        Limit(period=DAY, requests=700, remaining=600, resets_at=NOW + 100),
    )
    used = {("acme", DAY): 3, ("lab", MINUTE): 9}

    assert [
        ("minute", {"configured": 10}, None, None),
        ("day", {"learned": 250, "configured": 1500}, 3, 9),
    ] == figures(ACME, learned, used=used)
    assert [("day", {"learned": 250}, None, 9)] == figures(OPEN, learned)
    assert [] == figures(OPEN, {})
    assert [] == figures(ProviderSpec(id="lab"), learned)


@pytest.mark.parametrize(
    ("limit", "ends_after"),
    [
        (Limit(period=MINUTE, remaining=49, resets_at=NOW + 1.2), 60),
        (Limit(period=MINUTE, remaining=0, resets_at=NOW + 900), 900),
        (Limit(period=MINUTE, remaining=49), 60),
        (Limit(period=DAY, remaining=9, resets_at=NOW + 100), 100),
        (Limit(period=DAY, remaining=9), MIDNIGHT + 86_400 - NOW),
        (Limit(period=DAY, remaining=9, resets_at=NOW + 9 * DAY_S_MAX), DAY_S_MAX),
    ],
)
def test_what_is_left_is_published_while_its_period_runs(limit, ends_after):
    """A minute, or to the day's reset; afterwards it says nothing any more."""
    provider = ProviderSpec(id="acme", quota=QuotaSpec(resets=PACIFIC))
    shown_at = [figures(provider, taught(limit), NOW + ends_after + s) for s in (-0.5, 0.0)]

    assert [limit.remaining, None] == [rows[0][3] if rows else None for rows in shown_at]


@pytest.mark.parametrize(
    ("quota", "planned", "words"),
    [
        (FREE, 30, []),
        (QuotaSpec(per_day=300, share=0.01), 7, [
            ("provider acme: 7 canaries a day are planned, its quota of 300 requests a day leaves "
            "them 3; make intervals 2.34 times as long or set quota.share = 0.0234."),
        ]),
        (QuotaSpec(per_day=20), 400, [
            ("provider acme: 400 canaries a day are planned, its quota of 20 requests a day leaves "
            "them 0; make intervals longer and set quota.share."),
        ]),
        (QuotaSpec(per_minute=5, per_day=100), 2880, [
            ("provider acme: 2 canaries a minute are planned, its quota of 5 requests a minute "
            "leaves them 1; make intervals 2 times as long."),
            ("provider acme: 2880 canaries a day are planned, its quota of 100 requests a day "
            "leaves them 2; make intervals 1440 times as long."),
        ]),
    ],
)  # fmt: skip
def test_too_many_canaries_for_a_quota_are_told_with_what_to_change(quota, planned, words):
    """Longer intervals, or a larger share where all of it is enough."""
    provider = ProviderSpec(id="acme", quota=quota)

    assert words == list(shortfalls(provider, planned))


def test_the_advice_is_enough():
    """With the share or the intervals that are named, nothing is told any more."""
    told = shortfalls(ProviderSpec(id="acme", quota=QuotaSpec(per_day=300, share=0.01)), 7)
    wider = ProviderSpec(id="acme", quota=QuotaSpec(per_day=300, share=0.0234))
    narrow = ProviderSpec(id="acme", quota=QuotaSpec(per_day=300, share=0.01))

    assert 1 == len(list(told))
    assert [] == list(shortfalls(wider, 7)) == list(shortfalls(narrow, 7 / 2.34))
