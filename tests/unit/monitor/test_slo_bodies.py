"""Claims, budgets and gaps on their way out: bodies and metrics say what the snapshot holds."""

from __future__ import annotations

import json

import pytest

from monitor.api import schemas
from monitor.api.encode import Encoder, target_key, windows_key
from monitor.api.months import MonthsOut, month_document
from monitor.core.gaps import Gap
from monitor.core.months import Evidence, month_figures
from monitor.core.snapshot import GapReason
from monitor.core.spec import Objective, Policy
from monitor.engine import Engine
from monitor.metrics import snapshot_pieces
from monitor.steps import at_once
from probes.model import ErrorClass
from tests.support.builders import NOW, a_pool, a_result, a_sample, a_spec

CLAIM = Objective(availability=0.97, latency_p95_s=12.0)


def snapshot(*fates, claim=CLAIM, pool=None, gaps=()):
    """One target after a canary every ten minutes, the last one just now; True for a good one."""
    engine = Engine({"alpha": a_spec(claim=claim)}, [pool or a_pool()], Policy())
    for age, is_good in enumerate(reversed(fates)):
        error = None if is_good else ErrorClass.TIMEOUT
        engine.accept(a_result(error, NOW - 600.0 * age))
    for gap in gaps:
        engine.gap(gap)
    return engine.tick(NOW)


def bodies(shown):
    """The target's document and its windows, as clients read them."""
    encoded = at_once(Encoder()(shown))
    return (json.loads(encoded[key("alpha")].data) for key in (target_key, windows_key))


def series(shown):
    """(name, label values without the target) to the value of every gauge of the target."""
    return {
        (sample.name, *(v for k, v in sorted(sample.labels.items()) if k != "target")): sample.value
        for piece in snapshot_pieces(shown, dict)
        for family in piece.families().collect()
        if family.type in {"gauge", "summary"}
        for sample in family.samples
        if "target" in sample.labels
    }


def test_windows_tell_verdicts_latency_sli_and_gaps():
    """Each as the schema says, with what would decide in numbers and words."""
    gaps = [Gap("alpha", NOW - 90.0 * n, GapReason.SPEND_CAP, 600.0) for n in range(2)]
    detail, windows = bodies(snapshot(*[True] * 144, gaps=gaps))
    schemas.TargetDetailOut.model_validate(detail)
    schemas.WindowsOut.model_validate(windows)
    hour, day = windows["windows"]["1h"], windows["windows"]["24h"]

    assert {"spend_cap": {"slots": 2, "share_ratio": 0.33333}} == hour["gaps"]
    assert ["attained", "attained"] == [claim["verdict"] for claim in day["claims"]]
    availability, latency = hour["claims"]
    assert ("availability", 0.97, "undetermined") == (
        availability["claim"], availability["value"], availability["verdict"],
    )  # fmt: skip
    assert {"canaries": 119, "days": 0.826, "usd": 4.76, "fits_window": False} == (
        availability["would_decide"]
    )
    assert "119 more (0.9 days, $4.76) would decide, more than 1h holds" in availability["text"]
    assert 12.0 == latency["value"]
    assert (12.0, 1.0, 144) == tuple(
        day["latency_sli"][key] for key in ("threshold_s", "value", "samples")
    )
    assert "2026-11-17T11:16:40.000Z" == day["since"]
    assert 0 == day["maintenance_s"]


def test_a_target_tells_its_error_budget():
    """Four failures of 144 at 97 %: 7 % of it is left, and over a day it burns nearly as fast."""
    detail, _ = bodies(snapshot(*[False] * 4, *[True] * 140))
    budget = detail["error_budget"]

    assert (0.97, 144, 0.07407) == (
        budget["objective"], budget["samples"], budget["remaining_ratio"],
    )  # fmt: skip
    assert budget["remaining_ratio_lower"] < 0
    assert {"samples": 36, "failures": 0, "value": None, "lower": None} == (
        budget["burn_rates"]["6h"]
    )
    assert 4 / 144 / 0.03 == pytest.approx(budget["burn_rates"]["1d"]["value"], abs=1e-4)


def test_without_a_claim_or_an_aim_there_is_nothing_to_tell():
    """No verdict, no budget, no latency SLI: null, never 0."""
    shown = snapshot(True, False, claim=Objective(), pool=a_pool(slo=Objective()))
    detail, windows = bodies(shown)

    assert detail["error_budget"] is None
    assert ([], None) == (
        windows["windows"]["1h"]["claims"], windows["windows"]["1h"]["latency_sli"],
    )  # fmt: skip
    names = {name for name, *_ in series(shown)}
    assert names.isdisjoint(
        {"imgmon_claim_attained", "imgmon_latency_sli_ratio", "imgmon_burn_rate"}
    )
    assert "imgmon_error_budget_remaining_ratio" not in names


def test_metrics_show_what_is_decided_and_supported_alone():
    """Attained is 1, missed 0, undetermined no series; so are burn rates of too few failures."""
    attained = series(snapshot(*[True] * 144))
    missed = series(snapshot(*[False] * 30, *[True] * 114))

    assert 1.0 == attained["imgmon_claim_attained", "availability", "24h"]
    assert 1.0 == attained["imgmon_claim_attained", "latency_p95", "24h"]
    assert ("imgmon_claim_attained", "availability", "1h") not in attained
    assert ("imgmon_burn_rate", "1d") not in attained
    assert 1.0 == attained["imgmon_error_budget_remaining_ratio",]
    assert 1.0 == attained["imgmon_latency_sli_ratio", "1h"]
    assert attained["imgmon_latency_sli_ratio_lower", "1h"] < 1
    assert 0.0 == attained["imgmon_maintenance_seconds", "1h"]
    assert 0.0 == missed["imgmon_claim_attained", "availability", "24h"]
    assert 0.0 == missed["imgmon_claim_attained", "latency_p95", "24h"]
    assert 30 / 144 / 0.03 == pytest.approx(missed["imgmon_burn_rate", "1d"])
    assert missed["imgmon_burn_rate_lower", "1d"] < missed["imgmon_burn_rate", "1d"]
    assert missed["imgmon_error_budget_remaining_ratio",] < 0
    assert (
        missed["imgmon_error_budget_remaining_ratio_lower",]
        < missed["imgmon_error_budget_remaining_ratio",]
    )


def test_a_month_is_shown_as_the_schema_says():
    """With its bounds, its claim and its money beside the figures of a window."""
    evidence = Evidence(samples=(a_sample(NOW),), gaps=(), spend_usd=0.04)
    month = month_figures(
        "2026-11", a_spec(claim=CLAIM), evidence, threshold_s=12.0, now=NOW + 60.0
    )
    shown = month_document(month)
    MonthsOut.model_validate({"schema": 1, "target": "alpha", "months": [shown]})

    assert ("2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z", False, 0.04) == (
        shown["begins_at"], shown["ends_at"], shown["is_final"], shown["spend_usd"],
    )  # fmt: skip
    assert {"availability": 0.97, "latency_p95_s": 12.0} == shown["claim"]
    assert ["availability", "latency_p95"] == [claim["claim"] for claim in shown["claims"]]
