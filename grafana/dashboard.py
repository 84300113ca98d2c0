"""What Grafana's classic dashboard JSON is made of: panels, queries, variables, annotations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]
SCHEMA_VERSION: Final = 39
GREEN, BLUE, YELLOW, ORANGE, RED = "green", "blue", "yellow", "orange", "red"
PURPLE, GREY, TEXT = "purple", "#808080", "text"
# A state as the number that panels of states need, its word and its colour. Unknown is never green.
STATES: Final = (
    ("unknown", GREY),
    ("healthy", GREEN),
    ("suspect", YELLOW),
    ("degraded", ORANGE),
    ("down", RED),
    ("unusable", PURPLE),
)
_DAEMON: Final = 'instance="$instance"'
_SELECTOR: Final = re.compile(r"\b((?:imgmon|process)_\w+)(?:\{([^}]*)\})?")
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH: Final = 24
# Bars and cells in a panel, whatever time is shown: of a day half an hour each. None is shorter than
# what several scrapes fall into.
_BARS: Final = 48
_BAR_MIN: Final = "1m"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, *height* grid units high, each with its width; under *title* if any."""

    title: str
    height: int
    panels: Sequence[tuple[int, Json]] = field(default_factory=tuple)


def steps(*points: tuple[float | None, str]) -> Json:
    """Return thresholds: colours, each from a value on; None is where there is no value below."""
    return {
        "mode": "absolute",
        "steps": [{"value": value, "color": colour} for value, colour in points],
    }


def mapped(words: dict[str, tuple[str, str]], null: tuple[str, str] | None = None) -> list[Json]:
    """Return value mappings: value to word and colour; *null* is shown where there is no value."""
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(words.items())
    }
    mappings: list[Json] = [{"type": "value", "options": options}] if options else []
    if null:
        result = {"text": null[0], "color": null[1], "index": len(options)}
        mappings.append({"type": "special", "options": {"match": "null+nan", "result": result}})
    return mappings


STATE_WORDS: Final = mapped({name: (name, colour) for name, colour in STATES})
STATE_NUMBERS: Final = mapped(
    {str(number): (name, colour) for number, (name, colour) in enumerate(STATES)}, ("unknown", GREY)
)


def query(expr: str, legend: str = "", *, instant: bool = False, kind: str = "time_series") -> Json:
    """Return one query; *kind* is ``time_series``, ``table`` or ``heatmap``."""
    text = of_one_daemon(re.sub(r"\s+", " ", expr).strip())
    asked: Json = {"datasource": _SOURCE, "expr": text, "format": kind, "editorMode": "code"}
    asked |= {"instant": True, "range": False} if instant else {"instant": False, "range": True}
    return asked | {"legendFormat": legend or "__auto"}


def by_name(name: str, **properties: Any) -> Json:
    """Return what is different for the field *name*; ``__`` in a key stands for a dot."""
    return _override("byName", name, properties)


def by_regexp(pattern: str, **properties: Any) -> Json:
    """Return what is different for the fields whose whole name matches *pattern*."""
    return _override("byRegexp", f"/^{pattern}$/", properties)


def _override(matcher: str, options: str, properties: dict[str, Any]) -> Json:
    values = [{"id": key.replace("__", "."), "value": v} for key, v in properties.items()]
    return {"matcher": {"id": matcher, "options": options}, "properties": values}


def _panel(
    kind: str,
    title: str,
    about: str,
    queries: Sequence[Json],
    *,
    unit: str,
    defaults: Json,
    options: Json,
    overrides: Sequence[Json] = (),
    **more: Any,
) -> Json:
    targets = [{**asked, "refId": chr(ord("A") + number)} for number, asked in enumerate(queries)]
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": _SOURCE,
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": unit, "noValue": "none", **defaults},
            "overrides": list(overrides),
        },
        "options": options,
        **more,
    }


def stat(
    title: str,
    about: str,
    expr: str,
    unit: str = "short",
    *,
    thresholds: Json | None = None,
    legend: str = "",
    mappings: Sequence[Json] = (),
    text: str = "auto",
    decimals: int | None = None,
    none: str = "none",
) -> Json:
    """Return one big number; *none* is shown where the query finds nothing."""
    defaults: Json = {
        "mappings": list(mappings),
        "thresholds": thresholds or steps((None, TEXT)),
        "color": {"mode": "thresholds"},
        "noValue": none,
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": text,
        "wideLayout": True,
        "percentChangeColorMode": "standard",
        "showPercentChange": False,
    }
    queries = [query(expr, legend, instant=True)]
    return _panel("stat", title, about, queries, unit=unit, defaults=defaults, options=options)


def lines(
    title: str,
    about: str,
    queries: Sequence[Json],
    unit: str,
    *,
    overrides: Sequence[Json] = (),
    low: float | None = None,
    high: float | None = None,
    thresholds: Json | None = None,
    stacked: bool = False,
    drawn: str = "line",
    fill: int = 0,
    stepped: bool = False,
    legend: Sequence[str] = ("lastNotNull",),
    none: str = "none",
) -> Json:
    """Return series over time, drawn as ``line`` or ``bars``."""
    custom: Json = {
        "drawStyle": drawn,
        "lineInterpolation": "stepAfter" if stepped else "linear",
        "lineWidth": 1,
        "fillOpacity": fill,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisPlacement": "auto",
        "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
    }
    defaults: Json = {
        "color": {"mode": "palette-classic"},
        "custom": custom,
        "thresholds": thresholds or steps((None, GREEN)),
        "noValue": none,
    }
    defaults |= {} if low is None else {"min": low}
    defaults |= {} if high is None else {"max": high}
    options = {
        "legend": {
            "displayMode": "table" if legend else "list",
            "placement": "right" if legend else "bottom",
            "showLegend": True,
            "calcs": list(legend),
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel(
        "timeseries",
        title,
        about,
        queries,
        unit=unit,
        defaults=defaults,
        options=options,
        overrides=overrides,
    )


def bars(
    title: str,
    about: str,
    queries: Sequence[Json],
    unit: str = "short",
    *,
    overrides: Sequence[Json] = (),
    calc: str = "sum",
    none: str = "none",
) -> Json:
    """Return counts per interval as stacked bars."""
    panel = lines(
        title, about, queries, unit,
        overrides=overrides, low=0, stacked=True, drawn="bars", fill=80, legend=(calc,),
        none=none,
    )  # fmt: skip
    panel |= {"interval": _BAR_MIN, "maxDataPoints": _BARS}
    panel["fieldConfig"]["defaults"]["custom"]["axisSoftMax"] = 1
    # What happened stands above the many classes that are exported at zero.
    panel["options"]["legend"] |= {
        "sortBy": {"sum": "Total", "mean": "Mean"}[calc],
        "sortDesc": True,
    }
    panel["fieldConfig"]["defaults"]["decimals"] = 0 if unit == "short" else 2
    return panel


def state_lines(
    title: str,
    about: str,
    queries: Sequence[Json],
    mappings: Sequence[Json],
    *,
    thresholds: Json | None = None,
    value: str = "auto",
) -> Json:
    """Return one band per series, coloured by its value."""
    defaults: Json = {
        "mappings": list(mappings),
        "thresholds": thresholds or steps((None, GREY)),
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 80, "lineWidth": 0},
    }
    options = {
        "showValue": value,
        "rowHeight": 0.85,
        "mergeValues": True,
        "alignValue": "left",
        "legend": {
            "displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": [],
        },
        "tooltip": {"mode": "single", "sort": "none"},
    }  # fmt: skip
    return _panel(
        "state-timeline", title, about, queries, unit="short", defaults=defaults, options=options
    )


def gauge_bars(
    title: str,
    about: str,
    expr: str,
    legend: str,
    unit: str = "percentunit",
    *,
    thresholds: Json,
    low: float = 0,
    high: float | None = 1,
    none: str = "none",
) -> Json:
    """Return one horizontal bar per series."""
    defaults: Json = {
        "min": low,
        "thresholds": thresholds,
        "color": {"mode": "thresholds"},
        "mappings": [],
        "noValue": none,
    }
    defaults |= {} if high is None else {"max": high}
    options = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "valueMode": "color",
        "namePlacement": "auto",
        "showUnfilled": True,
        "sizing": "auto",
        "minVizWidth": 8,
        "minVizHeight": 16,
        "maxVizHeight": 40,
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        "legend": {
            "displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": [],
        },
    }  # fmt: skip
    queries = [query(expr, legend, instant=True)]
    return _panel("bargauge", title, about, queries, unit=unit, defaults=defaults, options=options)


def heatmap(title: str, about: str, expr: str, unit: str) -> Json:
    """Return a histogram's buckets over time."""
    defaults: Json = {
        "custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}},
    }
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme", "scheme": "Turbo", "fill": "dark-orange", "scale": "exponential",
            "exponent": 0.5, "steps": 64, "reverse": False,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }  # fmt: skip
    # Each bucket's newest probe, by its id, where Prometheus keeps exemplars.
    queries = [query(expr, "{{le}}", kind="heatmap") | {"exemplar": True}]
    return _panel(
        "heatmap", title, about, queries, unit=unit, defaults=defaults, options=options,
        interval=_BAR_MIN, maxDataPoints=_BARS,
    )  # fmt: skip


def table(
    title: str,
    about: str,
    columns: Sequence[tuple[str, str]],
    key: str,
    *,
    overrides: Sequence[Json] = (),
    labels: Sequence[str] = (),
    hidden: Sequence[str] = (),
    sort: str | None = None,
) -> Json:
    """
    Return a table with a row per value of the label *key* and a column per query.

    *columns* are heading and query. Other *labels* of the first query follow the key; what is
    *hidden* is asked for their sake alone.
    """
    queries = [query(expr, instant=True, kind="table") for _, expr in columns]
    names = {f"Value #{chr(ord('A') + n)}": heading for n, (heading, _) in enumerate(columns)}
    several = len(columns) > 1
    times = [f"Time {number}" for number in range(1, len(columns) + 1)] if several else []
    order = {name: number for number, name in enumerate((key, *labels, *names))}
    organize = {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(("Time", *times, *hidden), True),
            "indexByName": order,
            "renameByName": names if several else {"Value": columns[0][0]},
        },
    }
    join = {"id": "joinByField", "options": {"byField": key, "mode": "outer"}}
    defaults: Json = {
        "custom": {
            "align": "auto",
            "cellOptions": {"type": "auto"},
            "inspect": False,
            "minWidth": 60,
        },
        "mappings": mapped({}, ("-", GREY)),
        "thresholds": steps((None, TEXT)),
        "color": {"mode": "thresholds"},
    }
    options: Json = {"showHeader": True, "cellHeight": "sm"}
    if sort:
        options["sortBy"] = [{"displayName": sort, "desc": False}]
    transformations = [join, organize] if several else [organize]
    return _panel(
        "table", title, about, queries, unit="short", defaults=defaults, options=options, overrides=overrides,
        transformations=transformations,
    )  # fmt: skip


def _placed(rows: Sequence[Row]) -> list[Json]:
    """Return the panels of *rows* with ids and places, a heading above each row that has a title."""
    panels: list[Json] = []
    y = 0
    for each in rows:
        if each.title:
            heading = {"type": "row", "title": each.title, "collapsed": False, "panels": []}
            grid = {"h": 1, "w": _WIDTH, "x": 0, "y": y}
            panels.append({"id": len(panels) + 1, "gridPos": grid, **heading})
            y += 1
        x = 0
        for width, panel in each.panels:
            grid = {"h": each.height, "w": width, "x": x, "y": y}
            panels.append({"id": len(panels) + 1, "gridPos": grid, **panel})
            x += width
        if x > _WIDTH:
            raise ValueError(f"row {each.title!r} is {x} of {_WIDTH} wide")
        y += each.height
    return panels


def choice(
    name: str,
    label: str,
    expr: str,
    *,
    default: str | None = None,
    many: bool = False,
    sort: int = 1,
) -> Json:
    """Return a variable with the values that the metrics have; *many* lets several be chosen."""
    if name != "instance":
        expr = of_one_daemon(expr)
    variable: Json = {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": _SOURCE,
        "definition": expr,
        "query": {"query": expr, "refId": f"{name}-values"},
        "refresh": 2,
        "sort": sort,
        "regex": "",
        "hide": 0,
        "multi": many,
        "includeAll": many,
        "options": [],
        "skipUrlSync": False,
    }
    if many:
        variable["current"] = {"text": ["All"], "value": ["$__all"]}
    elif default:
        variable["current"] = {"text": default, "value": default}
    return variable


def of_one_daemon(expr: str) -> str:
    """
    Return *expr* with every metric of ours narrowed to the daemon that is chosen.

    Two daemons measure from two places: a greatest or a mean of both is nobody's figure. A selector
    that names an instance itself is left alone.
    """

    def narrowed(match: re.Match[str]) -> str:
        name, labels = match[1], match[2] or ""
        if "instance" in labels:
            return match[0]
        return f"{name}{{{', '.join(filter(None, (_DAEMON, labels)))}}}"

    return _SELECTOR.sub(narrowed, expr)


def _annotation(name: str, colour: str, expr: str, title: str, text: str, *, shown: bool) -> Json:
    return {
        "name": name,
        "datasource": _SOURCE,
        "enable": shown,
        "hide": False,
        "iconColor": colour,
        "expr": of_one_daemon(expr),
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
        "useValueForTime": False,
    }


def dashboard(
    uid: str,
    title: str,
    about: str,
    variables: Sequence[Json],
    rows: Sequence[Row],
    *,
    incidents: str,
    changes: str = "",
) -> Json:
    """
    Return a dashboard.

    *incidents* are the labels of targets whose incidents are marked, *changes* those of orders whose
    changes can be.
    """
    datasource = {
        "type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus",
        "refresh": 1, "regex": "", "hide": 0, "multi": False, "includeAll": False, "options": [],
        "skipUrlSync": False,
    }  # fmt: skip
    daemon = choice("instance", "Daemon", "label_values(imgmon_build_info, instance)")
    # Not changes(...[5m]): of samples five minutes apart, such a range holds only one in Prometheus 3.
    counter = f"imgmon_priority_changes_total{{{changes}}}"
    marks = [
        _annotation(
            "Incidents", RED, f"imgmon_incident_open{{{incidents}}} == 1",
            "Incident", "{{target}}", shown=True,
        ),
        _annotation(
            "Configuration changes", PURPLE,
            "imgmon_config_info unless on (digest) (imgmon_config_info offset 5m)"
            " and on () (imgmon_build_info offset 5m)",
            "Configuration changed", "{{digest}}", shown=True,
        ),
    ]  # fmt: skip
    if changes:
        marks.append(
            _annotation(
                "Order changes", BLUE, f"{counter} - ({counter} offset 5m) > 0",
                "Order changed", "{{pool}} / {{profile}}", shown=False,
            )
        )  # fmt: skip
    link = {
        "type": "dashboards", "title": "imgmon", "tags": ["imgmon"], "asDropdown": False,
        "includeVars": True, "keepTime": True, "targetBlank": False, "icon": "external link",
        "tooltip": "", "url": "",
    }  # fmt: skip
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["imgmon"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "timezone": "browser",
        "time": {"from": "now-24h", "to": "now"},
        "timepicker": {},
        "refresh": "1m",
        "links": [link],
        "annotations": {"list": marks},
        "templating": {"list": [datasource, daemon, *variables]},
        "panels": _placed(rows),
    }
