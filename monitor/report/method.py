"""How the figures of a report come about: the part that both sides of a contract have to accept."""

from __future__ import annotations

from typing import Final

_UP: Final = (
    "A canary asks for one small picture, a plain shape in a drawn colour, and pays for it. It is "
    "good when the picture arrives within the deadline, decodes in full, and has the size and colour "
    "asked for. Everything else is one of the classes below. Slow is not down: a slow picture stays "
    "good and spoils the latency alone."
)
_RETRIES: Final = (
    "Each canary is sent once. Failures and recoveries are confirmed by further canaries between "
    "slots, and a daemon that starts may probe at once: these are listed beside the schedule and "
    "enter no figure, or one outage would count many times."
)
_VIEWS: Final = (
    "The provider's own record is good / (good + bad): what only our account suffers (key, bill, "
    "quota, limits) is not in it. Usable to our account is good / (good + bad + unusable). Trouble "
    "of our own is void and enters neither."
)
_WEIGHTS: Final = (
    "Each scheduled canary weighs the time it stands for. While a target is down slots are thinned "
    "by chance, and those that are sent weigh as much more. Figures are pooled over the whole period, "
    "never a mean of days."
)
_INTERVALS: Final = (
    "Availability has the 95 % score interval of Wilson: what these samples say of this period. It "
    "is no forecast. Availability is cut, never rounded up. Without a sample a figure is unknown, "
    "which is neither 0 nor 100 %."
)
_GAPS: Final = (
    "Time in which no canary ran is neither up nor down. It lowers coverage, the share of the period "
    "that canaries speak for: each speaks for half the time to its neighbours, at most one slot to "
    "each side."
)
_MAINTENANCE: Final = (
    "No canary is sent in announced maintenance: its slots are gaps with that reason, shown with "
    "their hours, and its time is taken from what coverage asks for. What was measured stays: a time "
    "announced afterwards changes no availability."
)
_LATENCY: Final = (
    "From the first byte sent to the last byte of a verified picture, of good canaries only, so that "
    "failures cannot look fast; a dead provider has no p95. Percentiles are nearest rank: latencies "
    "that happened, raised to hundredths of a second. Each bound holds alone with 95 %; p95 has an upper one "
    "from 59 canaries on, p99 from 299. Timeouts are a share of good and bad canaries. A claimed p95 "
    "says that 95 % of all requests take no longer; to it every failure is slow."
)
_MONEY: Final = (
    "What all probes of the period cost, also those beside the schedule: as billed, at list price "
    "where the answer tells no bill."
)
_CLIENTS: Final = (
    "What clients reported of their own requests: pictures they wanted, at times they chose, repeats "
    "among them. It is a source of its own and in no figure of the canaries. In both views no client "
    "weighs more than all others together. Intervals take reports for independent of each other, which "
    "those of one outage are not. Latencies are of delivered pictures, as clients timed them. Sums are "
    "kept by the UTC day for good and by the hour for eight days; at the ends of the period an hour "
    "is part of it when it begins in it."
)

TEXTS: Final[tuple[tuple[str, str], ...]] = (
    ("What is up", _UP),
    ("Retries and confirmations", _RETRIES),
    ("Two views", _VIEWS),
    ("Weights", _WEIGHTS),
    ("Intervals and rounding", _INTERVALS),
    ("Gaps", _GAPS),
    ("Maintenance", _MAINTENANCE),
    ("Latency", _LATENCY),
    ("Money", _MONEY),
    ("Times", "UTC, cut to the second."),
)
# Where there are any reports.
CLIENTS: Final[tuple[tuple[str, str], ...]] = (("As clients saw it", _CLIENTS),)
