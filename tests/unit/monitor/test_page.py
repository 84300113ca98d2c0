"""The status page and the badges say what the snapshot says, and nothing that nobody measured."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from monitor.core.network import OurNetwork
from monitor.core.snapshot import State
from monitor.core.spec import Objective, Policy, ProviderSpec
from monitor.core.spend import Cap, CapUse, Period, Scope, Spending
from monitor.engine import Engine
from monitor.page.badges import BadgeKind, badge
from monitor.page.html import TONES, render
from probes.model import ErrorClass
from tests.support.builders import NOW, a_pool, a_result, a_spec


def snapshot(*errors, spec=None, pool=None, policy=None):
    """One target after a canary every ten minutes, the last just now: good for None."""
    spec = spec or a_spec()
    engine = Engine(
        {spec.id: spec},
        [pool or a_pool(spec.id)],
        policy or Policy(),
        {"acme": ProviderSpec(id="acme")},
    )
    for age, error in reversed(list(enumerate(reversed(errors)))):
        engine.accept(a_result(error, NOW - 600.0 * age, target_id=spec.id))
    return engine.tick(NOW)


def test_a_page_without_data_says_unknown_and_is_not_green():
    """No ratio, no p95, no tone of health for a target nobody has asked."""
    page = render(snapshot(), is_stale=False)

    assert "1 unknown" in page
    assert '<strong class="unknown">unknown</strong>' in page
    assert '<strong class="good">' not in page
    assert "100" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


def test_a_page_shows_availability_with_its_interval_n_and_coverage():
    """A bare percentage is a claim; what it rests on stands beside it."""
    page = render(snapshot(*[None] * 143, ErrorClass.SERVER_ERROR), is_stale=False)

    assert "99.30 %" in page
    assert "96.1 to 99.8 %, n=144, 24h" in page
    assert "% measured" in page


def test_the_longest_window_has_a_column_where_it_is_not_the_day():
    """The same figure twice would look like two."""
    short = Policy(windows={"1h": 3_600.0, "24h": 86_400.0})

    assert "longest window" in render(snapshot(None), is_stale=False)
    assert "longest window" not in render(snapshot(None, policy=short), is_stale=False)


def test_what_a_configuration_names_is_text_and_never_markup():
    """Models and pools are the user's words; the page shows them as they are written."""
    spec = a_spec(model="<script>alert(1)</script>", provider='a"b')
    pool = a_pool(spec.id)
    page = render(snapshot(spec=spec, pool=replace(pool, id="<i>pool")), is_stale=False)

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<i>" not in page


def test_a_page_of_a_stalled_daemon_or_a_cut_network_says_so_on_top():
    """What stands below must not be taken for now, or for the providers' fault."""
    fine = snapshot(None)
    cut = replace(fine, our_network=OurNetwork(is_watched=True, suspect_since=NOW))

    assert 'class="alarm" role="alert">Nothing new' not in render(fine, is_stale=False)
    assert 'class="alarm" role="alert">Nothing new' in render(fine, is_stale=True)
    assert "Our own network is in trouble" in render(cut, is_stale=False)


def test_an_outage_is_shown_with_its_incident_and_that_the_pool_is_degraded():
    """The class, since when, how many failures and whose fault: what an operator asks first."""
    page = render(snapshot(*[None] * 6, *[ErrorClass.OVERLOADED] * 3), is_stale=False)

    assert '<strong class="bad">down</strong><small>overloaded</small>' in page
    assert "least bad first" in page
    assert '<td data-heading="error"><div>overloaded</div></td>' in page
    assert "the provider&#x27;s" in page or "the provider's" in page


def test_money_is_shown_against_its_cap():
    """Booked, cap and share of each, in the words of the configuration."""
    cap = Cap(scope=Scope.PROVIDER, id="acme", period=Period.DAY, micros=2_000_000)
    shown = replace(snapshot(None), spending=Spending(caps=(CapUse(cap, 1_500_000),)))
    page = render(shown, is_stale=False)

    assert "provider acme" in page
    assert "$1.50 of $2.00" in page
    assert 'value="0.7500">75.0 %</meter>' in page


def test_a_target_in_no_pool_is_on_the_page_too():
    """It is probed and paid for, so it is looked at."""
    engine = Engine({"alpha": a_spec()}, [], Policy())
    page = render(engine.tick(NOW), is_stale=False)

    assert "In no pool" in page
    assert "alpha<small>" in page


def test_every_state_has_a_tone_and_only_health_is_good():
    """A state that is added later must be thought about here."""
    assert set(State) == set(TONES)
    assert [State.HEALTHY] == [state for state, tone in TONES.items() if tone == "good"]


@pytest.mark.parametrize("kind", BadgeKind)
def test_a_badge_without_data_is_grey_and_says_unknown(kind):
    """A badge is looked at from afar: no data must not look like health."""
    view = snapshot().targets["alpha"]
    svg = badge(view, kind, view.windows["24h"])

    assert ">unknown</text>" in svg
    assert "#57606a" in svg
    assert "#1a7f37" not in svg


@pytest.mark.parametrize(
    ("claim", "fates", "colour"),
    [
        (0.9, [None] * 144, "#1a7f37"),  # The whole interval is above the claim.
        (0.999, [None] * 144, "#8a5a00"),  # 144 clean canaries do not prove 99.9 %.
        (0.999, [None] * 100 + [ErrorClass.TIMEOUT] * 20, "#cf222e"),
    ],
)
def test_an_availability_badge_is_green_only_where_the_claim_is_attained(claim, fates, colour):
    """Green for the lower end, red for the upper end, else amber: undetermined."""
    spec = a_spec(claim=Objective(availability=claim))
    view = snapshot(*fates, spec=spec).targets["alpha"]

    assert colour in badge(view, BadgeKind.AVAILABILITY, view.windows["24h"])


def test_a_badge_tells_what_its_figure_rests_on():
    """Over the picture's title: n and the measured share of the window."""
    view = snapshot(*[None] * 7).targets["alpha"]
    svg = badge(view, BadgeKind.AVAILABILITY, view.windows["24h"])

    assert "100.0 % available, n=7, 4.8 % measured" in svg
    assert "n=7" in badge(view, BadgeKind.P95, view.windows["24h"])
    assert "alpha is healthy" in badge(view, BadgeKind.STATE, view.windows["24h"])
