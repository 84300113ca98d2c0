"""
The status page: one snapshot as one HTML page, nothing from elsewhere.

It knows the core alone. A short script renews the page; without it the browser loads it anew.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from itertools import groupby
from typing import Final

from monitor.core.availability import Ratio
from monitor.core.reasons import telling
from monitor.core.snapshot import (
    LifeSign,
    Order,
    Place,
    Quantile,
    Snapshot,
    State,
    TargetView,
    WindowFigures,
)
from monitor.core.spend import CapUse, Scope
from monitor.core.standing import OBJECTIVE_SPAN_S
from monitor.core.words import exact_percent, percent, rfc3339, seconds, span, utc
from monitor.look import LOOK

TONES: Final = {
    State.HEALTHY: "good",
    State.SUSPECT: "unsure",
    State.DEGRADED: "unsure",
    State.DOWN: "bad",
    State.UNUSABLE: "ours",
    State.UNKNOWN: "unknown",
}
_DAY, _LONGEST = "availability", "availability, longest window"
_STYLE: Final = (
    LOOK
    + """\
.lead { font-size: 1.1rem; margin: 0 0 0.5rem; }
.alarm { border-left: 0.3rem solid var(--bad); background: var(--panel); padding: 0.5rem 0.75rem; }
small, .soft { color: var(--soft); font-weight: normal; }
small { display: block; font-size: 0.85em; }
strong.ours { color: var(--link); }
strong.unknown { color: var(--soft); }
strong::before { content: "\\25CF\\00A0"; }
td div div + div { margin-top: 0.15rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
meter { width: 8rem; vertical-align: -0.1rem; }
footer { margin-top: 3rem; font-size: 0.85rem; color: var(--soft); }
/* On a telephone a row is a card, its headings beside its values. */
@media (max-width: 40rem) {
  table, tbody, tr, td { display: block; }
  thead { display: none; }
  tr { padding: 0.5rem 0; border-bottom: 1px solid var(--line); }
  tbody td { display: grid; grid-template-columns: 7rem 1fr; border: 0; padding: 0.1rem 0; }
  td::before { content: attr(data-heading); color: var(--soft); }
  td div { min-width: 0; overflow-wrap: anywhere; }
}
"""
)
# Replaces what is shown by what is published now; says so when nothing answers any more.
_SCRIPT: Final = """\
const renew = async () => {
  const lost = document.getElementById("lost");
  try {
    const answer = await fetch(location.href, {signal: AbortSignal.timeout(8000)});
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const open = [...document.querySelectorAll("details[open]")].map(d => d.id);
    document.querySelector("main").replaceWith(page.querySelector("main"));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    document.title = page.title;
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
  setTimeout(renew, 5000);
};
setTimeout(renew, 5000);
"""
# What the page may do: its own style and script, and ask this daemon.
POLICY: Final = "; ".join((
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    f"script-src 'sha256-{b64encode(sha256(_SCRIPT.encode()).digest()).decode()}'",
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip


def render(snapshot: Snapshot, *, is_stale: bool) -> str:
    """Return the page of *snapshot*; *is_stale* when no newer one was made in time."""
    title = _summary(snapshot.targets.values())
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        '<noscript><meta http-equiv="refresh" content="15"></noscript>\n'
        f"<title>{escape(title)} - imgmon</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        '<p class="alarm" id="lost" role="alert" hidden>The daemon does not answer: what stands '
        "below is the last it said.</p>\n"
        f"<main>\n{chr(10).join(_main(snapshot, title, is_stale=is_stale))}\n</main>\n"
        f"<footer>{_footer()}</footer>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _summary(views: Iterable[TargetView]) -> str:
    """Return how many targets are in which state: ``1 down, 4 healthy``."""
    worst_first = (
        State.DOWN, State.DEGRADED, State.SUSPECT, State.UNUSABLE, State.UNKNOWN, State.HEALTHY,
    )  # fmt: skip
    states = [view.health.state for view in views]
    counts = ((state, states.count(state)) for state in worst_first)
    return ", ".join(f"{n} {state.value}" for state, n in counts if n) or "no targets"


def _main(snapshot: Snapshot, title: str, *, is_stale: bool) -> Iterator[str]:
    now = snapshot.made_at
    yield f'<h1>imgmon</h1>\n<p class="lead">{escape(title)}</p>'
    yield f'<p class="soft">As of {_time(now, now)}. Times are UTC.</p>'
    if is_stale:
        yield _alarm("Nothing new was published in time: the daemon is in trouble, see /readyz.")
    if snapshot.our_network.is_suspect:
        yield _alarm("Our own network is in trouble: failures say nothing of the providers.")
    by_pool = groupby(snapshot.orders.values(), key=lambda order: order.pool.id)
    for _, orders in by_pool:
        yield from _pool(list(orders), snapshot)
    placed = {place.target for order in snapshot.orders.values() for place in order.places}
    loose = [view for target, view in snapshot.targets.items() if target not in placed]
    if loose:
        yield "<h2>In no pool</h2>" + _table_of(
            "Targets in no pool", [_figures(view, now) for view in loose]
        )
    yield from _incidents(snapshot)
    yield from _money(snapshot.spending.caps)


def _alarm(text: str) -> str:
    return f'<p class="alarm" role="alert">{escape(text)}</p>'


def _pool(orders: list[Order], snapshot: Snapshot) -> Iterator[str]:
    """Yield one pool: the order of its default profile with figures, the others as lists."""
    pool, now = orders[0].pool, snapshot.made_at
    shown = next((order for order in orders if order.profile.name == pool.profile), orders[0])
    aims = []
    if pool.slo.availability is not None:
        aims.append(f"{exact_percent(pool.slo.availability)} % available")
    if pool.slo.latency_p95_s is not None:
        aims.append(f"p95 within {seconds(pool.slo.latency_p95_s)}")
    aim = f" Wanted: {', '.join(aims)}." if aims else ""
    yield f"<h2>{escape(pool.id)}</h2>"
    yield (
        f'<p class="soft">Whom to call first under the profile {escape(shown.profile.name)}: '
        f"order {shown.version}, since {_time(shown.changed_at, now)}.{escape(aim)}</p>"
    )
    if shown.all_degraded:
        yield _alarm("No target of this pool is up and within the SLO: least bad first.")
    rows = [
        {
            "#": str(place.rank),
            **_figures(snapshot.targets[place.target], now),
            "why here": _why(place),
        }
        for place in shown.places
    ]
    yield _table_of(f"Order of {pool.id}", rows)
    others = [order for order in orders if order is not shown]
    if others:
        items = "".join(
            f"<dt>{escape(order.profile.name)}</dt>"
            f"<dd>{escape(', '.join(place.target for place in order.places))}</dd>"
            for order in others
        )
        anchor = escape(f"profiles-{pool.id}")
        yield f'<details id="{anchor}"><summary>Other profiles</summary><dl>{items}</dl></details>'


def _why(place: Place) -> str:
    return "".join(f"<div>{escape(text)}</div>" for text in telling(place.reasons))


def _figures(view: TargetView, now: float) -> dict[str, str]:
    """Return heading to cell of one target, without its place: name, state, figures, price."""
    spec = view.spec
    windows = sorted(view.windows.values(), key=lambda window: window.span_s)
    day = next((window for window in windows if window.span_s >= OBJECTIVE_SPAN_S), windows[-1])
    return {
        "target": f"{escape(spec.id)}<small>{escape(spec.provider)} · {escape(spec.model)}</small>",
        "state": _state(view, now),
        _DAY: _availability(day),
        _LONGEST: "" if windows[-1] is day else _availability(windows[-1]),
        "p95": _p95(day),
        "price": f"${spec.price_usd:.3f}",
    }


def _state(view: TargetView, now: float) -> str:
    health = view.health
    said = [f'<strong class="{TONES[health.state]}">{health.state.value}</strong>']
    if health.error is not None:
        said.append(f"<small>{escape(health.error.value)}</small>")
    if health.since is not None:
        said.append(f"<small>since {_time(health.since, now)}</small>")
    if health.retry_at is not None:
        said.append(f"<small>again at {_time(health.retry_at, now)}</small>")
    if health.state is not State.HEALTHY and view.liveness.state is not LifeSign.UNKNOWN:
        answered = "answered" if view.liveness.state is LifeSign.OK else "failing"
        said.append(f"<small>free calls: {answered}</small>")
    if view.last is not None:
        said.append(f"<small>last probe {_time(view.last.started_at, now)}</small>")
    return "".join(said)


def _availability(window: WindowFigures) -> str:
    return f"{availability_text(window.provider)}<small>{_basis(window)}</small>"


def availability_text(ratio: Ratio) -> str:
    """Return an availability cut, never raised to one that was not attained; or ``unknown``."""
    return "unknown" if ratio.value is None else f"{_cut(ratio.value)} %"


def _basis(window: WindowFigures) -> str:
    """Return what an availability rests on: interval, n, window and its measured share."""
    ratio, parts = window.provider, []
    if ratio.lower is not None and ratio.upper is not None:
        parts.append(f"{percent(ratio.lower)} to {percent(ratio.upper)} %")
    parts += [f"n={ratio.n}", escape(window.name)]
    return ", ".join(parts) + f"<br>{percent(window.coverage)} % measured"


def _cut(ratio: float) -> str:
    """Return a share of 0..1 in percent: tenths, or hundredths above 99 % where they tell."""
    return percent(ratio) if ratio < 0.99 or ratio == 1 else f"{int(ratio * 10_000) / 100:.2f}"


def _p95(window: WindowFigures) -> str:
    quantile: Quantile | None = window.quantiles.get(0.95)
    if quantile is None or quantile.value is None:
        return "unknown"
    # Without an upper bound the samples are too few to say that it is a p95.
    upper = "estimated" if quantile.upper is None else f"at most {seconds(quantile.upper, up=True)}"
    value = seconds(quantile.value, up=True)
    return (
        f"{value}<small>{upper}</small><small>n={window.latency_n}, {escape(window.name)}</small>"
    )


def _incidents(snapshot: Snapshot) -> Iterator[str]:
    now = snapshot.made_at
    lasting = sorted(
        (incident for view in snapshot.targets.values() for incident in view.incidents),
        key=lambda incident: incident.started_at,
    )
    yield "<h2>Open incidents</h2>"
    if not lasting:
        yield '<p class="soft">None. Earlier ones: <a href="v1/incidents">/v1/incidents</a>.</p>'
        return
    yield _table(
        "Open incidents",
        ("target", "error", "since", "for", "failures", "whose"),
        (
            (
                escape(incident.target),
                escape(incident.failures.error.value),
                _time(incident.started_at, now),
                span(max(0.0, now - incident.started_at)),
                str(incident.failures.count),
                "the provider's" if incident.scope == "provider" else "our account's",
            )
            for incident in lasting
        ),
    )


def _money(caps: Iterable[CapUse]) -> Iterator[str]:
    rows = []
    for use in caps:
        whose = (
            "all probes" if use.cap.scope is Scope.GLOBAL else f"{use.cap.scope.value} {use.cap.id}"
        )
        share = min(1.0, use.ratio)
        rows.append((
            escape(whose),
            f"a {use.cap.period.value}",
            f'<meter max="1" high="0.8" optimum="0" value="{share:.4f}">{percent(share)} %</meter>',
            f"${use.booked_micros / 1e6:.2f} of ${use.cap.micros / 1e6:.2f}",
        ))  # fmt: skip
    if rows:
        yield "<h2>Probe money</h2>" + _table("Spend caps", ("cap", "per", "used", "booked"), rows)


def _table_of(caption: str, rows: Sequence[Mapping[str, str]]) -> str:
    """Return a table of rows by heading; a column that is empty throughout is left out."""
    headings = [heading for heading in rows[0] if any(row[heading] for row in rows)]
    return _table(caption, headings, [tuple(row[heading] for heading in headings) for row in rows])


def _table(caption: str, headings: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table of cells that are HTML already, in a region that scrolls where it is narrow."""
    names = [escape(heading) for heading in headings]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td data-heading="{name}"><div>{cell}</div></td>'
            for name, cell in zip(names, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0"><table>'
        f'<caption class="unseen">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _time(at: float, now: float) -> str:
    return f'<time datetime="{rfc3339(at)}">{utc(at, now)}</time>'


def _footer() -> str:
    return (
        "Availability is the share of scheduled canaries that brought the right picture; the range "
        "is its 95 % interval in that window, no forecast. Unknown means that nobody knows. "
        'Reference: <a href="docs">API</a>, <a href="v1/pools">pools</a>, '
        '<a href="v1/events">events</a>, <a href="metrics">metrics</a>.'
    )
