"""
Write Grafana's dashboards from what is described here: ``python3 grafana/generate.py [FOLDER]``.

They are classic JSON, which Grafana 10 and later import. Thresholds are numbers of definition only
(all of a budget, all of a cap); what a target promised is drawn from its own metrics.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from dashboard import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    STATE_NUMBERS,
    STATE_WORDS,
    STATES,
    TEXT,
    YELLOW,
    Json,
    Row,
    bars,
    by_name,
    by_regexp,
    choice,
    dashboard,
    gauge_bars,
    heatmap,
    lines,
    mapped,
    query,
    stat,
    state_lines,
    steps,
    table,
)

FOLDER: Final = Path(__file__).resolve().parent / "dashboards"
ALL: Final = 'target=~"$target"'
ONE: Final = 'target="$target"'
ORDER: Final = 'pool="$pool",profile="$profile"'
P95: Final = f'imgmon_latency_quantile_seconds{{{ALL},window="$window",quantile="0.95"}}'
SHARES: Final = 'window="$window",view="$view",source="$source"'
# A cap or a quota: a word at 80 %, as the daemon's events say it, and all of it.
CAP: Final = steps((None, GREEN), (0.8, YELLOW), (1.0, RED))
BUDGET: Final = steps((None, RED), (0.0, ORANGE), (0.25, YELLOW), (0.5, GREEN))
# 1 uses up the error budget of 30 days in 30 days, 6 in five.
BURN: Final = steps((None, GREEN), (1.0, YELLOW), (6.0, RED))
NONE_IS_GOOD: Final = steps((None, GREEN), (1.0, RED))
# What a failure is: the provider's fault, our account's trouble, nobody's.
COLOURS: Final = {
    "overloaded": "red", "server_error": "dark-red", "timeout": "orange", "connection": "light-red",
    "protocol": "dark-orange", "no_image": "light-orange", "bad_image": "yellow",
    "expired": "dark-yellow", "rate_limited": "light-purple", "quota_exhausted": "purple",
    "not_entitled": "dark-purple", "billing": "super-light-purple", "auth": "semi-dark-purple",
    "model_gone": "light-blue", "bad_request": "blue", "policy_blocked": "#808080",
    "our_network": "#a0a0a0", "monitor_fault": "#c0c0c0",
}  # fmt: skip
OUTCOMES: Final = {"good": GREEN, "bad": RED, "unusable": PURPLE, "void": GREY}


def fixed(colours: dict[str, str]) -> list[Json]:
    """Return overrides that give each named series its colour."""
    return [by_name(n, color={"mode": "fixed", "fixedColor": c}) for n, c in colours.items()]


def state_of(targets: str) -> str:
    """Return the query of the state of *targets* as the number that ``STATE_NUMBERS`` names."""
    return " or ".join(
        f'max by (target) (imgmon_target_state{{{targets},state="{name}"}} == 1) * {number}'
        for number, (name, _) in enumerate(STATES)
    )


def of_caps(metrics: str) -> str:
    """Return *metrics* of caps, with a name for the cap of all probes, whose id is empty."""
    return f'label_replace({metrics}, "id", "all probes", "id", "")'


def cap(period: str) -> str:
    """Return the query of the caps of a day or a month, in dollars."""
    caps = of_caps(f'imgmon_spend_cap_usd{{period="{period}"}}')
    return f"max by (id) ({caps})"


def booked(period: str) -> str:
    """Return the query of what is booked of each of them."""
    used = of_caps(f'imgmon_spend_cap_usd{{period="{period}"}} * imgmon_spend_cap_used_ratio')
    return f"max by (id) ({used})"


def added(counter: str, *by: str) -> str:
    """
    Return the query of what *counter* grew by in each interval, summed by labels.

    Exact, unlike increase(), which extrapolates and does not see the first event of its kind: a series
    that is new where the exporter was there before began at zero. Where the exporter was not, growth
    is counted from its first scrape on, so that a daemon of five minutes is not an empty panel.
    """
    labels = f" by ({', '.join(by)})" if by else ""
    before = f"{counter} offset $__interval"
    is_new = f"({counter} unless {before}) and on () (imgmon_build_info offset $__interval)"
    is_young = f"{counter} - min_over_time({counter}[$__interval])"
    return f"sum{labels} (clamp_min({counter} - ({before}), 0) or {is_new} or {is_young})"


def band(name: str, title: str, colour: str) -> list[Json]:
    """Return overrides that draw *title*'s interval as a band between two thin lines."""
    thin = {"color": {"mode": "fixed", "fixedColor": colour}, "custom__lineWidth": 0}
    quiet = {"custom__hideFrom": {"legend": True, "tooltip": False, "viz": False}}
    return [
        by_name(title, color={"mode": "fixed", "fixedColor": colour}, custom__lineWidth=2),
        by_name(f"{name} lower", **thin, **quiet),
        by_name(
            f"{name} upper", **thin, **quiet,
            custom__fillBelowTo=f"{name} lower", custom__fillOpacity=15,
        ),
    ]  # fmt: skip


def claimed(title: str) -> list[Json]:
    """Return overrides that draw what was promised as a dashed line."""
    dashed = {"fill": "dash", "dash": [6, 6]}
    return [
        by_name(title, color={"mode": "fixed", "fixedColor": RED}, custom__lineStyle=dashed),
    ]


def overview() -> Json:
    """Return what an operator looks at first."""
    interval = by_regexp(
        "availability|lower|upper", unit="percentunit", decimals=2, custom__width=100
    )
    to_target = {
        "title": "Look at ${__value.text}",
        "url": "/d/imgmon-target?var-target=${__value.raw}&var-instance=${instance}"
        "&var-datasource=${datasource}"
        "&${__url_time_range}",
    }
    state = (
        f"max by (target, state) (imgmon_target_state{{{ALL}}} == 1)"
        f" * on (target) group_left (provider) imgmon_target_info{{{ALL}}}"
    )
    targets = table(
        "Targets",
        "Every chosen target. Availability is that of the chosen window, view and source, with the ends of"
        " its 95 % interval and the samples it rests on. A dash means that it is not known.",
        [
            ("value", state),
            ("place", f"max by (target) (imgmon_priority_rank{{{ALL},{ORDER}}})"),
            ("availability", f"max by (target) (imgmon_availability_ratio{{{ALL},{SHARES}}})"),
            ("lower", f"max by (target) (imgmon_availability_ratio_lower{{{ALL},{SHARES}}})"),
            ("upper", f"max by (target) (imgmon_availability_ratio_upper{{{ALL},{SHARES}}})"),
            ("n", f"max by (target) (imgmon_availability_samples{{{ALL},{SHARES}}})"),
            ("p95", f"max by (target) ({P95})"),
            (
                "p95 n",
                f'max by (target) (imgmon_latency_samples{{{ALL},window="$window"}})',
            ),
            (
                "budget left",
                f"max by (target) (imgmon_error_budget_remaining_ratio{{{ALL}}})",
            ),
            ("spent in 24 h", f"sum by (target) (increase(imgmon_spend_usd_total{{{ALL}}}[24h]))"),
            ("price", f"max by (target) (imgmon_target_price_usd{{{ALL}}})"),
            (
                "last probe",
                f"time() - max by (target) (imgmon_last_probe_timestamp_seconds{{{ALL}}})",
            ),
        ],
        "target",
        labels=("provider", "state"),
        hidden=("Value #A",),
        sort="place",
        overrides=[
            by_name("target", links=[to_target], custom__width=150),
            by_name(
                "state", mappings=STATE_WORDS, custom__width=110,
                custom__cellOptions={"type": "color-background", "mode": "basic"},
            ),
            interval,
            by_regexp("place|n|p95 n", custom__width=64),
            by_name("p95", unit="s", decimals=1, custom__width=80),
            by_name(
                "budget left", unit="percentunit", decimals=0, thresholds=BUDGET,
                custom__cellOptions={"type": "color-text"},
            ),
            by_name("price", unit="currencyUSD", decimals=3, custom__width=80),
            by_name("spent in 24 h", unit="currencyUSD", decimals=3, custom__width=120),
            by_name("last probe", unit="s", decimals=0),
        ],
    )  # fmt: skip
    rows = [
        Row("", 4, [
            (3, stat(
                "Healthy", "Chosen targets that are healthy now.",
                f'count(imgmon_target_state{{{ALL},state="healthy"}} == 1) or vector(0)',
                thresholds=steps((None, RED), (1, GREEN)),
            )),
            (3, stat(
                "Down", "Chosen targets that are down now: the provider's fault.",
                f'count(imgmon_target_state{{{ALL},state="down"}} == 1) or vector(0)',
                thresholds=NONE_IS_GOOD,
            )),
            (3, stat(
                "Not for us", "Chosen targets that our account may not use now: key, bill, quota.",
                f'count(imgmon_target_state{{{ALL},state="unusable"}} == 1) or vector(0)',
                thresholds=steps((None, GREEN), (1, PURPLE)),
            )),
            (3, stat(
                "Open incidents", "Chosen targets with an incident that lasts.",
                f"sum(imgmon_incident_open{{{ALL}}})", thresholds=NONE_IS_GOOD,
            )),
            (3, stat(
                "First of $pool", "Whom clients of this profile call first now.",
                f"imgmon_priority_rank{{{ORDER}}} == 1", legend="{{target}}", text="name",
                thresholds=steps((None, BLUE)), none="no order",
            )),
            (3, stat(
                "Order", "All degraded: every target waits, is down or may not be used.",
                f"imgmon_priority_all_degraded{{{ORDER}}}",
                mappings=mapped({"0": ("usable", GREEN), "1": ("all degraded", RED)}), none="no order",
            )),
            (3, stat(
                "Order valid for", "Past this the order is stale; it is served on.",
                f"imgmon_priority_valid_until_timestamp_seconds{{{ORDER}}} - time()", "s", decimals=0,
                thresholds=steps((None, RED), (0, TEXT)), none="no order",
                mappings=mapped({}, ("no order", TEXT)),
            )),
            (3, stat(
                "Spent today", "Money booked for probes since UTC midnight, all providers.",
                "sum(imgmon_spend_today_usd)", "currencyUSD", decimals=2,
            )),
        ]),
        Row("", 9, [(24, targets)]),
        Row("State and order", 9, [
            (12, state_lines(
                "State", "What each target is thought to be. Grey is unknown: no evidence is not health.",
                [query(state_of(ALL), "{{target}}")], STATE_NUMBERS, value="never",
            )),
            (12, state_lines(
                "Order of $pool / $profile", "Each target's place; clients call 1 first.",
                [query(f"max by (target) (imgmon_priority_rank{{{ORDER}}})", "{{target}}")],
                [],
                thresholds=steps(
                    (None, "dark-green"), (2, "semi-dark-blue"), (3, "dark-blue"), (4, GREY)
                ),
                value="always",
            )),
        ]),
        Row("What the order is made of", 9, [
            (8, lines(
                "Availability, $view view, $window", "Good share of scheduled probes in the window.",
                [query(f"max by (target) (imgmon_availability_ratio{{{ALL},{SHARES}}})", "{{target}}")],
                "percentunit", high=1, legend=("lastNotNull", "min"),
            )),
            (8, lines(
                "p95, $window",
                "Nearest-rank p95 of good probes in the window; no line where there was no good probe.",
                [query(f"max by (target) ({P95})", "{{target}}")],
                "s", low=0, legend=("lastNotNull", "max"),
            )),
            (8, lines(
                "Cost of one delivered picture, $pool / $profile",
                "Price, waiting and failing together, in dollars: within a tier the least is called first.",
                [query(
                    f"max by (target) (imgmon_priority_index_usd{{{ALL},{ORDER}}})", "{{target}}"
                )],
                "currencyUSD", low=0, none="no order",
            )),
        ]),
        Row("Money and freshness", 9, [
            (8, gauge_bars(
                "Error budget left", "Share of the 30-day error budget that is left; below 0 it is overspent.",
                f"sort_desc(max by (target) (imgmon_error_budget_remaining_ratio{{{ALL}}}))",
                "{{target}}", thresholds=BUDGET, low=-1, none="no claim",
            )),
            (8, gauge_bars(
                "Caps used", "Booked share of each cap on probe money in its running period.",
                f"sort_desc({of_caps('imgmon_spend_cap_used_ratio')})", "{{id}} / {{period}}",
                thresholds=CAP, none="no cap",
            )),
            (8, gauge_bars(
                "Slots since the last probe", "Age of the newest generation in slots of its target's schedule.",
                f"sort_desc((time() - max by (target) (imgmon_last_probe_timestamp_seconds{{{ALL}}}))"
                f" / max by (target) (imgmon_probe_interval_seconds{{{ALL}}}))",
                "{{target}}", "short", thresholds=steps((None, GREEN), (2, YELLOW), (4, RED)), high=None,
            )),
        ]),
    ]  # fmt: skip
    return dashboard(
        "imgmon-overview", "imgmon / Overview",
        "Who is up, who is called first, and what that costs.",
        [POOL, PROFILE, TARGETS, WINDOW, VIEW, SOURCE], rows, incidents=ALL, changes=ORDER,
    )  # fmt: skip


def target() -> Json:
    """Return all that is measured of one target."""
    quantile = f'{ONE},window="$window",quantile='
    hours = f"""
        avg_over_time((
          label_replace(count_values("hour", hour()), "hour", "0$1", "hour", "(.)")
          * on () group_left (day) count_values("day", (day_of_week() + 6) % 7)
          * on () group_left () (
            sum(increase(imgmon_probe_duration_seconds_sum{{{ONE}}}[2h]))
            / (sum(increase(imgmon_probe_duration_seconds_count{{{ONE}}}[2h])) > 0)
          )
        )[28d:1h])"""
    of_hours = table(
        "Seconds by hour of the week, UTC",
        "Mean latency of good probes in the two hours before each full hour, over the last four weeks.",
        [("seconds", hours)],
        "hour",
    )
    matrix = {"columnField": "hour", "rowField": "day", "valueField": "Value"}
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    of_hours["transformations"] = [
        # Rows and columns come in the order in which they first appear; sorting is stable.
        *(
            {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": f}]}}
            for f in ("day", "hour")
        ),
        {"id": "groupingToMatrix", "options": {**matrix, "emptyValue": "null"}},
    ]
    of_hours["fieldConfig"] = {
        "defaults": {
            "unit": "short", "decimals": 1, "mappings": mapped({}, ("-", "transparent")),
            "color": {"mode": "continuous-BlYlRd"}, "noValue": "no full hour yet",
            "custom": {
                "align": "center", "inspect": False, "minWidth": 34,
                "cellOptions": {"type": "color-background", "mode": "basic"},
            },
        },
        "overrides": [by_name(
            r"day\hour", displayName="day", color={"mode": "fixed", "fixedColor": "transparent"},
            mappings=mapped({str(n): (day, "transparent") for n, day in enumerate(days)}),
            custom__width=60,
        )],
    }  # fmt: skip
    rows = [
        Row("", 4, [
            (3, stat(
                "State", "What the target is thought to be now.", state_of(ONE),
                mappings=STATE_NUMBERS, none="unknown",
            )),
            (4, stat(
                "Availability, at least", "Lower end of the 95 % interval of the chosen window and view.",
                f"imgmon_availability_ratio_lower{{{ONE},{SHARES}}}", "percentunit", decimals=2,
                none="unknown",
            )),
            (2, stat(
                "n", "Scheduled probes that availability rests on.",
                f"imgmon_availability_samples{{{ONE},{SHARES}}}",
            )),
            (3, stat(
                "p95", "Nearest-rank p95 of good probes in the window.",
                f'imgmon_latency_quantile_seconds{{{quantile}"0.95"}}', "s", decimals=1, none="unknown",
            )),
            (4, stat(
                "Error budget left", "Share of the 30-day error budget that is left.",
                f"imgmon_error_budget_remaining_ratio{{{ONE}}}", "percentunit", thresholds=BUDGET,
                decimals=0, none="no claim",
            )),
            (3, stat(
                "Last", "Time since the newest generation began.",
                f"time() - imgmon_last_probe_timestamp_seconds{{{ONE}}}", "s", decimals=0,
            )),
            (2, stat(
                "Next", "Until the next generation is due.",
                f"imgmon_next_probe_timestamp_seconds{{{ONE}}} - time()", "s", decimals=0,
                none="none is due",
            )),
            (3, stat(
                "Provider", "Who serves it, by its name in the configuration.",
                f"imgmon_target_info{{{ONE}}}", legend="{{provider}}", text="name",
                thresholds=steps((None, BLUE)),
            )),
        ]),
        Row("", 4, [(24, state_lines(
            "State", "Grey is unknown: no evidence is not health.",
            [query(state_of(ONE), "{{target}}")], STATE_NUMBERS,
        ))]),
        Row("Latency", 9, [
            (12, heatmap(
                "Latency of good probes", "Good generations by how long they took; failures have no latency.",
                f"sum by (le) (increase(imgmon_probe_duration_seconds_bucket{{{ONE}}}[$__interval]))",
                "s",
            )),
            (12, lines(
                "p50 and p95, $window",
                "Nearest-rank quantiles with one-sided 95 % bounds; no band where the samples are too few.",
                [
                    query(f'imgmon_latency_quantile_seconds{{{quantile}"0.5"}}', "p50"),
                    query(f'imgmon_latency_quantile_seconds_lower{{{quantile}"0.5"}}', "p50 lower"),
                    query(f'imgmon_latency_quantile_seconds_upper{{{quantile}"0.5"}}', "p50 upper"),
                    query(f'imgmon_latency_quantile_seconds{{{quantile}"0.95"}}', "p95"),
                    query(f'imgmon_latency_quantile_seconds_lower{{{quantile}"0.95"}}', "p95 lower"),
                    query(f'imgmon_latency_quantile_seconds_upper{{{quantile}"0.95"}}', "p95 upper"),
                    query(f"imgmon_claim_latency_p95_seconds{{{ONE}}}", "claimed p95"),
                ],
                "s", low=0,
                overrides=[*band("p50", "p50", BLUE), *band("p95", "p95", ORANGE), *claimed("claimed p95")],
                legend=("lastNotNull", "max"),
            )),
        ]),
        Row("", 9, [
            (12, bars(
                "Where the time goes", "Mean seconds of good generations in each phase.",
                [query(
                    f"sum by (phase) (increase(imgmon_probe_phase_seconds_sum{{{ONE}}}[$__interval]))"
                    " / on () group_left () (sum(increase("
                    f"imgmon_probe_duration_seconds_count{{{ONE}}}[$__interval])) > 0)", "{{phase}}",
                )],
                "s", calc="mean",
            )),
            (6, lines(
                "Picture, pixels", "Size of the newest generation's picture.",
                [
                    query(f"imgmon_image_width_pixels{{{ONE}}}", "width"),
                    query(f"imgmon_image_height_pixels{{{ONE}}}", "height"),
                ],
                "short", low=0, stepped=True, legend=(),
            )),
            (6, lines(
                "Picture, bytes", "Length of the newest generation's picture.",
                [query(f"imgmon_image_size_bytes{{{ONE}}}", "length")],
                "bytes", low=0, stepped=True, legend=(),
            )),
        ]),
        Row("Failures", 9, [
            (12, bars(
                "Failures by class",
                "Reds are the provider's fault, purples and blues our account's, greys nobody's.",
                [query(
                    added(f'imgmon_probes_total{{{ONE},error!=""}}', "error"), "{{error}}"
                )],
                overrides=fixed(COLOURS),
            )),
            (12, bars(
                "Outcomes", "Generations finished, by who is at fault; free calls are left out.",
                [query(
                    added(f'imgmon_probes_total{{{ONE},kind!="liveness"}}', "outcome"), "{{outcome}}",
                )],
                overrides=fixed(OUTCOMES),
            )),
        ]),
        Row("Availability", 9, [
            (12, lines(
                "Availability, $view view, $window", "Good share of scheduled probes with its 95 % interval.",
                [
                    query(f"imgmon_availability_ratio{{{ONE},{SHARES}}}", "availability"),
                    query(f"imgmon_availability_ratio_lower{{{ONE},{SHARES}}}", "availability lower"),
                    query(f"imgmon_availability_ratio_upper{{{ONE},{SHARES}}}", "availability upper"),
                    query(f"imgmon_claim_availability_ratio{{{ONE}}}", "claimed"),
                ],
                "percentunit", high=1,
                overrides=[*band("availability", "availability", GREEN), *claimed("claimed")],
                legend=("lastNotNull", "min"),
            )),
            (12, lines(
                "Coverage and timeouts, $window",
                "Share of the window that samples speak for, and share of timeouts among good and bad probes.",
                [
                    query(f'imgmon_coverage_ratio{{{ONE},window="$window"}}', "coverage"),
                    query(f'imgmon_timeouts_ratio{{{ONE},window="$window"}}', "timeouts"),
                ],
                "percentunit", low=0, high=1,
                overrides=fixed({"coverage": BLUE, "timeouts": ORANGE}),
            )),
        ]),
        Row("Canaries beside clients", 8, [
            (8, lines(
                "Availability by source, $view view, $window",
                "What canaries measured beside what clients reported: disagreement is a finding.",
                [query(
                    f'imgmon_availability_ratio{{{ONE},window="$window",view="$view"}}', "{{source}}"
                )],
                "percentunit", high=1, none="nobody reported",
            )),
            (8, lines(
                "p95 as clients reported it, $window", "Of pictures that clients got, within 1 %.",
                [query(f'imgmon_reported_latency_quantile_seconds{{{quantile}"0.95"}}', "p95")],
                "s", low=0, none="nobody reported",
            )),
            (8, lines(
                "Clients, $window", "How many reported, and how many fail while others succeed.",
                [
                    query(f'imgmon_reporting_clients{{{ONE},window="$window"}}', "reporting"),
                    query(f"imgmon_clients_failing_alone{{{ONE}}}", "failing alone"),
                ],
                "short", low=0, stepped=True, none="nobody reported",
            )),
        ]),
        Row("Drift and habits", 9, [
            (8, lines(
                "Median, $window, against that of one range before",
                "Above 1 the target has become slower than it was: a day before, where a day is shown.",
                [query(
                    f'imgmon_latency_quantile_seconds{{{quantile}"0.5"}} / last_over_time('
                    f'imgmon_latency_quantile_seconds{{{quantile}"0.5"}}[2h] offset $__range)', "ratio",
                )],
                "short", thresholds=steps((None, GREEN), (1.0, YELLOW)), none="nothing that long ago",
            )),
            (8, bars(
                "Changes noticed, all targets",
                "Model version, price, picture or end of a model; which one it was is in the event log.",
                [query(
                    added(
                        'imgmon_events_total{kind=~"model_changed|price_changed|output_changed|'
                        'shutdown_announced"}', "kind",
                    ), "{{kind}}",
                )],
            )),
            (8, bars(
                "Slots without a probe", "Gaps by reason: time that nothing speaks for.",
                [query(
                    added(f"imgmon_gaps_total{{{ONE}}}", "reason"), "{{reason}}",
                )],
            )),
        ]),
        Row("", 10, [(24, of_hours)]),
        Row("", 5, [
            (4, stat(
                "Blocks in a row", "Newest generations in a row that a content policy blocked.",
                f"imgmon_policy_blocks_in_a_row{{{ONE}}}", thresholds=steps((None, GREEN), (3, YELLOW)),
            )),
            (4, stat(
                "Model ends in", "Until the day that its provider announced for the end of the model.",
                f"imgmon_model_shutdown_timestamp_seconds{{{ONE}}} - time()", "s", decimals=0,
                thresholds=steps((None, RED), (30 * 86_400, TEXT)), none="not announced",
                mappings=mapped({}, ("not announced", TEXT)),
            )),
            (16, state_lines(
                "Free calls", "Whether free calls are answered. They explain and never count.",
                [query(f"imgmon_liveness_success{{{ONE}}}", "{{target}}")],
                mapped({"0": ("failing", RED), "1": ("answered", GREEN)}),
            )),
        ]),
    ]  # fmt: skip
    return dashboard(
        "imgmon-target", "imgmon / Target", "All that is measured of one target.",
        [TARGET, WINDOW, VIEW, SOURCE], rows, incidents=ONE,
    )  # fmt: skip


def slo() -> Json:
    """Return what was promised and what was measured of it."""
    verdicts = mapped({"0": ("missed", RED), "1": ("attained", GREEN)}, ("undetermined", GREY))
    painted = {
        "mappings": verdicts,
        "custom__cellOptions": {"type": "color-background", "mode": "basic"},
    }
    windowed = f'{ALL},window="$window"'
    claims = table(
        "Claims, $window",
        "Attained and missed are said only when the whole 95 % interval says so; else, or where nothing is"
        " claimed, a verdict is undetermined.",
        [
            ("availability", f"max by (target) (imgmon_availability_ratio{{{ALL},{SHARES}}})"),
            ("lower", f"max by (target) (imgmon_availability_ratio_lower{{{ALL},{SHARES}}})"),
            ("upper", f"max by (target) (imgmon_availability_ratio_upper{{{ALL},{SHARES}}})"),
            ("n", f"max by (target) (imgmon_availability_samples{{{ALL},{SHARES}}})"),
            (
                "claimed availability",
                f'max by (target) (imgmon_claim_attained{{{windowed},claim="availability"}})',
            ),
            (
                "claimed p95",
                f'max by (target) (imgmon_claim_attained{{{windowed},claim="latency_p95"}})',
            ),
            ("fast enough", f"max by (target) (imgmon_latency_sli_ratio{{{windowed}}})"),
            ("at least", f"max by (target) (imgmon_latency_sli_ratio_lower{{{windowed}}})"),
            ("budget left", f"max by (target) (imgmon_error_budget_remaining_ratio{{{ALL}}})"),
            ("coverage", f"max by (target) (imgmon_coverage_ratio{{{windowed}}})"),
        ],
        "target",
        overrides=[
            by_regexp(
                "availability|lower|upper|fast enough|at least", unit="percentunit", decimals=2
            ),
            by_name("coverage", unit="percentunit", decimals=0),
            by_name(
                "budget left", unit="percentunit", decimals=0, thresholds=BUDGET,
                custom__cellOptions={"type": "color-text"},
            ),
            by_name("claimed availability", **painted, custom__width=150),
            by_name("claimed p95", **painted),
        ],
    )  # fmt: skip
    rows = [
        Row("", 4, [
            (6, stat(
                "Claims attained", "Claims of the chosen targets that the window proves.",
                f"count(imgmon_claim_attained{{{windowed}}} == 1) or vector(0)",
                thresholds=steps((None, TEXT), (1, GREEN)),
            )),
            (6, stat(
                "Claims missed", "Claims of the chosen targets that the window disproves.",
                f"count(imgmon_claim_attained{{{windowed}}} == 0) or vector(0)",
                thresholds=NONE_IS_GOOD,
            )),
            (6, stat(
                "Budgets spent", "Chosen targets without any error budget left.",
                f"count(imgmon_error_budget_remaining_ratio{{{ALL}}} <= 0) or vector(0)",
                thresholds=NONE_IS_GOOD,
            )),
            (6, stat(
                "Fastest burn", "1 uses up the 30-day budget in 30 days; none below 3 failures.",
                f"max(imgmon_burn_rate{{{ALL}}})", thresholds=BURN, decimals=1, none="too few failures",
            )),
        ]),
        Row("", 9, [(24, claims)]),
        Row("Error budget", 9, [
            (12, lines(
                "Budget left", "Share of the 30-day error budget; dashed, the lower end of its interval.",
                [
                    query(
                        f"max by (target) (imgmon_error_budget_remaining_ratio{{{ALL}}})", "{{target}}"
                    ),
                    query(
                        f"max by (target) (imgmon_error_budget_remaining_ratio_lower{{{ALL}}})",
                        "{{target}} at least",
                    ),
                ],
                "percentunit", low=-1, high=1, thresholds=steps((None, RED), (0, "transparent")),
                overrides=[by_regexp(
                    ".* at least", custom__lineStyle={"fill": "dash", "dash": [6, 6]},
                )],
            )),
            (12, lines(
                "Burn rates", "Failures against what the budget allows; absent below 3 failures or 12 samples.",
                [query(f"max by (target, window) (imgmon_burn_rate{{{ALL}}})", "{{target}} {{window}}")],
                "short", low=0, thresholds=BURN,
            )),
        ]),
        Row("Evidence", 9, [
            (8, lines(
                "Burn rate, at least", "The same at the lower end of the failures' interval.",
                [query(
                    f"max by (target, window) (imgmon_burn_rate_lower{{{ALL}}})", "{{target}} {{window}}"
                )],
                "short", low=0, thresholds=BURN,
            )),
            (8, lines(
                "Fast enough, $window", "Good and bad probes that are good and within the p95 promised.",
                [query(f"max by (target) (imgmon_latency_sli_ratio{{{windowed}}})", "{{target}}")],
                "percentunit", high=1,
            )),
            (8, gauge_bars(
                "Announced maintenance, $window", "Time that counts for nothing, because it was announced.",
                f"sort_desc(max by (target) (imgmon_maintenance_seconds{{{windowed}}}))",
                "{{target}}", "s", thresholds=steps((None, BLUE)), high=None,
            )),
        ]),
    ]  # fmt: skip
    return dashboard(
        "imgmon-slo", "imgmon / SLO and claims",
        "What was promised, what was measured of it, and how sure that is.",
        [POOL, TARGETS, WINDOW, VIEW, SOURCE], rows, incidents=ALL,
    )  # fmt: skip


def money() -> Json:
    """Return what probes cost and which limits they meet."""
    days = "(day_of_month() - 1 + hour() / 24 + minute() / 1440)"
    rows = [
        Row("", 4, [
            (6, stat(
                "Spent today", "Booked since UTC midnight, all providers.",
                "sum(imgmon_spend_today_usd)", "currencyUSD", decimals=2,
            )),
            (6, stat(
                "Spent in the time shown", "Booked for probes in the range of this dashboard.",
                "sum(increase(imgmon_spend_usd_total[$__range]))", "currencyUSD", decimals=2,
            )),
            (6, stat(
                "Paid for a good canary", "Money booked in the range, for each good canary in it.",
                "sum(increase(imgmon_spend_usd_total[$__range]))"
                ' / sum(increase(imgmon_probes_total{kind="canary",outcome="good"}[$__range]))',
                "currencyUSD", decimals=4,
            )),
            (6, stat(
                "Caps nearly used", "Caps of which 80 % or more is booked.",
                "count(imgmon_spend_cap_used_ratio >= 0.8) or vector(0)", thresholds=NONE_IS_GOOD,
            )),
        ]),
        Row("Caps", 9, [
            (9, gauge_bars(
                "Caps used", "Booked share of each cap in its running day or month.",
                f"sort_desc({of_caps('imgmon_spend_cap_used_ratio')})", "{{id}} / {{period}}",
                thresholds=CAP, none="no cap",
            )),
            (15, lines(
                "Booked against the cap of a day", "Dashed is the cap; the day begins at UTC midnight.",
                [
                    query(booked("day"), "{{id}}"),
                    query(cap("day"), "{{id}} cap"),
                ],
                "currencyUSD", low=0,
                overrides=[by_regexp(
                    ".* cap", custom__lineStyle={"fill": "dash", "dash": [6, 6]},
                )],
            )),
        ]),
        Row("", 9, [
            (9, table(
                "Caps of a month, at this pace",
                "What is booked of each monthly cap, and what the month would come to at its pace so far.",
                [
                    ("cap", cap("month")),
                    (
                        "booked",
                        booked("month"),
                    ),
                    (
                        "at month's end",
                        f"{booked('month')} * on () group_left () (days_in_month() / ({days} > 0))",
                    ),
                ],
                "id",
                overrides=[by_regexp("cap|booked|at month's end", unit="currencyUSD", decimals=2)],
            )),
            (15, bars(
                "Money by target", "Booked for probes.",
                [query(
                    added(f"imgmon_spend_usd_total{{{ALL}}}", "target"),
                    "{{target}}",
                )],
                "currencyUSD",
            )),
        ]),
        Row("Quotas", 9, [
            (8, table(
                "Requests that providers take",
                "As configured or as replies told, and what probes booked of the running period.",
                [
                    ("limit", "max by (provider, period, source) (imgmon_quota_limit)"),
                ],
                "provider",
            )),
            (8, lines(
                "Quota used by probes", "Probes booked in the running period.",
                [query("max by (provider, period) (imgmon_quota_used)", "{{provider}} / {{period}}")],
                "short", low=0,
            )),
            (8, lines(
                "Quota left", "Requests left by what the provider said; absent where it said nothing.",
                [query(
                    "max by (provider, period) (imgmon_quota_remaining)", "{{provider}} / {{period}}"
                )],
                "short", low=0,
            )),
        ]),
        Row("", 9, [
            (8, lines(
                "Balance", "Money left on the account, where free calls tell it.",
                [query(f"max by (target) (imgmon_balance_usd{{{ALL}}})", "{{target}}")],
                "currencyUSD", low=0,
            )),
            (8, bars(
                "Slots without a probe", "Gaps by reason; spend_cap and quota_guard are limits that bite.",
                [query(
                    added(f"imgmon_gaps_total{{{ALL}}}", "reason"), "{{reason}}"
                )],
            )),
            (8, gauge_bars(
                "Until it is worth a call again", "Time until a waiting target's retry time.",
                f"sort_desc(max by (target) (imgmon_retry_at_timestamp_seconds{{{ALL}}}) - time() > 0)",
                "{{target}}", "s", thresholds=steps((None, PURPLE)), high=None, none="nobody waits",
            )),
        ]),
    ]  # fmt: skip
    return dashboard(
        "imgmon-spend", "imgmon / Spend and quotas",
        "What probes cost, and the caps and quotas that hold them.",
        [POOL, TARGETS], rows, incidents=ALL,
    )  # fmt: skip


def daemons() -> Json:
    """Return the table of all daemons that this Prometheus scrapes, whichever is chosen."""
    every = 'instance=~".+"'
    version = f"on (job, instance) group_left (version) imgmon_build_info{{{every}}}"
    since = f"imgmon_config_last_reload_success_timestamp_seconds{{{every}}}"
    reload = mapped({"0": ("refused", RED), "1": ("taken", GREEN)})
    return table(
        "All daemons",
        "Equal digests: configurations that measure alike, whatever their vantage, address and file of"
        " the store. `imgmon config check` prints that of a file.",
        [
            ("value", f"imgmon_config_info{{{every}}} * {version}"),
            (
                "last reload",
                f"max by (instance) (imgmon_config_last_reload_successful{{{every}}})",
            ),
            (
                "in force for",
                f"time() - max by (instance) ({since})",
            ),
        ],
        "instance",
        labels=("vantage", "version", "digest"),
        hidden=("Value #A", "job"),
        overrides=[
            by_name("last reload", mappings=reload, custom__cellOptions={"type": "color-text"}),
            by_name("in force for", unit="s", decimals=0),
        ],
    )  # fmt: skip


def itself() -> Json:
    """Return how the monitor itself is."""
    rows = [
        Row("", 4, [
            (4, stat(
                "Version", "Of the daemon.", "imgmon_build_info", legend="{{version}}", text="name",
                thresholds=steps((None, BLUE)),
            )),
            (4, stat(
                "Age of the snapshot", "Time since what is published was made.",
                "time() - max(imgmon_snapshot_timestamp_seconds)", "s", decimals=0,
            )),
            (4, stat(
                "Our network", "Whether our own network is thought to be down; nobody knows without hosts.",
                "max(imgmon_our_network_suspect)",
                mappings=mapped({"0": ("up", GREEN), "1": ("suspect", RED)}), none="not watched",
            )),
            (4, stat(
                "Rows lost", "Rows lost to a full queue in the range.",
                "sum(increase(imgmon_store_dropped_rows_total[$__range]))", thresholds=NONE_IS_GOOD,
                decimals=0,
            )),
            (4, stat(
                "Failed commits", "Commits that failed in the range; they are retried.",
                "sum(increase(imgmon_store_errors_total[$__range]))", thresholds=NONE_IS_GOOD,
                decimals=0,
            )),
            (4, stat(
                "Last commit", "Time since the last committed batch.",
                "time() - max(imgmon_store_last_commit_timestamp_seconds)", "s", decimals=0,
                none="none yet",
            )),
        ]),
        Row("Daemons and what they tell", 8, [
            (12, daemons()),
            (3, stat(
                "Unsent", "Notifications that are not sent yet.",
                "imgmon_notifications_pending", thresholds=steps((None, TEXT), (10, YELLOW)),
            )),
            (3, stat(
                "Oldest unsent", "Age of the oldest notification that is not sent yet.",
                "imgmon_notification_oldest_pending_seconds", "s", decimals=0,
                thresholds=steps((None, TEXT), (600, RED)),
            )),
            (6, bars(
                "Notifications", "Attempts by route: sent, failed (tried again) or given up.",
                [query(
                    added("imgmon_notification_sends_total", "route", "result"),
                    "{{route}} {{result}}",
                )],
                none="no routes",
            )),
        ]),
        Row("Time", 8, [
            (12, lines(
                "Event loop and schedule", "Longest recent stall, and longest recent delay of a probe.",
                [
                    query("max(imgmon_loop_lag_seconds)", "loop lag"),
                    query("max(imgmon_schedule_lateness_seconds)", "schedule lateness"),
                ],
                "s", low=0, legend=("lastNotNull", "max"),
            )),
            (12, lines(
                "Under way", "Probes and batch jobs under way.",
                [
                    query("sum(imgmon_probes_running)", "probes"),
                    query("sum(imgmon_batch_jobs)", "batch jobs"),
                ],
                "short", low=0, stepped=True, legend=("lastNotNull", "max"),
            )),
        ]),
        Row("Store", 8, [
            (8, lines(
                "Queue of the writer", "Rows that wait for the writer.",
                [query("sum(imgmon_store_queue_rows)", "rows")], "short", low=0,
                legend=("lastNotNull", "max"),
            )),
            (5, lines(
                "Size", "Size of the database file and its log.",
                [query("sum(imgmon_store_bytes)", "store")], "bytes", low=0, legend=(),
            )),
            (3, stat(
                "Oldest row", "Age of the oldest generation that is kept.",
                "time() - min(imgmon_store_oldest_row_timestamp_seconds)", "s", decimals=0,
                none="not known yet",
            )),
            (8, bars(
                "Rows written and pruned", "Committed by this process, and removed because of their age.",
                [
                    query(added("imgmon_store_rows_total"), "written"),
                    query(added("imgmon_store_pruned_rows_total"), "pruned"),
                ],
            )),
        ]),
        Row("Process and scrapes", 8, [
            (6, lines(
                "Processor", "Share of one processor that the process used.",
                [query("sum(rate(process_cpu_seconds_total[$__rate_interval]))", "used")],
                "percentunit", low=0, legend=(),
            )),
            (6, lines(
                "Memory", "Resident memory of the process.",
                [query("sum(process_resident_memory_bytes)", "resident")],
                "bytes", low=0, legend=(),
            )),
            (6, lines(
                "Rendering of a scrape", "Time the last scrape took to render, and parts that failed.",
                [
                    query("max(imgmon_scrape_render_seconds)", "rendering"),
                    query("sum(imgmon_collector_errors_total)", "failed parts"),
                ],
                "s", low=0, legend=(), overrides=[by_name("failed parts", unit="short")],
            )),
            (6, bars(
                "Requests answered", "By route and status.",
                [query(
                    added("imgmon_http_requests_total", "route", "status"),
                    "{{route}} {{status}}",
                )],
            )),
        ]),
        Row("What it noticed", 8, [
            (8, bars(
                "Our own trouble",
                "Probes that say nothing of a provider, and slots that were missed.",
                [
                    query(
                        added(
                            'imgmon_probes_total{error=~"our_network|monitor_fault"}', "error"
                        ), "{{error}}",
                    ),
                    query(
                        added('imgmon_gaps_total{reason="missed"}'), "missed slots"
                    ),
                ],
            )),
            (8, bars(
                "Events", "In the log, by kind.",
                [query(added("imgmon_events_total", "kind"), "{{kind}}")],
            )),
            (8, bars(
                "Changes of orders", "A change every few minutes is an order that flaps.",
                [query(
                    added("imgmon_priority_changes_total", "pool", "profile"),
                    "{{pool}} / {{profile}}",
                )],
            )),
        ]),
        Row("Reports of clients", 8, [
            (12, bars(
                "Reports stored", "By outcome.",
                [query(added("imgmon_reports_total", "outcome"), "{{outcome}}")],
                overrides=fixed(OUTCOMES),
            )),
            (12, bars(
                "Reports not stored", "Known already, wrong, or sent back whole.",
                [
                    query(added("imgmon_reports_duplicate_total"), "duplicate"),
                    query(added("imgmon_reports_rejected_total"), "rejected"),
                    query(added("imgmon_reports_refused_total"), "refused"),
                ],
            )),
        ]),
        Row("Probes and batch queues", 8, [
            (8, bars(
                "Probes by kind", "Finished, free calls among them.",
                [query(added("imgmon_probes_total", "kind"), "{{kind}}")],
            )),
            (8, bars(
                "Incidents opened", "By the class that opened them.",
                [query(added("imgmon_incidents_total", "error"), "{{error}}")],
                overrides=fixed(COLOURS),
            )),
            (8, bars(
                "Trouble with batch jobs", "Looks that failed and were repeated, jobs left undeleted.",
                [
                    query(added("imgmon_batch_calls_failed_total"), "looks"),
                    query(added("imgmon_batch_jobs_not_deleted_total"), "jobs"),
                ],
            )),
        ]),
    ]  # fmt: skip
    return dashboard(
        "imgmon-itself", "imgmon / Monitor itself",
        "Whether the monitor can be believed: its clock, store, network and version.",
        [], rows, incidents='target!=""',
    )  # fmt: skip


POOL: Final = choice("pool", "Pool", "label_values(imgmon_priority_rank, pool)")
PROFILE: Final = choice(
    "profile", "Profile", 'label_values(imgmon_priority_rank{pool="$pool"}, profile)',
    default="balanced",
)  # fmt: skip
TARGETS: Final = choice(
    "target", "Target", 'label_values(imgmon_priority_rank{pool="$pool"}, target)', many=True
)
TARGET: Final = choice("target", "Target", "label_values(imgmon_target_state, target)")
WINDOW: Final = choice(
    "window", "Window", "label_values(imgmon_availability_ratio, window)", default="24h", sort=3
)
VIEW: Final = choice(
    "view", "View", "label_values(imgmon_availability_ratio, view)", default="provider"
)
SOURCE: Final = choice(
    "source", "Source", "label_values(imgmon_availability_ratio, source)", default="canary"
)


def dashboards() -> dict[str, Json]:
    """Return every dashboard by the name of its file."""
    made = (overview(), target(), slo(), money(), itself())
    return {f"{board['uid'].removeprefix('imgmon-')}.json": board for board in made}


def main(arguments: list[str]) -> None:
    """Write every dashboard into the folder named, or into the one that is committed."""
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, board in dashboards().items():
        text = json.dumps(board, indent=2, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
